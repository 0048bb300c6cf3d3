/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Block requests: what one kernel slot holds, and what is remembered of a request until it
 * completes. The counters stand in the order of the table's columns. Times are CLOCK_MONOTONIC, in
 * nanoseconds. */
#pragma once

#include "histogram.h"
#include "slots.h"

enum block_operation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_DISCARD,
	BLOCK_FLUSH,
	BLOCK_OTHER,
	BLOCK_OPERATIONS,
};

#define BLOCK_DEVICE(major, minor) ((__u32)(major) << 20 | (minor))

/* word[0] device | (operation + 1) << 32 | SLOT_LIVE
 * word[1] diskseq, which tells a disk from an earlier one of the same number; 0 before 5.15
 * the others 0 */
struct block_slot {
	struct slot_key key;
	__u64 bytes;
	__u64 errors;
	__u64 requeues;
	__u64 queue_sum;
	__u64 queue[HISTOGRAM_SECONDS_BUCKETS];
	__u64 device_sum;
	__u64 device[HISTOGRAM_SECONDS_BUCKETS];
	__u64 request_sum;
	__u64 request[HISTOGRAM_SECONDS_BUCKETS];
	__u64 first_seen;
	char name[32];
	__u32 pad[6];
};

_Static_assert(sizeof(struct block_slot) % 64 == 0, "whole cache lines");

/*
 * A request on its way. `request` is 0 in a free entry; an entry is claimed by compare-and-swap, as
 * the CPU that issues a request need not be the one that completes it.
 */
struct block_inflight {
	__u64 request;
	__u64 queued; /* created, or inserted where creation is not stamped */
	__u64 issued; /* 0: not, or not again after a requeue */
	__u32 device; /* BLOCK_DEVICE() */
	__u8 operation;
	__u8 displaced; /* it is not in the first of its places */
	__u16 requeues; /* at most that many */
};

_Static_assert(sizeof(struct block_inflight) == 32, "two to a cache line");

#define BLOCK_INFLIGHT_PROBES 16

/* Beside the entries, and as long-lived. */
struct block_state {
	/* Entries that are not in the first of their places: while there are none, a free first place
	 * means that a request has no entry, and nothing need be searched. */
	__u64 displaced;
};
