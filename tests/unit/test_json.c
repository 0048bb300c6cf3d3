/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "fixtures.h"
#include "golden.h"
#include "render/json.h"
#include "shared.h"

/* Renders the answer to one parameter, or to none; the text must be one JSON value and a newline.
 * */
static cJSON *render(struct buffer *buffer, const struct table *table, const char *name,
		     const char *value)
{
	struct result result;
	const char *end;
	cJSON *json;

	ask(table, name, value, &result);
	json_render(buffer, table, &result, "db7.example.com", NOW);
	result_free(&result);

	assert_false(buffer->failed);
	json = cJSON_ParseWithLengthOpts(buffer->data, buffer->size, &end, false);
	assert_non_null(json);
	assert_int_equal(end - buffer->data, buffer->size - 1);
	assert_int_equal(*end, '\n');
	return json;
}

static void assert_rendered(const struct table *table, const char *name, const char *value,
			    const char *path)
{
	struct buffer buffer = {};

	cJSON_Delete(render(&buffer, table, name, value));
	assert_golden(&buffer, path);
	buffer_free(&buffer);
}

static bool contains(const struct buffer *buffer, const char *text)
{
	return memmem(buffer->data, buffer->size, text, strlen(text)) != NULL;
}

static void assert_contains(const struct buffer *buffer, const char *text)
{
	if (!contains(buffer, text))
		fail_msg("\"%s\" is not in:\n%.*s", text, (int)buffer->size, buffer->data);
}

static void drops(void **state)
{
	struct table *table = make_drops();

	(void)state;
	assert_rendered(table, NULL, NULL, "tests/unit/golden/drops.json");
	table_free(table);
}

static void drops_by_device(void **state)
{
	struct table *table = make_drops();

	(void)state;
	assert_rendered(table, "by", "device", "tests/unit/golden/drops_by_device.json");
	table_free(table);
}

static void block(void **state)
{
	struct table *table = make_block();

	(void)state;
	assert_rendered(table, "top", "1", "tests/unit/golden/block.json");
	table_free(table);
}

static void empty(void **state)
{
	struct table *table;

	(void)state;
	assert_int_equal(table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1, &table),
			 0);
	assert_rendered(table, NULL, NULL, "tests/unit/golden/empty.json");
	table_free(table);
}

/* What must not have gone through a double. */
static void integers_are_exact(void **state)
{
	static const char *const labels[6] = { "a", "b", "c", "d", "18446744073709551615", "f" };
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	add_drops(table, labels, UINT64_MAX, 9007199254740993, NOW, NOW);
	cJSON_Delete(render(&buffer, table, "symbol", "a"));
	assert_contains(&buffer, "\"packets\": 18446744073709551615,");
	assert_contains(&buffer, "\"bytes\": 9007199254740993,");
	assert_contains(&buffer, "\"bytes\": 9007199254740993,\n    \"rate\": 1099511627.775\n");
	assert_contains(&buffer, "\"netns\": 18446744073709551615,");
	buffer_free(&buffer);
	table_free(table);
}

static void seconds_are_exact(void **state)
{
	struct table *table = make_block();
	struct buffer buffer = {};

	(void)state;
	table->rows[0]->values[table->value_of[3]] = UINT64_MAX;
	table->rows[0]->values[table->value_of[4]] = 9007199254740993;
	cJSON_Delete(render(&buffer, table, NULL, NULL));
	assert_contains(&buffer, "\"oldest\": 18446744073.709551615,");
	assert_contains(&buffer, "\"sum\": 9007199.254740993,");
	buffer_free(&buffer);
	table_free(table);
}

/* Only what is a JSON integer is written as one. */
static void number_labels(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "null" },		  { "0", "0" },
		{ "-7", "-7" },		  { "4026531840", "4026531840" },
		{ "007", "\"007\"" },	  { "-", "\"-\"" },
		{ "+1", "\"+1\"" },	  { "1e5", "\"1e5\"" },
		{ "0x10", "\"0x10\"" },	  { "12a\"", "\"12a\\\"\"" },
		{ "0.2", "0.2" },	  { "1.500000", "1.500000" },
		{ "-0.5", "-0.5" },	  { "12.0", "12.0" },
		{ "1.", "\"1.\"" },	  { ".5", "\".5\"" },
		{ "-.5", "\"-.5\"" },	  { "1.2.3", "\"1.2.3\"" },
		{ "00.5", "\"00.5\"" },	  { "1.5s", "\"1.5s\"" },
		{ "1.5e3", "\"1.5e3\"" }, { "1.-5", "\"1.-5\"" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *labels[6] = { "only", "", "", "", cases[i].text, "" };
		struct table *table = make_drops();
		struct buffer buffer = {};
		char expected[64];

		add_drops(table, labels, 1, 1, NOW, NOW);
		cJSON_Delete(render(&buffer, table, "symbol", "only"));
		snprintf(expected, sizeof(expected), "\"netns\": %s,\n", cases[i].expected);
		assert_contains(&buffer, expected);
		buffer_free(&buffer);
		table_free(table);
	}
}

