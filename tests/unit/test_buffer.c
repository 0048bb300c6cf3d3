/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "render/buffer.h"

static void assert_text(const struct buffer *buffer, const char *expected)
{
	assert_false(buffer->failed);
	assert_int_equal(buffer->size, strlen(expected));
	assert_memory_equal(buffer->data, expected, buffer->size);
}

static void empty(void **state)
{
	struct buffer buffer = {};

	(void)state;
	buffer_bytes(&buffer, NULL, 0);
	buffer_string(&buffer, "");
	assert_null(buffer.data);
	assert_int_equal(buffer.size, 0);
	assert_false(buffer.failed);
	buffer_free(&buffer);
}

static void pieces_follow_each_other(void **state)
{
	struct buffer buffer = {};

	(void)state;
	buffer_string(&buffer, "drops");
	buffer_char(&buffer, '{');
	buffer_bytes(&buffer, "a\0b", 3);
	buffer_printf(&buffer, "}%s %d", "=", -7);
	assert_int_equal(buffer.size, 14);
	assert_memory_equal(buffer.data, "drops{a\0b}= -7", 14);
	buffer_free(&buffer);
	assert_null(buffer.data);
	assert_int_equal(buffer.size, 0);
	assert_int_equal(buffer.capacity, 0);
}

/* Every boundary between "fits", "fits but for the NUL" and "does not fit". */
static void printf_at_every_length(void **state)
{
	(void)state;
	for (unsigned already = 0; already < 40; already++) {
		for (unsigned length = 0; length < 40; length++) {
			struct buffer buffer = {};
			char expected[128] = "";

			buffer.data = malloc(32);
			assert_non_null(buffer.data);
			buffer.capacity = 32;
			for (unsigned i = 0; i < already; i++)
				buffer_char(&buffer, 'x');
			buffer_printf(&buffer, "%0*d", (int)length, 0);
			memset(expected, 'x', already);
			sprintf(expected + already, "%0*d", (int)length, 0);
			assert_text(&buffer, expected);
			buffer_free(&buffer);
		}
	}
}

static void printf_first_of_all(void **state)
{
	struct buffer buffer = {};

	(void)state;
	buffer_printf(&buffer, "%s", "");
	assert_false(buffer.failed);
	buffer_printf(&buffer, "%5000d", 1);
	assert_int_equal(buffer.size, 5000);
	assert_int_equal(buffer.data[4999], '1');
	buffer_free(&buffer);
}

static void grows_a_lot(void **state)
{
	struct buffer buffer = {};

	(void)state;
	for (unsigned i = 0; i < 300000; i++)
		buffer_char(&buffer, (char)('a' + i % 26));
	assert_int_equal(buffer.size, 300000);
	for (unsigned i = 0; i < 300000; i++)
		assert_int_equal(buffer.data[i], 'a' + i % 26);
	assert_true(buffer.capacity < 2 * 300000 + 2);
	buffer_free(&buffer);
}

static void failure_drops_the_rest(void **state)
{
	struct buffer buffer = {};

	(void)state;
	buffer_string(&buffer, "kept");
	assert_false(buffer_reserve(&buffer, SIZE_MAX - 2));
	assert_true(buffer.failed);
	buffer_string(&buffer, "dropped");
	buffer_printf(&buffer, "%d", 1);
	buffer_u64(&buffer, 1);
	buffer_seconds(&buffer, 1);
	assert_false(buffer_reserve(&buffer, 1));
	assert_int_equal(buffer.size, 4);
	assert_memory_equal(buffer.data, "kept", 4);
	buffer_free(&buffer);
	assert_false(buffer.failed);
}

static void assert_u64(uint64_t value)
{
	struct buffer buffer = {};
	char expected[32];

	sprintf(expected, "%" PRIu64, value);
	buffer_u64(&buffer, value);
	assert_text(&buffer, expected);
	buffer_free(&buffer);
}

static void u64(void **state)
{
	uint64_t power = 1;

	(void)state;
	for (uint64_t i = 0; i < 12000; i++)
		assert_u64(i);
	for (unsigned i = 0; i < 19; i++, power *= 10) {
		assert_u64(power - 1);
		assert_u64(power);
		assert_u64(power + 1);
		assert_u64(power * 9 + power / 3);
	}
	for (unsigned i = 0; i < 64; i++)
		assert_u64((uint64_t)0xfedcba9876543210 >> i);
	assert_u64(UINT64_MAX);
	assert_u64(UINT64_MAX - 1);
}

static void seconds(void **state)
{
	static const struct {
		uint64_t nanoseconds;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "0.000000001" },
		{ 10, "0.00000001" },
		{ 999, "0.000000999" },
		{ 1000, "0.000001" },
		{ 123456789, "0.123456789" },
		{ 100000000, "0.1" },
		{ 999999999, "0.999999999" },
		{ 1000000000, "1" },
		{ 1000000001, "1.000000001" },
		{ 1500000000, "1.5" },
		{ 60000000000, "60" },
		{ 123012300000, "123.0123" },
		{ UINT64_MAX, "18446744073.709551615" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buffer buffer = {};

		buffer_seconds(&buffer, cases[i].nanoseconds);
		assert_text(&buffer, cases[i].text);
		buffer_free(&buffer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(pieces_follow_each_other),
		cmocka_unit_test(printf_at_every_length),
		cmocka_unit_test(printf_first_of_all),
		cmocka_unit_test(grows_a_lot),
		cmocka_unit_test(failure_drops_the_rest),
		cmocka_unit_test(u64),
		cmocka_unit_test(seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
