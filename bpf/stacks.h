/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Samples of stacks, all the time: at most one in so many ticks for each slot, as a stack costs fifty
 * times what counting does. They wait in a ring buffer until the daemon's next look, a second or so.
 */
#pragma once

#include "slots.h"

#define STACK_FRAMES 48 /* the innermost */

struct stack_sample {
	struct slot_key key;
	__u32 n_frames, pad;
	__u64 frames[STACK_FRAMES]; /* return addresses, the innermost first */
};

#define STACKS_RING (128 << 10) /* 290 samples */

#ifdef __bpf__

#include <bpf/bpf_helpers.h>

const volatile __u32 stack_ticks = 0; /* 0: no samples */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STACKS_RING);
} stacks SEC(".maps");

/* Whether the slot's turn has come. `sampled` is its own word. */
static __always_inline bool stack_is_due(__u32 *sampled)
{
	__u32 now;

	if (!stack_ticks)
		return false;
	now = bpf_jiffies64();
	if (now - *sampled < stack_ticks)
		return false;
	*sampled = now;
	return true;
}

static __noinline void stack_take(void *ctx, const struct slot_key *key, __u64 *lost)
{
	struct stack_sample *sample;
	long size;

	if (!stack_ticks)
		return;
	sample = bpf_ringbuf_reserve(&stacks, sizeof(*sample), 0);
	if (!sample) {
		*lost += 1;
		return;
	}
	sample->key = *key;
	size = bpf_get_stack(ctx, sample->frames, sizeof(sample->frames), 0);
	sample->n_frames = size > 0 ? size / sizeof(sample->frames[0]) : 0;
	sample->pad = 0;
	bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
}

#endif
