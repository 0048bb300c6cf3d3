/* SPDX-License-Identifier: BSD-2-Clause */
/* The two scales of bpf/histogram.h, as the daemon reads and shows them. */
#pragma once

#include <stdint.h>

#include "table.h"

struct histogram_scale {
	enum unit unit;
	int first;			 /* the first bound is 2^first (seconds or bytes) */
	unsigned bounds;		 /* buckets are one more: the last has no bound */
	const unsigned long long *table; /* inclusive upper bounds, nanoseconds or bytes */
};

extern const struct histogram_scale histogram_seconds, histogram_bytes;

/*
 * A histogram column's values: the sum, then bounds + 1 counts. Both functions take the whole. The
 * quantile (0 to 1) is interpolated linearly between the bounds of its bucket, in the values' own
 * unit; 0 when nothing was counted, and the last bound for what lies beyond it.
 */
uint64_t histogram_count(const struct histogram_scale *scale, const uint64_t *values);
uint64_t histogram_quantile(const struct histogram_scale *scale, const uint64_t *values,
			    double quantile);

/* 2^power, exactly: the bounds that classic buckets have, in seconds or bytes. */
double histogram_power(int power);
