/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What rows have counted, shared out over the stacks that were sampled while they did: of each row,
 * the shares are in the proportion of its samples, and their sum is exactly what it has counted.
 */
#pragma once

#include "table.h"

struct share {
	const struct row *row;	   /* of the table that the answer is about */
	const char *const *frames; /* names, the innermost first */
	unsigned n_frames;	   /* 0: no stack of this row has been sampled */
	unsigned samples;
	uint64_t events;
};

/* The names of a stack's frames, which its shares borrow. */
struct share_stack {
	const char **frames;
	unsigned n_frames;
};

struct shares {
	const struct table *table; /* what was counted in the window */
	uint32_t columns;	   /* bit per label column that is to be shown */
	struct share *list;	   /* the greatest first */
	uint32_t n;
	struct share_stack *stacks;
	unsigned n_stacks;
	uint64_t events;	/* the sum */
	uint64_t sampled_since; /* how far back samples reach; 0: there are none */
	uint64_t lost;		/* samples that found no room, since dropscoped was started */
};

/*
 * Shares out `events` in the proportion of `weights`, at least one of which is not 0. What is left
 * over by rounding goes to the greatest remainders (the Hamilton method), among equals to the first.
 */
void shares_divide(uint64_t events, const unsigned *weights, unsigned n, uint64_t *ret_shares);
