/* SPDX-License-Identifier: BSD-2-Clause */
#include "protocols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../util.h"
#include "bpf/link.h"

struct name {
	unsigned number;
	const char *name;
};

/* IANA, "Assigned Internet Protocol Numbers". */
static const struct name ip_protocols[] = {
	{ 1, "icmp" },	   { 2, "igmp" },	   { 4, "ipip" },      { 6, "tcp" },
	{ 8, "egp" },	   { 17, "udp" },	   { 33, "dccp" },     { 41, "ipv6" },
	{ 46, "rsvp" },	   { 47, "gre" },	   { 50, "esp" },      { 51, "ah" },
	{ 58, "icmpv6" },  { 59, "ipv6_no_next" }, { 88, "eigrp" },    { 89, "ospf" },
	{ 97, "etherip" }, { 103, "pim" },	   { 108, "ipcomp" },  { 112, "vrrp" },
	{ 115, "l2tp" },   { 132, "sctp" },	   { 136, "udplite" }, { 137, "mpls" },
};

/* include/uapi/linux/if_ether.h and IEEE 802 numbers. */
static const struct name ethertypes[] = {
	{ 0x0001, "802_3" },	{ 0x0004, "llc" },   { 0x0800, "ipv4" },
	{ 0x0806, "arp" },	{ 0x0842, "wol" },   { 0x22f3, "trill" },
	{ 0x6558, "teb" },	{ 0x8035, "rarp" },  { 0x8100, "vlan" },
	{ 0x86dd, "ipv6" },	{ 0x8808, "pause" }, { 0x8809, "lacp" },
	{ 0x8847, "mpls" },	{ 0x8848, "mpls" },  { 0x8863, "pppoe_discovery" },
	{ 0x8864, "pppoe" },	{ 0x888e, "eapol" }, { 0x88a2, "aoe" },
	{ 0x88a8, "qinq" },	{ 0x88cc, "lldp" },  { 0x88e1, "homeplug" },
	{ 0x88e5, "macsec" },	{ 0x88e7, "pbb" },   { 0x88f5, "mvrp" },
	{ 0x88f6, "mmrp" },	{ 0x88f7, "ptp" },   { 0x88fb, "prp" },
	{ 0x8902, "cfm" },	{ 0x8906, "fcoe" },  { 0x890d, "tdls" },
	{ 0x8914, "fip" },	{ 0x892f, "hsr" },   { 0x894f, "nsh" },
	{ 0x9000, "loopback" }, { 0x893a, "1905" },  { 0x9100, "qinq" },
};

static const char *const link_protocols[LINK_PROTOCOLS] = {
	[LINK_LLC] = "llc",   [LINK_SNAP] = "snap", [LINK_STP] = "stp",
	[LINK_PVST] = "pvst", [LINK_CDP] = "cdp",   [LINK_UDLD] = "udld",
	[LINK_DTP] = "dtp",   [LINK_VTP] = "vtp",   [LINK_PAGP] = "pagp",
};

static const struct name families[] = {
	{ AF_UNIX, "unix" },
	{ AF_INET, "ipv4" },
	{ AF_INET6, "ipv6" },
	{ AF_NETLINK, "netlink" },
	{ AF_PACKET, "packet" },
	{ AF_CAN, "can" },
	{ AF_BLUETOOTH, "bluetooth" },
	{ AF_VSOCK, "vsock" },
	{ AF_KEY, "key" },
	{ AF_ALG, "alg" },
	{ AF_XDP, "xdp" },
	{ AF_TIPC, "tipc" },
};

/* include/net/tcp_states.h */
static const char *const tcp_states[] = {
	[1] = "ESTABLISHED", [2] = "SYN_SENT",	[3] = "SYN_RECV", [4] = "FIN_WAIT1",
	[5] = "FIN_WAIT2",   [6] = "TIME_WAIT", [7] = "CLOSE",	  [8] = "CLOSE_WAIT",
	[9] = "LAST_ACK",    [10] = "LISTEN",	[11] = "CLOSING", [12] = "SYN_RECV",
};

