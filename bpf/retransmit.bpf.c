// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every segment that TCP sends again, by what made it do so. */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

#include "headers.h"
#include "kernel.h"
#include "retransmit.h"

#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool has_error = true;	/* the tracepoint's third argument, since 6.18 */
const volatile __u64 tick_ns = 4000000; /* of a jiffy */

SLOT_MAPS(struct retransmit_slot);

/* include/net/tcp.h and inet_connection_sock.h; unchanged since 4.x. */
#define TCP_SYN_SENT 2
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4
#define ICSK_TIME_LOSS_PROBE 5
#define SYNACK_TIMEOUT_MAX_NS 120000000000ULL /* TCP_RTO_MAX */

/* Two programs write, and one can interrupt the other: each has slots of its own. */
enum writer { WRITER_SKB, WRITER_SYNACK };

/* What a retransmit counts as. */
struct retransmit {
	__u64 word;    /* of the slot's key */
	__u64 timeout; /* ticks */
	bool failed;
};

static __noinline struct retransmit_slot *retransmit_search(__u64 word, __u32 writer)
{
	struct slot_key key = { { word, 0, 0, 0 } };
	struct slot_writer *counters;
	struct retransmit_slot *slot =
		(void *)slot_search(&slots, &writers, &key, writer, &counters);

	if (slot && slot_is_new(&slot->key)) {
		slot->first_seen = bpf_ktime_get_ns();
		slot_publish(&slot->key, &key, counters);
	}
	return slot;
}

/* Global, so that it is verified once and not in every state of its callers. */
__noinline __u32 retransmit_bucket(__u64 nanoseconds)
{
	return histogram_bucket_seconds(nanoseconds);
}

static __always_inline struct retransmit_slot *retransmit_add(__u32 writer,
							      const struct retransmit *r)
{
	struct slot_key key = { { r->word, 0, 0, 0 } };
	struct retransmit_slot *slot = (void *)slot_find(&slots, &key, writer);
	__u64 timeout = r->timeout * tick_ns;
	__u32 bucket;

	if (!slot) {
		slot = retransmit_search(r->word, writer);
		if (!slot)
			return NULL;
	}
	if (r->failed) {
		slot->failures += 1;
		return slot;
	}
	bucket = retransmit_bucket(timeout);
	slot->retransmits += 1;
	slot->timeout_sum += timeout;
	if (bucket < HISTOGRAM_SECONDS_BUCKETS)
		slot->timeout[bucket] += 1;
	return slot;
}

#define WORD(cause, state, family) ((cause) | (state) << 8 | (family) << 16 | SLOT_LIVE)

static __always_inline __u32 writer_of(enum writer program)
{
	return bpf_get_smp_processor_id() * RETRANSMIT_WRITERS + program;
}

/*
 * Why. Read when the segment has gone out: tcp_retransmit_timer() clears icsk_pending before it
 * sends, the loss probe's timer only afterwards, so that a pending timer in Loss means that an ACK,
 * not the timer, drives the sending.
 */
static __always_inline __u32 retransmit_cause(__u32 state, __u32 ca_state, __u32 pending,
					      __u32 window)
{
	if (state == TCP_SYN_SENT)
		return RETRANSMIT_SYN;
	if (ca_state == TCP_CA_LOSS) {
		if (pending)
			return RETRANSMIT_LOSS_RECOVERY;
		return window ? RETRANSMIT_RTO : RETRANSMIT_ZERO_WINDOW_PROBE;
	}
	if (ca_state == TCP_CA_RECOVERY)
		return RETRANSMIT_FAST;
	return pending == ICSK_TIME_LOSS_PROBE ? RETRANSMIT_TLP : RETRANSMIT_OTHER;
}

/* What goes over the wire: a socket of both protocols sends IPv4 to an address that is mapped. `sk` is a
 * socket or a request, whose common part begins both. */
static __always_inline __u32 wire_family(const struct sock_common *sk)
{
	__u32 family = GET(sk, skc_family);

	if (family != AF_INET6 || !bpf_core_field_exists(sk->skc_v6_daddr))
		return family;
	if (GET(sk, skc_v6_daddr.in6_u.u6_addr32[0]) || GET(sk, skc_v6_daddr.in6_u.u6_addr32[1]) ||
	    GET(sk, skc_v6_daddr.in6_u.u6_addr32[2]) != bpf_htonl(0xffff))
		return AF_INET6;
	return AF_INET;
}

