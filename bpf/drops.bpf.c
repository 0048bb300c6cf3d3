// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every packet that the kernel frees as dropped, by where, why, what and on which device. */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

#include "device.h"
#include "drops.h"
#include "headers.h"
#include "packet.h"
#include "stacks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What this kernel's kfree_skb passes; the dead branches are never verified. */
const volatile bool has_reason = true; /* since 5.17 */
const volatile bool has_rx_sk = true;  /* since 6.11 */

SLOT_MAPS(struct drops_slot);

/* In all of these `drop` is what kfree_skb passes, or the same made by drops_tcp_drop(); `ctx` is the
 * program's own, as helpers want it. */

/* The socket that the packet was meant for or belongs to, or NULL. It may be a request or a time-wait
 * socket: only __sk_common may be read. */
static __always_inline const struct sock *drop_socket(const __u64 *drop)
{
	const struct sk_buff *skb = (void *)drop[0];
	const struct sock *sk = NULL;

	if (has_rx_sk)
		sk = (void *)drop[3];
	if (sk)
		return READ_ONLY(sk);
	sk = GET(READ_ONLY(skb), sk); /* the defragmenter keeps an offset in its place */
	if ((long)sk >= 0)
		return NULL;
	barrier_var(sk); /* keeps the branch: the verifier refuses a shift of the pointer instead */
	return sk;
}

/* Without a device, the namespace is that of the socket. */
static __always_inline const struct net *socket_net(const __u64 *drop)
{
	const struct sock *sk = drop_socket(drop);

	return sk ? GET(sk, __sk_common.skc_net.net) : NULL;
}

static __noinline __u64 socket_cookie(__u64 *drop)
{
	const struct net *net = socket_net(drop);

	return net ? net_identity(net) : 0;
}

/* Every drop that is not in its first place: finds the key's slot or claims one, and counts what
 * finds none. Names are taken here, once per key and CPU. */
static __noinline struct drops_slot *drops_search(__u64 *drop, __u64 origin, __u64 cookie,
						  __u64 kind, __u32 cpu)
{
	struct slot_key key = { { drop[1] | SLOT_LIVE, origin, cookie, kind } };
	const struct sk_buff *skb = (void *)drop[0];
	struct slot_writer *counters;
	struct drops_slot *slot = (void *)slot_search(&slots, &writers, &key, cpu, &counters);
	const struct net_device *dev = packet_device(skb);
	const struct net *net;

	if (!slot || !slot_is_new(&slot->key))
		return slot;
	slot->first_seen = bpf_ktime_get_ns();
	__builtin_memset(slot->device, 0, sizeof(slot->device));
	if (dev) {
		net = GET(dev, nd_net.net);
		BPF_CORE_READ_STR_INTO(&slot->device, dev, name);
	} else {
		net = socket_net(drop);
	}
	slot->netns = net ? GET(net, ns.inum) : 0;
	slot_publish(&slot->key, &key, counters);
	return slot;
}

static __noinline int drops_sample(__u64 *ctx, const struct drops_slot *slot, __u32 cpu)
{
	struct slot_writer *counters = bpf_map_lookup_elem(&writers, &cpu);

	if (counters)
		stack_take(ctx, &slot->key, &counters->no_sample);
	return 0;
}

static __always_inline struct drops_slot *drops_count(__u64 *ctx, __u64 *drop, __u32 cpu)
{
	const struct sk_buff *skb = (void *)drop[0];
	const struct net_device *dev = packet_device(skb);
	struct drops_slot *slot;
	struct slot_key key;
	__u32 ifindex;

	if (dev) {
		ifindex = GET(dev, ifindex);
		key.word[2] = net_identity(GET(dev, nd_net.net));
	} else {
		ifindex = GET(skb, skb_iif);
		key.word[2] = socket_cookie(drop);
	}
	key.word[0] = drop[1] | SLOT_LIVE;
	key.word[1] = (has_reason ? drop[2] << 32 : 0) | ifindex;
	key.word[3] = packet_kind(skb, GET(skb, network_header));
	slot = (void *)slot_find(&slots, &key, cpu);
	if (!slot) {
		slot = drops_search(drop, key.word[1], key.word[2], key.word[3], cpu);
		if (!slot)
			return NULL;
	}
	slot->packets += 1;
	slot->wire_packets += packet_segments(skb);
	slot->bytes += GET(skb, len);
	if (stack_is_due(&slot->sampled))
		drops_sample(ctx, slot, cpu);
	return slot;
}

static __always_inline void tcp_header(const struct sk_buff *skb, __u32 transport,
				       struct live_event *event)
{
	__u32 words[4];

