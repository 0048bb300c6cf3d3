// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every packet that the kernel frees as dropped, by where, why, what and on which device. */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

#include "device.h"
#include "drops.h"
#include "packet.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What this kernel's kfree_skb passes; the dead branches are never verified. */
const volatile bool has_reason = true; /* since 5.17 */
const volatile bool has_rx_sk = true;  /* since 6.11 */

SLOT_MAPS(struct drops_slot);

/* Without a device, the namespace is that of the socket that the packet was meant for or belongs
 * to, or NULL. It may be a request or a time-wait socket: only __sk_common may be read. */
static __always_inline const struct net *socket_net(const __u64 *ctx)
{
	const struct sk_buff *skb = (void *)ctx[0];
	const struct sock *sk;

	if (has_rx_sk) {
		sk = (void *)ctx[3];
		if (sk)
			return READ_ONLY(sk)->__sk_common.skc_net.net;
	}
	sk = READ_ONLY(skb)->sk; /* the defragmenter keeps an offset in its place */
	return (long)sk < 0 ? sk->__sk_common.skc_net.net : NULL;
}

static __noinline __u64 socket_cookie(__u64 *ctx)
{
	const struct net *net = socket_net(ctx);

	return net ? net_identity(net) : 0;
}

/* Every drop that is not in its first place: finds the key's slot or claims one, and counts what
 * finds none. Names are taken here, once per key and CPU. */
static __noinline struct drops_slot *drops_search(__u64 *ctx, __u64 origin, __u64 cookie,
						  __u64 kind, __u32 cpu)
{
	struct slot_key key = { { ctx[1] | SLOT_LIVE, origin, cookie, kind } };
	const struct sk_buff *skb = (void *)ctx[0];
	struct slot_writer *counters;
	struct drops_slot *slot = (void *)slot_search(&slots, &writers, &key, cpu, &counters);
	const struct net_device *dev = packet_device(skb);
	const struct net *net;

	if (!slot || !slot_is_new(&slot->key))
		return slot;
	slot->first_seen = bpf_ktime_get_ns();
	__builtin_memset(slot->device, 0, sizeof(slot->device));
	if (dev) {
		net = dev->nd_net.net;
		BPF_CORE_READ_STR_INTO(&slot->device, dev, name);
	} else {
		net = socket_net(ctx);
	}
	slot->netns = net ? net->ns.inum : 0;
	slot_publish(&slot->key, &key, counters);
	return slot;
}

SEC("tp_btf/kfree_skb")
int drops_kfree_skb(__u64 *ctx)
{
	const struct sk_buff *skb = (void *)ctx[0];
	const struct net_device *dev = packet_device(skb);
	__u32 cpu = bpf_get_smp_processor_id(), ifindex;
	struct drops_slot *slot;
	struct slot_key key;

	if (dev) {
		ifindex = dev->ifindex;
		key.word[2] = net_identity(dev->nd_net.net);
	} else {
		ifindex = skb->skb_iif;
		key.word[2] = socket_cookie(ctx);
	}
	key.word[0] = ctx[1] | SLOT_LIVE;
	key.word[1] = (has_reason ? ctx[2] << 32 : 0) | ifindex;
	key.word[3] = packet_kind(skb, skb->network_header);
	slot = (void *)slot_find(&slots, &key, cpu);
	if (!slot) {
		slot = drops_search(ctx, key.word[1], key.word[2], key.word[3], cpu);
		if (!slot)
			return 0;
	}
	slot->packets += 1;
	slot->wire_packets += packet_segments(skb);
	slot->bytes += skb->len;
	return 0;
}
