/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters over packets, from what a listener writes to what the kernel's side says of a packet. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "live/filter.h"
#include "util.h"

enum { TCP = 6, UDP = 17, ICMP = 1, IPV4 = 0x0800, IPV6 = 0x86dd, ARP = 0x0806, LLC = 0x0004 };

/* As bpf/packet.h lays it out. */
static uint64_t kind(unsigned ethertype, unsigned protocol, unsigned link, unsigned family)
{
	return (uint64_t)ethertype | (uint64_t)protocol << 16 | (uint64_t)link << 24 |
	       (uint64_t)family << 32;
}

static void set_address(struct live_address *address, const char *text)
{
	*address = (struct live_address){ .halves = { 0, 0 } };
	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, address->bytes), 1);
		return;
	}
	address->bytes[10] = address->bytes[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, &address->bytes[12]), 1);
}

/* A packet between two addresses; ports of 0: it has none. */
static struct live_packet packet(unsigned protocol, const char *source, unsigned source_port,
				 const char *destination, unsigned destination_port)
{
	bool ipv6 = strchr(source, ':');
	struct live_packet packet = {
		.kind = kind(ipv6 ? IPV6 : IPV4, protocol, 0, ipv6 ? AF_INET6 : AF_INET),
		.ports = source_port || destination_port ? PORTS(source_port, destination_port) : 0,
	};

	set_address(&packet.source, source);
	set_address(&packet.destination, destination);
	return packet;
}

static struct live_packet between(const char *source, const char *destination)
{
	return packet(ICMP, source, 0, destination, 0);
}

static struct live_packet with_ports(unsigned source, unsigned destination)
{
	return packet(TCP, "10.9.1.2", source, "10.9.1.3", destination);
}

static void take(struct live_subscriber *filter, const char *name, const char *value)
{
	struct query_error error;

	if (filter_take(filter, name, value, &error) != 0)
		fail_msg("%s=%s: %s", name, value, error.message);
}

static bool matches(const struct live_subscriber *filter, struct live_packet packet)
{
	return live_matches(filter, &packet);
}

/* What one parameter alone says of a packet. */
static bool one(const char *name, const char *value, struct live_packet packet)
{
	struct live_subscriber filter = { .groups = 0 };

	take(&filter, name, value);
	return matches(&filter, packet);
}

