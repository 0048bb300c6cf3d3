// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Every segment that TCP sends again, by what made it do so. */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

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

static __always_inline int retransmit_count(enum writer program, __u32 cause, __u32 state,
					    __u32 family, bool failed, __u64 timeout)
{
	struct slot_key key = { { cause | state << 8 | family << 16 | SLOT_LIVE, 0, 0, 0 } };
	__u32 writer = bpf_get_smp_processor_id() * RETRANSMIT_WRITERS + program, bucket;
	struct retransmit_slot *slot = (void *)slot_find(&slots, &key, writer);

	if (!slot) {
		slot = retransmit_search(key.word[0], writer);
		if (!slot)
			return 0;
	}
	if (failed) {
		slot->failures += 1;
		return 0;
	}
	timeout *= tick_ns;
	bucket = retransmit_bucket(timeout);
	slot->retransmits += 1;
	slot->timeout_sum += timeout;
	if (bucket < HISTOGRAM_SECONDS_BUCKETS)
		slot->timeout[bucket] += 1;
	return 0;
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

SEC("tp_btf/tcp_retransmit_skb")
int retransmit_tcp_retransmit_skb(__u64 *ctx)
{
	const struct sock *sk = (void *)ctx[0];
	__u32 state = sk->__sk_common.skc_state, family = sk->__sk_common.skc_family;
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
	return retransmit_count(WRITER_SKB, retransmit_cause(state, ca_state, pending, window),
				state, family, failed, timeout);
}

/* A SYN-ACK has its own tracepoint and no socket yet: the timeout is the request's, which doubles
 * each time. Kernels before 5.15 kept none, it was TCP_TIMEOUT_INIT, a second. */
SEC("tp_btf/tcp_retransmit_synack")
int retransmit_tcp_retransmit_synack(__u64 *ctx)
{
	const struct request_sock *req = (void *)ctx[1];
	__u32 state = req->__req_common.skc_state, family = req->__req_common.skc_family;
	__u64 timeout = 1000000000 / tick_ns;

	if (bpf_core_field_exists(req->timeout))
		timeout = req->timeout;
	timeout <<= BPF_CORE_READ_BITFIELD(req, num_timeout) & 15;
	if (timeout > SYNACK_TIMEOUT_MAX_NS / tick_ns)
		timeout = SYNACK_TIMEOUT_MAX_NS / tick_ns;
	return retransmit_count(WRITER_SYNACK, RETRANSMIT_SYNACK, state, family, false, timeout);
}