static __always_inline struct retransmit segment_counts_as(const __u64 *ctx)
{
	const struct sock *sk = (void *)ctx[0];
	__u32 state = GET(sk, __sk_common.skc_state), family = wire_family(&sk->__sk_common);
	bool failed = has_error && (__s32)ctx[2] != 0;
	__u32 ca_state, pending, window, timeout;

	if (has_rdonly_cast) {
		const struct tcp_sock *tp =
			bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));

		ca_state = BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_state);
		pending = tp->inet_conn.icsk_pending;
		timeout = tp->inet_conn.icsk_rto;
		window = tp->snd_wnd;
	} else {
		const struct tcp_sock *tp = (const void *)sk;

		ca_state = BPF_CORE_READ_BITFIELD_PROBED(&tp->inet_conn, icsk_ca_state);
		pending = BPF_CORE_READ(tp, inet_conn.icsk_pending);
		timeout = BPF_CORE_READ(tp, inet_conn.icsk_rto);
		window = BPF_CORE_READ(tp, snd_wnd);
	}
	return (struct retransmit){
		WORD(retransmit_cause(state, ca_state, pending, window), state, family),
		timeout,
		failed,
	};
}

/* A SYN-ACK has its own tracepoint and no socket yet: the timeout is the request's, which doubles
 * each time. Kernels before 5.15 kept none, it was TCP_TIMEOUT_INIT, a second. */
static __always_inline struct retransmit synack_counts_as(const __u64 *ctx)
{
	const struct request_sock *req = (void *)ctx[1];
	__u32 state = GET(req, __req_common.skc_state), family = wire_family(&req->__req_common);
	__u64 timeout = 1000000000 / tick_ns;

	if (bpf_core_field_exists(req->timeout))
		timeout = GET(req, timeout);
	timeout <<= GET_BITS(req, num_timeout) & 15;
	if (timeout > SYNACK_TIMEOUT_MAX_NS / tick_ns)
		timeout = SYNACK_TIMEOUT_MAX_NS / tick_ns;
	return (struct retransmit){ WORD(RETRANSMIT_SYNACK, state, family), timeout, false };
}

/* ---- telling of it */

/* From here to the peer, by the socket or the request. Sockets of both protocols have their addresses in
 * both forms. */
static __noinline int connection_packet(const struct sock_common *sk, __u32 family,
					struct live_packet *packet)
{
	if (family == AF_INET) {
		address_ipv4(&packet->source, bpf_ntohl(BPF_CORE_READ(sk, skc_rcv_saddr)));
		address_ipv4(&packet->destination, bpf_ntohl(BPF_CORE_READ(sk, skc_daddr)));
	} else if (bpf_core_field_exists(sk->skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&packet->source, sk, skc_v6_rcv_saddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&packet->destination, sk, skc_v6_daddr.in6_u.u6_addr32);
	}
	packet->ports =
		PORTS(BPF_CORE_READ(sk, skc_num), bpf_ntohs(BPF_CORE_READ(sk, skc_dport)));
	packet->kind = KIND(family == AF_INET ? ETH_P_IP : ETH_P_IPV6, IP_PROTOCOL_TCP, 0, family);
	return 0;
}

/* The event of a retransmit that has just been counted, if somebody wants it. */
static __noinline struct live_event *retransmit_begin(const void *sk, const struct retransmit *r,
						      const struct retransmit_slot *slot,
						      __u32 writer)
{
	const struct live_control *control = live_the_control();
	__u32 looks; /* at all of it, as all of it is at hand */
	struct live_event *event = live_begin(control, writer, slot->skip, &looks);

	if (!event)
		return NULL;
	connection_packet(sk, r->word >> 16 & 0xff, &event->packet);
	if (!live_match(control, event, writer))
		return NULL;
	event->key = slot->key;
	event->time = bpf_ktime_get_ns();
	event->socket_state = r->word >> 8 & 0xff;
	event->has_tcp = 1;
	event->own[RETRANSMIT_TIMEOUT] = r->timeout * tick_ns;
	event->own[RETRANSMIT_ERROR] = 0;
	event->sum.values[0] = !r->failed;
	event->sum.values[1] = r->failed;
	event->sum.values[2] = 0;
	return event;
}

