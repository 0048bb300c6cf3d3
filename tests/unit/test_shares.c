/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/shares.h"
#include "util.h"

enum { MOST = 64 };

/* Divides, and checks what must always hold. */
static void divide(uint64_t events, const unsigned *weights, unsigned n, uint64_t *ret_shares)
{
	unsigned __int128 sum = 0;
	uint64_t total = 0;

	for (unsigned i = 0; i < n; i++)
		total += weights[i];
	for (unsigned i = 0; i < n; i++)
		ret_shares[i] = 0xdeadbeef;
	shares_divide(events, weights, n, ret_shares);
	for (unsigned i = 0; i < n; i++) {
		uint64_t least = (uint64_t)((unsigned __int128)events * weights[i] / total);
		bool whole = (unsigned __int128)events * weights[i] % total == 0;

		sum += ret_shares[i];
		/* Rounded down or up, and not at all where there is nothing to round. */
		assert_true(ret_shares[i] == least || (!whole && ret_shares[i] == least + 1));
	}
	assert_true(sum == events);
}

#define assert_shares(events, ...)                                                          \
	do {                                                                                \
		static const uint64_t expected[] = { __VA_ARGS__ };                         \
		uint64_t got[ARRAY_SIZE(expected)];                                         \
                                                                                            \
		static_assert(ARRAY_SIZE(expected) == ARRAY_SIZE(weights), "one for each"); \
		divide(events, weights, ARRAY_SIZE(weights), got);                          \
		for (unsigned at = 0; at < ARRAY_SIZE(expected); at++)                      \
			assert_int_equal(got[at], expected[at]);                            \
	} while (0)

static void one(void **state)
{
	static const unsigned weights[] = { 3 };

	(void)state;
	assert_shares(0, 0);
	assert_shares(1, 1);
	assert_shares(UINT64_MAX, UINT64_MAX);
}

static void proportions(void **state)
{
	static const unsigned weights[] = { 1, 2, 7 };

	(void)state;
	assert_shares(0, 0, 0, 0);
	assert_shares(10, 1, 2, 7);
	assert_shares(1000, 100, 200, 700);
}

/* Hamilton: 16.67 %, 33.33 %, 50 % of 100, 10 and 1. */
static void greatest_remainders(void **state)
{
	static const unsigned weights[] = { 1, 2, 3 };

	(void)state;
	assert_shares(100, 17, 33, 50);
	assert_shares(10, 2, 3, 5);
	assert_shares(1, 0, 0, 1);
	assert_shares(2, 0, 1, 1);
	assert_shares(3, 1, 1, 1);
	assert_shares(7, 1, 2, 4);
}

/* More than one is left over: each goes to another. */
static void several_left(void **state)
{
	static const unsigned weights[] = { 5, 5, 5, 5, 5, 1, 1 };

	(void)state;
	assert_shares(6, 1, 1, 1, 1, 1, 1, 0);
	assert_shares(26, 5, 5, 5, 5, 4, 1, 1);
	assert_shares(4, 1, 1, 1, 1, 0, 0, 0);
}

/* Among equals the first, so that the same answer comes twice. */
static void ties(void **state)
{
	static const unsigned weights[] = { 1, 1, 1, 1 };

	(void)state;
	assert_shares(1, 1, 0, 0, 0);
	assert_shares(3, 1, 1, 1, 0);
	assert_shares(5, 2, 1, 1, 1);
	assert_shares(UINT64_MAX, 0x4000000000000000, 0x4000000000000000, 0x4000000000000000,
		      0x3fffffffffffffff);
}

static void nobody_without_weight(void **state)
{
	static const unsigned weights[] = { 0, 3, 0, 3, 0 };

	(void)state;
	assert_shares(1, 0, 1, 0, 0, 0);
	assert_shares(3, 0, 2, 0, 1, 0);
	assert_shares(UINT64_MAX, 0, 0x8000000000000000, 0, 0x7fffffffffffffff, 0);
}

/* Where doubles and 64 bits are too small. */
static void large(void **state)
{
	static const unsigned weights[] = { UINT32_MAX, 1, UINT32_MAX };

	(void)state;
	assert_shares(UINT64_MAX, 9223372035781033984ULL, 2147483648ULL, 9223372035781033983ULL);
	assert_shares(1, 1, 0, 0);
	assert_shares(8589934591ULL, UINT32_MAX, 1, UINT32_MAX);
}

static uint64_t random_number(unsigned bits)
{
	uint64_t number = (uint64_t)random() << 62 ^ (uint64_t)random() << 31 ^ (uint64_t)random();

	return bits ? number >> (64 - bits) : 0;
}

static void any(void **state)
{
	unsigned weights[MOST];
	uint64_t shares[MOST];

	(void)state;
	srandom(4711);
	for (unsigned i = 0; i < 50000; i++) {
		unsigned n = 1 + (unsigned)random() % MOST, bits = (unsigned)random() % 33;
		uint64_t sum = 0;

		for (unsigned j = 0; j < n; j++) {
			weights[j] = (unsigned)random_number((unsigned)random() % (bits + 1));
			sum += weights[j];
		}
		if (sum == 0)
			weights[random() % n] = 1;
		divide(i % 100 ? random_number((unsigned)random() % 65) : UINT64_MAX, weights, n,
		       shares);
		/* Equal weights differ by one at most, and the first has more. */
		for (unsigned j = 1; j < n; j++)
			if (weights[j] == weights[j - 1])
				assert_in_range(shares[j - 1] - shares[j], 0, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one),
		cmocka_unit_test(proportions),
		cmocka_unit_test(greatest_remainders),
		cmocka_unit_test(several_left),
		cmocka_unit_test(ties),
		cmocka_unit_test(nobody_without_weight),
		cmocka_unit_test(large),
		cmocka_unit_test(any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
