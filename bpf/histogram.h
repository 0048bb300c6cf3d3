/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Histogram buckets: the one definition, for the probes and for the daemon.
 *
 * The upper bounds are 2^(i/4) seconds (or bytes), inclusive: four buckets per power of two, those
 * of a Prometheus native histogram of schema 2. Every fourth bound is a whole power of two, so that
 * classic buckets are exact sums. The first bucket holds all that is at most 2^first; one more
 * bucket behind the last bound holds the rest.
 *
 * Values are integers (nanoseconds, bytes), so a bound is stored as its floor: v <= b exactly when
 * v <= floor(b). Only four constants are needed, floor(unit * 2^(j/4) * 2^32) for j = 0..3: every
 * other bound is one of them shifted right, because floor(floor(x) / 2^n) = floor(x / 2^n).
 */
#pragma once

#define HISTOGRAM_SUB 4 /* buckets per power of two */

#define HISTOGRAM_SECONDS_FIRST (-20) /* 2^-20 s, about 1 us */
#define HISTOGRAM_SECONDS_LAST 6      /* 64 s */
#define HISTOGRAM_BYTES_FIRST 5	      /* 32 bytes */
#define HISTOGRAM_BYTES_LAST 19	      /* 512 KiB, the largest packet that GRO builds */

#define HISTOGRAM_BOUNDS(first, last) (((last) - (first)) * HISTOGRAM_SUB + 1)
#define HISTOGRAM_SECONDS_BOUNDS HISTOGRAM_BOUNDS(HISTOGRAM_SECONDS_FIRST, HISTOGRAM_SECONDS_LAST)
#define HISTOGRAM_BYTES_BOUNDS HISTOGRAM_BOUNDS(HISTOGRAM_BYTES_FIRST, HISTOGRAM_BYTES_LAST)
#define HISTOGRAM_SECONDS_BUCKETS (HISTOGRAM_SECONDS_BOUNDS + 1) /* 106 */
#define HISTOGRAM_BYTES_BUCKETS (HISTOGRAM_BYTES_BOUNDS + 1)	 /* 58 */

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
#define HISTOGRAM_NS_OCTAVE(k)                                                                    \
	HISTOGRAM_NS_0 >> (32 - (k)), HISTOGRAM_NS_1 >> (32 - (k)), HISTOGRAM_NS_2 >> (32 - (k)), \
		HISTOGRAM_NS_3 >> (32 - (k))
#define HISTOGRAM_B_OCTAVE(k)                                                                  \
	HISTOGRAM_B_0 >> (32 - (k)), HISTOGRAM_B_1 >> (32 - (k)), HISTOGRAM_B_2 >> (32 - (k)), \
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
			HISTOGRAM_NS_0 >> (32 - 6)                                                 \
	}

#define HISTOGRAM_BYTES_TABLE                                                                      \
	{                                                                                          \
		HISTOGRAM_B_OCTAVE(5), HISTOGRAM_B_OCTAVE(6), HISTOGRAM_B_OCTAVE(7),               \
			HISTOGRAM_B_OCTAVE(8), HISTOGRAM_B_OCTAVE(9), HISTOGRAM_B_OCTAVE(10),      \
			HISTOGRAM_B_OCTAVE(11), HISTOGRAM_B_OCTAVE(12), HISTOGRAM_B_OCTAVE(13),    \
			HISTOGRAM_B_OCTAVE(14), HISTOGRAM_B_OCTAVE(15), HISTOGRAM_B_OCTAVE(16),    \
			HISTOGRAM_B_OCTAVE(17), HISTOGRAM_B_OCTAVE(18), HISTOGRAM_B_0 >> (32 - 19) \
	}

#define HISTOGRAM_INLINE static inline __attribute__((always_inline))

/* floor(log2(value)) of a value above 0. BPF cannot count leading zeros. */
HISTOGRAM_INLINE unsigned int histogram_log2(unsigned long long value)
{
	unsigned int log = 0;

	if (value >> 32) {
		value >>= 32;
		log += 32;
	}
	if (value >> 16) {
		value >>= 16;
		log += 16;
	}
	if (value >> 8) {
		value >>= 8;
		log += 8;
	}
	if (value >> 4) {
		value >>= 4;
		log += 4;
	}
	if (value >> 2) {
		value >>= 2;
		log += 2;
	}
	return log + (value >> 1);
}

/*
 * The bucket of a value: the number of bounds below it, 0 .. bounds. No table: the bounds of a
 * power of two are the four constants, shifted, and cost no cache line that may be cold.
 * `unit_log2` is the least n with 2^n > unit: a value v has its first candidate for the power k,
 * 2^k units < v, at log2(v) - unit_log2, and k is that or one more.
 */
#define HISTOGRAM_BUCKET(name, c0, c1, c2, c3, unit_log2, first, last)                  \
	HISTOGRAM_INLINE unsigned int name(unsigned long long value)                    \
	{                                                                               \
		int k;                                                                  \
                                                                                        \
		if (value <= (c0) >> (32 - (first)))                                    \
			return 0;                                                       \
		if (value > (c0) >> (32 - (last)))                                      \
			return HISTOGRAM_BOUNDS(first, last);                           \
		k = (int)histogram_log2(value) - (unit_log2);                           \
		if (value > (c0) >> (31 - k))                                           \
			k++;                                                            \
		return (k - (first)) * HISTOGRAM_SUB + 1 + (value > (c1) >> (32 - k)) + \
		       (value > (c2) >> (32 - k)) + (value > (c3) >> (32 - k));         \
	}

HISTOGRAM_BUCKET(histogram_bucket_seconds, HISTOGRAM_NS_0, HISTOGRAM_NS_1, HISTOGRAM_NS_2,
		 HISTOGRAM_NS_3, 30, HISTOGRAM_SECONDS_FIRST, HISTOGRAM_SECONDS_LAST)
HISTOGRAM_BUCKET(histogram_bucket_bytes, HISTOGRAM_B_0, HISTOGRAM_B_1, HISTOGRAM_B_2, HISTOGRAM_B_3,
		 1, HISTOGRAM_BYTES_FIRST, HISTOGRAM_BYTES_LAST)
