/* SPDX-License-Identifier: BSD-2-Clause */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/label.h"
#include "util.h"

/* Into memory of exactly the size that was asked for: the sanitizer watches its end. */
static struct label fill(const char *string, char **ret_text)
{
	struct label label;

	*ret_text = malloc(labels_size(&string, NULL, 1));
	assert_non_null(*ret_text);
	labels_fill(&label, &string, NULL, 1, *ret_text);
	assert_ptr_equal(label.text, *ret_text);
	assert_int_equal(label.size, strlen(label.text));
	return label;
}

static void assert_label(const char *string, const char *expected, bool plain)
{
	char *text;
	struct label label = fill(string, &text);

	assert_string_equal(label.text, expected);
	assert_int_equal(label.plain, plain);
	free(text);
}

static void plain_texts(void **state)
{
	(void)state;
	assert_label("", "", true);
	assert_label(NULL, "", true);
	assert_label("tcp_v4_rcv", "tcp_v4_rcv", true);
	assert_label(" !#$%&'()*+,-./:;<=>?@[]^_`{|}~", " !#$%&'()*+,-./:;<=>?@[]^_`{|}~", true);
}

static void what_must_be_escaped(void **state)
{
	(void)state;
	assert_label("\"", "\"", false);
	assert_label("\\", "\\", false);
	assert_label("a\"b", "a\"b", false);
	assert_label("C:\\n", "C:\\n", false);
}

static void control_characters(void **state)
{
	(void)state;
	assert_label("a\nb\tc\r", "a?b?c?", true);
	assert_label("\x1b[2J", "?[2J", true);
	assert_label("\x01\x1f\x7f", "???", true);
	/* C1, which terminals obey, too; what lies beside it stays. */
	assert_label("\xc2\x80\xc2\x9b\xc2\x9f", "???", true);
	assert_label("\xc2\xa0\xe2\x80\x9b", "\xc2\xa0\xe2\x80\x9b", true);
}

static void utf8_stays(void **state)
{
	static const char *const texts[] = {
		"\xc3\xa9t\xc3\xa9",
		"\xf0\x9f\x90\xa7",
		/* The first and the last of each length, and around the surrogates. */
		"\xc2\xa0",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
		assert_label(texts[i], texts[i], true);
}

static void not_utf8(void **state)
{
	static const struct {
		const char *bytes, *expected;
	} cases[] = {
		{ "\x80", "?" },
		{ "\xbf", "?" },
		{ "\xfe\xff", "??" },
		{ "\xc0\x80", "??" }, /* overlong NUL */
		{ "\xc1\xbf", "??" },
		{ "\xc0\xa2", "??" }, /* overlong quote */
		{ "\xe0\x9f\xbf", "???" },
		{ "\xe0\x80\xa2", "???" },
		{ "\xf0\x8f\xbf\xbf", "????" },
		{ "\xed\xa0\x80", "???" }, /* surrogates */
		{ "\xed\xbf\xbf", "???" },
		{ "\xf4\x90\x80\x80", "????" }, /* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", "????" },
		{ "\xf8\x88\x80\x80\x80", "?????" },
		{ "\xc3", "?" },
		{ "\xe2\x82", "??" },
		{ "\xf0\x9f\x90", "???" },
		{ "\xc3\xc3\xa9", "?\xc3\xa9" },
		{ "a\xe2\x82z", "a??z" },
		{ "\xf0\x9f\"", "??\"" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_label(cases[i].bytes, cases[i].expected, !strchr(cases[i].bytes, '"'));
}

/* Whatever bytes come, what is kept is valid, says the C library too: a second time nothing
 * changes. */
static void random_bytes(void **state)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);

	(void)state;
	if (utf8)
		uselocale(utf8);
	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		char bytes[12], *first, *second;
		struct label label, again;
		size_t n = (size_t)random() % sizeof(bytes);

		for (size_t j = 0; j < n; j++)
			bytes[j] =
				(char)(random() % 2 ? random() % 255 + 1 : 0x80 + random() % 128);
		bytes[n] = '\0';
		label = fill(bytes, &first);
		assert_true(label.size <= n);
		assert_int_equal(label.plain, !strpbrk(label.text, "\"\\"));
		assert_true(!utf8 || mbstowcs(NULL, label.text, 0) != (size_t)-1);
		again = fill(label.text, &second);
		assert_string_equal(again.text, label.text);
		free(first);
		free(second);
	}
	uselocale(LC_GLOBAL_LOCALE);
	if (utf8)
		freelocale(utf8);
}

