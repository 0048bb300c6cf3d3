/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include <string.h>

#include "render/line.h"

static void assert_buffer(struct buffer *buffer, const char *expected)
{
	assert_false(buffer->failed);
	buffer_char(buffer, '\0');
	assert_string_equal(buffer->data, expected);
	buffer_free(buffer);
}

static void times(void **state)
{
	static const struct {
		uint64_t time;
		const char *text;
	} times[] = {
		{ NOW, "{\"time\":\"2026-11-21T03:12:45.678901Z\"}\n" },
		{ 0, "{\"time\":\"1970-01-01T00:00:00.000000Z\"}\n" },
		{ 999, "{\"time\":\"1970-01-01T00:00:00.000000Z\"}\n" },
		{ 1000, "{\"time\":\"1970-01-01T00:00:00.000001Z\"}\n" },
		{ NOW / SECOND * SECOND - 1, "{\"time\":\"2026-11-21T03:12:44.999999Z\"}\n" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		struct buffer line = { .data = NULL };

		line_begin(&line, times[i].time);
		line_end(&line);
		assert_buffer(&line, times[i].text);
	}
}

static void labels(void **state)
{
	struct table *table = make_drops();
	struct buffer line = { .data = NULL };

	(void)state;
	line_labels(&line, table, table->rows[0]);
	assert_buffer(&line, ",\"symbol\":\"__netif_receive_skb_core\",\"module\":\"\","
			     "\"reason\":\"UNHANDLED_PROTO\",\"device\":\"eth0\",\"netns\":null,"
			     "\"offset\":\"0x8a1\"");
	line_labels(&line, table, table->rows[1]);
	assert_buffer(&line, ",\"symbol\":\"tcp_v4_rcv\",\"module\":\"\",\"reason\":\"NO_SOCKET\","
			     "\"device\":\"eth0\",\"netns\":4026531840,\"offset\":\"\"");
	table_free(table);
}

static void labels_but_prose(void **state)
{
	static const struct column columns[] = {
		{ .name = "first" },
		{ .name = "hint", .prose = true, .borrowed = true, .detail = true },
		{ .name = "last" },
		{ .name = "packets", .kind = COLUMN_COUNTER },
	};
	static const char *const texts[] = { "a \"b\"\n\x1b\xff", "a sentence", "\xc3\xa9" };
	struct buffer line = { .data = NULL };
	struct table *table;
	struct row *row;

	(void)state;
	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), 10, &table), 0);
	assert_int_equal(table_add(table, texts, NOW, &row), 0);
	line_labels(&line, table, row);
	assert_buffer(&line, ",\"first\":\"a \\\"b\\\"???\",\"last\":\"\xc3\xa9\"");
	table_free(table);
}

static void texts(void **state)
{
	static const struct column text = { .name = "text" };
	static const struct column number = { .name = "number", .number = true };
	struct buffer line = { .data = NULL };

	(void)state;
	line_text(&line, &text, "SYN,ACK");
	line_text(&line, &text, "");
	line_text(&line, &text, NULL);
	line_text(&line, &text, "a\\b\x07\x80z");
	line_text(&line, &number, "4294967295");
	line_text(&line, &number, "0");
	line_text(&line, &number, "");
	line_text(&line, &number, NULL);
	assert_buffer(&line, ",\"text\":\"SYN,ACK\",\"text\":null,\"text\":null,"
			     "\"text\":\"a\\\\b\\u0007\\ufffdz\",\"number\":4294967295,"
			     "\"number\":0,\"number\":null,\"number\":null");
}

static void numbers(void **state)
{
	struct buffer line = { .data = NULL };

	(void)state;
	line_number(&line, "n", UNIT_NONE, 0);
	line_number(&line, "n", UNIT_BYTES, UINT64_MAX);
	line_number(&line, "s", UNIT_SECONDS, 1500000000);
	line_number(&line, "s", UNIT_SECONDS, 1);
	line_number(&line, "s", UNIT_SECONDS, 0);
	assert_buffer(&line, ",\"n\":0,\"n\":18446744073709551615,\"s\":1.5,\"s\":0.000000001,"
			     "\"s\":0");
}

static void arrays(void **state)
{
	struct buffer line = { .data = NULL };

	(void)state;
	line_array_begin(&line, "none");
	line_array_end(&line);
	line_array_begin(&line, "one");
	line_array_item(&line, "tcp_v4_rcv+0xaa/0x8d0 [kernel]");
	line_array_end(&line);
	line_array_begin(&line, "more");
	line_array_item(&line, "");
	line_array_item(&line, "[");
	line_array_item(&line, "\"");
	line_array_item(&line, "z");
	line_array_end(&line);
	assert_buffer(&line, ",\"none\":[],\"one\":[\"tcp_v4_rcv+0xaa/0x8d0 [kernel]\"],"
			     "\"more\":[\"\",\"[\",\"\\\"\",\"z\"]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(labels),
		cmocka_unit_test(labels_but_prose),
		cmocka_unit_test(texts),
		cmocka_unit_test(numbers),
		cmocka_unit_test(arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