	event->has_tcp = 0;
	if (!transport || (event->packet.kind >> 16 & 0xff) != IP_PROTOCOL_TCP ||
	    !packet_bytes(skb, transport, words, sizeof(words)))
		return;
	event->has_tcp = 1;
	event->seq = bpf_ntohl(words[1]);
	event->ack = bpf_ntohl(words[2]);
	event->tcp_flags = bpf_ntohl(words[3]) >> 16 & 0xff;
}

/* Tells whoever wants it of the drop that is `event`. */
static __noinline int drops_send(__u64 *ctx, __u64 *drop, struct live_event *event, __u32 cpu)
{
	const struct sk_buff *skb = (void *)drop[0];
	const struct sock *sk = drop_socket(drop);
	/* All of them: so far only what filters look at has been read. */
	__u32 transport = packet_headers(skb, LIVE_LOOKS, &event->packet);

	event->time = bpf_ktime_get_ns();
	event->length = GET(skb, len);
	event->socket_state = sk ? GET(sk, __sk_common.skc_state) : 0;
	tcp_header(skb, transport, event);
	process_here(ctx, &event->pid, event->process);
	event->sum.values[0] = 1;
	event->sum.values[1] = packet_segments(skb);
	event->sum.values[2] = GET(skb, len);
	return live_send(ctx, event, cpu);
}

/* Tells of the drop that has just been counted in the slot. In line until somebody wants it. */
static __always_inline void drops_tell(__u64 *ctx, __u64 *drop, const struct drops_slot *slot,
				       __u32 cpu)
{
	const struct live_control *control = live_the_control();
	__u32 looks;
	struct live_event *event = live_begin(control, cpu, slot->skip, &looks);

	if (!event)
		return;
	event->packet.kind = slot->key.word[3];
	packet_headers((void *)drop[0], looks, &event->packet);
	if (!live_match(control, event, cpu))
		return;
	event->key = slot->key;
	drops_send(ctx, drop, event, cpu);
}

static __always_inline int drops_run(__u64 *ctx, __u64 *drop, bool live)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct drops_slot *slot;

	if (!writer_enter(&writers, cpu))
		return 0;
	slot = drops_count(ctx, drop, cpu);
	if (live && slot)
		drops_tell(ctx, drop, slot, cpu);
	writer_leave(&writers, cpu);
	return 0;
}

PROBE("kfree_skb")
int drops_kfree_skb(__u64 *ctx)
{
	return drops_run(ctx, ctx, false);
}

PROBE("kfree_skb")
int drops_kfree_skb_live(__u64 *ctx)
{
	return drops_run(ctx, ctx, true);
}

#ifndef RAW_TRACEPOINT

/*
 * Until 5.18 tcp_drop(sk, skb) frees without a tracepoint (8fbf195798b5 let it hit kfree_skb). Where
 * the compiler has left it a function, it is entered on the way. These programs and those of kfree_skb
 * write the same slots: `may_nest` keeps one from interrupting another.
 */

/* The reason, where kfree_skb passes reasons already (5.17): SKB_DROP_REASON_NOT_SPECIFIED. */
const volatile __u32 not_specified = 0;

/* The stack of an fentry program: itself, the kernel's trampoline, the function, who called it. All
 * four are taken: told to skip some, kernels before 5.18 walk no further (ee2a098851bf). */
enum { FENTRY_PROGRAM, FENTRY_TRAMPOLINE, FENTRY_FUNCTION, FENTRY_CALLER, FENTRY_FRAMES };

/* The return address into the caller, as a tracepoint's location is one; where the stack does not
 * tell, an address in the function itself. */
static __always_inline __u64 fentry_caller(void *ctx)
{
	__u64 frames[FENTRY_FRAMES] = {};

	bpf_get_stack(ctx, frames, sizeof(frames), 0);
	if (frames[FENTRY_CALLER])
		return frames[FENTRY_CALLER];
	return frames[FENTRY_FUNCTION] ?: frames[FENTRY_PROGRAM];
}

SEC("?fentry/tcp_drop")
int drops_tcp_drop(__u64 *ctx)
{
	__u64 drop[4] = { ctx[1], fentry_caller(ctx), not_specified, 0 };

	return drops_run(ctx, drop, false);
}

SEC("?fentry/tcp_drop")
int drops_tcp_drop_live(__u64 *ctx)
{
	__u64 drop[4] = { ctx[1], fentry_caller(ctx), not_specified, 0 };

	return drops_run(ctx, drop, true);
}

#endif
