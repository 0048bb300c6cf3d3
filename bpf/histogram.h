/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Histogram buckets: the one definition, for the probes and for the daemon.
 *
 * The upper bounds are 2^(i/4) seconds (or bytes), inclusive: four buckets per power of two, those
 * of a Prometheus native histogram of schema 2. Every fourth bound is a whole power of two, so that
 * classic buckets are exact sums. The first bucket holds all that is at most 2^first; one more bucket
 * behind the last bound holds the rest.
 *
 * Values are integers (nanoseconds, bytes), so a bound is stored as its floor: v <= b exactly when
 * v <= floor(b). Only four constants are needed, floor(unit * 2^(j/4) * 2^32) for j = 0..3: every
 * other bound is one of them shifted right, because floor(floor(x) / 2^n) = floor(x / 2^n).
 */
#pragma once

#define HISTOGRAM_SUB 4			/* buckets per power of two */

#define HISTOGRAM_SECONDS_FIRST (-20)	/* 2^-20 s, about 1 us */
#define HISTOGRAM_SECONDS_LAST 6	/* 64 s */
#define HISTOGRAM_BYTES_FIRST 5		/* 32 bytes */
#define HISTOGRAM_BYTES_LAST 19		/* 512 KiB, the largest packet that GRO builds */

#define HISTOGRAM_BOUNDS(first, last) (((last) - (first)) * HISTOGRAM_SUB + 1)
#define HISTOGRAM_SECONDS_BOUNDS HISTOGRAM_BOUNDS(HISTOGRAM_SECONDS_FIRST, HISTOGRAM_SECONDS_LAST)
#define HISTOGRAM_BYTES_BOUNDS HISTOGRAM_BOUNDS(HISTOGRAM_BYTES_FIRST, HISTOGRAM_BYTES_LAST)
#define HISTOGRAM_SECONDS_BUCKETS (HISTOGRAM_SECONDS_BOUNDS + 1)	/* 106 */
#define HISTOGRAM_BYTES_BUCKETS (HISTOGRAM_BYTES_BOUNDS + 1)		/* 58 */

/* Entries of a table of bounds: what the search of histogram_bucket() may look at. The unused ones
 * hold the greatest value, which no value exceeds; zeros would send the search past the last bucket. */
#define HISTOGRAM_ROOM 128
#define HISTOGRAM_REST(bounds) [(bounds) ... HISTOGRAM_ROOM - 1] = ~0ULL

/* floor(10^9 * 2^(j/4) * 2^32) nanoseconds and floor(2^(j/4) * 2^32) bytes, j = 0..3. */
#define HISTOGRAM_NS_0 4294967296000000000ULL
#define HISTOGRAM_NS_1 5107605667107197932ULL
#define HISTOGRAM_NS_2 6074000999952099384ULL
#define HISTOGRAM_NS_3 7223245205676679009ULL
#define HISTOGRAM_B_0 4294967296ULL
#define HISTOGRAM_B_1 5107605667ULL
#define HISTOGRAM_B_2 6074000999ULL
#define HISTOGRAM_B_3 7223245205ULL

/* The bounds of one power of two, 2^k to just below 2^(k+1), as initializers. */
#define HISTOGRAM_NS_OCTAVE(k)                                                                     \
	HISTOGRAM_NS_0 >> (32 - (k)), HISTOGRAM_NS_1 >> (32 - (k)), HISTOGRAM_NS_2 >> (32 - (k)),  \
		HISTOGRAM_NS_3 >> (32 - (k))
#define HISTOGRAM_B_OCTAVE(k)                                                                      \
	HISTOGRAM_B_0 >> (32 - (k)), HISTOGRAM_B_1 >> (32 - (k)), HISTOGRAM_B_2 >> (32 - (k)),     \
		HISTOGRAM_B_3 >> (32 - (k))

#define HISTOGRAM_SECONDS_TABLE                                                                    \
	{                                                                                          \
		HISTOGRAM_NS_OCTAVE(-20), HISTOGRAM_NS_OCTAVE(-19), HISTOGRAM_NS_OCTAVE(-18),      \
			HISTOGRAM_NS_OCTAVE(-17), HISTOGRAM_NS_OCTAVE(-16),                        \
			HISTOGRAM_NS_OCTAVE(-15), HISTOGRAM_NS_OCTAVE(-14),                        \
			HISTOGRAM_NS_OCTAVE(-13), HISTOGRAM_NS_OCTAVE(-12),                        \
			HISTOGRAM_NS_OCTAVE(-11), HISTOGRAM_NS_OCTAVE(-10),                        \
			HISTOGRAM_NS_OCTAVE(-9), HISTOGRAM_NS_OCTAVE(-8), HISTOGRAM_NS_OCTAVE(-7), \
			HISTOGRAM_NS_OCTAVE(-6), HISTOGRAM_NS_OCTAVE(-5), HISTOGRAM_NS_OCTAVE(-4), \
			HISTOGRAM_NS_OCTAVE(-3), HISTOGRAM_NS_OCTAVE(-2), HISTOGRAM_NS_OCTAVE(-1), \
			HISTOGRAM_NS_OCTAVE(0), HISTOGRAM_NS_OCTAVE(1), HISTOGRAM_NS_OCTAVE(2),    \
			HISTOGRAM_NS_OCTAVE(3), HISTOGRAM_NS_OCTAVE(4), HISTOGRAM_NS_OCTAVE(5),    \
			HISTOGRAM_NS_0 >> (32 - 6), HISTOGRAM_REST(HISTOGRAM_SECONDS_BOUNDS)       \
	}

#define HISTOGRAM_BYTES_TABLE                                                                      \
	{                                                                                          \
		HISTOGRAM_B_OCTAVE(5), HISTOGRAM_B_OCTAVE(6), HISTOGRAM_B_OCTAVE(7),               \
			HISTOGRAM_B_OCTAVE(8), HISTOGRAM_B_OCTAVE(9), HISTOGRAM_B_OCTAVE(10),      \
			HISTOGRAM_B_OCTAVE(11), HISTOGRAM_B_OCTAVE(12), HISTOGRAM_B_OCTAVE(13),    \
			HISTOGRAM_B_OCTAVE(14), HISTOGRAM_B_OCTAVE(15), HISTOGRAM_B_OCTAVE(16),    \
			HISTOGRAM_B_OCTAVE(17), HISTOGRAM_B_OCTAVE(18),                            \
			HISTOGRAM_B_0 >> (32 - 19), HISTOGRAM_REST(HISTOGRAM_BYTES_BOUNDS)         \
	}

/*
 * The bucket of `value`: the number of bounds below it, 0 .. bounds. A binary search whose steps are
 * written out: seven compares for any table of at most 127 bounds, no loop for the verifier to walk.
 * `table` has HISTOGRAM_ROOM entries, as HISTOGRAM_SECONDS_TABLE and HISTOGRAM_BYTES_TABLE make it.
 */
static inline __attribute__((always_inline)) unsigned int
histogram_bucket(const unsigned long long *table, unsigned long long value)
{
	unsigned int bucket = 0;

	bucket += (table[bucket + 63] < value) << 6;
	bucket += (table[bucket + 31] < value) << 5;
	bucket += (table[bucket + 15] < value) << 4;
	bucket += (table[bucket + 7] < value) << 3;
	bucket += (table[bucket + 3] < value) << 2;
	bucket += (table[bucket + 1] < value) << 1;
	bucket += table[bucket] < value;
	return bucket;
}
