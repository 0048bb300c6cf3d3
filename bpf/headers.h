/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who sent a packet to whom, from its headers: for single events, what a row does not tell. As in
 * packet.h, nothing fails: what cannot be read is left zero.
 */
#pragma once

#include "live.h"
#include "packet.h"

#define IP_PROTOCOL_TCP 6

/* The protocols whose headers begin with two ports: TCP, UDP, DCCP, SCTP, UDP-Lite. */
static __always_inline bool protocol_has_ports(__u32 protocol)
{
	return protocol == IP_PROTOCOL_TCP || protocol == 17 || protocol == 33 || protocol == 132 ||
	       protocol == 136;
}

static __always_inline void address_clear(struct live_address *address)
{
	address->halves[0] = 0;
	address->halves[1] = 0;
}

/* `ipv4` in host byte order. Stored as terms will load it: a load of two stores waits for both. */
static __always_inline void address_ipv4(struct live_address *address, __u32 ipv4)
{
	address->halves[0] = 0;
	address->halves[1] = bpf_cpu_to_be64(0xffffULL << 32 | ipv4);
}

/* What header words are read through where loads are guarded: any kernel type of at least eight bytes. */
#define HEADER_AT(skb, offset) \
	bpf_rdonly_cast(GET(skb, head) + (offset), bpf_core_type_id_kernel(struct in6_addr))

/* Eight bytes of header at `offset`, in network byte order: zeros where they go beyond the buffer's
 * tail. Where the kernel has guarded loads, no call. */
static __always_inline __u64 packet_eight(const struct sk_buff *skb, __u32 offset)
{
	__u64 eight = 0;

	if (!has_rdonly_cast)
		packet_bytes(skb, offset, &eight, sizeof(eight));
	else if (offset + 8 <= GET(skb, tail))
		eight = *(const __u64 *)HEADER_AT(skb, offset);
	return eight;
}

/* All of it or nothing. */
static __always_inline void address_ipv6(const struct sk_buff *skb, __u32 offset,
					 struct live_address *address)
{
	address->halves[1] = packet_eight(skb, offset + 8);
	address->halves[0] = offset + 16 <= GET(skb, tail) ? packet_eight(skb, offset) : 0;
}

/* The ports at `offset`, as in struct live_packet; 0: there are none to read. */
static __always_inline __u64 packet_ports(const struct sk_buff *skb, __u32 offset)
{
	__u32 ports;

	if (offset + 4 > GET(skb, tail))
		return 0;
	if (has_rdonly_cast)
		ports = *(const __u32 *)HEADER_AT(skb, offset);
	else if (!packet_bytes(skb, offset, &ports, sizeof(ports)))
		return 0;
	return PORTS(0, 0) | bpf_ntohl(ports);
}

/* Fills what `looks` says (enum live_looks) of the packet, whose kind is known. Returns where the
 * transport header begins, 0: nobody looks at ports, or there is none to read. */
static __always_inline __u32 packet_headers(const struct sk_buff *skb, __u32 looks,
					    struct live_packet *packet)
{
	__u32 protocol = packet->kind >> 16 & 0xff, network = GET(skb, network_header), transport;
	bool ipv4 = (packet->kind & 0xffff) == ETH_P_IP;
	__u64 first;

	if (!looks)
		return 0;
	if (!protocol) {
		address_clear(&packet->source);
		address_clear(&packet->destination);
		packet->ports = 0;
		return 0;
	}
	packet_untag(skb, &network);
	if (looks & LIVE_ADDRESSES) {
		if (ipv4) {
			first = bpf_be64_to_cpu(packet_eight(skb, network + 12));
			address_ipv4(&packet->source, first >> 32);
			address_ipv4(&packet->destination, first);
		} else {
			address_ipv6(skb, network + 8, &packet->source);
			address_ipv6(skb, network + 24, &packet->destination);
		}
	}
	if (!(looks & LIVE_PORTS))
		return 0;
	packet->ports = 0;
	if (!protocol_has_ports(protocol))
		return 0;
	first = bpf_be64_to_cpu(packet_eight(skb, network));
	if (ipv4) {
		if (first & 0x1fff)
			return 0; /* not the first fragment */
		transport = network + (first >> 56 & 0xf) * 4;
	} else {
		transport = network + 40;
		if (ipv6_is_extension(first >> 8 & 0xff))
			transport = ipv6_upper(skb, transport, first >> 8 & 0xff) >> 8;
		if (!transport)
			return 0;
	}
	packet->ports = packet_ports(skb, transport);
	return packet->ports ? transport : 0;
}