static __noinline int segment_tell(__u64 *ctx, const struct retransmit *r,
				   const struct retransmit_slot *slot, __u32 writer)
{
	const struct tcp_sock *tp = (void *)ctx[0];
	const struct sk_buff *skb = (void *)ctx[1];
	const struct tcp_skb_cb *tcb = (const void *)skb->cb;
	struct live_event *event = retransmit_begin(tp, r, slot, writer);

	if (!event)
		return 0;
	event->length = GET(skb, len);
	event->seq = BPF_CORE_READ(tcb, seq);
	event->tcp_flags = BPF_CORE_READ_BITFIELD_PROBED(tcb, tcp_flags);
	event->ack = BPF_CORE_READ(tp, rcv_nxt);
	event->own[RETRANSMIT_WINDOW] = BPF_CORE_READ(tp, snd_cwnd);
	event->own[RETRANSMIT_SRTT] = BPF_CORE_READ(tp, srtt_us) >> 3;
	event->own[RETRANSMIT_IN_FLIGHT] = BPF_CORE_READ(tp, packets_out);
	event->own[RETRANSMIT_MARKED_LOST] = BPF_CORE_READ(tp, lost_out);
	if (r->failed)
		event->own[RETRANSMIT_ERROR] = -(__s64)(__s32)ctx[2];
	process_here(ctx, &event->pid, event->process);
	return live_send(ctx, event, writer);
}

#define TCP_FLAGS_SYNACK 0x12

static __noinline int synack_tell(__u64 *ctx, const struct retransmit *r,
				  const struct retransmit_slot *slot, __u32 writer)
{
	const struct tcp_request_sock *req = (void *)ctx[1];
	struct live_event *event = retransmit_begin(req, r, slot, writer);

	if (!event)
		return 0;
	event->length = 0;
	event->seq = BPF_CORE_READ(req, snt_isn);
	event->ack = BPF_CORE_READ(req, rcv_nxt);
	event->tcp_flags = TCP_FLAGS_SYNACK;
	event->own[RETRANSMIT_WINDOW] = 0;
	event->own[RETRANSMIT_SRTT] = 0;
	event->own[RETRANSMIT_IN_FLIGHT] = 0;
	event->own[RETRANSMIT_MARKED_LOST] = 0;
	process_here(ctx, &event->pid, event->process);
	return live_send(ctx, event, writer);
}

/* ---- the programs */

static __always_inline int segment_run(__u64 *ctx, bool live)
{
	struct retransmit r = segment_counts_as(ctx);
	__u32 writer = writer_of(WRITER_SKB);
	struct retransmit_slot *slot;

	if (!writer_enter(&writers, writer))
		return 0;
	slot = retransmit_add(writer, &r);
	if (live && slot)
		segment_tell(ctx, &r, slot, writer);
	writer_leave(&writers, writer);
	return 0;
}

static __always_inline int synack_run(__u64 *ctx, bool live)
{
	struct retransmit r = synack_counts_as(ctx);
	__u32 writer = writer_of(WRITER_SYNACK);
	struct retransmit_slot *slot;

	if (!writer_enter(&writers, writer))
		return 0;
	slot = retransmit_add(writer, &r);
	if (live && slot)
		synack_tell(ctx, &r, slot, writer);
	writer_leave(&writers, writer);
	return 0;
}

PROBE("tcp_retransmit_skb")
int retransmit_tcp_retransmit_skb(__u64 *ctx)
{
	return segment_run(ctx, false);
}

PROBE("tcp_retransmit_skb")
int retransmit_tcp_retransmit_skb_live(__u64 *ctx)
{
	return segment_run(ctx, true);
}

PROBE("tcp_retransmit_synack")
int retransmit_tcp_retransmit_synack(__u64 *ctx)
{
	return synack_run(ctx, false);
}

PROBE("tcp_retransmit_synack")
int retransmit_tcp_retransmit_synack_live(__u64 *ctx)
{
	return synack_run(ctx, true);
}
