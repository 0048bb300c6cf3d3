/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "bpf/link.h"
#include "kernel/protocols.h"
#include "util.h"

/* As bpf/packet.h lays it out. */
#define KIND(ethertype, protocol, link)                                                \
	((uint64_t)(ethertype) | (uint64_t)(protocol) << 16 | (uint64_t)(link) << 24 | \
	 (uint64_t)AF_INET << 32)

static void assert_protocol(uint64_t kind, const char *expected)
{
	char name[PROTOCOL_NAME_SIZE];

	memset(name, 'x', sizeof(name));
	protocol_name(kind, name);
	assert_string_equal(name, expected);
}

static void above_ip(void **state)
{
	(void)state;
	assert_protocol(KIND(0x0800, 6, 0), "tcp");
	assert_protocol(KIND(0x86dd, 6, 0), "tcp");
	assert_protocol(KIND(0x0800, 17, 0), "udp");
	assert_protocol(KIND(0x0800, 1, 0), "icmp");
	assert_protocol(KIND(0x86dd, 58, 0), "icmpv6");
	assert_protocol(KIND(0x86dd, 59, 0), "ipv6_no_next");
	assert_protocol(KIND(0x0800, 132, 0), "sctp");
	assert_protocol(KIND(0x0800, 253, 0), "ip_protocol_253");
	assert_protocol(KIND(0x86dd, 255, 0), "ip_protocol_255");
}

/* Protocol 0 is what the probe says when it could not read the header. */
static void unreadable_ip(void **state)
{
	(void)state;
	assert_protocol(KIND(0x0800, 0, 0), "unknown");
	assert_protocol(KIND(0x86dd, 0, 0), "unknown");
}

static void ethertypes(void **state)
{
	(void)state;
	assert_protocol(KIND(0x0806, 0, 0), "arp");
	assert_protocol(KIND(0x88cc, 0, 0), "lldp");
	assert_protocol(KIND(0x8809, 0, 0), "lacp");
	assert_protocol(KIND(0x888e, 0, 0), "eapol");
	assert_protocol(KIND(0x88f7, 0, 0), "ptp");
	assert_protocol(KIND(0x8914, 0, 0), "fip");
	assert_protocol(KIND(0x8808, 0, 0), "pause");
	assert_protocol(KIND(0x88f5, 0, 0), "mvrp");
	assert_protocol(KIND(0x9000, 0, 0), "loopback");
	assert_protocol(KIND(0x8100, 0, 0), "vlan");
	assert_protocol(KIND(0x88a8, 0, 0), "qinq");
	assert_protocol(KIND(0x8847, 0, 0), "mpls");
	assert_protocol(KIND(0x8863, 0, 0), "pppoe_discovery");
	assert_protocol(KIND(0x8864, 0, 0), "pppoe");
	assert_protocol(KIND(0x88b5, 0, 0), "0x88b5");
	assert_protocol(KIND(0x0009, 0, 0), "0x0009");
	assert_protocol(0, "none");
}

static void link_layer(void **state)
{
	(void)state;
	assert_protocol(KIND(0x0004, 0, LINK_NONE), "llc");
	assert_protocol(KIND(0x0004, 0, LINK_LLC), "llc");
	assert_protocol(KIND(0x0004, 0, LINK_SNAP), "snap");
	assert_protocol(KIND(0x0004, 0, LINK_STP), "stp");
	assert_protocol(KIND(0x0004, 0, LINK_PVST), "pvst");
	assert_protocol(KIND(0x0004, 0, LINK_CDP), "cdp");
	assert_protocol(KIND(0x0004, 0, LINK_UDLD), "udld");
	assert_protocol(KIND(0x0004, 0, LINK_DTP), "dtp");
	assert_protocol(KIND(0x0004, 0, LINK_VTP), "vtp");
	assert_protocol(KIND(0x0004, 0, LINK_PAGP), "pagp");
	/* A number that this version does not know. */
	assert_protocol(KIND(0x0004, 0, LINK_PROTOCOLS), "llc");
	assert_protocol(KIND(0x0004, 0, 255), "llc");
}