/* Whatever a label holds comes back from a parser. */
static void labels_survive(void **state)
{
	static const char *const labels[6] = { "a\"b\\c",   "\xf0\x9f\x90\xa7 \xc3\xa9",
					       "</script>", "br-'0",
					       NULL,	    "" };
	struct table *table = make_drops();
	struct buffer buffer = {};
	cJSON *json, *row;

	(void)state;
	add_drops(table, labels, 1, 1, NOW, NOW);
	json = render(&buffer, table, "symbol", labels[0]);
	row = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "rows"), 0);
	assert_non_null(row);
	for (unsigned i = 0; i < 4; i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, drops_columns[i].name);

		assert_string_equal(cJSON_GetStringValue(item), labels[i]);
	}
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(row, "netns")));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "offset")),
			    "");
	cJSON_Delete(json);
	buffer_free(&buffer);
	table_free(table);
}

static void retired_only_when_unfiltered(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	table_retire(table, table->rows[0]);
	cJSON_Delete(render(&buffer, table, NULL, NULL));
	assert_contains(&buffer, "  \"retired\": {\n    \"packets\": 8208000,\n"
				 "    \"bytes\": 492480000\n  },\n");
	buffer_free(&buffer);
	cJSON_Delete(render(&buffer, table, "device", "eth0"));
	assert_false(contains(&buffer, "retired"));
	buffer_free(&buffer);
	table_free(table);
}

static void assert_string(const char *bytes, size_t size, const char *expected)
{
	struct buffer buffer = {};

	json_string(&buffer, bytes, size);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, expected);
	buffer_free(&buffer);
}

static void strings(void **state)
{
	(void)state;
	assert_string("", 0, "\"\"");
	assert_string("plain", 5, "\"plain\"");
	assert_string("\"\\/", 3, "\"\\\"\\\\/\"");
	assert_string("\0\n\t\r\x1b[2J\x7f", 9, "\"\\u0000\\n\\t\\u000d\\u001b[2J\\u007f\"");
	assert_string("\xc2\x9b\xc2\xa0", 4, "\"\\u009b\xc2\xa0\"");
	/* The first and the last character of each length, and around the surrogates. */
	assert_string("\xc2\x80", 2, "\"\\u0080\"");
	assert_string("\xdf\xbf", 2, "\"\xdf\xbf\"");
	assert_string("\xe0\xa0\x80\xef\xbf\xbf", 6, "\"\xe0\xa0\x80\xef\xbf\xbf\"");
	assert_string("\xed\x9f\xbf\xee\x80\x80", 6, "\"\xed\x9f\xbf\xee\x80\x80\"");
	assert_string("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8,
		      "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
}

static void invalid_utf8_is_replaced(void **state)
{
	static const struct {
		const char *bytes;
		unsigned replaced;
	} cases[] = {
		{ "\x80", 1 },
		{ "\xff", 1 },
		{ "\xc0\x80", 2 },
		{ "\xc1\xbf", 2 },
		{ "\xe0\x9f\xbf", 3 },
		{ "\xed\xa0\x80", 3 },
		{ "\xf0\x8f\xbf\xbf", 4 },
		{ "\xf4\x90\x80\x80", 4 },
		{ "\xf5\x80\x80\x80", 4 },
		{ "\xc3", 1 },
		{ "\xe2\x82", 2 },
		{ "\xf0\x9f\x90", 3 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[64] = "\"";

		for (unsigned j = 0; j < cases[i].replaced; j++)
			strcat(expected, "\\ufffd");
		strcat(expected, "\"");
		assert_string(cases[i].bytes, strlen(cases[i].bytes), expected);
	}
	/* A broken character does not swallow what follows it. */
	assert_string("\xc3\"x", 3, "\"\\ufffd\\\"x\"");
	/* Nothing is read behind the end. */
	assert_string("\xc3\xa9", 1, "\"\\ufffd\"");
}

static void assert_time(uint64_t nanoseconds, const char *expected)
{
	struct buffer buffer = {};

	json_time(&buffer, nanoseconds);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, expected);
	buffer_free(&buffer);
}

static void times(void **state)
{
	(void)state;
	assert_time(0, "\"1970-01-01T00:00:00.000Z\"");
	assert_time(999999, "\"1970-01-01T00:00:00.000Z\"");
	assert_time(1000000, "\"1970-01-01T00:00:00.001Z\"");
	assert_time(NOW, "\"2026-11-21T03:12:45.678Z\"");
	assert_time(951827696999999999, "\"2000-02-29T12:34:56.999Z\"");
	assert_time(UINT64_MAX, "\"2554-07-21T23:34:33.709Z\"");
}

/* The answer is UTC wherever the machine stands. */
static void assert_exact_time(uint64_t nanoseconds, const char *expected)
{
	struct buffer buffer = {};

	json_time_exact(&buffer, nanoseconds);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, expected);
	buffer_free(&buffer);
}

