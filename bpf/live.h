/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Telling of single events, while somebody listens: what the probes and the daemon share.
 *
 * A subscriber has a filter over packets, a list of terms that is worked through in the kernel, and a
 * bit in each slot that user space sets where the row is none of its concern. What matches goes to a
 * ring buffer, at a bounded rate, or is summed by slot (and stack) in a hash map.
 *
 * All of this stands in programs of their own, which count as the others do: they are loaded and put
 * behind the gate when the first subscriber comes, and go some time after the last.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slots.h"

#define LIVE_SUBSCRIBERS 8
#define LIVE_TERMS 48  /* of one subscriber */
#define LIVE_FRAMES 48 /* of a stack, the innermost */
#define LIVE_VALUES 3  /* counters of a slot, the first */
#define LIVE_OWN 6     /* numbers that are the collector's */
#define LIVE_SUMS 2048 /* rows, or rows and stacks, of all subscribers that want sums */
#define LIVE_RING (4 << 20)
#define LIVE_TICK_SHIFT 24 /* times of a bucket are ticks, with so many bits behind the point */

/* IPv6, or IPv4 as ::ffff:a.b.c.d; all zero: there is none. Network byte order. */
struct live_address {
	union {
		__u8 bytes[16];
		__u32 words[4];
		__u64 halves[2];
	};
};

/* What terms look at: as words. */
struct live_packet {
	union {
		struct {
			struct live_address source, destination;
			__u64 kind;  /* packet.h */
			__u64 ports; /* PORTS(), 0: it has none */
			__u64 unused[2];
		};
		__u64 words[8];
	};
};

/* In host byte order, the source's above the destination's, and a bit: they are there. */
#define PORTS(source, destination) (1ULL << 32 | (__u64)(source) << 16 | (__u64)(destination))
#define PORTS_SOURCE(ports) ((ports) >> 16 & 0xffff)
#define PORTS_DESTINATION(ports) ((ports) & 0xffff)

enum live_words { LIVE_SOURCE = 0, LIVE_DESTINATION = 2, LIVE_KIND = 4 /* and ports */ };

/* What of a packet is read from its headers, and only where some filter looks at it: in
 * live_control.active, above the subscribers' bits. */
enum live_looks {
	LIVE_ANYBODY = (1 << LIVE_SUBSCRIBERS) - 1, /* those bits */
	LIVE_ADDRESSES = 1 << LIVE_SUBSCRIBERS,
	LIVE_PORTS = 2 << LIVE_SUBSCRIBERS,
	LIVE_LOOKS = LIVE_ADDRESSES | LIVE_PORTS,
};

/* True when the two words of the packet from `word` on equal `value` where `mask` is set, and so does
 * its family. Of the terms with the same `group` bit one must be true. */
struct live_term {
	__u64 value[2], mask[2];
	__u16 word; /* enum live_words */
	__u8 family, family_mask;
	__u32 group;
};

struct live_subscriber {
	__u32 serial; /* never used again */
	__u32 stack;  /* sums: of each stack apart */
	__u32 groups; /* all that a packet must meet */
	__u32 n_terms;
	struct live_term terms[LIVE_TERMS]; /* the first in the same cache line */
	__u64 cost, burst; /* the time that one event takes of the bucket, and all that it holds */
	__u64 next;	   /* when one more event is due; up to `burst` ago */
	/* What became of matching events: in the ring or a sum, over the rate, no room. */
	__u64 told, held_back, lost;
	__u32 looks; /* enum live_looks: of its terms */
	__u32 unused[15];
};

struct live_control {
	/* A bit for each subscriber: who is there (and what all of them look at), wants sums instead of
	 * events, wants stacks. */
	__u32 active, sums, stacks;
	__u32 pad[13];
	struct live_subscriber subscribers[LIVE_SUBSCRIBERS];
};

struct live_sum {
	__u64 values[LIVE_VALUES];
	__u32 n_frames, pad;
	__u64 frames[LIVE_FRAMES]; /* return addresses, the innermost first */
};

struct live_sum_key {
	__u32 serial, pad;
	__u64 stack; /* hash of its frames; 0: none was asked for */
	struct slot_key slot;
};

/* What the ring buffer holds is cut behind the last frame. */
struct live_event {
	struct live_packet packet;
	struct slot_key key;
	__u64 time;	   /* CLOCK_MONOTONIC, ns */
	__u32 subscribers; /* a bit for each that it is for */
	__u32 matched;	   /* while it is made: whose filter it passes */
	__u32 pid;	   /* 0: not in a process's context, or not known */
	char process[16];
	__u32 length; /* of the packet, bytes */
	__u32 seq, ack;
	__u8 has_tcp, tcp_flags, socket_state, pad[5];
	__u64 own[LIVE_OWN];
	__u64 stack;	     /* hash of the frames */
	struct live_sum sum; /* its values: what the event adds to the slot */
};