/* A name is a label: short, printable, lower case. */
static void every_kind_has_a_name(void **state)
{
	char name[PROTOCOL_NAME_SIZE];

	(void)state;
	for (unsigned i = 0; i < 0x10000 + 0x100; i++) {
		uint64_t kind = i < 0x10000 ? KIND(i, 0, 0) : KIND(0x0800, i - 0x10000, 0);

		memset(name, 0, sizeof(name));
		protocol_name(kind, name);
		assert_int_equal(name[sizeof(name) - 1], '\0');
		assert_true(strlen(name) > 0);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(name));
	}
}

static void families(void **state)
{
	(void)state;
	assert_string_equal(family_name(AF_UNSPEC), "none");
	assert_string_equal(family_name(AF_UNIX), "unix");
	assert_string_equal(family_name(AF_INET), "ipv4");
	assert_string_equal(family_name(AF_INET6), "ipv6");
	assert_string_equal(family_name(AF_NETLINK), "netlink");
	assert_string_equal(family_name(AF_PACKET), "packet");
	assert_string_equal(family_name(AF_VSOCK), "vsock");
	assert_string_equal(family_name(AF_APPLETALK), "other");
	assert_string_equal(family_name(255), "other");
}

static void tcp_states(void **state)
{
	(void)state;
	assert_string_equal(tcp_state_name(TCP_ESTABLISHED), "ESTABLISHED");
	assert_string_equal(tcp_state_name(TCP_SYN_SENT), "SYN_SENT");
	assert_string_equal(tcp_state_name(TCP_SYN_RECV), "SYN_RECV");
	assert_string_equal(tcp_state_name(TCP_FIN_WAIT1), "FIN_WAIT1");
	assert_string_equal(tcp_state_name(TCP_FIN_WAIT2), "FIN_WAIT2");
	assert_string_equal(tcp_state_name(TCP_TIME_WAIT), "TIME_WAIT");
	assert_string_equal(tcp_state_name(TCP_CLOSE), "CLOSE");
	assert_string_equal(tcp_state_name(TCP_CLOSE_WAIT), "CLOSE_WAIT");
	assert_string_equal(tcp_state_name(TCP_LAST_ACK), "LAST_ACK");
	assert_string_equal(tcp_state_name(TCP_LISTEN), "LISTEN");
	assert_string_equal(tcp_state_name(TCP_CLOSING), "CLOSING");
	/* TCP_NEW_SYN_RECV: a request that waits for its handshake. */
	assert_string_equal(tcp_state_name(12), "SYN_RECV");
	assert_string_equal(tcp_state_name(0), "UNKNOWN");
	assert_string_equal(tcp_state_name(13), "UNKNOWN");
	assert_string_equal(tcp_state_name(UINT32_MAX), "UNKNOWN");
}

/* Does one of the patterns that a name stands for fit the kind? */
static bool fits(const char *name, uint64_t kind)
{
	struct protocol_bits bits[PROTOCOL_MAX_BITS];
	int n = protocol_parse(name, bits);

	assert_in_range(n, 1, PROTOCOL_MAX_BITS);
	for (int i = 0; i < n; i++) {
		assert_int_equal(bits[i].kind & ~bits[i].mask, 0);
		if ((kind & bits[i].mask) == bits[i].kind)
			return true;
	}
	return false;
}

static void assert_parsed(const char *name, uint64_t kind, uint64_t mask)
{
	struct protocol_bits bits[PROTOCOL_MAX_BITS];

	memset(bits, 0xff, sizeof(bits));
	assert_int_equal(protocol_parse(name, bits), 1);
	assert_true(bits[0].kind == kind && bits[0].mask == mask);
}