static void exact_times(void **state)
{
	(void)state;
	assert_exact_time(0, "\"1970-01-01T00:00:00.000000Z\"");
	assert_exact_time(999, "\"1970-01-01T00:00:00.000000Z\"");
	assert_exact_time(1000, "\"1970-01-01T00:00:00.000001Z\"");
	assert_exact_time(999999999, "\"1970-01-01T00:00:00.999999Z\"");
	assert_exact_time(NOW, "\"2026-11-21T03:12:45.678901Z\"");
	assert_exact_time(UINT64_MAX, "\"2554-07-21T23:34:33.709551Z\"");
}

static void no_local_time(void **state)
{
	(void)state;
	assert_int_equal(setenv("TZ", "LINT-14", 1), 0);
	tzset();
	assert_time(NOW, "\"2026-11-21T03:12:45.678Z\"");
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static void assert_error(const char *parameter, unsigned n_allowed, const char *expected)
{
	static const char *const allowed[] = { "json", "te\"xt" };
	struct buffer buffer = {};
	cJSON *json;

	json_error(&buffer, "no such \"thing\"", parameter, allowed, n_allowed);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, expected);
	json = cJSON_Parse(buffer.data);
	assert_non_null(json);
	cJSON_Delete(json);
	buffer_free(&buffer);
}

static void errors(void **state)
{
	(void)state;
	assert_error("for\nmat", 2,
		     "{\n"
		     "  \"error\": \"no such \\\"thing\\\"\",\n"
		     "  \"parameter\": \"for\\nmat\",\n"
		     "  \"allowed\": [\n"
		     "    \"json\",\n"
		     "    \"te\\\"xt\"\n"
		     "  ]\n"
		     "}\n");
	assert_error(NULL, 0,
		     "{\n"
		     "  \"error\": \"no such \\\"thing\\\"\",\n"
		     "  \"allowed\": []\n"
		     "}\n");
}

static void assert_stacks(const struct shares *shares, const char *path)
{
	struct buffer buffer = {};
	cJSON *json;

	json_shares(&buffer, shares, "db7.example.com", NOW);
	json = cJSON_ParseWithLength(buffer.data, buffer.size);
	assert_non_null(json);
	cJSON_Delete(json);
	assert_golden(&buffer, path);
	buffer_free(&buffer);
}

static void stacks(void **state)
{
	struct shared shared;

	(void)state;
	shared_make(&shared);
	assert_stacks(&shared.shares, "tests/unit/golden/stacks.json");
	shared_free(&shared);
}

/* Labels that are not to be shown; no sample has ever been taken. */
static void no_stacks(void **state)
{
	struct shared shared;

	(void)state;
	shared_make(&shared);
	shared.shares.columns = 1;
	shared.shares.n = 0;
	shared.shares.events = 0;
	shared.shares.sampled_since = 0;
	assert_stacks(&shared.shares, "tests/unit/golden/no_stacks.json");
	shared.shares.n = 1;
	shared.list[0].n_frames = 1;
	shared.list[0].events = shared.shares.events = UINT64_MAX;
	assert_stacks(&shared.shares, "tests/unit/golden/one_stack.json");
	shared_free(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops),
		cmocka_unit_test(drops_by_device),
		cmocka_unit_test(block),
		cmocka_unit_test(empty),
		cmocka_unit_test(integers_are_exact),
		cmocka_unit_test(seconds_are_exact),
		cmocka_unit_test(number_labels),
		cmocka_unit_test(labels_survive),
		cmocka_unit_test(retired_only_when_unfiltered),
		cmocka_unit_test(strings),
		cmocka_unit_test(invalid_utf8_is_replaced),
		cmocka_unit_test(times),
		cmocka_unit_test(exact_times),
		cmocka_unit_test(no_local_time),
		cmocka_unit_test(stacks),
		cmocka_unit_test(no_stacks),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
