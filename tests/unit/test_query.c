/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/histogram.h"
#include "model/histogram.h"
#include "model/query_parameters.h"
#include "util.h"

enum { REASON, DEVICE, OFFSET, PACKETS, BYTES, OLDEST, SIZE, COLUMNS };

static const struct column columns[COLUMNS] = {
	[REASON] = { .name = "reason", .kind = COLUMN_LABEL },
	[DEVICE] = { .name = "device", .kind = COLUMN_LABEL },
	[OFFSET] = { .name = "offset", .kind = COLUMN_LABEL, .detail = true, .number = true },
	[PACKETS] = { .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	[BYTES] = { .name = "bytes", .kind = COLUMN_COUNTER, .unit = UNIT_BYTES },
	[OLDEST] = { .name = "oldest", .kind = COLUMN_GAUGE, .unit = UNIT_SECONDS },
	[SIZE] = { .name = "size",
		   .kind = COLUMN_HISTOGRAM,
		   .unit = UNIT_BYTES,
		   .scale = &histogram_bytes },
};

static struct row *add(struct table *table, const char *reason, const char *device,
		       const char *offset, uint64_t packets)
{
	const char *labels[] = { reason, device, offset };
	struct row *row;

	assert_int_equal(table_add(table, labels, 1000 + table->n_rows, &row), 0);
	row->values[table->value_of[PACKETS]] = packets;
	row->values[table->value_of[BYTES]] = 100 * packets;
	row->values[table->value_of[OLDEST]] = packets;
	row->values[table->value_of[SIZE]] = 100 * packets;
	row->values[table->value_of[SIZE] + 1] = 1000 - packets;
	return row;
}

static struct table *make(void)
{
	struct table *table;

	assert_int_equal(table_new("drops", columns, COLUMNS, 100, &table), 0);
	return table;
}

/* Six rows: two equal in all labels (D and F), one group label that looks like a pattern. */
static struct table *make_six(void)
{
	struct table *table = make();

	add(table, "NO_SOCKET", "eth0", "9", 30);
	add(table, "NO_SOCKET", "eth1", "10", 50);
	add(table, "CSUM", "eth0", "", 10);
	add(table, "CSUM", "veth*", "100", 20);
	add(table, "NETFILTER", "veth7", "2", 0);
	add(table, "CSUM", "veth*", "100", 5);
	return table;
}

/* Takes "name=value&name=value" apart; names may end in "!". */
static int ask(struct query *query, const struct table *table, char *text,
	       struct query_error *ret_error)
{
	char *rest = text, *item;
	int error;

	query_init(query, table);
	while ((item = strsep(&rest, "&"))) {
		char *value = strchr(item, '=');

		*value++ = '\0';
		error = query_parameter(query, table, item, value, ret_error);
		if (error)
			return error;
	}
	return 0;
}

/* Checks an answer against "packets packets ...| other's rows: packets". */
static void assert_answer(const struct table *table, const char *text, const char *expected)
{
	char *copy = strdup(text), line[512] = "";
	struct query_error error;
	struct result result;
	struct query query;
	size_t n = 0;

	if (*text)
		assert_int_equal(ask(&query, table, copy, &error), 0);
	else
		query_init(&query, table);
	assert_int_equal(query_run(&query, table, &result), 0);
	for (uint32_t i = 0; i < result.n_rows; i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%ju", i ? " " : "",
				      (uintmax_t)result.rows[i].values[table->value_of[PACKETS]]);
	if (result.other.n_rows)
		snprintf(line + n, sizeof(line) - n, " | %u: %ju", result.other.n_rows,
			 (uintmax_t)result.other.values[table->value_of[PACKETS]]);
	assert_string_equal(line, expected);
	result_free(&result);
	free(copy);
}

/* Checks a refusal: "parameter: message [allowed, allowed]". */
static void assert_refused(const struct table *table, const char *text, const char *expected)
{
	char *copy = strdup(text), line[1024];
	struct query_error error;
	struct query query;
	size_t n;

	assert_int_equal(ask(&query, table, copy, &error), -EINVAL);
	n = (size_t)snprintf(line, sizeof(line), "%s: %s [", error.parameter, error.message);
	for (unsigned i = 0; i < error.n_allowed; i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", i ? ", " : "",
				      error.allowed[i]);
	snprintf(line + n, sizeof(line) - n, "]");
	assert_string_equal(line, expected);
	free(copy);
}

static void defaults(void **state)
{
	struct table *table = make_six();
	struct query query;

	(void)state;
	query_init(&query, table);
	assert_int_equal(query.format, FORMAT_JSON);
	assert_int_equal(query.n_filters, 0);
	assert_int_equal(query.by, 0);
	assert_int_equal(query.sort, -1);
	assert_false(query.ascending);
	assert_int_equal(query.top, 100);
	/* Every row, also those that are equal and those that are zero, greatest first. */
	assert_answer(table, "", "50 30 20 10 5 0");
	table_set_budget(table, 2);
	assert_answer(table, "", "50 30 | 4: 35");
	table_free(table);
}

static void empty_table(void **state)
{
	struct table *table = make();
	struct result result;
	struct query query;

	(void)state;
	assert_answer(table, "", "");
	assert_answer(table, "by=reason&top=1&sort=reason&device=x", "");
	query_init(&query, table);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.columns, 7);
	assert_int_equal(result.totals.values[0], 0);
	assert_int_equal(result.other.values[0], 0);
	assert_int_equal(result.other.n_rows, 0);
	result_free(&result);
	assert_null(result.rows);
	result_free(&result);
	table_free(table);
}