/* A string of `size` bytes: `a` throughout, then `tail`. */
static char *padded(size_t size, const char *tail)
{
	size_t before = size - strlen(tail);
	char *string = malloc(size + 1);

	assert_non_null(string);
	memset(string, 'a', before);
	strcpy(string + before, tail);
	return string;
}

static void assert_cut(size_t size, const char *tail, size_t expected)
{
	char *string = padded(size, tail), *text;
	struct label label = fill(string, &text);

	assert_int_equal(label.size, expected);
	assert_memory_equal(label.text, string, expected);
	free(string);
	free(text);
}

static void long_texts_are_cut(void **state)
{
	(void)state;
	assert_cut(254, "", 254);
	assert_cut(255, "", 255);
	assert_cut(256, "", 255);
	assert_cut(100000, "", 255);
	assert_cut(255, "\xc3\xa9", 255);
	assert_cut(255, "\xf0\x9f\x90\xa7", 255);
}

/* A character that does not fit as a whole is left out as a whole. */
static void cut_between_characters(void **state)
{
	(void)state;
	assert_cut(256, "\xc3\xa9", 254);
	assert_cut(256, "\xe2\x82\xac", 253);
	assert_cut(257, "\xe2\x82\xac", 254);
	assert_cut(256, "\xf0\x9f\x90\xa7", 252);
	assert_cut(257, "\xf0\x9f\x90\xa7", 253);
	assert_cut(258, "\xf0\x9f\x90\xa7", 254);
	assert_cut(260, "\xf0\x9f\x90\xa7zz", 254);
}

static void several(void **state)
{
	const char *const strings[] = { "one", NULL, "", "\x01\"", "f\xc3\xbcnf" };
	struct label labels[ARRAY_SIZE(strings)];
	size_t size = labels_size(strings, NULL, ARRAY_SIZE(strings));
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	assert_int_equal(size, 4 + 1 + 1 + 3 + 6);
	labels_fill(labels, strings, NULL, ARRAY_SIZE(strings), text);
	assert_string_equal(labels[0].text, "one");
	assert_string_equal(labels[1].text, "");
	assert_string_equal(labels[2].text, "");
	assert_string_equal(labels[3].text, "?\"");
	assert_string_equal(labels[4].text, "f\xc3\xbcnf");
	assert_true(labels[0].plain && labels[1].plain && labels[2].plain && labels[4].plain);
	assert_false(labels[3].plain);
	free(text);
	assert_int_equal(labels_size(NULL, NULL, 0), 0);
}

static void copies(void **state)
{
	const char *const strings[] = { "one", "t\"wo", "", "four" };
	const uint8_t which[] = { 3, 1, 2 };
	struct label labels[ARRAY_SIZE(strings)], *copy, *none;
	char *text = malloc(labels_size(strings, NULL, ARRAY_SIZE(strings)));

	(void)state;
	assert_non_null(text);
	labels_fill(labels, strings, NULL, ARRAY_SIZE(strings), text);
	copy = labels_copy(labels, which, ARRAY_SIZE(which));
	none = labels_copy(labels, which, 0);
	free(text); /* the copy has texts of its own */
	assert_non_null(copy);
	assert_non_null(none);
	assert_string_equal(copy[0].text, "four");
	assert_string_equal(copy[1].text, "t\"wo");
	assert_string_equal(copy[2].text, "");
	assert_int_equal(copy[0].size, 4);
	assert_true(copy[0].plain);
	assert_false(copy[1].plain);
	free(copy);
	free(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_texts),
		cmocka_unit_test(what_must_be_escaped),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(utf8_stays),
		cmocka_unit_test(not_utf8),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(cut_between_characters),
		cmocka_unit_test(several),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
