/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixtures.h"
#include "golden.h"
#include "render/text.h"

static void render(struct buffer *buffer, const struct table *table, const char *name,
		   const char *value)
{
	struct result result;

	ask(table, name, value, &result);
	text_render(buffer, table, &result, "db7.example.com", NOW);
	result_free(&result);
	assert_false(buffer->failed);
}

/* No line is longer than `width` or ends in a space. */
static void assert_tidy(const struct buffer *buffer, size_t width)
{
	const char *at = buffer->data, *end = buffer->data + buffer->size;

	assert_int_equal(end[-1], '\n');
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if ((size_t)(newline - at) > width)
			fail_msg("too long: %.*s", (int)(newline - at), at);
		if (newline > at && newline[-1] == ' ')
			fail_msg("a space at the end: %.*s", (int)(newline - at), at);
		at = newline + 1;
	}
}

static void assert_rendered(const struct table *table, const char *name, const char *value,
			    size_t width, const char *path)
{
	struct buffer buffer = {};

	render(&buffer, table, name, value);
	assert_golden(&buffer, path);
	assert_tidy(&buffer, width);
	buffer_free(&buffer);
}

static void assert_contains(const struct buffer *buffer, const char *text, bool expected)
{
	if ((memmem(buffer->data, buffer->size, text, strlen(text)) != NULL) != expected)
		fail_msg("\"%s\" is %sin:\n%.*s", text, expected ? "not " : "", (int)buffer->size,
			 buffer->data);
}

/* Details are there (netns, offset), and a label that is empty in all rows gives way to the width.
 * */
static void drops(void **state)
{
	struct table *table = make_drops();

	(void)state;
	assert_rendered(table, NULL, NULL, 104, "tests/unit/golden/drops.txt");
	table_free(table);
}

static void drops_by_device(void **state)
{
	struct table *table = make_drops();

	(void)state;
	assert_rendered(table, "by", "device", 100, "tests/unit/golden/drops_by_device.txt");
	table_free(table);
}

/* Empty details are left out, an empty identity label is not while there is room. */
static void drops_without_detail(void **state)
{
	struct table *table = make_drops();

	(void)state;
	assert_rendered(table, "device", "none", 100, "tests/unit/golden/drops_filtered.txt");
	table_free(table);
}

static void drops_other_and_retired(void **state)
{
	struct table *table = make_drops();

	(void)state;
	table_retire(table, table->rows[3]);
	assert_rendered(table, "top", "1", 100, "tests/unit/golden/drops_top.txt");
	table_free(table);
}

static void block(void **state)
{
	struct table *table = make_block();

	(void)state;
	table_retire(table, table->rows[1]);
	table->retired[0] = 1;
	assert_rendered(table, NULL, NULL, 100, "tests/unit/golden/block.txt");
	table_free(table);
}

/* A histogram's name that is longer than its numbers makes room for itself. */
static void block_idle(void **state)
{
	struct table *table = make_block();

	(void)state;
	assert_rendered(table, "device", "sda", 100, "tests/unit/golden/block_idle.txt");
	table_free(table);
}

static const char *const classes[] = { "resource", "policy", "benign", NULL };

/* As the table of drops: brief columns, a label with an order, prose. */
static const struct column explained_columns[] = {
	{ .name = "symbol" },
	{ .name = "reason", .brief = true },
	{ .name = "class", .brief = true, .borrowed = true, .order = classes },
	{ .name = "location", .brief = true, .detail = true },
	{ .name = "device", .brief = true },
	{ .name = "netns", .detail = true, .number = true },
	{ .name = "meaning", .detail = true, .borrowed = true, .prose = true },
	{ .name = "check", .detail = true, .borrowed = true, .prose = true },
	{ .name = "packets", .kind = COLUMN_COUNTER, .brief = true },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .unit = UNIT_BYTES },
};