static void formats(void **state)
{
	struct table *table = make();
	char json[] = "format=json", text[] = "format=text";
	struct query_error error;
	struct query query;

	(void)state;
	assert_int_equal(ask(&query, table, text, &error), 0);
	assert_int_equal(query.format, FORMAT_TEXT);
	assert_int_equal(ask(&query, table, json, &error), 0);
	assert_int_equal(query.format, FORMAT_JSON);
	assert_refused(table, "format=xml", "format: no such format: \"xml\" [json, text]");
	assert_refused(table, "format=", "format: no such format: \"\" [json, text]");
	table_free(table);
}

static void unknown_parameters(void **state)
{
	static const char rest[] =
		"no such parameter [at, by, format, sort, top, window, reason, device, offset]";
	static const char *const names[] = {
		"devices", "packets", "", "!", "by!", "device!!", "dev"
	};
	struct table *table = make();
	char text[64], expected[128];

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "%s=1", names[i]);
		snprintf(expected, sizeof(expected), "%s: %s", names[i], rest);
		assert_refused(table, text, expected);
	}
	table_free(table);
}

static void given_twice(void **state)
{
	struct table *table = make();

	(void)state;
	assert_refused(table, "by=device&by=reason", "by: given more than once [one value]");
	assert_refused(table, "top=1&top=1", "top: given more than once [one value]");
	assert_refused(table, "sort=bytes&top=1&sort=bytes",
		       "sort: given more than once [one value]");
	assert_refused(table, "format=text&format=json",
		       "format: given more than once [one value]");
	table_free(table);
}

static void top(void **state)
{
	static const char *const wrong[] = { "0",  "",	  "-1",	 "+1",	   "1x",
					     " 1", "01x", "1.5", "100001", "99999999999999999999" };
	struct table *table = make_six();
	char text[64], expected[128];

	(void)state;
	assert_answer(table, "top=1", "50 | 5: 65");
	assert_answer(table, "top=5", "50 30 20 10 5 | 1: 0");
	assert_answer(table, "top=6", "50 30 20 10 5 0");
	assert_answer(table, "top=100000", "50 30 20 10 5 0");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "top=%s", wrong[i]);
		snprintf(expected, sizeof(expected),
			 "top: not a number of rows: \"%s\" [1 to 100000]", wrong[i]);
		assert_refused(table, text, expected);
	}
	table_free(table);
}