static void assert_refused(const char *name, const char *value, const char *message,
			   const char *allowed)
{
	struct live_subscriber filter = { .groups = 0 };
	struct query_error error;

	memset(&error, 'x', sizeof(error));
	assert_int_equal(filter_take(&filter, name, value, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_string_equal(error.parameter, name);
	assert_int_equal(error.n_allowed, 1);
	assert_string_equal(error.allowed[0], allowed);
}

static void names(void **state)
{
	static const char *const all[] = { "proto", "addr",  "saddr", "daddr",
					   "port",  "sport", "dport" };
	static const char *const none[] = { "",	       "prot",	 "protocol", "addr!", "ADDR",
					    "address", "source", "symbol",   "stack" };
	struct query_error error = { .n_allowed = 2 };

	(void)state;
	filter_allow(&error);
	assert_int_equal(error.n_allowed, 2 + ARRAY_SIZE(all));
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		assert_true(filter_is(all[i]));
		assert_string_equal(error.allowed[2 + i], all[i]);
		assert_int_equal(filter_is_address(all[i]), strstr(all[i], "addr") != NULL);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		assert_false(filter_is(none[i]));
		assert_false(filter_is_address(none[i]));
	}
}

static void no_filter(void **state)
{
	const struct live_subscriber filter = { .groups = 0 };

	(void)state;
	assert_true(matches(&filter, with_ports(1, 2)));
	assert_true(matches(&filter, (struct live_packet){ .kind = 0 }));
}

static void addresses(void **state)
{
	static const char address[] = "10.9.1.2", other[] = "10.9.1.3";

	(void)state;
	assert_true(one("saddr", address, between(address, other)));
	assert_false(one("saddr", address, between(other, address)));
	assert_true(one("daddr", address, between(other, address)));
	assert_false(one("daddr", address, between(address, other)));
	assert_true(one("addr", address, between(address, other)));
	assert_true(one("addr", address, between(other, address)));
	assert_true(one("addr", address, between(address, address)));
	assert_false(one("addr", address, between(other, other)));
	/* Every byte counts. */
	assert_false(one("saddr", address, between("11.9.1.2", other)));
	assert_false(one("saddr", address, between("10.8.1.2", other)));
	assert_false(one("saddr", address, between("10.9.0.2", other)));
	assert_true(one("saddr", "0.0.0.0", between("0.0.0.0", other)));
	assert_true(one("daddr", "255.255.255.255", between(other, "255.255.255.255")));
}

static void addresses_of_ipv6(void **state)
{
	static const char address[] = "2001:db8::1", other[] = "fe80::1";

	(void)state;
	assert_true(one("saddr", address, between(address, other)));
	assert_false(one("saddr", address, between(other, address)));
	assert_true(one("daddr", address, between(other, address)));
	assert_true(one("addr", address, between(other, address)));
	assert_true(one("addr", "2001:DB8:0::0:1", between(address, other)));
	assert_false(one("addr", address, between("2001:db8::1:0:1", "2001:db9::1")));
	assert_true(one("saddr", "::1", between("::1", "::1")));
	assert_true(one("saddr", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			between("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", other)));
}

static void networks(void **state)
{
	static const char to[] = "192.0.2.1";

	(void)state;
	assert_true(one("saddr", "10.9.1.0/24", between("10.9.1.0", to)));
	assert_true(one("saddr", "10.9.1.0/24", between("10.9.1.255", to)));
	assert_false(one("saddr", "10.9.1.0/24", between("10.9.2.0", to)));
	assert_false(one("saddr", "10.9.1.0/24", between("10.9.0.255", to)));
	/* What the prefix does not reach is not looked at, in the filter either. */
	assert_true(one("saddr", "10.9.1.77/24", between("10.9.1.2", to)));
	assert_true(one("saddr", "10.9.255.255/15", between("10.8.0.0", to)));
	assert_false(one("saddr", "10.9.255.255/15", between("10.10.0.0", to)));

	assert_true(one("saddr", "10.9.1.2/32", between("10.9.1.2", to)));
	assert_false(one("saddr", "10.9.1.2/32", between("10.9.1.3", to)));
	assert_true(one("saddr", "10.9.1.2/31", between("10.9.1.3", to)));
	assert_false(one("saddr", "10.9.1.2/31", between("10.9.1.4", to)));
	assert_false(one("saddr", "10.9.1.2/31", between("10.9.1.1", to)));
	assert_true(one("saddr", "128.0.0.0/1", between("128.0.0.0", to)));
	assert_true(one("saddr", "255.0.0.0/1", between("200.1.2.3", to)));
	assert_false(one("saddr", "128.0.0.0/1", between("127.255.255.255", to)));
	assert_true(one("saddr", "0.0.0.0/1", between("127.255.255.255", to)));
	assert_true(one("saddr", "0.0.0.0/0", between("255.255.255.255", to)));
	assert_true(one("saddr", "1.2.3.4/0", between("10.9.1.2", to)));
	assert_true(one("addr", "192.0.2.0/24", between("10.9.1.2", to)));
	assert_true(one("addr", "192.0.2.0/24", between(to, "10.9.1.2")));
}

static void networks_of_ipv6(void **state)
{
	static const char to[] = "fe80::2";

	(void)state;
	assert_true(one("saddr", "2001:db8::/32", between("2001:db8:ffff::1", to)));
	assert_false(one("saddr", "2001:db8::/32", between("2001:db9::1", to)));
	assert_true(one("saddr", "2001:db8::/33", between("2001:db8:7fff::1", to)));
	assert_false(one("saddr", "2001:db8::/33", between("2001:db8:8000::1", to)));
	assert_true(one("saddr", "2001:db8::/64", between("2001:db8::ffff:1", to)));
	assert_false(one("saddr", "2001:db8::/64", between("2001:db8:0:1::1", to)));
	assert_true(one("saddr", "2001:db8::/65", between("2001:db8::7fff:0:0:1", to)));
	assert_false(one("saddr", "2001:db8::/65", between("2001:db8::8000:0:0:1", to)));
	assert_true(one("saddr", "2001:db8::2/127", between("2001:db8::3", to)));
	assert_false(one("saddr", "2001:db8::2/127", between("2001:db8::4", to)));
	assert_true(one("saddr", "2001:db8::2/128", between("2001:db8::2", to)));
	assert_false(one("saddr", "2001:db8::2/128", between("2001:db8::3", to)));
	assert_true(one("saddr", "8000::/1", between("fe80::1", to)));
	assert_false(one("saddr", "8000::/1", between("2001:db8::1", to)));
	assert_true(one("saddr", "::/0", between("2001:db8::1", to)));
	/* Of a host that has no address yet. */
	assert_true(one("saddr", "::/0", between("::", to)));
}

/* As ss shows the addresses of a socket of both families. */
static void mapped_addresses(void **state)
{
	static const char to[] = "192.0.2.1";

	(void)state;
	assert_true(one("saddr", "::ffff:10.9.1.2", between("10.9.1.2", to)));
	assert_true(one("saddr", "::ffff:a09:102", between("10.9.1.2", to)));
	assert_false(one("saddr", "::ffff:10.9.1.2", between("10.9.1.3", to)));
	assert_true(one("saddr", "::ffff:10.9.1.2/128", between("10.9.1.2", to)));
	assert_true(one("saddr", "::ffff:10.9.1.0/120", between("10.9.1.255", to)));
	assert_false(one("saddr", "::ffff:10.9.1.0/120", between("10.9.2.0", to)));
	assert_true(one("saddr", "::ffff:0:0/96", between("10.9.1.2", to)));
	assert_false(one("saddr", "::ffff:0:0/96", between("2001:db8::1", "2001:db8::2")));
}

/* IPv4 is written as IPv6 in a packet, and is none. */
static void families_apart(void **state)
{
	struct live_packet ipv4 = between("10.9.1.2", "10.9.1.3");
	struct live_packet ipv6 = between("2001:db8::1", "2001:db8::2");

	(void)state;
	assert_false(one("saddr", "::/0", ipv4));
	assert_false(one("addr", "::/1", ipv4));
	assert_false(one("addr", "::/64", ipv4));
	assert_false(one("addr", "::ffff:0:0/95", ipv4));
	assert_false(one("addr", "0.0.0.0/0", ipv6));
	assert_false(one("addr", "0.0.0.0/1", ipv6));
	assert_true(one("addr", "::/0,0.0.0.0/0", ipv4));
	assert_true(one("addr", "::/0,0.0.0.0/0", ipv6));
}

/* ARP; a packet of a unix socket; IP whose header could not be read. */
static void packets_without_addresses(void **state)
{
	static const char *const values[] = { "0.0.0.0", "0.0.0.0/0", "0.0.0.0/1", "::/0", "::" };
	const struct live_packet arp = { .kind = kind(ARP, 0, 0, 0) };
	const struct live_packet local = { .kind = kind(0, 0, 0, AF_UNIX) };
	const struct live_packet unreadable = { .kind = kind(IPV4, 0, 0, AF_INET) };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		assert_false(one("addr", values[i], arp));
		assert_false(one("addr", values[i], local));
		assert_false(one("addr", values[i], unreadable));
	}
}

