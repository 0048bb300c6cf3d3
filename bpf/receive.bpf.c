// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every packet that a device hands to the protocols, by device, protocol and size. It is counted
 * after GRO has merged: one sk_buff may be several packets of the wire. */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

#include "device.h"
#include "packet.h"
#include "receive.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SLOT_MAPS(struct receive_slot);

static __noinline struct receive_slot *receive_search(__u64 *ctx, __u64 ifindex, __u64 cookie,
						      __u64 kind, __u32 cpu)
{
	struct slot_key key = { { ifindex | SLOT_LIVE, cookie, kind, 0 } };
	const struct sk_buff *skb = (void *)ctx[0];
	struct slot_writer *counters;
	struct receive_slot *slot = (void *)slot_search(&slots, &writers, &key, cpu, &counters);
	const struct net_device *dev;
	const struct net *net;

	if (!slot || !slot_is_new(&slot->key))
		return slot;
	slot->first_seen = bpf_ktime_get_ns();
	dev = GET(READ_ONLY(skb), dev);
	net = GET(dev, nd_net.net);
	slot->netns = GET(net, ns.inum);
	BPF_CORE_READ_STR_INTO(&slot->device, skb, dev, name);
	slot_publish(&slot->key, &key, counters);
	return slot;
}

/* Global, so that it is verified once and not in every state of its caller. */
__noinline __u32 receive_bucket(__u32 bytes)
{
	return histogram_bucket_bytes(bytes);
}

/* The device is valid here: the core has just read it, too. The network header is not: the core
 * sets it after this, to where the data begins. */
static __always_inline void receive_count(__u64 *ctx, __u32 cpu)
{
	const struct sk_buff *skb = (void *)ctx[0];
	const struct net_device *dev = GET(READ_ONLY(skb), dev);
	__u32 bytes = GET(skb, len), bucket;
	struct receive_slot *slot;
	struct slot_key key;

	key.word[0] = (__u32)GET(dev, ifindex) | SLOT_LIVE;
	key.word[1] = net_identity(GET(dev, nd_net.net));
	key.word[2] = packet_kind(skb, GET(skb, data) - GET(skb, head));
	key.word[3] = 0;
	slot = (void *)slot_find(&slots, &key, cpu);
	if (!slot) {
		slot = receive_search(ctx, key.word[0], key.word[1], key.word[2], cpu);
		if (!slot)
			return;
	}
	bucket = receive_bucket(bytes);
	slot->packets += 1;
	slot->wire_packets += packet_segments(skb);
	slot->bytes += bytes;
	slot->size_sum += bytes;
	if (bucket < HISTOGRAM_BYTES_BUCKETS)
		slot->size[bucket] += 1;
}

PROBE("netif_receive_skb")
int receive_netif_receive_skb(__u64 *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (writer_enter(&writers, cpu)) {
		receive_count(ctx, cpu);
		writer_leave(&writers, cpu);
	}
	return 0;
}