#define LIVE_EVENT_SIZE(n) (offsetof(struct live_event, sum.frames) + (n) * sizeof(__u64))

_Static_assert(sizeof(struct live_packet) == 64, "word 6 has one behind it");
_Static_assert(offsetof(struct live_packet, destination) == 8 * LIVE_DESTINATION &&
		       offsetof(struct live_packet, kind) == 8 * LIVE_KIND &&
		       offsetof(struct live_packet, ports) == 8 * LIVE_KIND + 8,
	       "words are where they are said to be");
_Static_assert(sizeof(struct live_term) == 40, "no padding");
_Static_assert(sizeof(struct live_subscriber) % 64 == 0, "no padding");
_Static_assert(sizeof(struct live_event) == 208 + sizeof(struct live_sum), "no padding");
_Static_assert(sizeof(struct live_sum_key) == 48, "a hash map's key has no padding");

/* Does the packet meet all groups? The same on both sides. */
static inline bool live_matches(const struct live_subscriber *s, const struct live_packet *packet)
{
	__u32 met = 0;

	for (__u32 i = 0; i < LIVE_TERMS && i < s->n_terms; i++) {
		const struct live_term *term = &s->terms[i];
		const __u64 *field = &packet->words[term->word & 6];
		__u64 off = ((field[0] ^ term->value[0]) & term->mask[0]) |
			    ((field[1] ^ term->value[1]) & term->mask[1]) |
			    ((packet->kind >> 32 ^ term->family) & term->family_mask);

		met |= off ? 0 : term->group;
	}
	return met == s->groups;
}

#ifdef __bpf__

#include "context.h"

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct live_control);
} live_control SEC(".maps");

/* An event while it is made: one for each writer, which is never interrupted by itself. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct live_event);
} live_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, LIVE_RING);
} live_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIVE_SUMS);
	__type(key, struct live_sum_key);
	__type(value, struct live_sum);
} live_sums SEC(".maps");

static __always_inline struct live_control *live_the_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&live_control, &zero);
}

/* Where the writer makes its event, when somebody may want it: `skip` is the slot's word. Its
 * `packet` (at least what *ret_looks says) and `key` are to be filled next. */
static __always_inline struct live_event *live_begin(const struct live_control *control,
						     __u32 writer, __u32 skip, __u32 *ret_looks)
{
	__u32 active = control ? *(const volatile __u32 *)&control->active & ~skip : 0;
	struct live_event *event = NULL;

	if (active & LIVE_ANYBODY)
		event = bpf_map_lookup_elem(&live_scratch, &writer);
	if (event)
		event->subscribers = active & LIVE_ANYBODY;
	*ret_looks = active & LIVE_LOOKS;
	return event;
}

/*
 * Global functions from here on: the verifier looks at each once, and not in every state of its
 * callers. They take the writer and find its event again, as kernels before 5.12 give them numbers
 * only.
 */

/* Does the subscriber want the packet? Sets its bit in `matched`. */
__noinline int live_wants(__u32 writer, __u32 subscriber)
{
	struct live_control *control = live_the_control();
	struct live_event *event = bpf_map_lookup_elem(&live_scratch, &writer);

	if (!control || !event || subscriber >= LIVE_SUBSCRIBERS)
		return 0;
	if (live_matches(&control->subscribers[subscriber], &event->packet))
		event->matched |= 1U << subscriber;
	return 0;
}

/*
 * One event out of the subscriber's bucket: leaves its bit in `subscribers`. A bucket is the time until
 * when it has been used up (the virtual scheduling of the generic cell rate algorithm, ITU-T I.371),
 * which each event moves on by an atomic add. Of two CPUs at once each sees its own event at least, so
 * that no more pass than the rate allows.
 */
__noinline int live_allow(__u32 writer, __u32 subscriber)
{
	struct live_control *control = live_the_control();
	struct live_event *event = bpf_map_lookup_elem(&live_scratch, &writer);
	__u64 now = bpf_jiffies64() << LIVE_TICK_SHIFT;
	volatile __u64 *next;
	struct live_subscriber *s;

	if (!control || !event || subscriber >= LIVE_SUBSCRIBERS)
		return 0;
	s = &control->subscribers[subscriber];
	next = &s->next;
	if ((__s64)(now - *next) > (__s64)s->burst)
		*next = now - s->burst; /* it has been full for a while */
	if ((__s64)(now - *next) >= 0) {
		__sync_fetch_and_add(&s->next, s->cost);
		if ((__s64)(now - (*next - s->cost)) >= 0)
			return 0;
	}
	event->subscribers &= ~(1U << subscriber);
	__sync_fetch_and_add(&s->held_back, 1);
	return 0;
}