static void filters(void **state)
{
	struct table *table = make_six();

	(void)state;
	assert_answer(table, "reason=CSUM", "20 10 5");
	assert_answer(table, "reason!=CSUM", "50 30 0");
	assert_answer(table, "reason=csum", "");
	assert_answer(table, "reason=CSUM&reason=NETFILTER", "20 10 5 0");
	assert_answer(table, "reason!=CSUM&reason!=NETFILTER", "50 30");
	assert_answer(table, "reason=*S*&reason!=N*", "20 10 5");
	assert_answer(table, "reason=CSUM&device=eth0", "10");
	assert_answer(table, "reason=CSUM&device!=eth0", "20 5");
	assert_answer(table, "reason=CSUM&reason=NETFILTER&device=eth?&device=veth7", "10 0");
	assert_answer(table, "device=eth[1-3]", "50");
	assert_answer(table, "offset=", "10");
	assert_answer(table, "offset!=", "50 30 20 5 0");
	assert_answer(table, "device=*", "50 30 20 10 5 0");
	assert_answer(table, "device!=*", "");
	table_free(table);
}

/* A label that is no pattern that matches itself. */
static void labels_that_look_like_patterns(void **state)
{
	struct table *table = make();

	(void)state;
	add(table, "a[1]", "br-[x", "", 1);
	add(table, "a1", "br-x", "", 2);
	add(table, "a\\b", "veth*", "", 3);
	add(table, "ab", "vethernet", "", 4);
	assert_answer(table, "reason=a[1]", "2 1");
	assert_answer(table, "device=br-[x", "1");
	assert_answer(table, "reason=a\\b", "4 3");
	assert_answer(table, "device=veth*", "4 3");
	assert_answer(table, "device=veth\\*", "3");
	assert_answer(table, "device!=br-[x", "4 3 2");
	table_free(table);
}

static void filter_limits(void **state)
{
	struct table *table = make_six();
	char value[QUERY_MAX_PATTERN + 2];
	struct query_error error;
	struct result result;
	struct query query;

	(void)state;
	query_init(&query, table);
	for (unsigned i = 0; i < QUERY_MAX_FILTERS; i++)
		assert_int_equal(query_parameter(&query, table, "device!", "veth7", &error), 0);
	assert_int_equal(query_parameter(&query, table, "device", "eth0", &error), -EINVAL);
	assert_string_equal(error.message, "too many filters");
	assert_string_equal(error.parameter, "device");
	assert_int_equal(error.n_allowed, 1);
	assert_string_equal(error.allowed[0], "at most 32 filters");
	assert_int_equal(query.n_filters, QUERY_MAX_FILTERS);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.n_rows, 5);
	result_free(&result);

	memset(value, 'x', sizeof(value));
	value[QUERY_MAX_PATTERN + 1] = '\0';
	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, "device", value, &error), -EINVAL);
	assert_string_equal(error.message, "the pattern is too long");
	assert_string_equal(error.allowed[0], "at most 255 bytes");
	assert_int_equal(query_parameter(&query, table, "device", value + 1, &error), 0);
	table_free(table);
}

static void long_texts_are_cut(void **state)
{
	static const char *const names[] = { "by", "format", "sort", "top" };
	struct table *table = make();
	struct query_error error;
	struct query query;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, text, "1", &error), -EINVAL);
	assert_int_equal(strlen(error.parameter), sizeof(error.parameter) - 1);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(query_parameter(&query, table, names[i], text, &error), -EINVAL);
		assert_string_equal(error.parameter, names[i]);
		assert_true(strlen(error.message) < 128);
	}
	assert_int_equal(query.given, 0);
	table_free(table);
}

static void sorting(void **state)
{
	struct table *table = make_six();

	(void)state;
	assert_answer(table, "sort=packets", "50 30 20 10 5 0");
	assert_answer(table, "sort=-packets", "0 5 10 20 30 50");
	assert_answer(table, "sort=oldest", "50 30 20 10 5 0");
	/* A histogram by its count, here the other way round than its sum. */
	assert_answer(table, "sort=size", "0 5 10 20 30 50");
	assert_answer(table, "sort=-size", "50 30 20 10 5 0");
	/* A label, then the labels in their order, then the older row. */
	assert_answer(table, "sort=reason", "10 20 5 0 30 50");
	assert_answer(table, "sort=-reason", "30 50 0 10 20 5");
	assert_answer(table, "sort=device", "10 30 50 20 5 0");
	/* "", 2, 9, 10, 100: as numbers. */
	assert_answer(table, "sort=offset", "10 0 30 50 20 5");
	assert_refused(table, "sort=speed",
		       "sort: no such column: \"speed\" (a leading - turns the order round) "
		       "[rate, reason, device, offset, packets, bytes, oldest, size]");
	assert_refused(table, "sort=--bytes",
		       "sort: no such column: \"-bytes\" (a leading - turns the order round) "
		       "[rate, reason, device, offset, packets, bytes, oldest, size]");
	table_free(table);
}