static void bad_addresses(void **state)
{
	static const char *const bad[] = {
		"x",
		"10.9.1",
		"10.9.1.2.3",
		"10.9.1.256",
		"10.9.1.2 ",
		" 10.9.1.2",
		"10.9.1.2/",
		"10.9.1.2/33",
		"10.9.1.2/-1",
		"10.9.1.2/+1",
		"10.9.1.2/ 8",
		"10.9.1.2/8x",
		"10.9.1.2/8/8",
		"/8",
		"fe80::1%eth0",
		":",
		"fe80::/129",
		"fe80::1::2",
		"12345::",
		"fe80::/0x10",
		"localhost",
		"10.9.1.2:80",
		"10.9.1.2/255.0.0.0",
		"*",
		"10.9.1.2/4294967328",
		"10.9.1.2/99999999999999999999",
	};
	char message[128], longest[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(message, sizeof(message), "not an address: \"%s\"", bad[i]);
		assert_refused("addr", bad[i], message,
			       "an IPv4 or IPv6 address, or ADDRESS/PREFIX");
		assert_refused("saddr", bad[i], message,
			       "an IPv4 or IPv6 address, or ADDRESS/PREFIX");
	}
	/* Zeros may lead a prefix, as long as all of it fits. */
	snprintf(longest, sizeof(longest), "10.9.1.2/%054d", 32);
	assert_int_equal(strlen(longest), 63);
	assert_true(one("saddr", longest, between("10.9.1.2", "10.9.1.3")));
	assert_false(one("saddr", longest, between("10.9.1.3", "10.9.1.3")));
}

