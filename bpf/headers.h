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

static __always_inline void address_ipv4(struct live_address *address, __u32 ipv4)
{
	address->halves[0] = 0;
	address->words[2] = bpf_htonl(0xffff);
	address->words[3] = ipv4;
}

static __always_inline void address_ipv6(struct live_address *address, const __u32 words[static 4])
{
	address->words[0] = words[0];
	address->words[1] = words[1];
	address->words[2] = words[2];
	address->words[3] = words[3];
}

/* Words of header at `offset`: zeros beyond the buffer's tail. Where the kernel has guarded loads, no
 * call. */
static __always_inline __u32 packet_word(const struct sk_buff *skb, __u32 offset)
{
	const struct in6_addr *words;
	__u32 word = 0;

	if (!has_rdonly_cast) {
		packet_bytes(skb, offset, &word, sizeof(word));
		return word;
	}
	if (offset + 4 > GET(skb, tail))
		return 0;
	words = bpf_rdonly_cast(GET(skb, head) + offset, bpf_core_type_id_kernel(struct in6_addr));
	return words->in6_u.u6_addr32[0];
}

static __always_inline void packet_words(const struct sk_buff *skb, __u32 offset,
					 __u32 to[static 4])
{
	const struct in6_addr *words;

	to[0] = to[1] = to[2] = to[3] = 0;
	if (!has_rdonly_cast) {
		packet_bytes(skb, offset, to, 16);
		return;
	}
	if (offset + 16 > GET(skb, tail))
		return;
	words = bpf_rdonly_cast(GET(skb, head) + offset, bpf_core_type_id_kernel(struct in6_addr));
	to[0] = words->in6_u.u6_addr32[0];
	to[1] = words->in6_u.u6_addr32[1];
	to[2] = words->in6_u.u6_addr32[2];
	to[3] = words->in6_u.u6_addr32[3];
}

static __always_inline void set_ports(struct live_packet *packet, __u32 ports)
{
	packet->source_port = bpf_ntohs(ports & 0xffff);
	packet->destination_port = bpf_ntohs(ports >> 16);
	packet->has_ports = 1;
}

/* Fills all but packet->kind, which is known. Returns where the transport header begins, 0: there is
 * none to read. */
static __always_inline __u32 packet_headers(const struct sk_buff *skb, __u32 network,
					    struct live_packet *packet)
{
	__u32 protocol = packet->kind >> 16 & 0xff, words[4], transport = 0;

	packet->source_port = packet->destination_port = 0;
	packet->has_ports = 0;
	if (!protocol) {
		address_clear(&packet->source);
		address_clear(&packet->destination);
		return 0;
	}
	packet_untag(skb, &network);
	if ((packet->kind & 0xffff) == ETH_P_IP) {
		packet_words(skb, network + 4, words);
		address_ipv4(&packet->source, words[2]);
		address_ipv4(&packet->destination, words[3]);
		if (!(words[0] & bpf_htonl(0x1fff))) /* a first fragment, or the only */
			transport =
				network + (bpf_ntohl(packet_word(skb, network)) >> 24 & 0xf) * 4;
	} else {
		__u32 next = bpf_ntohl(packet_word(skb, network + 4)) >> 8 & 0xff;

		packet_words(skb, network + 8, words);
		address_ipv6(&packet->source, words);
		packet_words(skb, network + 24, words);
		address_ipv6(&packet->destination, words);
		transport = network + 40;
		if (ipv6_is_extension(next))
			transport = ipv6_upper(skb, transport, next) >> 8;
	}
	if (!transport || !protocol_has_ports(protocol) || transport + 4 > GET(skb, tail))
		return 0;
	set_ports(packet, packet_word(skb, transport));
	return transport;
}
