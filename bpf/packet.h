/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a packet is, read from an sk_buff in any state: before its headers are set, after its device
 * has been cleared, while its pointers are in use for something else. Nothing here fails: what
 * cannot be read is left zero, and the packet is counted all the same.
 */
#pragma once

#include "kernel.h"
#include "link.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_802_2 0x0004
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

#define ETH_P_802_3_MIN 0x0600 /* below, an ethertype is a frame's length */

/*
 * What kind of packet, in one word of a key:
 *	bits 0-15	ethertype, host order; behind VLAN tags, the inner one
 *	bits 16-23	IP protocol, or that behind the IPv6 extension headers; 0 when it cannot be read
 *	bits 24-31	enum link_protocol, for what an ethertype cannot tell
 *	bits 32-39	AF_*
 */
#define KIND(ethertype, protocol, link, family) \
	((__u64)(ethertype) | (__u64)(protocol) << 16 | (__u64)(link) << 24 | (__u64)(family) << 32)

/* `size` bytes of header at `offset` from the start of the buffer, not beyond its tail. */
static __always_inline bool packet_bytes(const struct sk_buff *skb, __u32 offset, void *to,
					 __u32 size)
{
	return offset + size <= GET(skb, tail) &&
	       bpf_probe_read_kernel(to, size, GET(skb, head) + offset) == 0;
}

#define IPV6_MAX_EXTENSIONS 8

static __always_inline bool ipv6_is_extension(__u8 next)
{
	/* hop-by-hop, routing, fragment, authentication, destination, mobility, HIP, shim6 */
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60 || next == 135 ||
	       next == 139 || next == 140;
}

/* The protocol behind the extension headers, and << 8 where its header begins; of a later fragment,
 * the fragmented one's, which has none there: 0. */
static __noinline __u32 ipv6_upper(const struct sk_buff *skb, __u32 offset, __u32 next)
{
	for (int i = 0; i < IPV6_MAX_EXTENSIONS; i++) {
		__u8 header[4];

		if (!ipv6_is_extension(next) || !packet_bytes(skb, offset, header, sizeof(header)))
			break;
		offset += next == 44 ? 8 : next == 51 ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		if (next == 44 && ((header[2] << 8 | header[3]) & 0xfff8))
			return header[0]; /* not the first fragment: no more headers follow */
		next = header[0];
	}
	return offset << 8 | next;
}

/* IP behind `offset`, when its version is what the ethertype promises: the protocol, else 0. */
static __always_inline __u32 ip_protocol(const struct sk_buff *skb, __u32 offset, __u32 ethertype)
{
	__u8 bytes[10];

	if (!packet_bytes(skb, offset, bytes, sizeof(bytes)))
		return 0;
	if (ethertype == ETH_P_IP)
		return bytes[0] >> 4 == 4 ? bytes[9] : 0;
	if (bytes[0] >> 4 != 6)
		return 0;
	return ipv6_is_extension(bytes[6]) ? ipv6_upper(skb, offset + 40, bytes[6]) & 0xff : bytes[6];
}

/* The family of the socket that owns a packet without an ethertype: unix, netlink. */
static __always_inline __u32 packet_owner_family(const struct sk_buff *skb)
{
	const struct sock *sk = GET(READ_ONLY(skb), sk);

	return (long)sk < 0 ? GET(sk, __sk_common.skc_family) : 0;
}

/* The ethertype, behind VLAN tags in the data, which *offset is moved past. */
static __always_inline __u32 packet_untag(const struct sk_buff *skb, __u32 *offset)
{
	__u32 ethertype = bpf_ntohs(GET(skb, protocol));

	for (int i = 0; i < 2; i++) {
		__be16 inner;

		if ((ethertype != ETH_P_8021Q && ethertype != ETH_P_8021AD) ||
		    !packet_bytes(skb, *offset + 2, &inner, sizeof(inner)))
			break;
		ethertype = bpf_ntohs(inner);
		*offset += 4;
		if (ethertype < ETH_P_802_3_MIN)
			ethertype = ETH_P_802_2; /* a length, as untagged frames are told */
	}
	return ethertype;
}

/*
 * Everything but plain IP: VLAN tags in the data, extension headers, LLC, packets of no ethertype.
 */
static __noinline __u64 packet_kind_slow(const struct sk_buff *skb, __u32 offset)
{
	__u32 ethertype = packet_untag(skb, &offset);
	struct llc_snap llc = {};

	if (ethertype == ETH_P_IP || ethertype == ETH_P_IPV6)
		return KIND(ethertype, ip_protocol(skb, offset, ethertype), 0,
			    ethertype == ETH_P_IP ? AF_INET : AF_INET6);
	if (ethertype != ETH_P_802_2)
		return KIND(ethertype, 0, 0, ethertype ? 0 : packet_owner_family(skb));
	if (!packet_bytes(skb, offset, &llc, sizeof(llc)) &&
	    !packet_bytes(skb, offset, &llc, 3))
		return KIND(ethertype, 0, 0, 0);
	return KIND(ethertype, 0, link_of_llc(&llc), 0);
}

/* The packet's kind; its network header begins `network` bytes into the buffer. Plain IP is read in
 * line, through guarded loads; all else is a call. */
static __always_inline __u64 packet_kind(const struct sk_buff *skb, __u32 network)
{
	__u16 ethertype = GET(skb, protocol);

	if (has_rdonly_cast && network + 20 <= GET(skb, tail) &&
	    (ethertype == bpf_htons(ETH_P_IP) || ethertype == bpf_htons(ETH_P_IPV6))) {
		const struct ethhdr *bytes =
			bpf_rdonly_cast(GET(skb, head) + network,
					bpf_core_type_id_kernel(struct ethhdr));
		__u32 version = bytes->h_dest[0] >> 4;

		if (ethertype == bpf_htons(ETH_P_IP) && version == 4)
			return KIND(ETH_P_IP, bytes->h_source[3], 0, AF_INET);
		if (ethertype == bpf_htons(ETH_P_IPV6) && version == 6 &&
		    !ipv6_is_extension(bytes->h_source[0]))
			return KIND(ETH_P_IPV6, bytes->h_source[0], 0, AF_INET6);
	}
	return packet_kind_slow(skb, network);
}

/* gso_size and gso_segs: neither is set, most often, and as neighbours one load tells. */
static __always_inline bool packet_is_single(const struct skb_shared_info *info)
{
	__u32 at = bpf_core_field_offset(info->gso_size);

	if (!has_rdonly_cast || bpf_core_field_offset(info->gso_segs) != at + 2)
		return false;
	return !*(const __u32 *)bpf_rdonly_cast((void *)info + at,
						bpf_core_type_id_kernel(struct in6_addr));
}

/* The packets on the wire that an sk_buff stands for. A merged one from a virtual machine (virtio,
 * tap) says only how large they are; one merged out of order by TCP, only how many. */
static __always_inline __u32 packet_segments(const struct sk_buff *skb)
{
	const struct skb_shared_info *info = (void *)(GET(skb, head) + GET(skb, end));
	__u32 segments, size;

	if (packet_is_single(info))
		return 1;
	if (has_rdonly_cast) {
		info = bpf_rdonly_cast(info, bpf_core_type_id_kernel(struct skb_shared_info));
		segments = info->gso_segs;
		size = info->gso_size;
	} else {
		segments = BPF_CORE_READ(info, gso_segs);
		size = BPF_CORE_READ(info, gso_size);
	}
	if (segments)
		return segments;
	return size ? (GET(skb, len) + size - 1) / size : 1;
}