/* Longer than anything that could be one: it is not cut to something that is. */
static void long_values(void **state)
{
	char value[300], message[128];

	(void)state;
	snprintf(value, sizeof(value), "10.9.1.2/%055d", 32);
	snprintf(message, sizeof(message), "not an address: \"%.64s\"", value);
	assert_refused("daddr", value, message, "an IPv4 or IPv6 address, or ADDRESS/PREFIX");
	memset(value, '1', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	snprintf(message, sizeof(message), "not a port: \"%.64s\"", value);
	assert_refused("port", value, message, "1 to 65535");
}

static void several_values(void **state)
{
	struct live_subscriber filter = { .groups = 0 };

	(void)state;
	take(&filter, "saddr", "10.9.1.2,10.9.1.3,2001:db8::/32");
	assert_int_equal(filter.n_terms, 3);
	assert_true(matches(&filter, between("10.9.1.2", "10.9.9.9")));
	assert_true(matches(&filter, between("10.9.1.3", "10.9.9.9")));
	assert_true(matches(&filter, between("2001:db8::7", "fe80::1")));
	assert_false(matches(&filter, between("10.9.1.4", "10.9.1.2")));
	/* Another parameter of the name is another value. */
	take(&filter, "saddr", "10.9.1.4");
	assert_true(matches(&filter, between("10.9.1.4", "10.9.1.2")));
	assert_true(matches(&filter, between("10.9.1.2", "10.9.9.9")));
	assert_false(matches(&filter, between("10.9.1.5", "10.9.9.9")));
}

static void empty_values(void **state)
{
	static const char allowed[] = "an IPv4 or IPv6 address, or ADDRESS/PREFIX";

	(void)state;
	assert_refused("addr", "", "not an address: \"\"", allowed);
	assert_refused("addr", ",", "not an address: \"\"", allowed);
	assert_refused("addr", "10.9.1.2,", "not an address: \"\"", allowed);
	assert_refused("addr", ",10.9.1.2", "not an address: \"\"", allowed);
	assert_refused("addr", "10.9.1.2,,10.9.1.3", "not an address: \"\"", allowed);
	assert_refused("addr", "10.9.1.2, 10.9.1.3", "not an address: \" 10.9.1.3\"", allowed);
	assert_refused("port", "", "not a port: \"\"", "1 to 65535");
	/* The one that is wrong is named, not the whole. */
	assert_refused("port", "80,eighty,443", "not a port: \"eighty\"", "1 to 65535");
}

static void ports(void **state)
{
	(void)state;
	assert_true(one("sport", "1000", with_ports(1000, 80)));
	assert_false(one("sport", "1000", with_ports(80, 1000)));
	assert_true(one("dport", "1000", with_ports(80, 1000)));
	assert_false(one("dport", "1000", with_ports(1000, 80)));
	assert_true(one("port", "1000", with_ports(1000, 80)));
	assert_true(one("port", "1000", with_ports(80, 1000)));
	assert_false(one("port", "1000", with_ports(1001, 1001)));
	assert_true(one("port", "1", with_ports(1, 9)));
	assert_true(one("port", "65535", with_ports(9, 65535)));
	assert_false(one("port", "65535", with_ports(65534, 0x7fff)));
	assert_true(one("dport", "22,80,443", with_ports(9, 443)));
	assert_false(one("dport", "22,80,443", with_ports(443, 9)));
	/* 0x0100 and 0x0001 are not the same the other way round. */
	assert_false(one("port", "256", with_ports(1, 1)));
	assert_true(one("port", "0080", with_ports(80, 9)));
}

static void bad_ports(void **state)
{
	static const char *const bad[] = { "0",		 "65536", "-1",	   "+1",
					   " 1",	 "1 ",	  "0x50",  "http",
					   "4294967376", "1-2",	  "00000", "99999999999999999999" };
	char message[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(message, sizeof(message), "not a port: \"%s\"", bad[i]);
		assert_refused("port", bad[i], message, "1 to 65535");
		assert_refused("sport", bad[i], message, "1 to 65535");
		assert_refused("dport", bad[i], message, "1 to 65535");
	}
}

/* What stands in the place of its ports is not looked at. */
static void packets_without_ports(void **state)
{
	struct live_packet icmp = between("10.9.1.2", "10.9.1.3");

	(void)state;
	icmp.ports = 80 << 16 | 80;
	assert_false(one("port", "80", icmp));
	assert_false(one("sport", "80", icmp));
	assert_false(one("dport", "80", icmp));
	icmp.ports = PORTS(80, 80);
	assert_true(one("port", "80", icmp));
}

static void protocols(void **state)
{
	struct live_packet tcp = with_ports(1, 2), udp = tcp;
	struct live_packet tcp6 = packet(TCP, "2001:db8::1", 1, "2001:db8::2", 2);
	const struct live_packet arp = { .kind = kind(ARP, 0, 0, 0) };
	const struct live_packet stp = { .kind = kind(LLC, 0, 3 /* LINK_STP */, 0) };
	const struct live_packet local = { .kind = kind(0, 0, 0, AF_UNIX) };
	const struct live_packet *const all[] = { &tcp, &udp, &tcp6, &arp, &stp, &local };

	(void)state;
	udp.kind = kind(IPV4, UDP, 0, AF_INET);
	assert_true(one("proto", "tcp", tcp));
	assert_true(one("proto", "tcp", tcp6));
	assert_false(one("proto", "tcp", udp));
	assert_false(one("proto", "tcp", arp));
	assert_true(one("proto", "6", tcp6));
	assert_false(one("proto", "6", udp));
	assert_true(one("proto", "tcp,udp", udp));
	assert_true(one("proto", "arp", arp));
	assert_false(one("proto", "arp", tcp));
	assert_true(one("proto", "0x0806", arp));
	assert_true(one("proto", "0x806", arp));
	assert_false(one("proto", "0x0806", stp));
	assert_true(one("proto", "stp", stp));
	assert_false(one("proto", "stp", arp));
	assert_true(one("proto", "ipv6", tcp6));
	assert_false(one("proto", "ipv6", tcp));
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		assert_true(one("proto", "all", *all[i]));
		assert_true(one("proto", "udp,all", *all[i]));
	}
}

