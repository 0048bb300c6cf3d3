/* SPDX-License-Identifier: BSD-2-Clause */
/* The bounds, checked against exact arithmetic: v <= unit * 2^(e/4) is v^4 <= unit^4 * 2^e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/histogram.h"
#include "model/histogram.h"

enum {
	LIMBS = 16, /* 512 bits: 2^256 * 2^80 and some */
};

struct big {
	uint32_t limbs[LIMBS]; /* the lowest first */
};

struct scale_case {
	const struct histogram_scale *scale;
	uint64_t unit; /* what 2^0 is in the scale's integers */
	unsigned bounds;
	uint64_t first, last; /* the outer bounds, worked out by hand */
	unsigned (*bucket)(unsigned long long value);
};

static const struct scale_case cases[] = {
	{ &histogram_seconds, 1000000000, 105, 953 /* 10^9 / 2^20 = 953.67 */, 64000000000,
	  histogram_bucket_seconds },
	{ &histogram_bytes, 1, 57, 32, 524288, histogram_bucket_bytes },
};

static struct big big_from(uint64_t value)
{
	return (struct big){ { (uint32_t)value, (uint32_t)(value >> 32) } };
}

static struct big big_times(struct big a, uint64_t factor)
{
	struct big product = {};

	for (unsigned half = 0; half < 2; half++) {
		uint64_t digit = half ? factor >> 32 : factor & UINT32_MAX, carry = 0;

		for (unsigned i = 0; i + half < LIMBS; i++) {
			carry += a.limbs[i] * digit;
			/* (2^32 - 1)^2 and two numbers below 2^32: fits. */
			carry += product.limbs[i + half];
			product.limbs[i + half] = (uint32_t)carry;
			carry >>= 32;
		}
		assert_int_equal(carry, 0);
	}
	return product;
}

static struct big big_fourth_power(uint64_t value)
{
	return big_times(big_times(big_times(big_from(value), value), value), value);
}

static struct big big_times_power_of_two(struct big a, unsigned power)
{
	while (power-- > 0)
		a = big_times(a, 2);
	return a;
}

static int big_compare(struct big a, struct big b)
{
	for (unsigned i = LIMBS; i-- > 0;)
		if (a.limbs[i] != b.limbs[i])
			return a.limbs[i] < b.limbs[i] ? -1 : 1;
	return 0;
}

/* Is value <= unit * 2^(first + i/4)? */
static int at_most_bound(const struct scale_case *c, unsigned i, uint64_t value)
{
	int power = 4 * c->scale->first + (int)i;
	struct big left = big_fourth_power(value), right = big_fourth_power(c->unit);

	if (power < 0)
		left = big_times_power_of_two(left, (unsigned)-power);
	else
		right = big_times_power_of_two(right, (unsigned)power);
	return big_compare(left, right) <= 0;
}

static unsigned exact_bucket(const struct scale_case *c, uint64_t value)
{
	unsigned i = 0;

	while (i < c->scale->bounds && !at_most_bound(c, i, value))
		i++;
	return i;
}

static void big_arithmetic(void **state)
{
	static const struct big square = { { 1, 0, 0xfffffffe, 0xffffffff } };
	struct big all = big_times(big_from(UINT64_MAX), UINT64_MAX);

	(void)state;
	/* (2^64 - 1)^2 = 2^128 - 2^65 + 1 */
	assert_int_equal(big_compare(all, square), 0);
	assert_int_equal(big_compare(big_fourth_power(10), big_from(10000)), 0);
	assert_int_equal(big_compare(big_times_power_of_two(big_from(3), 4), big_from(48)), 0);
	assert_int_equal(big_compare(big_from(1), big_from(1ULL << 32)), -1);
	assert_int_equal(big_compare(big_from(1ULL << 32), big_from(UINT32_MAX)), 1);
}