/* The same rows give the same answer in whatever order the table holds them. */
/* A label with an order of its own comes first, then the rate, then the count. */
static void orders_and_rates(void **state)
{
	static const char *const weights[] = { "high", "middle", "low", NULL };
	static const struct column ordered[] = {
		{ .name = "reason" },
		{ .name = "class", .borrowed = true, .order = weights },
		{ .name = "packets", .kind = COLUMN_COUNTER },
	};
	static const struct {
		const char *reason, *class;
		unsigned packets, rate;
	} rows[] = {
		{ "a", "low", 60, 60 }, { "b", "strange", 50, 50 }, { "c", "high", 20, 0 },
		{ "d", "high", 30, 0 }, { "e", "high", 10, 5 },	    { "f", "middle", 40, 40 },
	};
	struct table *table;

	(void)state;
	assert_int_equal(table_new("drops", ordered, ARRAY_SIZE(ordered), 100, &table), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *labels[] = { rows[i].reason, rows[i].class };
		struct row *row;

		assert_int_equal(table_add(table, labels, 1000, &row), 0);
		row->values[0] = rows[i].packets;
		row->before[0] = rows[i].packets - rows[i].rate;
	}
	table->collected = 1;
	assert_answer(table, "", "10 30 20 40 60 50");
	assert_answer(table, "sort=class", "20 30 10 40 60 50");
	assert_answer(table, "sort=-class", "50 60 40 20 30 10");
	assert_answer(table, "sort=rate", "60 50 40 10 30 20");
	assert_answer(table, "sort=-rate", "20 30 10 40 50 60");
	assert_answer(table, "sort=packets", "60 50 40 30 20 10");
	assert_answer(table, "by=reason", "60 50 40 10 30 20");
	assert_answer(table, "by=class", "60 40 60 50");
	table_free(table);
}

