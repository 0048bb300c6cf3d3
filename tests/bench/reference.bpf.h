/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What counting costs by the usual means, a plain per-CPU hash map: the keys of the drops and
 * receive probes, read by the same code, and the same counters, so that in one run on one machine
 * the difference is that of the map. (Only a drop's socket is not asked for its namespace: the
 * device is enough.) Part of empty.bpf.c, so that both are one object.
 */
#pragma once

#include "../../bpf/device.h"
#include "../../bpf/histogram.h"
#include "../../bpf/packet.h"

const volatile bool has_reason = true;		/* an argument of kfree_skb since 5.17 */

enum { REFERENCE_ENTRIES = 10240, REFERENCE_SIZES = 17 };
enum { FLOOR_CPUS = 512, FLOOR_ENTRIES = 2 * FLOOR_CPUS };

struct floor {
	__u64 packets;
	__u64 pad[7];			/* a cache line of its own */
};

struct reference_key {
	__u64 word[4];
};

struct reference_drops {
	__u64 packets, wire_packets, bytes;
};

struct reference_receive {
	__u64 packets, wire_packets, bytes;
	__u64 size[REFERENCE_SIZES];	/* by power of two */
};

#define REFERENCE_MAP(name, value_type)                                                            \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_HASH);                                            \
		__uint(max_entries, REFERENCE_ENTRIES);                                            \
		__type(key, struct reference_key);                                                 \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

REFERENCE_MAP(reference_drops, struct reference_drops);
REFERENCE_MAP(reference_receive, struct reference_receive);

static __always_inline void *reference_find(void *map, const struct reference_key *key,
					    const void *zero)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		return value;
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* The power of two that is not below a size, at most the last. */
static __always_inline __u32 reference_bucket(__u32 size)
{
	__u32 x = size ? size - 1 : 0;

	if (x >= 1 << (REFERENCE_SIZES - 1))
		return REFERENCE_SIZES - 1;
	return x ? histogram_log2(x) + 1 : 0;
}

/* The least that any counter can cost: one slot of the CPU's own, found by its number, plus one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOOR_ENTRIES);
	__type(key, __u32);
	__type(value, struct floor);
} floor_counters SEC(".maps");

static __always_inline int floor_count(__u32 first)
{
	__u32 index = first + (bpf_get_smp_processor_id() & (FLOOR_CPUS - 1));
	struct floor *counter = bpf_map_lookup_elem(&floor_counters, &index);

	if (counter)
		counter->packets += 1;
	return 0;
}

SEC("?tp_btf/kfree_skb")
int floor_kfree_skb(void *ctx)
{
	return floor_count(0);
}

SEC("?tp_btf/netif_receive_skb")
int floor_netif_receive_skb(void *ctx)
{
	return floor_count(FLOOR_CPUS);
}

SEC("?tp_btf/kfree_skb")
int reference_kfree_skb(__u64 *ctx)
{
	static const struct reference_drops zero;
	const struct sk_buff *skb = (void *)ctx[0];
	const struct net_device *dev = packet_device(skb);
	const struct net *net = dev ? dev->nd_net.net : NULL;
	__u32 ifindex = dev ? dev->ifindex : skb->skb_iif;
	struct reference_drops *value;
	struct reference_key key = { {
		ctx[1],
		(has_reason ? ctx[2] << 32 : 0) | ifindex,
		net ? net->net_cookie : 0,
		packet_kind(skb, skb->network_header),
	} };

	value = reference_find(&reference_drops, &key, &zero);
	if (!value)
		return 0;
	value->packets += 1;
	value->wire_packets += packet_segments(skb);
	value->bytes += skb->len;
	return 0;
}

SEC("?tp_btf/netif_receive_skb")
int reference_netif_receive_skb(__u64 *ctx)
{
	static const struct reference_receive zero;
	const struct sk_buff *skb = (void *)ctx[0];
	const struct net_device *dev = skb->dev;
	struct reference_key key = { {
		dev->ifindex,
		dev->nd_net.net->net_cookie,
		packet_kind(skb, skb->data - skb->head),
	} };
	struct reference_receive *value = reference_find(&reference_receive, &key, &zero);
	__u32 bucket = reference_bucket(skb->len);

	if (!value)
		return 0;
	value->packets += 1;
	value->wire_packets += packet_segments(skb);
	value->bytes += skb->len;
	if (bucket < REFERENCE_SIZES)
		value->size[bucket] += 1;
	return 0;
}