/* FNV-1a over the words of the event's stack. */
__noinline int live_hash_stack(__u32 writer)
{
	struct live_event *event = bpf_map_lookup_elem(&live_scratch, &writer);
	__u64 hash = 0xcbf29ce484222325;

	if (!event)
		return 0;
	for (__u32 i = 0; i < LIVE_FRAMES && i < event->sum.n_frames; i++)
		hash = (hash ^ event->sum.frames[i]) * 0x100000001b3;
	event->stack = hash | 1;
	return 0;
}

/* Adds the event to the subscriber's sum of its row, and of its stack where it wants them. */
__noinline int live_add(__u32 writer, __u32 subscriber)
{
	struct live_control *control = live_the_control();
	struct live_event *event = bpf_map_lookup_elem(&live_scratch, &writer);
	struct live_sum_key key = { .serial = 0 };
	struct live_subscriber *s;
	struct live_sum *sum;

	if (!control || !event || subscriber >= LIVE_SUBSCRIBERS)
		return 0;
	s = &control->subscribers[subscriber];
	key.serial = s->serial;
	key.slot = event->key;
	key.stack = s->stack ? event->stack : 0;
	sum = bpf_map_lookup_elem(&live_sums, &key);
	if (!sum) {
		if (bpf_map_update_elem(&live_sums, &key, &event->sum, BPF_NOEXIST) == 0) {
			__sync_fetch_and_add(&s->told, 1);
			return 0;
		}
		sum = bpf_map_lookup_elem(&live_sums, &key); /* another CPU was faster */
	}
	if (!sum) {
		__sync_fetch_and_add(&s->lost, 1);
		return 0;
	}
	for (__u32 i = 0; i < LIVE_VALUES; i++)
		__sync_fetch_and_add(&sum->values[i], event->sum.values[i]);
	__sync_fetch_and_add(&s->told, 1);
	return 0;
}

/* Puts the event into the ring, for its `subscribers`. */
__noinline int live_put(__u32 writer)
{
	struct live_control *control = live_the_control();
	struct live_event *event = bpf_map_lookup_elem(&live_scratch, &writer);
	__u32 n_frames;
	long error;

	if (!control || !event)
		return 0;
	n_frames = event->sum.n_frames;
	if (n_frames > LIVE_FRAMES)
		n_frames = LIVE_FRAMES;
	error = bpf_ringbuf_output(&live_events, event, LIVE_EVENT_SIZE(n_frames),
				   BPF_RB_NO_WAKEUP);
	for (__u32 i = 0; i < LIVE_SUBSCRIBERS; i++) {
		struct live_subscriber *s = &control->subscribers[i];

		if (!(event->subscribers >> i & 1))
			continue;
		if (error)
			__sync_fetch_and_add(&s->lost, 1);
		else
			__sync_fetch_and_add(&s->told, 1);
	}
	return 0;
}

static __noinline __u32 live_match_each(struct live_event *event, __u32 writer)
{
	event->matched = 0;
	for (__u32 i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (event->subscribers >> i & 1)
			live_wants(writer, i);
	return event->matched;
}

/* Who wants this packet. Who is alone, as most often, is asked in line: a call costs, and its return
 * more so where the kernel guards it. */
static __always_inline __u32 live_match(const struct live_control *control,
					struct live_event *event, __u32 writer)
{
	if (!control || event->subscribers != 1)
		return live_match_each(event, writer);
	event->matched = live_matches(&control->subscribers[0], &event->packet);
	return event->matched;
}

/* Hands the writer's event, whole but for its stack, to whoever it matches. */
static __noinline int live_send(void *ctx, struct live_event *event, __u32 writer)
{
	const struct live_control *control = live_the_control();
	__u32 sums = control ? control->sums & event->matched : 0;
	long size;

	event->subscribers = event->matched & ~sums;
	for (__u32 i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (event->subscribers >> i & 1)
			live_allow(writer, i);
	event->sum.n_frames = 0;
	if (control && (sums | event->subscribers) & control->stacks) {
		size = bpf_get_stack(ctx, event->sum.frames, sizeof(event->sum.frames), 0);
		event->sum.n_frames = size > 0 ? size / sizeof(__u64) : 0;
		live_hash_stack(writer);
	}
	for (__u32 i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (sums >> i & 1)
			live_add(writer, i);
	if (event->subscribers)
		live_put(writer);
	return 0;
}

#endif