static void bad_protocols(void **state)
{
	static const char *const bad[] = { "",	 "TCP",	    "tpc", "0",	    "256", "-1",    "6 ",
					   "0x", "0x10000", "0x0", "0X806", "ALL", "tcp/ip" };
	static const char allowed[] =
		"all, tcp, udp, icmp, icmpv6, sctp, arp, stp, lldp ..., an IP protocol's number, "
		"or an ethertype (0x88b5)";
	char message[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(message, sizeof(message), "not a protocol: \"%s\"", bad[i]);
		assert_refused("proto", bad[i], message, allowed);
	}
}

/* All of them must hold. */
static void groups(void **state)
{
	struct live_subscriber filter = { .groups = 0 };
	struct live_packet other = packet(UDP, "1.1.1.1", 1000, "2.2.2.2", 80);

	(void)state;
	take(&filter, "proto", "tcp");
	take(&filter, "saddr", "1.1.1.1");
	take(&filter, "sport", "1000");
	take(&filter, "daddr", "2.2.2.2");
	take(&filter, "dport", "80");
	assert_true(matches(&filter, packet(TCP, "1.1.1.1", 1000, "2.2.2.2", 80)));
	assert_false(matches(&filter, other));
	assert_false(matches(&filter, packet(TCP, "1.1.1.2", 1000, "2.2.2.2", 80)));
	assert_false(matches(&filter, packet(TCP, "1.1.1.1", 1001, "2.2.2.2", 80)));
	assert_false(matches(&filter, packet(TCP, "1.1.1.1", 1000, "2.2.2.3", 80)));
	assert_false(matches(&filter, packet(TCP, "1.1.1.1", 1000, "2.2.2.2", 81)));
	assert_false(matches(&filter, packet(TCP, "2.2.2.2", 80, "1.1.1.1", 1000)));
	/* Three of four groups, by many terms: not enough. */
	assert_int_equal(filter.n_terms, 5);
	take(&filter, "port", "443,444");
	assert_false(matches(&filter, packet(TCP, "1.1.1.1", 1000, "2.2.2.2", 80)));
	take(&filter, "port", "80");
	assert_true(matches(&filter, packet(TCP, "1.1.1.1", 1000, "2.2.2.2", 80)));
	/* Either side by addr, and one of them in particular. */
	filter = (struct live_subscriber){ .groups = 0 };
	take(&filter, "addr", "10.0.0.1");
	take(&filter, "daddr", "10.0.0.2,10.0.0.1");
	assert_true(matches(&filter, between("10.0.0.1", "10.0.0.2")));
	assert_true(matches(&filter, between("10.0.0.3", "10.0.0.1")));
	assert_false(matches(&filter, between("10.0.0.3", "10.0.0.2")));
	assert_false(matches(&filter, between("10.0.0.1", "10.0.0.3")));
}