static void parsed(void **state)
{
	(void)state;
	assert_parsed("tcp", 6 << 16, 0xff0000);
	assert_parsed("icmpv6", 58 << 16, 0xff0000);
	assert_parsed("arp", 0x0806, 0xffff);
	assert_parsed("stp", (uint64_t)LINK_STP << 24, 0xff000000);
	assert_parsed("6", 6 << 16, 0xff0000);
	assert_parsed("017", 17 << 16, 0xff0000);
	assert_parsed("255", 255 << 16, 0xff0000);
	assert_parsed("0x88b5", 0x88b5, 0xffff);
	assert_parsed("0x88B5", 0x88b5, 0xffff);
	assert_parsed("0x6", 6, 0xffff);
	assert_parsed("0xffff", 0xffff, 0xffff);
	/* One that is called like a number. */
	assert_parsed("1905", 0x893a, 0xffff);
	assert_parsed("ip_protocol_253", 253 << 16, 0xff0000);
}

static void parsed_as_several(void **state)
{
	(void)state;
	assert_true(fits("ipv6", KIND(0x86dd, 6, 0)));
	assert_true(fits("ipv6", KIND(0x0800, 41, 0)));
	assert_false(fits("ipv6", KIND(0x0800, 6, 0)));
	assert_true(fits("mpls", KIND(0x8847, 0, 0)));
	assert_true(fits("mpls", KIND(0x8848, 0, 0)));
	assert_true(fits("mpls", KIND(0x0800, 137, 0)));
	assert_false(fits("mpls", KIND(0x8849, 0, 0)));
	assert_true(fits("qinq", KIND(0x88a8, 0, 0)));
	assert_true(fits("qinq", KIND(0x9100, 0, 0)));
	assert_true(fits("llc", KIND(0x0004, 0, LINK_NONE)));
	assert_true(fits("llc", KIND(0x0004, 0, LINK_LLC)));
	assert_false(fits("llc", KIND(0x0004, 0, LINK_STP)));
	assert_true(fits("unknown", KIND(0x86dd, 0, 0)));
	assert_true(fits("unknown", KIND(0x0800, 0, 0)));
	assert_false(fits("unknown", KIND(0x0800, 6, 0)));
	assert_false(fits("unknown", KIND(0x0806, 0, 0)));
	assert_true(fits("none", 0));
	assert_false(fits("none", KIND(0x0806, 0, 0)));
}

/* What a row says of its packets finds them. */
static void every_name_finds_its_kind(void **state)
{
	char name[PROTOCOL_NAME_SIZE];

	(void)state;
	for (unsigned i = 0; i < 0x10000 + 0x100 + LINK_PROTOCOLS; i++) {
		uint64_t kind = i < 0x10000	      ? KIND(i, 0, 0)
				: i < 0x10000 + 0x100 ? KIND(0x86dd, i - 0x10000, 0)
						      : KIND(0x0004, 0, i - 0x10000 - 0x100);

		protocol_name(kind, name);
		if (!fits(name, kind))
			fail_msg("%s does not stand for %llx", name, (unsigned long long)kind);
	}
}

static void not_parsed(void **state)
{
	static const char *const bad[] = {
		"",
		"TCP",
		"tcp ",
		" tcp",
		"tc",
		"tcpx",
		"0",
		"256",
		"-1",
		"+6",
		"6x",
		"6.0",
		"0x",
		"0x0",
		"0x10000",
		"0X88b5",
		"0x88b5 ",
		"88b5",
		"0x-1",
		"0x+1",
		"0x 1",
		"x88b5",
		"99999999999999999999999",
		"all",
		"0x0x1",
		"ip_protocol_",
		"ip_protocol_256",
		"ip_protocol_0",
		"0x99999999999999999999999",
		"ip_protocol_0x6",
		"ip_protocol_tcp",
	};
	struct protocol_bits bits[PROTOCOL_MAX_BITS];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		if (protocol_parse(bad[i], bits) != -EINVAL)
			fail_msg("\"%s\" is a protocol", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_ip),	     cmocka_unit_test(unreadable_ip),
		cmocka_unit_test(ethertypes),	     cmocka_unit_test(link_layer),
		cmocka_unit_test(families),	     cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(tcp_states),	     cmocka_unit_test(parsed),
		cmocka_unit_test(parsed_as_several), cmocka_unit_test(every_name_finds_its_kind),
		cmocka_unit_test(not_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
