/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_ip),   cmocka_unit_test(unreadable_ip),
		cmocka_unit_test(ethertypes), cmocka_unit_test(link_layer),
		cmocka_unit_test(families),   cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(tcp_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
