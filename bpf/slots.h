/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Slots: an exact counter per key and CPU in a memory-mapped array, without a helper call.
 *
 * Each writer, which is one program on one CPU, has a power of two of slots of its own; a key's
 * place is its hash, and if that slot is another's, one of the next SLOT_PROBES - 1. Keys are
 * compared in place. A tracepoint program cannot run again on a CPU on which it is running, so that a
 * slot has one writer and a plain add is exact: since 6.1 the kernel skips the inner run and counts
 * it in recursion_misses, before that writer_enter() does.
 *
 * word[0] of the key is the slot's state:
 *
 *	0			free: counters are zero
 *	SLOT_LIVE set		in use; the probe claims free slots, writes word[0] last; the other bits
 *				of it are never all 0
 *	SLOT_LIVE clear, not 0	retired: user space has marked it; the probe passes it by
 *
 * User space only ever takes a slot from live to retired to free, the probe only from free to live.
 * User space reads a retired slot after a grace period longer than any run that had found it live.
 * Because a freed slot may stand in front of a live one of the same key, a key may come to have two
 * slots: they are summed.
 */
#pragma once

#include <linux/types.h>

#define SLOT_WORDS 4
#define SLOT_LIVE (1ULL << 63)
#define SLOT_PROBES 16

struct slot_key {
	__u64 word[SLOT_WORDS];
};

/* How many slots a writer has ever claimed, and the events that it could not put into one. */
struct slot_writer {
	__u64 claims;
	__u64 map_full;	     /* no slot free among the key's */
	__u64 unmatched;     /* the earlier event that this one completes was not seen */
	__u64 inflight_full; /* no room to remember it until its completion */
	__u64 nested;	     /* in an interrupt of the very program, where `may_nest` */
	__u64 busy;	     /* 1 while the program runs, where `may_nest` */
	__u64 no_sample;     /* stacks that found no room (stacks.h) */
	__u64 unused;
};

_Static_assert(sizeof(struct slot_key) == 32, "slot keys are compared as four words");
_Static_assert(sizeof(struct slot_writer) == 64, "one cache line per writer");

#ifdef __bpf__

#include <bpf/bpf_helpers.h>

/* A power of two; max_entries of `slots` is this times the writers. */
const volatile __u32 slots_per_writer = 64;

/* The kernel runs a program again in an interrupt of its own run: before 6.1. */
const volatile bool may_nest = false;

/* A slot array; programs differ in their slot's type, which begins with its struct slot_key. */
#define SLOT_MAPS(slot_type)                       \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 64);           \
		__type(key, __u32);                \
		__type(value, slot_type);          \
	} slots SEC(".maps");                      \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, struct slot_writer); \
	} writers SEC(".maps")

/*
 * Odd constants of no structure (the first digits of pi). Numbers that follow one another, as those of devices,
 * namespaces and ethertypes do, would lie in a few rows side by side: so the sum's upper half is mixed
 * into the lower one and multiplied again.
 */
static __always_inline __u32 slot_hash(const struct slot_key *key)
{
	__u64 sum = key->word[0] * 0x243f6a8885a308d3 + key->word[1] * 0x13198a2e03707345 +
		    key->word[2] * 0xa4093822299f31d1 + key->word[3] * 0x082efa98ec4e6c89;

	return (sum ^ sum >> 32) * 0x452821e638d01377 >> 32;
}

static __always_inline bool slot_holds(const struct slot_key *slot, const struct slot_key *key)
{
	return slot->word[0] == key->word[0] && slot->word[1] == key->word[1] &&
	       slot->word[2] == key->word[2] && slot->word[3] == key->word[3];
}

static __always_inline struct slot_key *slot_at(void *map, __u32 writer, __u32 hash)
{
	__u32 index = writer * slots_per_writer + (hash & (slots_per_writer - 1));

	return bpf_map_lookup_elem(map, &index);
}

/* The key's slot if it is where it most often is; otherwise NULL, and slot_search() goes on. */
static __always_inline struct slot_key *slot_find(void *map, const struct slot_key *key,
						  __u32 writer)
{
	struct slot_key *slot = slot_at(map, writer, slot_hash(key));

	return slot && slot_holds(slot, key) ? slot : NULL;
}

/*
 * The key's slot, or a free one, to be filled and published by the caller (slot_is_new()), or NULL
 * when there is no room, which is counted. *ret_counters are the writer's, for slot_publish().
 * Belongs into a function that is not inlined.
 */
static __always_inline struct slot_key *slot_search(void *map, void *writer_map,
						    const struct slot_key *key, __u32 writer,
						    struct slot_writer **ret_counters)
{
	__u32 hash = slot_hash(key);

	*ret_counters = bpf_map_lookup_elem(writer_map, &writer);
	if (!*ret_counters)
		return NULL;
	for (__u32 i = 0; i < SLOT_PROBES; i++) {
		struct slot_key *slot = slot_at(map, writer, hash + i);

		if (!slot)
			return NULL;
		if (slot->word[0] == 0 || slot_holds(slot, key))
			return slot;
	}
	(*ret_counters)->map_full += 1;
	return NULL;
}

/*
 * Begins a run of a program that writes slots; false when it has interrupted one, which is counted.
 * Whatever interrupts ends before this goes on: no more than plain stores is needed between them.
 */
static __always_inline bool writer_enter(void *writer_map, __u32 writer)
{
	struct slot_writer *counters;

	if (!may_nest)
		return true;
	counters = bpf_map_lookup_elem(writer_map, &writer);
	if (!counters)
		return false;
	if (counters->busy) {
		__sync_fetch_and_add(&counters->nested, 1);
		return false;
	}
	*(volatile __u64 *)&counters->busy = 1;
	barrier();
	return true;
}

static __always_inline void writer_leave(void *writer_map, __u32 writer)
{
	struct slot_writer *counters;

	if (!may_nest)
		return;
	barrier();
	counters = bpf_map_lookup_elem(writer_map, &writer);
	if (counters)
		*(volatile __u64 *)&counters->busy = 0;
}

static __always_inline bool slot_is_new(const struct slot_key *slot)
{
	return slot->word[0] == 0;
}

/* A store that no earlier one may pass. x86 keeps the order of stores by itself; elsewhere an
 * atomic exchange is the barrier (BPF has none of its own; kernels since 5.12). */
static __always_inline void store_release(__u64 *to, __u64 value)
{
	barrier();
#ifdef __TARGET_ARCH_x86
	*(volatile __u64 *)to = value;
#else
	__sync_lock_test_and_set(to, value);
#endif
	barrier();
}

/* Makes a filled slot visible, its first word last. */
static __always_inline void slot_publish(struct slot_key *slot, const struct slot_key *key,
					 struct slot_writer *writer)
{
	slot->word[1] = key->word[1];
	slot->word[2] = key->word[2];
	slot->word[3] = key->word[3];
	store_release(&slot->word[0], key->word[0]);
	store_release(&writer->claims, writer->claims + 1);
}

#endif