static void ties_are_broken_by_labels(void **state)
{
	static const char *const devices[] = { "d", "a", "c", "b" };
	struct table *table = make();
	struct query_error error;
	struct result result;
	struct query query;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		add(table, "same", devices[i], "1", 7);
	query_init(&query, table);
	assert_int_equal(query_run(&query, table, &result), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(result.rows[i].labels[DEVICE].text[0], 'a' + (int)i);
	result_free(&result);

	assert_int_equal(query_parameter(&query, table, "sort", "-packets", &error), 0);
	assert_int_equal(query_run(&query, table, &result), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(result.rows[i].labels[DEVICE].text[0], 'a' + (int)i);
	result_free(&result);
	table_free(table);
}

static void numbers_sort_as_numbers(void **state)
{
	static const char *const offsets[] = {
		"x", "18446744073709551616", "-1", "07", "7", "", "0", "00", "12", "3"
	};
	static const char *const expected[] = { "",   "0", "00", "3",
						"07", "7", "12", "18446744073709551616",
						"-1", "x" };
	struct table *table = make();
	struct query_error error;
	struct result result;
	struct query query;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		add(table, "r", "d", offsets[i], i);
	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, "sort", "offset", &error), 0);
	assert_int_equal(query_run(&query, table, &result), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_string_equal(result.rows[i].labels[OFFSET].text, expected[i]);
	result_free(&result);
	table_free(table);
}

static void grouping(void **state)
{
	struct table *table = make_six();

	(void)state;
	assert_answer(table, "by=reason", "80 35 0");
	assert_answer(table, "by=device", "50 40 25 0");
	assert_answer(table, "by=device,reason", "50 30 25 10 0");
	assert_answer(table, "by=reason,device,reason", "50 30 25 10 0");
	assert_answer(table, "by=reason,device,offset", "50 30 25 10 0");
	assert_answer(table, "by=reason&sort=reason", "35 0 80");
	assert_answer(table, "sort=-reason&by=reason", "80 0 35");
	assert_answer(table, "by=reason&top=1", "80 | 4: 35");
	assert_answer(table, "by=device&reason=CSUM", "25 10");
	assert_answer(table, "by=offset&sort=offset", "10 0 30 50 25");
	assert_refused(table, "by=", "by: no such label: \"\" [reason, device, offset]");
	assert_refused(table, "by=packets",
		       "by: no such label: \"packets\" [reason, device, offset]");
	assert_refused(table, "by=reason,dev",
		       "by: no such label: \"dev\" [reason, device, offset]");
	assert_refused(table, "by=reason,", "by: no such label: \"\" [reason, device, offset]");
	table_free(table);
}

/* A group has no one value of a label that it was not made by. */
static void sort_must_be_in_the_group(void **state)
{
	struct table *table = make();

	(void)state;
	assert_refused(table, "by=reason,offset&sort=device",
		       "sort: \"device\" is not one of the labels in by "
		       "[rate, reason, offset, packets, bytes, oldest, size]");
	assert_refused(table, "sort=-device&by=reason",
		       "sort: \"device\" is not one of the labels in by "
		       "[rate, reason, packets, bytes, oldest, size]");
	assert_refused(table, "by=reason&sort=speed",
		       "sort: no such column: \"speed\" (a leading - turns the order round) "
		       "[rate, reason, packets, bytes, oldest, size]");
	table_free(table);
}

static void sums(void **state)
{
	struct table *table = make();
	unsigned size, oldest;
	struct query_error error;
	struct result result;
	struct query query;
	struct row *row;

	(void)state;
	size = table->value_of[SIZE];
	oldest = table->value_of[OLDEST];
	row = add(table, "r", "a", "", 10);
	row->first_seen = 0; /* not known */
	row->last_seen = 70;
	row->values[size + HISTOGRAM_BYTES_BUCKETS] = 4;
	row = add(table, "r", "b", "", 30);
	row->first_seen = 50;
	row->last_seen = 60;
	row->values[size + HISTOGRAM_BYTES_BUCKETS] = 3;
	row = add(table, "r", "c", "", 20);
	row->first_seen = 40;
	row->last_seen = 0;
	add(table, "s", "a", "", 1);

	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, "by", "reason", &error), 0);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.columns, 1 << REASON);
	assert_int_equal(result.n_rows, 2);
	assert_int_equal(result.rows[0].n_rows, 3);
	assert_string_equal(result.rows[0].labels[REASON].text, "r");
	assert_int_equal(result.rows[0].first_seen, 40);
	assert_int_equal(result.rows[0].last_seen, 70);
	assert_int_equal(result.rows[0].values[table->value_of[PACKETS]], 60);
	assert_int_equal(result.rows[0].values[table->value_of[BYTES]], 6000);
	assert_int_equal(result.rows[0].values[oldest], 30);
	assert_int_equal(result.rows[0].values[size], 6000);
	assert_int_equal(result.rows[0].values[size + 1], 3000 - 60);
	assert_int_equal(result.rows[0].values[size + HISTOGRAM_BYTES_BUCKETS], 7);
	assert_int_equal(result.rows[1].n_rows, 1);
	assert_int_equal(result.totals.values[oldest], 30);
	assert_int_equal(result.totals.values[table->value_of[PACKETS]], 61);
	assert_false(result.filtered);
	result_free(&result);

	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, "top", "1", &error), 0);
	assert_int_equal(query_parameter(&query, table, "reason", "r", &error), 0);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_true(result.filtered);
	assert_int_equal(result.other.n_rows, 2);
	assert_int_equal(result.other.first_seen, 40);
	assert_int_equal(result.other.last_seen, 70);
	assert_int_equal(result.other.values[oldest], 20);
	assert_int_equal(result.other.values[size + 1], 2000 - 30);
	assert_int_equal(result.totals.values[table->value_of[PACKETS]], 60);
	result_free(&result);
	table_free(table);
}

/* Not grouped, an answer shows the table's own numbers. */
static void rows_are_borrowed(void **state)
{
	struct table *table = make();
	struct row *row = add(table, "r", "a", "", 10);
	struct result result;
	struct query query;

	(void)state;
	query_init(&query, table);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_ptr_equal(result.rows[0].values, row->values);
	assert_ptr_equal(result.rows[0].labels, row->labels);
	result_free(&result);
	table_free(table);
}