static void every_bound_is_the_floor(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		const struct scale_case *c = &cases[n];

		assert_int_equal(c->scale->bounds, c->bounds);
		assert_int_equal(c->scale->table[0], c->first);
		assert_int_equal(c->scale->table[c->bounds - 1], c->last);
		for (unsigned i = 0; i < c->bounds; i++) {
			assert_true(at_most_bound(c, i, c->scale->table[i]));
			assert_false(at_most_bound(c, i, c->scale->table[i] + 1));
		}
	}
}

static void every_fourth_bound_is_a_power_of_two(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		const struct scale_case *c = &cases[n];

		for (unsigned i = 0; i < c->bounds; i += 4) {
			int power = c->scale->first + (int)i / 4;
			uint64_t expected = power < 0 ? c->unit >> -power : c->unit << power;

			assert_int_equal(c->scale->table[i], expected);
		}
	}
}

/* The bucket that the probes compute is the exact one, on both sides of every bound. */
static void every_bound_and_its_neighbours(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		const struct scale_case *c = &cases[n];

		for (unsigned i = 0; i < c->bounds; i++) {
			uint64_t bound = c->scale->table[i];

			for (uint64_t value = bound - 1; value <= bound + 1; value++)
				assert_int_equal(c->bucket(value), exact_bucket(c, value));
			assert_int_equal(c->bucket(bound), i);
			assert_int_equal(c->bucket(bound + 1), i + 1);
		}
	}
}

static void the_ends(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		const struct scale_case *c = &cases[n];
		const uint64_t beyond[] = { c->last + 1, 2 * c->last,	 1000 * c->last, 1ULL << 53,
					    1ULL << 63,	 UINT64_MAX - 1, UINT64_MAX };

		assert_int_equal(c->bucket(0), 0);
		assert_int_equal(c->bucket(1), 0);
		for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
			assert_int_equal(c->bucket(beyond[i]), c->bounds);
			assert_int_equal(exact_bucket(c, beyond[i]), c->bounds);
		}
	}
}

static void count_is_of_all_buckets(void **state)
{
	uint64_t values[1 + HISTOGRAM_BYTES_BUCKETS] = { 12345 };

	(void)state;
	assert_int_equal(histogram_count(&histogram_bytes, values), 0);
	values[1] = 1;
	values[2] = 20;
	values[HISTOGRAM_BYTES_BUCKETS] = 300;
	assert_int_equal(histogram_count(&histogram_bytes, values), 321);
}

static void quantiles(void **state)
{
	uint64_t values[1 + HISTOGRAM_BYTES_BUCKETS] = {};

	(void)state;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.5), 0);

	/* One value in (64, 76]: all that is known is the bucket. */
	values[1 + 5] = 1;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0), 76);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.5), 76);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 1), 76);

	/* Four of them lie evenly: 67, 70, 73, 76. */
	values[1 + 5] = 4;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.25), 67);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.5), 70);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.51), 73);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.99), 76);

	/* The first bucket begins at 0. */
	values[1] = 4;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.25), 16);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.5), 32);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.75), 70);
}

static void quantiles_at_the_limits(void **state)
{
	uint64_t values[1 + HISTOGRAM_BYTES_BUCKETS] = {};

	(void)state;
	values[1 + HISTOGRAM_BYTES_BOUNDS] = 1;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0.5), 524288);

	/* More than a double can tell apart, and than 64 bits can multiply. */
	values[1 + HISTOGRAM_BYTES_BOUNDS] = 0;
	values[1 + HISTOGRAM_BYTES_BOUNDS - 1] = UINT64_MAX;
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 1), 524288);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 0), 440871);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, -1), 440871);
	assert_int_equal(histogram_quantile(&histogram_bytes, values, 7), 524288);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(big_arithmetic),
		cmocka_unit_test(every_bound_is_the_floor),
		cmocka_unit_test(every_fourth_bound_is_a_power_of_two),
		cmocka_unit_test(every_bound_and_its_neighbours),
		cmocka_unit_test(the_ends),
		cmocka_unit_test(count_is_of_all_buckets),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(quantiles_at_the_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