static const char *find(const struct name *names, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

/* Before the number of one without a name here. */
static const char ip_prefix[] = "ip_protocol_";

void protocol_name(uint64_t kind, char name[static PROTOCOL_NAME_SIZE])
{
	unsigned ethertype = kind & 0xffff, protocol = kind >> 16 & 0xff, link = kind >> 24 & 0xff;
	const char *known;

	if (ethertype == 0x0800 || ethertype == 0x86dd) {
		known = protocol ? find(ip_protocols, ARRAY_SIZE(ip_protocols), protocol)
				 : "unknown";
		if (!known) {
			snprintf(name, PROTOCOL_NAME_SIZE, "%s%u", ip_prefix, protocol);
			return;
		}
	} else if (link > 0 && link < LINK_PROTOCOLS) {
		known = link_protocols[link];
	} else {
		known = ethertype ? find(ethertypes, ARRAY_SIZE(ethertypes), ethertype) : "none";
		if (!known) {
			snprintf(name, PROTOCOL_NAME_SIZE, "0x%04x", ethertype);
			return;
		}
	}
	snprintf(name, PROTOCOL_NAME_SIZE, "%s", known);
}

static struct protocol_bits ip_bits(unsigned protocol)
{
	return (struct protocol_bits){ (uint64_t)protocol << 16, 0xff << 16 };
}

static struct protocol_bits ethertype_bits(unsigned ethertype)
{
	return (struct protocol_bits){ ethertype, 0xffff };
}

static int parse_number(const char *text, int base, unsigned most, unsigned *ret_number)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	unsigned long number;
	size_t size = strlen(text);

	if (size == 0 || size > 8 || strspn(text, digits) != size)
		return -EINVAL;
	number = strtoul(text, (char **)&text, base);
	if (*text || number == 0 || number > most)
		return -EINVAL;
	*ret_number = (unsigned)number;
	return 0;
}

/* 17, ip_protocol_253, 0x88b5 */
static int parse_numbered(const char *name, struct protocol_bits *ret_bits)
{
	unsigned number;

	if (strncmp(name, "0x", 2) == 0) {
		if (parse_number(name + 2, 16, 0xffff, &number) < 0)
			return -EINVAL;
		*ret_bits = ethertype_bits(number);
		return 1;
	}
	if (strncmp(name, ip_prefix, sizeof(ip_prefix) - 1) == 0)
		name += sizeof(ip_prefix) - 1;
	if (parse_number(name, 10, 0xff, &number) < 0)
		return -EINVAL;
	*ret_bits = ip_bits(number);
	return 1;
}

/* What protocol_name() says where there is no protocol, or no better one. */
static const struct {
	const char *name;
	struct protocol_bits bits;
} vague[] = {
	{ "none", { 0, 0xffff } },
	{ "unknown", { 0x0800, 0xffffff } },
	{ "unknown", { 0x86dd, 0xffffff } },
	{ "llc", { 0x0004, 0xff00ffff } },
};

int protocol_parse(const char *name, struct protocol_bits ret_bits[static PROTOCOL_MAX_BITS])
{
	int n = 0;

	/* These share an ethertype. */
	for (uint64_t i = 0; i < LINK_PROTOCOLS; i++)
		if (link_protocols[i] && strcmp(link_protocols[i], name) == 0)
			ret_bits[n++] = (struct protocol_bits){ i << 24, (uint64_t)0xff << 24 };
	for (size_t i = 0; i < ARRAY_SIZE(vague); i++)
		if (strcmp(vague[i].name, name) == 0 && n < PROTOCOL_MAX_BITS)
			ret_bits[n++] = vague[i].bits;
	/* The ethertype of "llc" is that of all of them. */
	if (n > 0)
		return n;
	for (size_t i = 0; i < ARRAY_SIZE(ip_protocols); i++)
		if (strcmp(ip_protocols[i].name, name) == 0 && n < PROTOCOL_MAX_BITS)
			ret_bits[n++] = ip_bits(ip_protocols[i].number);
	for (size_t i = 0; i < ARRAY_SIZE(ethertypes); i++)
		if (strcmp(ethertypes[i].name, name) == 0 && n < PROTOCOL_MAX_BITS)
			ret_bits[n++] = ethertype_bits(ethertypes[i].number);
	return n ? n : parse_numbered(name, &ret_bits[0]);
}

const char *family_name(unsigned family)
{
	const char *known = find(families, ARRAY_SIZE(families), family);

	return known ? known : family ? "other" : "none";
}

const char *tcp_state_name(unsigned state)
{
	return state < ARRAY_SIZE(tcp_states) && tcp_states[state] ? tcp_states[state] : "UNKNOWN";
}
