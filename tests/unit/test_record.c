/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record.h"

static const uint64_t numbers[] = {
	0,	    1,		127,	    128,	16383,
	16384,	    UINT32_MAX, 1ULL << 56, 1ULL << 62, (1ULL << 63) - 1,
	1ULL << 63, UINT64_MAX,
};

/* Takes over what was written: in memory of exactly its size, so that reading on is seen. */
static struct record record_of(struct buffer *buffer, size_t size, void **ret_memory)
{
	unsigned char *memory = malloc(size);

	assert_non_null(memory);
	if (size > 0)
		memcpy(memory, buffer->data, size);
	*ret_memory = memory;
	return (struct record){ memory, memory + size, false };
}

static struct record record_of_bytes(const void *bytes, size_t size, void **ret_memory)
{
	struct buffer buffer = { .data = (char *)bytes };

	return record_of(&buffer, size, ret_memory);
}

static void numbers_come_back(void **state)
{
	struct buffer buffer = { .data = NULL };
	uint64_t taken[ARRAY_SIZE(numbers)];
	struct record record;
	void *memory;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		record_number(&buffer, numbers[i]);
	record_numbers(&buffer, numbers, ARRAY_SIZE(numbers));
	record = record_of(&buffer, buffer.size, &memory);
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_int_equal(record_take_number(&record), numbers[i]);
	record_take_numbers(&record, taken, ARRAY_SIZE(numbers));
	assert_memory_equal(taken, numbers, sizeof(numbers));
	assert_false(record.failed);
	assert_ptr_equal(record.at, record.end);
	free(memory);
	buffer_free(&buffer);
}

static void numbers_are_short(void **state)
{
	struct buffer buffer = { .data = NULL };

	(void)state;
	record_number(&buffer, 0);
	record_number(&buffer, 127);
	assert_int_equal(buffer.size, 2);
	record_number(&buffer, 128);
	assert_int_equal(buffer.size, 4);
	record_number(&buffer, UINT64_MAX);
	assert_int_equal(buffer.size, 14);
	buffer_free(&buffer);
}

static void texts_come_back(void **state)
{
	struct buffer buffer = { .data = NULL };
	char longer[1000];
	struct record record;
	void *memory;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	record_text(&buffer, "");
	record_text(&buffer, "\xff\x80");
	record_text(&buffer, longer);
	record = record_of(&buffer, buffer.size, &memory);
	assert_string_equal(record_take_text(&record), "");
	assert_string_equal(record_take_text(&record), "\xff\x80");
	assert_string_equal(record_take_text(&record), longer);
	assert_false(record.failed);
	assert_ptr_equal(record.at, record.end);
	free(memory);
	buffer_free(&buffer);
}

/* From the failure on, everything is 0 or "". */
static void assert_failed(struct record *record)
{
	uint64_t some[2] = { 7, 7 };

	assert_true(record->failed);
	assert_ptr_equal(record->at, record->end);
	assert_int_equal(record_take_number(record), 0);
	assert_int_equal(record_take_count(record, UINT64_MAX), 0);
	assert_string_equal(record_take_text(record), "");
	record_take_numbers(record, some, 2);
	assert_int_equal(some[0], 0);
	assert_int_equal(some[1], 0);
	assert_true(record->failed);
}

static void cut_anywhere(void **state)
{
	struct buffer buffer = { .data = NULL };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		record_number(&buffer, numbers[i]);
		record_text(&buffer, "some text");
	}
	for (size_t size = 0; size <= buffer.size; size++) {
		void *memory;
		struct record record = record_of(&buffer, size, &memory);
		unsigned i;

		for (i = 0; i < ARRAY_SIZE(numbers); i++) {
			uint64_t number = record_take_number(&record);
			const char *text = record_take_text(&record);

			if (record.failed)
				break;
			assert_int_equal(number, numbers[i]);
			assert_string_equal(text, "some text");
		}
		assert_int_equal(record.failed, size < buffer.size);
		if (record.failed)
			assert_failed(&record);
		free(memory);
	}
	buffer_free(&buffer);
}

static void counts_have_a_limit(void **state)
{
	struct buffer buffer = { .data = NULL };
	struct record record;
	void *memory;

	(void)state;
	record_number(&buffer, 5);
	record_number(&buffer, 0);
	record_number(&buffer, UINT64_MAX);
	record_number(&buffer, 6);
	record_number(&buffer, 1);
	record = record_of(&buffer, buffer.size, &memory);
	assert_int_equal(record_take_count(&record, 5), 5);
	assert_int_equal(record_take_count(&record, 0), 0);
	assert_true(record_take_count(&record, UINT64_MAX) == UINT64_MAX);
	assert_false(record.failed);
	assert_int_equal(record_take_count(&record, 5), 0);
	assert_failed(&record);
	free(memory);
	buffer_free(&buffer);
}

/* More bits than a number has, and a number that never ends. */
static void numbers_too_large(void **state)
{
	static const char *const bytes[] = {
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7e",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\x01",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
		void *memory;
		struct record record = record_of_bytes(bytes[i], strlen(bytes[i]), &memory);

		assert_int_equal(record_take_number(&record), 0);
		assert_failed(&record);
		free(memory);
	}
}

/* A text whose size is not its own. */
static void texts_that_lie(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} some[] = {
		{ "\3abc", 4 },	 /* no NUL */
		{ "\3abcd", 5 }, /* none in its place */
		{ "\3a\0c", 5 }, /* one before it */
		{ "\0", 1 },	 /* not even the NUL */
		{ "\0x", 2 },
		{ "\x7f"
		  "abc",
		  5 }, /* beyond the end */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		  "abc",
		  14 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(some); i++) {
		void *memory;
		struct record record = record_of_bytes(some[i].bytes, some[i].size, &memory);

		assert_string_equal(record_take_text(&record), "");
		assert_failed(&record);
		free(memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_come_back),   cmocka_unit_test(numbers_are_short),
		cmocka_unit_test(texts_come_back),     cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(counts_have_a_limit), cmocka_unit_test(numbers_too_large),
		cmocka_unit_test(texts_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