static struct table *make_explained(void)
{
	static const char *const labels[][8] = {
		{ "__netif_receive_skb_core", "UNHANDLED_PROTO", "benign",
		  "__netif_receive_skb_core.constprop.0+0x8a1/0x1230 [kernel]", "enp129s0f0np0",
		  "1", "A switch announces itself.", "Ignore it." },
		{ "udp_queue_rcv_one_skb", "SOCKET_RCVBUFF", "resource",
		  "udp_queue_rcv_one_skb+0x2b1/0x550 [kernel]", "eth0", "1",
		  "A socket's receive buffer was full: its application reads more slowly than packets "
		  "arrive, or \xc3\xa9\xc3\xa9\xc3\xa9 a \"quoted\" word.",
		  "ss -uampi: d in skmem is that socket's drops; nstat -az UdpRcvbufErrors; "
		  "net.core.rmem_max" },
		{ "f", "TC_EGRESS", "policy", "f+0x1/0x2 [cls_very_long_module_name]", "veth*", "1",
		  "", "tc filter show" },
	};
	struct table *table;

	assert_int_equal(table_new("drops", explained_columns, ARRAY_SIZE(explained_columns), 1000,
				   &table),
			 0);
	table->counting_since = NOW - DAY;
	for (unsigned i = 0; i < ARRAY_SIZE(labels); i++) {
		struct row *row;

		assert_int_equal(table_add(table, labels[i], NOW - DAY, &row), 0);
		row->values[0] = 1000000 >> 8 * i;
		row->values[1] = 64 * row->values[0];
		row->before[0] = row->values[0] - 37 * i;
	}
	table->rated[0] = NOW - 10 * SECOND;
	table->collected = NOW;
	return table;
}

/* What matters first, in 100 columns, in words; nothing below what matters least. */
static void explained(void **state)
{
	struct table *table = make_explained();

	(void)state;
	assert_rendered(table, NULL, NULL, 102, "tests/unit/golden/explained.txt");
	table_free(table);
}

/* Asked for by name, the columns that are not brief are there; prose is, where it is asked for. */
static void explained_groups(void **state)
{
	struct table *table = make_explained();

	(void)state;
	assert_rendered(table, "by", "symbol,class", 100,
			"tests/unit/golden/explained_by_symbol.txt");
	assert_rendered(table, "by", "class,check", 100,
			"tests/unit/golden/explained_by_check.txt");
	table_free(table);
}

static void one_other_row(void **state)
{
	struct table *table = make_block();
	struct buffer buffer = {};

	(void)state;
	render(&buffer, table, "top", "1");
	assert_contains(&buffer, "  other (1 row)\n", true);
	buffer_free(&buffer);
	table_free(table);
}

static void nothing_to_show(void **state)
{
	struct buffer buffer = {};
	struct table *table;

	(void)state;
	assert_int_equal(table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1, &table),
			 0);
	render(&buffer, table, NULL, NULL);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, "drops on db7.example.com at 2026-11-21 03:12:45Z\n\n"
					 "nothing counted yet\n");
	buffer_free(&buffer);

	table->losses[0] = (struct loss){ "map_full", 5 };
	table->n_losses = 1;
	render(&buffer, table, "device", "x");
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, "drops on db7.example.com at 2026-11-21 03:12:45Z\n\n"
					 "no row matches\n"
					 "lost: 5 map_full\n");
	buffer_free(&buffer);
	table_free(table);
}

/* All rows have ended: what they counted is still told. */
static void only_retired(void **state)
{
	static const char *const labels[6] = { "tcp_v4_rcv", "", "NO_SOCKET", "eth0", "", "" };
	struct buffer buffer = {};
	struct table *table;

	(void)state;
	assert_int_equal(table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1, &table),
			 0);
	table_retire(table, add_drops(table, labels, 5, 300, NOW, NOW));
	render(&buffer, table, NULL, NULL);
	assert_contains(&buffer, "\nnothing counted now\n", true);
	assert_contains(&buffer, "\n      5       -    300             + retired\n", true);
	assert_contains(&buffer, "  total\n", false);
	buffer_free(&buffer);
	table_free(table);
}

static void losses_only_when_there_are_any(void **state)
{
	struct table *table = make_block();
	struct buffer buffer = {};

	(void)state;
	render(&buffer, table, NULL, NULL);
	assert_contains(&buffer, "\nlost: 12 inflight_full, 3 nested\n", true);
	buffer_free(&buffer);
	table->losses[1].events = table->losses[2].events = 0;
	render(&buffer, table, NULL, NULL);
	assert_contains(&buffer, "lost", false);
	buffer_free(&buffer);
	table_free(table);
}

