/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Samples of stacks (bpf/stacks.h): who has called the function that a row names. The last
 * STACKS_SAMPLES are kept, each stack once; fewer where they have more than STACKS_DISTINCT.
 */
#pragma once

#include "../kernel/slots.h"
#include "../kernel/symbols.h"
#include "../model/query.h"
#include "../model/shares.h"

enum {
	STACKS_SAMPLES = 8192,	/* 24 bytes each */
	STACKS_DISTINCT = 2048, /* about 200 bytes each */
};

struct stacks;

/*
 * Reads from the ring buffer `fd`, which stays the caller's. `location` tells where a key's stacks
 * are to begin. The slots and their table must outlive it. 0, -errno.
 */
int stacks_open(int fd, struct slots *slots, const struct table *table,
		uint64_t (*location)(const struct slot_key *key), struct stacks **ret_stacks);
void stacks_close(struct stacks *stacks);

/* Takes what has been sampled since. To be called after slots_collect(), once a second or so. */
void stacks_collect(struct stacks *stacks, uint64_t now);

/*
 * Shares out what the rows of `window` have counted that match the query: a table as history_table()
 * makes it, which must outlive the answer. Where a row has no sample from that time, earlier and later
 * ones of it serve. `lost` is what the probe could not sample. 0, -ENOMEM. To be freed with
 * stacks_free_shares().
 */
int stacks_share(const struct stacks *stacks, struct symbols *symbols, const struct table *window,
		 const struct query *query, uint64_t lost, struct shares *ret_shares);
void stacks_free_shares(struct shares *shares);