/* rows + other = totals, however the question is put. */
static void accounting_is_closed(void **state)
{
	static const char *const questions[] = { "top=100000", "top=7", "by=reason&top=3",
						 "by=device,offset&top=50&sort=-bytes",
						 "reason=r1*&device!=d3&top=5&sort=device" };
	struct table *table = make();

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		char reason[16], device[16], offset[16];

		snprintf(reason, sizeof(reason), "r%u", i % 13);
		snprintf(device, sizeof(device), "d%u", i % 7);
		snprintf(offset, sizeof(offset), "%u", i % 5);
		add(table, reason, device, offset, i);
	}
	for (unsigned q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
		char *copy = strdup(questions[q]);
		uint64_t rows = 0, n_rows = 0;
		struct query_error error;
		struct result result;
		struct query query;

		assert_int_equal(ask(&query, table, copy, &error), 0);
		assert_int_equal(query_run(&query, table, &result), 0);
		for (uint32_t i = 0; i < result.n_rows; i++) {
			rows += result.rows[i].values[0];
			n_rows += result.rows[i].n_rows;
		}
		assert_int_equal(rows + result.other.values[0], result.totals.values[0]);
		if (!result.filtered) {
			assert_int_equal(result.totals.values[0], 500 * 499 / 2);
			assert_int_equal(n_rows + result.other.n_rows, 500);
		}
		result_free(&result);
		free(copy);
	}
	table_free(table);
}

/* As many labels as a table may have: the last bit counts too. */
static void sixteen_labels(void **state)
{
	static const char *const names[TABLE_MAX_LABELS] = {
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"
	};
	struct column many[TABLE_MAX_LABELS + 1] = {};
	const char *labels[TABLE_MAX_LABELS] = {};
	struct query_error error;
	struct result result;
	struct query query;
	struct table *table;
	struct row *row;

	(void)state;
	for (unsigned i = 0; i < TABLE_MAX_LABELS; i++)
		many[i] = (struct column){ .name = names[i], .kind = COLUMN_LABEL };
	many[TABLE_MAX_LABELS] = (struct column){ .name = "n", .kind = COLUMN_COUNTER };
	assert_int_equal(table_new("many", many, TABLE_MAX_LABELS + 1, 10, &table), 0);
	assert_int_equal(table_add(table, labels, 1, &row), 0);
	labels[15] = "x";
	assert_int_equal(table_add(table, labels, 1, &row), 0);
	row->values[0] = 1;

	query_init(&query, table);
	assert_int_equal(query_parameter(&query, table, "p", "x", &error), 0);
	assert_int_equal(query_parameter(&query, table, "by", "p", &error), 0);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.n_rows, 1);
	assert_int_equal(result.columns, 1 << 15);
	assert_int_equal(result.totals.values[0], 1);
	result_free(&result);

	query_init(&query, table);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.columns, 0xffff);
	assert_int_equal(result.n_rows, 2);
	result_free(&result);
	table_free(table);
}

/* A window, and text, unless something else is said. */
static void stacks(void **state)
{
	struct table *table = make_six();
	struct query_error error;
	struct query query;
	uint64_t from, to;

	(void)state;
	query_init_stacks(&query, table);
	query.now = 1000000000000;
	assert_int_equal(query.format, FORMAT_TEXT);
	assert_int_equal(query.n_filters, 0);
	assert_true(query_window(&query, &from, &to));
	assert_int_equal(from, 940000000000);
	assert_int_equal(to, 1000000000000);
	assert_int_equal(query_parameter(&query, table, "window", "5m", &error), 0);
	assert_int_equal(query_parameter(&query, table, "format", "json", &error), 0);
	assert_int_equal(query_parameter(&query, table, "reason", "CSUM", &error), 0);
	assert_int_equal(query.format, FORMAT_JSON);
	assert_int_equal(query.n_filters, 1);
	assert_true(query_window(&query, &from, &to));
	assert_int_equal(from, 700000000000);
	assert_int_equal(query_parameter(&query, table, "window", "5m", &error), -EINVAL);
	assert_string_equal(error.message, "given more than once");
	table_free(table);
}