static void assert_duration(uint64_t nanoseconds, const char *expected)
{
	struct table *table = make_block();
	struct buffer buffer = {};
	char line[64];

	table->rows[1]->values[1] = nanoseconds;
	render(&buffer, table, "device", "sda");
	snprintf(line, sizeof(line), "  %s  ", expected);
	assert_contains(&buffer, line, true);
	buffer_free(&buffer);
	table_free(table);
}

static void durations(void **state)
{
	(void)state;
	assert_duration(1, " 1 ns");
	assert_duration(999, "999 ns");
	assert_duration(1000, "1.0 us");
	assert_duration(1249, "1.2 us");
	assert_duration(1250, "1.3 us");
	assert_duration(9949, "9.9 us");
	assert_duration(9950, " 10 us");
	assert_duration(10499, " 10 us");
	assert_duration(10500, " 11 us");
	assert_duration(999499, "999 us");
	assert_duration(999500, "1.0 ms");
	assert_duration(1200000, "1.2 ms");
	assert_duration(999500000, " 1.0 s");
	assert_duration(64 * SECOND, "  64 s");
	assert_duration(119499999999, " 119 s");
	assert_duration(119500000000, "2.0 min");
	assert_duration(200 * SECOND, "3.3 min");
	assert_duration(7169 * SECOND, "119 min");
	assert_duration(7170 * SECOND, " 2.0 h");
	assert_duration(170999 * SECOND, "  47 h");
	assert_duration(171000 * SECOND, " 2.0 d");
	assert_duration(95 * DAY, "  95 d");
	assert_duration(UINT64_MAX, "213504 d");
}

/* A clock that was set back, and a time that nobody knows. */
static void odd_times(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	table->rows[3]->last_seen = NOW + SECOND;
	render(&buffer, table, "device", "none");
	assert_contains(&buffer, "\n      1       0      0    -  0 ns  unix_stream_connect", true);
	buffer_free(&buffer);
	table_free(table);
}

static void numbers_are_whole(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	table->rows[3]->values[0] = UINT64_MAX;
	table->rows[3]->values[1] = 9007199254740993;
	table->rows[3]->before[0] = UINT64_MAX;
	render(&buffer, table, "device", "none");
	assert_contains(&buffer, "\n18446744073709551615       0  9007199254740993    -     -  ",
			true);
	buffer_free(&buffer);
	table_free(table);
}

/* Columns are counted in characters, and a terminal gets no control character. */
static void unusual_labels(void **state)
{
	static const char *const labels[6] = { "\xc3\xa9\xf0\x9f\x90\xa7\xe2\x82\xac",
					       "m",
					       "a\x1b[2Jb",
					       "\xc2\x9b"
					       "c",
					       "",
					       "" };
	struct buffer buffer = {};
	struct table *table;

	(void)state;
	assert_int_equal(table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1, &table),
			 0);
	add_drops(table, labels, 1, 2, NOW, NOW);
	render(&buffer, table, NULL, NULL);
	assert_contains(
		&buffer,
		"symbol  module  reason  device\n"
		"      1       0      2  0 ns  0 ns  \xc3\xa9\xf0\x9f\x90\xa7\xe2\x82\xac     m       "
		"a?[2Jb  ?c\n",
		true);
	buffer_free(&buffer);
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops),
		cmocka_unit_test(drops_by_device),
		cmocka_unit_test(drops_without_detail),
		cmocka_unit_test(drops_other_and_retired),
		cmocka_unit_test(block),
		cmocka_unit_test(block_idle),
		cmocka_unit_test(explained),
		cmocka_unit_test(explained_groups),
		cmocka_unit_test(one_other_row),
		cmocka_unit_test(nothing_to_show),
		cmocka_unit_test(only_retired),
		cmocka_unit_test(losses_only_when_there_are_any),
		cmocka_unit_test(durations),
		cmocka_unit_test(odd_times),
		cmocka_unit_test(numbers_are_whole),
		cmocka_unit_test(unusual_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
