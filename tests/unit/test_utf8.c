/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/label.h"
#include "model/utf8.h"
#include "util.h"

static size_t encode(uint32_t code, char text[static 5])
{
	size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = size - 1; i > 0; i--, code >>= 6)
		text[i] = (char)(0x80 | (code & 0x3f));
	text[0] = (char)(marks[size] | code);
	text[size] = '\0';
	return size;
}

/* What is no character: a surrogate, or beyond the last one. */
static bool is_character(uint32_t code)
{
	return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static void every_character(void **state)
{
	char text[5];

	(void)state;
	for (uint32_t code = 0; code < 0x1fffff; code++) {
		size_t size = encode(code, text), expected = is_character(code) ? size : 0;

		if (utf8_character(text, size) != expected)
			fail_msg("U+%04X: %zu", code, utf8_character(text, size));
		if (size > 1 && utf8_character(text, size - 1) != 0)
			fail_msg("U+%04X, cut", code);
		if (!expected)
			continue;
		if (utf8_is_control(text) != (code < ' ' || (code >= 0x7f && code < 0xa0)))
			fail_msg("U+%04X: control %d", code, utf8_is_control(text));
		if (code > 0 && (utf8_size(text) != size || utf8_length(text) != 1))
			fail_msg("U+%04X: size %zu", code, utf8_size(text));
	}
}

/* Of all pairs of bytes only these: two of ASCII, and one of two bytes. */
static void every_pair(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 1 << 16; pair++) {
		unsigned char first = pair >> 8, second = pair & 0xff;
		char text[2] = { (char)first, (char)second };
		size_t expected = 0;

		if (first < 0x80)
			expected = 1;
		else if (first >= 0xc2 && first < 0xe0 && second >> 6 == 2)
			expected = 2;
		if (utf8_character(text, sizeof(text)) != expected)
			fail_msg("%04x: %zu", pair, utf8_character(text, sizeof(text)));
	}
}

static void not_characters(void **state)
{
	static const char *const texts[] = {
		"\x80",		"\xbf",		"\xc0\x80",	    "\xc1\xbf",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80", "\xff",		"\xe2\x82z",	    "\xf0\x9f\x90z",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(utf8_character(texts[i], strlen(texts[i])), 0);
}

static void length(void **state)
{
	(void)state;
	assert_int_equal(utf8_length(""), 0);
	assert_int_equal(utf8_length("abc"), 3);
	assert_int_equal(utf8_length("\xc3\xa9\xf0\x9f\x90\xa7\xe2\x82\xac!"), 4);
}

static void assert_label(const char *string, const char *expected)
{
	char text[TABLE_MAX_LABEL_BYTES + 1];
	struct label label;

	assert_true(labels_size(&string, NULL, 1) <= sizeof(text));
	labels_fill(&label, &string, NULL, 1, text);
	assert_string_equal(text, expected);
	assert_int_equal(label.size, strlen(expected));
}

static void labels_without_c1(void **state)
{
	(void)state;
	assert_label("a\xc2\x80z", "a?z");
	assert_label("\xc2\x9b[2J", "?[2J");
	assert_label("\xc2\x9f\xc2\xa0", "?\xc2\xa0");
}

/* Each character, at each place that it can have at the limit. */
static void labels_end_between_characters(void **state)
{
	static const char *const characters[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xa7" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(characters); i++) {
		size_t size = strlen(characters[i]);

		for (size_t before = TABLE_MAX_LABEL_BYTES - size; before <= TABLE_MAX_LABEL_BYTES;
		     before++) {
			char text[TABLE_MAX_LABEL_BYTES + 10], expected[sizeof(text)];

			memset(text, 'x', before);
			strcpy(text + before, characters[i]);
			strcat(text, "z");
			strcpy(expected, text);
			expected[before + size > TABLE_MAX_LABEL_BYTES ? before : before + size] =
				'\0';
			assert_label(text, expected);
		}
	}
}

/* What is no character is replaced at the limit, too, byte by byte. */
static void labels_end_in_no_character(void **state)
{
	char text[TABLE_MAX_LABEL_BYTES + 10], expected[TABLE_MAX_LABEL_BYTES + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	strcpy(text + TABLE_MAX_LABEL_BYTES - 2, "\xf0\x9fxx");
	memcpy(expected, text, TABLE_MAX_LABEL_BYTES);
	strcpy(expected + TABLE_MAX_LABEL_BYTES - 2, "??");
	assert_label(text, expected);
	text[TABLE_MAX_LABEL_BYTES] = '\0';
	assert_label(text, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character),
		cmocka_unit_test(every_pair),
		cmocka_unit_test(not_characters),
		cmocka_unit_test(length),
		cmocka_unit_test(labels_without_c1),
		cmocka_unit_test(labels_end_between_characters),
		cmocka_unit_test(labels_end_in_no_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