/* `n` values of a parameter that needs one term each. */
static int take_many(struct live_subscriber *filter, const char *name, unsigned n,
		     struct query_error *ret_error)
{
	char value[LIVE_TERMS * 8] = "";

	for (unsigned i = 0; i < n; i++)
		sprintf(value + strlen(value), "%s%u", i ? "," : "", 1000 + i);
	return filter_take(filter, name, value, ret_error);
}

static void assert_too_many(const struct query_error *error, const char *name)
{
	assert_string_equal(error->message, "too many values");
	assert_string_equal(error->parameter, name);
	assert_int_equal(error->n_allowed, 1);
	assert_string_equal(error->allowed[0], "at most 48, an addr or a port counts twice");
}

static void too_many_values(void **state)
{
	struct live_subscriber filter = { .groups = 0 };
	struct query_error error;

	(void)state;
	assert_int_equal(take_many(&filter, "dport", LIVE_TERMS, &error), 0);
	assert_int_equal(filter.n_terms, LIVE_TERMS);
	/* The last one is looked at, too. */
	assert_true(matches(&filter, with_ports(9, 1000 + LIVE_TERMS - 1)));
	assert_false(matches(&filter, with_ports(9, 1000 + LIVE_TERMS)));
	assert_int_equal(filter_take(&filter, "dport", "1", &error), -EINVAL);
	assert_too_many(&error, "dport");
	assert_int_equal(filter_take(&filter, "proto", "all", &error), -EINVAL);
	assert_too_many(&error, "proto");
	assert_int_equal(filter.n_terms, LIVE_TERMS);
	/* Something that is wrong is told as that. */
	assert_int_equal(filter_take(&filter, "dport", "x", &error), -EINVAL);
	assert_string_equal(error.message, "not a port: \"x\"");

	filter = (struct live_subscriber){ .groups = 0 };
	assert_int_equal(take_many(&filter, "port", LIVE_TERMS / 2, &error), 0);
	assert_int_equal(filter.n_terms, LIVE_TERMS);
	filter = (struct live_subscriber){ .groups = 0 };
	assert_int_equal(take_many(&filter, "port", LIVE_TERMS / 2 + 1, &error), -EINVAL);
	assert_too_many(&error, "port");
	/* Room for one of two. */
	filter = (struct live_subscriber){ .groups = 0 };
	assert_int_equal(take_many(&filter, "sport", LIVE_TERMS - 1, &error), 0);
	assert_int_equal(filter_take(&filter, "addr", "10.0.0.1", &error), -EINVAL);
	assert_too_many(&error, "addr");
}

