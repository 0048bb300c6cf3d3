/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

#include "../../bpf/histogram.h"

static const unsigned long long seconds_bounds[] = HISTOGRAM_SECONDS_TABLE;
static const unsigned long long bytes_bounds[] = HISTOGRAM_BYTES_TABLE;

const struct histogram_scale histogram_seconds = {
	.unit = UNIT_SECONDS,
	.first = HISTOGRAM_SECONDS_FIRST,
	.bounds = HISTOGRAM_SECONDS_BOUNDS,
	.table = seconds_bounds,
};

const struct histogram_scale histogram_bytes = {
	.unit = UNIT_BYTES,
	.first = HISTOGRAM_BYTES_FIRST,
	.bounds = HISTOGRAM_BYTES_BOUNDS,
	.table = bytes_bounds,
};

uint64_t histogram_count(const struct histogram_scale *scale, const uint64_t *values)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= scale->bounds; i++)
		count += values[1 + i];
	return count;
}

/* The smallest rank, from 1, at or below which `quantile` of `count` lie. */
static uint64_t quantile_rank(uint64_t count, double quantile)
{
	double exact = quantile * (double)count;
	uint64_t rank;

	if (!(exact > 1))
		return 1;
	if (exact >= (double)count)
		return count;
	rank = (uint64_t)exact;
	return (double)rank < exact ? rank + 1 : rank;
}

uint64_t histogram_quantile(const struct histogram_scale *scale, const uint64_t *values,
			    double quantile)
{
	uint64_t count = histogram_count(scale, values), rank, lower = 0;

	if (count == 0)
		return 0;

	rank = quantile_rank(count, quantile);
	for (unsigned i = 0; i < scale->bounds; i++) {
		uint64_t upper = scale->table[i], here = values[1 + i];

		/* In integers, so that every machine says the same. */
		if (rank <= here)
			return lower + (uint64_t)((unsigned __int128)(upper - lower) * rank / here);
		rank -= here;
		lower = upper;
	}
	return lower;
}

double histogram_power(int power)
{
	return power < 0 ? 1.0 / (double)(1UL << -power) : (double)(1UL << power);
}