/* What a table's answer takes beyond that, this one does not. */
static void stacks_take_no_more(void **state)
{
	static const char *const names[] = {
		"by", "sort", "top", "step", "column", "table", "sorts"
	};
	static const char *const allowed[] = { "at",	 "format", "window",
					       "reason", "device", "offset" };
	struct table *table = make_six();
	struct query_error error;
	struct query query;

	(void)state;
	query_init_stacks(&query, table);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(query_parameter(&query, table, names[i], "reason", &error),
				 -EINVAL);
		assert_string_equal(error.message, "no such parameter");
		assert_string_equal(error.parameter, names[i]);
		assert_int_equal(error.n_allowed, ARRAY_SIZE(allowed));
		for (unsigned j = 0; j < ARRAY_SIZE(allowed); j++)
			assert_string_equal(error.allowed[j], allowed[j]);
	}
	assert_int_equal(query.by, 0);
	table_free(table);
}

/* A filter alone: whoever has other parameters says what else there is. */
static void filter_alone(void **state)
{
	struct table *table = make_six();
	struct query_error error;
	struct query query;

	(void)state;
	query_init(&query, table);
	assert_int_equal(query_filter(&query, table, "device!", "eth*", &error), 0);
	assert_int_equal(query.filters[0].column, DEVICE);
	assert_true(query.filters[0].negated);
	assert_int_equal(query_filter(&query, table, "top", "1", &error), -ENOENT);
	assert_string_equal(error.message, "no such parameter");
	assert_string_equal(error.parameter, "top");
	assert_int_equal(error.n_allowed, 0);
	query_allow_labels(&error, table);
	assert_int_equal(error.n_allowed, 3);
	assert_string_equal(error.allowed[0], "reason");
	assert_string_equal(error.allowed[2], "offset");
	assert_int_equal(query.n_filters, 1);
	for (unsigned i = 1; i < QUERY_MAX_FILTERS; i++)
		assert_int_equal(query_filter(&query, table, "device", "x", &error), 0);
	assert_int_equal(query_filter(&query, table, "device", "x", &error), -EINVAL);
	assert_int_equal(query.n_filters, QUERY_MAX_FILTERS);
	table_free(table);
}

/* "101101": of each row, whether it matches. */
static void assert_matches(const struct table *table, const char *text, const char *expected)
{
	char *copy = strdup(text), found[8] = "";
	struct query_error error;
	struct query query;

	query_init(&query, table);
	if (*text)
		assert_int_equal(ask(&query, table, copy, &error), 0);
	for (unsigned i = 0; i < table->n_rows; i++)
		found[i] = query_matches(&query, table->rows[i]) ? '1' : '0';
	assert_string_equal(found, expected);
	free(copy);
}

static void single_rows(void **state)
{
	struct table *table = make_six();

	(void)state;
	assert_matches(table, "", "111111");
	assert_matches(table, "reason=CSUM", "001101");
	assert_matches(table, "reason!=CSUM", "110010");
	assert_matches(table, "reason=CSUM&device=veth?", "000101");
	assert_matches(table, "reason=CSUM&reason=NET*&device!=eth0", "000111");
	assert_matches(table, "offset=", "001000");
	/* They only choose what is shown. */
	assert_matches(table, "top=1&by=reason&device=eth0", "101000");
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(empty_table),
		cmocka_unit_test(formats),
		cmocka_unit_test(unknown_parameters),
		cmocka_unit_test(given_twice),
		cmocka_unit_test(top),
		cmocka_unit_test(filters),
		cmocka_unit_test(labels_that_look_like_patterns),
		cmocka_unit_test(filter_limits),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(sorting),
		cmocka_unit_test(orders_and_rates),
		cmocka_unit_test(ties_are_broken_by_labels),
		cmocka_unit_test(numbers_sort_as_numbers),
		cmocka_unit_test(grouping),
		cmocka_unit_test(sort_must_be_in_the_group),
		cmocka_unit_test(sums),
		cmocka_unit_test(rows_are_borrowed),
		cmocka_unit_test(accounting_is_closed),
		cmocka_unit_test(sixteen_labels),
		cmocka_unit_test(stacks),
		cmocka_unit_test(stacks_take_no_more),
		cmocka_unit_test(filter_alone),
		cmocka_unit_test(single_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