/* The verifier's bound on what user space has written. */
static void terms_are_bounded(void **state)
{
	struct live_subscriber filter = { .groups = 0 };
	struct query_error error;

	(void)state;
	assert_int_equal(take_many(&filter, "dport", LIVE_TERMS, &error), 0);
	filter.n_terms = UINT32_MAX;
	assert_true(matches(&filter, with_ports(9, 1000)));
	assert_false(matches(&filter, with_ports(9, 999)));
	/* A word beyond the packet is another one in it. */
	filter.n_terms = 1;
	filter.terms[0].word = 0xffff;
	assert_false(matches(&filter, with_ports(9, 1000)));
}

static unsigned looks_of(const char *name, const char *value)
{
	struct live_subscriber filter = { .groups = 0 };

	take(&filter, name, value);
	return filter.looks;
}

/* Headers are read for the filters that look at them. */
static void looks(void **state)
{
	struct live_subscriber filter = { .groups = 0 };

	(void)state;
	assert_int_equal(looks_of("proto", "tcp"), 0);
	assert_int_equal(looks_of("proto", "all"), 0);
	assert_int_equal(looks_of("addr", "10.9.1.2"), LIVE_ADDRESSES);
	assert_int_equal(looks_of("saddr", "10.9.1.0/24"), LIVE_ADDRESSES);
	assert_int_equal(looks_of("daddr", "2001:db8::1"), LIVE_ADDRESSES);
	assert_int_equal(looks_of("port", "80"), LIVE_PORTS);
	assert_int_equal(looks_of("sport", "80"), LIVE_PORTS);
	assert_int_equal(looks_of("dport", "80"), LIVE_PORTS);
	take(&filter, "dport", "80");
	take(&filter, "proto", "tcp");
	take(&filter, "saddr", "10.9.1.2");
	assert_int_equal(filter.looks, LIVE_LOOKS);
	/* A subscriber's bit is none of them. */
	assert_int_equal(LIVE_LOOKS & LIVE_ANYBODY, 0);
}

static void assert_printed(const char *address, const char *expected)
{
	struct live_address bytes;
	char text[FILTER_ADDRESS_SIZE];

	memset(text, 'x', sizeof(text));
	set_address(&bytes, address);
	filter_print_address(&bytes, text);
	assert_string_equal(text, expected);
}

static void printed(void **state)
{
	(void)state;
	assert_printed("10.9.1.2", "10.9.1.2");
	assert_printed("255.255.255.255", "255.255.255.255");
	assert_printed("0.0.0.0", "0.0.0.0");
	assert_printed("2001:db8::1", "2001:db8::1");
	assert_printed("fe80:0:0:0:1:2:3:4", "fe80::1:2:3:4");
	assert_printed("::1", "::1");
	assert_printed("::fffe:10.9.1.2", "::fffe:a09:102");
	assert_printed("1::ffff:10.9.1.2", "1::ffff:a09:102");
	assert_printed("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_printed("::", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(no_filter),
		cmocka_unit_test(addresses),
		cmocka_unit_test(addresses_of_ipv6),
		cmocka_unit_test(networks),
		cmocka_unit_test(networks_of_ipv6),
		cmocka_unit_test(mapped_addresses),
		cmocka_unit_test(families_apart),
		cmocka_unit_test(packets_without_addresses),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(long_values),
		cmocka_unit_test(several_values),
		cmocka_unit_test(empty_values),
		cmocka_unit_test(ports),
		cmocka_unit_test(bad_ports),
		cmocka_unit_test(packets_without_ports),
		cmocka_unit_test(protocols),
		cmocka_unit_test(bad_protocols),
		cmocka_unit_test(groups),
		cmocka_unit_test(looks),
		cmocka_unit_test(too_many_values),
		cmocka_unit_test(terms_are_bounded),
		cmocka_unit_test(printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
