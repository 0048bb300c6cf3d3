/* SPDX-License-Identifier: BSD-2-Clause */
#include "shares.h"

#include <assert.h>

static uint64_t remainder_of(uint64_t events, unsigned weight, uint64_t total)
{
	return (uint64_t)((unsigned __int128)events * weight % total);
}

/* The least remainder than which not more than `left` are greater. */
static uint64_t threshold_of(uint64_t events, const unsigned *weights, unsigned n, uint64_t total,
			     uint64_t left)
{
	uint64_t low = 0, high = total;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2, greater = 0;

		for (unsigned i = 0; i < n; i++)
			greater += remainder_of(events, weights[i], total) > middle;
		if (greater <= left)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void shares_divide(uint64_t events, const unsigned *weights, unsigned n, uint64_t *ret_shares)
{
	uint64_t total = 0, left = events, threshold;

	for (unsigned i = 0; i < n; i++)
		total += weights[i];
	assert(total > 0);
	for (unsigned i = 0; i < n; i++) {
		ret_shares[i] = (uint64_t)((unsigned __int128)events * weights[i] / total);
		left -= ret_shares[i];
	}
	/* Less than n are left. */
	threshold = threshold_of(events, weights, n, total, left);
	for (unsigned i = 0; i < n; i++) {
		if (remainder_of(events, weights[i], total) > threshold) {
			ret_shares[i]++;
			left--;
		}
	}
	for (unsigned i = 0; i < n && left > 0; i++) {
		if (remainder_of(events, weights[i], total) == threshold) {
			ret_shares[i]++;
			left--;
		}
	}
}
