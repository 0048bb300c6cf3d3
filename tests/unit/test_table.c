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

#include "model/histogram.h"
#include "model/table.h"
#include "util.h"

enum { SYMBOL, REASON, DEVICE, NETNS, PACKETS, BYTES, OLDEST, SIZE };

/* Two sets of labels: {symbol, reason} for three metrics, {reason, device} for one. */
static const struct column columns[] = {
	[SYMBOL] = { .name = "symbol" },
	[REASON] = { .name = "reason", .borrowed = true },
	[DEVICE] = { .name = "device", .detail = true },
	[NETNS] = { .name = "netns", .detail = true, .number = true },
	[PACKETS] = { .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	[BYTES] = { .name = "bytes",
		    .kind = COLUMN_COUNTER,
		    .unit = UNIT_BYTES,
		    .metric = "bytes" },
	[OLDEST] = { .name = "oldest", .kind = COLUMN_GAUGE, .metric = "oldest" },
	[SIZE] = { .name = "size",
		   .kind = COLUMN_HISTOGRAM,
		   .metric = "size",
		   .by = "reason,device",
		   .scale = &histogram_bytes },
};

enum { FIRST = 0, SECOND = 1, N_LABELS = 4 }; /* projections */

static struct table *make(unsigned budget)
{
	struct table *table;

	assert_int_equal(table_new("drops", columns, ARRAY_SIZE(columns), budget, &table), 0);
	return table;
}

static struct row *add(struct table *table, const char *symbol, const char *reason,
		       const char *device, uint64_t packets)
{
	const char *labels[N_LABELS] = { symbol, reason, device, "1" };
	struct row *row;

	assert_int_equal(table_add(table, labels, 1000, &row), 0);
	row->values[0] = packets;
	return row;
}

/* The series with these two labels, which must be there once at most. */
static const struct series *find(const struct table *table, unsigned projection, const char *first,
				 const char *second)
{
	const struct projection *p = &table->projections[projection];
	const struct series *found = NULL;

	for (uint32_t i = 0; i < p->n_series; i++) {
		if (strcmp(p->series[i]->labels[0].text, first) != 0 ||
		    strcmp(p->series[i]->labels[1].text, second) != 0)
			continue;
		assert_null(found);
		found = p->series[i];
	}
	return found;
}

static uint64_t value(struct table *table, const char *symbol, const char *reason)
{
	const struct series *series;

	table_sum(table);
	series = find(table, FIRST, symbol, reason);
	assert_non_null(series);
	return series->values[0];
}

static uint64_t other(struct table *table)
{
	table_sum(table);
	return table->projections[FIRST].other.values[0];
}

static void layout(void **state)
{
	struct table *table = make(5);
	const struct projection *p = table->projections;

	(void)state;
	assert_int_equal(table->n_labels, N_LABELS);
	assert_int_equal(table->n_values, 3 + 1 + histogram_bytes.bounds + 1);
	assert_int_equal(table->value_of[PACKETS], 0);
	assert_int_equal(table->value_of[OLDEST], 2);
	assert_int_equal(table->value_of[SIZE], 3);
	assert_int_equal(table->n_projections, 2);
	assert_int_equal(p[FIRST].n_labels, 2);
	assert_int_equal(p[FIRST].labels[0], SYMBOL);
	assert_int_equal(p[FIRST].labels[1], REASON);
	assert_int_equal(p[FIRST].n_columns, 3);
	assert_int_equal(p[FIRST].n_values, 3);
	/* `by` may name a detail. */
	assert_int_equal(p[SECOND].n_labels, 2);
	assert_int_equal(p[SECOND].labels[0], REASON);
	assert_int_equal(p[SECOND].labels[1], DEVICE);
	assert_int_equal(p[SECOND].first_value, 3);
	assert_int_equal(p[SECOND].n_values, column_values(&columns[SIZE]));
	assert_string_equal(p[SECOND].other.labels[1].text, "other");
	table_free(table);
}

static void column_names(void **state)
{
	struct table *table = make(5);

	(void)state;
	assert_int_equal(table_column(table, "symbol"), SYMBOL);
	assert_int_equal(table_column(table, "size"), SIZE);
	assert_int_equal(table_column(table, "siz"), -ENOENT);
	assert_int_equal(table_column(table, "sizes"), -ENOENT);
	assert_int_equal(table_column(table, ""), -ENOENT);
	table_free(table);
}

/* `by` is a list of whole names. */
static void by_is_exact(void **state)
{
	static const struct column some[] = {
		{ .name = "a" },
		{ .name = "ab" },
		{ .name = "b" },
		{ .name = "x", .kind = COLUMN_COUNTER, .by = "ab" },
		{ .name = "y", .kind = COLUMN_COUNTER, .by = "b,a" },
		{ .name = "z", .kind = COLUMN_COUNTER, .by = "" },
	};
	struct table *table;

	(void)state;
	assert_int_equal(table_new("t", some, ARRAY_SIZE(some), 1, &table), 0);
	assert_int_equal(table->n_projections, 3);
	assert_int_equal(table->projections[0].n_labels, 1);
	assert_int_equal(table->projections[0].labels[0], 1);
	assert_int_equal(table->projections[1].n_labels, 2);
	assert_int_equal(table->projections[1].labels[0], 0);
	assert_int_equal(table->projections[1].labels[1], 2);
	assert_int_equal(table->projections[2].n_labels, 0);
	table_free(table);
}

/* A metric without labels is one series, of all rows. */
static void no_labels(void **state)
{
	static const struct column one[] = { { .name = "x", .kind = COLUMN_COUNTER } };
	struct row *a, *b;
	struct table *table;

	(void)state;
	assert_int_equal(table_new("t", one, 1, 1, &table), 0);
	assert_int_equal(table_add(table, NULL, 1, &a), 0);
	assert_int_equal(table_add(table, NULL, 1, &b), 0);
	a->values[0] = 1;
	b->values[0] = 2;
	table_sum(table);
	assert_int_equal(table->projections[0].n_series, 1);
	assert_int_equal(table->projections[0].series[0]->values[0], 3);
	assert_int_equal(table->projections[0].other.values[0], 0);
	table_free(table);
}

static void details_cost_no_series(void **state)
{
	struct table *table = make(5);

	(void)state;
	add(table, "f", "R", "eth0", 1);
	add(table, "f", "R", "eth1", 20);
	add(table, "f", "R", "eth1", 300);
	add(table, "g", "R", "eth1", 4000);
	assert_int_equal(table->n_rows, 4);
	assert_int_equal(table->projections[FIRST].n_series, 2);
	assert_int_equal(table->projections[SECOND].n_series, 2);
	assert_int_equal(value(table, "f", "R"), 321);
	assert_int_equal(value(table, "g", "R"), 4000);
	assert_int_equal(other(table), 0);
	table_free(table);
}

static void new_rows_are_zero(void **state)
{
	struct table *table = make(5);
	struct row *row = add(table, "f", "R", "eth0", 0);

	(void)state;
	for (unsigned i = 0; i < table->n_values; i++)
		assert_int_equal(row->values[i], 0);
	assert_int_equal(row->first_seen, 1000);
	assert_int_equal(row->last_seen, 1000);
	assert_string_equal(row->labels[DEVICE].text, "eth0");
	/* A known series starts at 0. */
	assert_int_equal(value(table, "f", "R"), 0);
	table_free(table);
}

/* Neighbouring labels do not run into each other. */
static void labels_are_apart(void **state)
{
	struct table *table = make(5);

	(void)state;
	add(table, "ab", "c", "", 1);
	add(table, "a", "bc", "", 2);
	add(table, "abc", "", "", 4);
	add(table, "", "abc", "", 8);
	assert_int_equal(table->projections[FIRST].n_series, 4);
	assert_int_equal(value(table, "a", "bc"), 2);
	assert_int_equal(value(table, "", "abc"), 8);
	table_free(table);
}

/* What differs only where it is cut is one series, not two of the same name. */
static void cut_labels_merge(void **state)
{
	struct table *table = make(5);
	char a[300], b[300];

	(void)state;
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	a[280] = b[270] = '\0';
	add(table, a, "R", "", 1);
	add(table, b, "R", "", 2);
	add(table, "\xff", "R", "", 4);
	add(table, "?", "R", "", 8);
	a[TABLE_MAX_LABEL_BYTES] = '\0';
	assert_int_equal(table->projections[FIRST].n_series, 2);
	assert_int_equal(value(table, a, "R"), 3);
	assert_int_equal(value(table, "?", "R"), 12);
	table_free(table);
}

static void first_come_first_served(void **state)
{
	struct table *table = make(2);

	(void)state;
	add(table, "f", "R", "", 1);
	add(table, "g", "R", "", 2);
	add(table, "h", "R", "", 1000000);
	add(table, "i", "R", "", 5);
	add(table, "f", "R", "", 10); /* an old series always has room */
	assert_int_equal(value(table, "f", "R"), 11);
	assert_int_equal(value(table, "g", "R"), 2);
	assert_null(find(table, FIRST, "h", "R"));
	assert_int_equal(other(table), 1000005);
	assert_int_equal(table->projections[FIRST].n_series, 2);
	table_free(table);
}

/* A row may have its own series in one projection and count in `other` in the next. */
static void each_projection_has_its_budget(void **state)
{
	struct table *table = make(2);
	const struct projection *p = &table->projections[SECOND];
	struct row *row;

	(void)state;
	add(table, "f", "R", "a", 1)->values[3] = 1;
	add(table, "f", "R", "b", 1)->values[3] = 20;
	row = add(table, "g", "R", "c", 1);
	row->values[3] = 300;
	assert_non_null(row->series[FIRST]);
	assert_null(row->series[SECOND]);
	table_sum(table);
	assert_int_equal(p->n_series, 2);
	assert_int_equal(find(table, SECOND, "R", "b")->values[0], 20);
	assert_int_equal(p->other.values[0], 300);
	table_free(table);
}

static void all_other_is_other(void **state)
{
	struct table *table = make(2);
	struct row *row;

	(void)state;
	row = add(table, "other", "other", "eth0", 7);
	add(table, "other", "R", "eth0", 1);
	assert_null(row->series[FIRST]);
	assert_non_null(row->series[SECOND]); /* there its device is no "other" */
	assert_int_equal(table->projections[FIRST].n_series, 1);
	assert_int_equal(value(table, "other", "R"), 1);
	assert_int_equal(other(table), 7);
	/* Nor does it ever get one. */
	table_admit(table);
	assert_null(row->series[FIRST]);
	table_retire(table, row);
	table_admit(table);
	assert_int_equal(other(table), 7);
	table_free(table);
}

static void retiring_one_row_of_two(void **state)
{
	struct table *table = make(2);
	struct row *a = add(table, "f", "R", "a", 100), *b = add(table, "f", "R", "b", 10);

	(void)state;
	table_retire(table, a);
	assert_int_equal(table->n_rows, 1);
	assert_int_equal(value(table, "f", "R"), 110);
	b->values[0]++;
	assert_int_equal(value(table, "f", "R"), 111);
	assert_int_equal(table->retired[0], 100);
	assert_int_equal(table->projections[FIRST].retired[0], 0);
	/* And one that comes later goes on from there. */
	add(table, "f", "R", "c", 1000);
	assert_int_equal(value(table, "f", "R"), 1111);
	table_free(table);
}

static void retiring_the_last_row(void **state)
{
	struct table *table = make(2);
	struct row *a = add(table, "f", "R", "a", 100), *b = add(table, "f", "R", "b", 10);

	(void)state;
	table_retire(table, b);
	table_retire(table, a);
	table_sum(table);
	assert_int_equal(table->n_rows, 0);
	assert_int_equal(table->projections[FIRST].n_series, 0);
	assert_int_equal(table->projections[FIRST].retired[0], 110);
	assert_int_equal(table->retired[0], 110);
	assert_int_equal(other(table), 0);
	/* The same labels again are a new series. */
	add(table, "f", "R", "a", 3);
	assert_int_equal(value(table, "f", "R"), 3);
	table_free(table);
}

static void retiring_in_other(void **state)
{
	struct table *table = make(1);
	struct row *row;

	(void)state;
	add(table, "f", "R", "", 1);
	row = add(table, "g", "R", "", 20);
	add(table, "h", "R", "", 300);
	table_retire(table, row);
	assert_int_equal(other(table), 320);
	assert_int_equal(table->retired[0], 20);
	assert_int_equal(table->projections[FIRST].retired[0], 0);
	table_free(table);
}

/* Rows keep their place in memory and know their place in the list. */
static void rows_stay(void **state)
{
	struct table *table = make(100);
	struct row *rows[50];
	char name[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(name, sizeof(name), "f%u", i);
		rows[i] = add(table, name, "R", "", i);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i += 3)
		table_retire(table, rows[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (i % 3 == 0)
			continue;
		snprintf(name, sizeof(name), "f%u", i);
		assert_string_equal(rows[i]->labels[SYMBOL].text, name);
		assert_int_equal(rows[i]->values[0], i);
		assert_ptr_equal(table->rows[rows[i]->index], rows[i]);
	}
	/* The series keep the order of their admission. */
	for (uint32_t i = 1; i < table->projections[FIRST].n_series; i++)
		assert_true(atoi(table->projections[FIRST].series[i]->labels[0].text + 1) >
			    atoi(table->projections[FIRST].series[i - 1]->labels[0].text + 1));
	table_free(table);
}

static void admission_of_those_that_wait(void **state)
{
	struct table *table = make(1);
	struct row *f = add(table, "f", "R", "", 1), *g = add(table, "g", "R", "", 20);

	(void)state;
	table_admit(table); /* no room yet */
	assert_null(find(table, FIRST, "g", "R"));
	table_retire(table, f);
	table_admit(table);
	/* What it had counted stays in `other`, which must not fall. */
	assert_int_equal(value(table, "g", "R"), 0);
	assert_int_equal(other(table), 20);
	g->values[0] += 5;
	assert_int_equal(value(table, "g", "R"), 5);
	assert_int_equal(other(table), 20);
	/* A second time changes nothing. */
	table_admit(table);
	assert_int_equal(value(table, "g", "R"), 5);
	table_retire(table, g);
	assert_int_equal(other(table), 20);
	assert_int_equal(table->projections[FIRST].retired[0], 1 + 5);
	assert_int_equal(table->retired[0], 26);
	table_free(table);
}

/* A row's label set lives already: it needs no room of its own, and two places would split the sum.
 * */
static void admission_to_a_living_series(void **state)
{
	struct table *table = make(1);
	struct row *f = add(table, "f", "R", "a", 1), *g = add(table, "g", "R", "a", 20);

	(void)state;
	table_retire(table, f);
	add(table, "g", "R", "b", 300); /* takes the room before anybody was admitted */
	table_admit(table);
	g->values[0] += 5;
	assert_int_equal(value(table, "g", "R"), 305);
	assert_int_equal(other(table), 20);
	table_free(table);
}

static void lower_budget(void **state)
{
	struct table *table = make(3);
	struct row *f = add(table, "f", "R", "", 1), *g = add(table, "g", "R", "", 2), *h;

	(void)state;
	table_set_budget(table, 1);
	h = add(table, "h", "R", "", 4);
	/* What lives stays. */
	assert_int_equal(value(table, "f", "R"), 1);
	assert_int_equal(value(table, "g", "R"), 2);
	assert_int_equal(other(table), 4);
	table_retire(table, f);
	table_admit(table);
	assert_null(h->series[FIRST]); /* g alone fills the budget */
	table_retire(table, g);
	table_admit(table);
	assert_non_null(h->series[FIRST]);
	table_set_budget(table, 2);
	add(table, "i", "R", "", 8);
	assert_int_equal(value(table, "i", "R"), 8);
	table_free(table);
}

static void gauges(void **state)
{
	struct table *table = make(1);
	struct row *a = add(table, "f", "R", "a", 1), *b = add(table, "f", "R", "b", 1),
		   *c = add(table, "g", "R", "c", 1);

	(void)state;
	a->values[2] = 7;
	b->values[2] = 5;
	c->values[2] = 9;
	table_sum(table);
	assert_int_equal(find(table, FIRST, "f", "R")->values[2], 7);
	assert_int_equal(table->projections[FIRST].other.values[2], 9);
	/* It says what is: it falls, and it goes with its row. */
	a->values[2] = 6;
	table_sum(table);
	assert_int_equal(find(table, FIRST, "f", "R")->values[2], 6);
	table_retire(table, a);
	table_sum(table);
	assert_int_equal(find(table, FIRST, "f", "R")->values[2], 5);
	table_retire(table, b);
	assert_int_equal(table->retired[2], 0);
	assert_int_equal(table->projections[FIRST].retired[2], 0);
	/* Nor does a row leave its gauge behind in `other`. */
	table_admit(table);
	table_sum(table);
	assert_int_equal(find(table, FIRST, "g", "R")->values[2], 9);
	assert_int_equal(table->projections[FIRST].other.values[2], 0);
	table_free(table);
}

static void histograms(void **state)
{
	struct table *table = make(2);
	struct row *a = add(table, "f", "R", "eth0", 0), *b = add(table, "g", "R", "eth0", 0);
	const struct series *series;

	(void)state;
	for (unsigned i = 3; i < table->n_values; i++) {
		a->values[i] = i;
		b->values[i] = 1000 * i;
	}
	table_sum(table);
	series = find(table, SECOND, "R", "eth0");
	assert_non_null(series);
	for (unsigned i = 3; i < table->n_values; i++)
		assert_int_equal(series->values[i - 3], 1001 * i);
	table_retire(table, a);
	table_sum(table);
	for (unsigned i = 3; i < table->n_values; i++)
		assert_int_equal(series->values[i - 3], 1001 * i);
	table_retire(table, b);
	for (unsigned i = 3; i < table->n_values; i++)
		assert_int_equal(table->projections[SECOND].retired[i - 3], 1001 * i);
	table_free(table);
}

static void many_series(void **state)
{
	struct table *table = make(5000);
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 12000; i++) {
		snprintf(name, sizeof(name), "f%u", i % 6000);
		add(table, name, "R", "", 1 + i / 6000);
	}
	assert_int_equal(table->projections[FIRST].n_series, 5000);
	assert_true(table->projections[FIRST].n_buckets >= 4096);
	assert_int_equal(value(table, "f0", "R"), 3);
	assert_int_equal(value(table, "f4999", "R"), 3);
	assert_int_equal(other(table), 3000);
	table_free(table);
}

/*
 * The reference: what was added and retired, summed on its own, and the value that each series had
 * when it was last looked at.
 */
struct known {
	char labels[64];
	uint64_t *values;
	bool seen;
};

struct reference {
	struct table *table;
	uint64_t *totals; /* of everything that was ever counted */
	struct known *known[TABLE_MAX_PROJECTIONS];
	unsigned n_known[TABLE_MAX_PROJECTIONS];
	uint64_t *other[TABLE_MAX_PROJECTIONS];
	uint32_t budget; /* the greatest so far */
};

static bool is_gauge(const struct table *table, unsigned at)
{
	return at == table->value_of[OLDEST];
}

/* Takes the table over. */
static void reference_open(struct reference *r, struct table *table)
{
	*r = (struct reference){ .table = table, .budget = table->budget };
	r->totals = calloc(table->n_values, sizeof(*r->totals));
	assert_non_null(r->totals);
	for (unsigned i = 0; i < table->n_projections; i++) {
		r->known[i] = calloc(1000, sizeof(**r->known));
		r->other[i] = calloc(table->n_values, sizeof(**r->other));
		assert_true(r->known[i] && r->other[i]);
	}
}

static void reference_close(struct reference *r)
{
	for (unsigned i = 0; i < r->table->n_projections; i++) {
		for (unsigned j = 0; j < r->n_known[i]; j++)
			free(r->known[i][j].values);
		free(r->known[i]);
		free(r->other[i]);
	}
	free(r->totals);
	table_free(r->table);
}

/* No counter of a living series falls. Gauges are what their rows say, which check_gauge() sees to.
 * */
static void check_monotonic(const struct reference *r, const struct projection *p, uint64_t *last,
			    const uint64_t *now)
{
	for (unsigned i = 0; i < p->n_values; i++) {
		if (is_gauge(r->table, p->first_value + i))
			continue;
		assert_true(now[i] >= last[i]);
		last[i] = now[i];
	}
}

static void check_gauge(const struct reference *r, unsigned projection, const struct series *series,
			bool is_other)
{
	const struct table *table = r->table;
	const struct projection *p = &table->projections[projection];
	unsigned at = table->value_of[OLDEST];
	uint64_t greatest = 0;
	uint32_t n_rows = 0;

	for (uint32_t i = 0; i < table->n_rows; i++) {
		const struct row *row = table->rows[i];

		if (row->series[projection] != (is_other ? NULL : series))
			continue;
		n_rows++;
		greatest = row->values[at] > greatest ? row->values[at] : greatest;
	}
	if (!is_other)
		assert_int_equal(series->n_rows, n_rows);
	if (at >= p->first_value && at < p->first_value + p->n_values)
		assert_int_equal(series->values[at - p->first_value], greatest);
}

static struct known *known_find(struct reference *r, unsigned projection, const char *labels)
{
	struct known *known = r->known[projection];

	for (unsigned i = 0; i < r->n_known[projection]; i++)
		if (strcmp(known[i].labels, labels) == 0)
			return &known[i];
	assert_true(r->n_known[projection] < 1000);
	known = &known[r->n_known[projection]++];
	known->seen = false;
	snprintf(known->labels, sizeof(known->labels), "%s", labels);
	known->values = calloc(r->table->n_values, sizeof(*known->values));
	assert_non_null(known->values);
	return known;
}

/* A series that has ended may come back from zero: forget it. */
static void known_forget(struct reference *r, unsigned projection)
{
	struct known *known = r->known[projection];

	for (unsigned i = 0; i < r->n_known[projection];) {
		if (known[i].seen) {
			known[i++].seen = false;
			continue;
		}
		free(known[i].values);
		known[i] = known[--r->n_known[projection]];
	}
}

static void check_projection(struct reference *r, unsigned projection)
{
	const struct table *table = r->table;
	const struct projection *p = &table->projections[projection];
	uint64_t sum[128] = { 0 };

	assert_true(p->n_values <= ARRAY_SIZE(sum));
	assert_true(p->n_series <= r->budget);
	for (uint32_t i = 0; i < p->n_series; i++) {
		const struct series *series = p->series[i];
		struct known *known;
		char labels[64];

		snprintf(labels, sizeof(labels), "%s|%s", series->labels[0].text,
			 series->labels[1].text);
		assert_string_not_equal(labels, "other|other");
		known = known_find(r, projection, labels);
		assert_false(known->seen); /* no two of the same labels */
		known->seen = true;
		check_monotonic(r, p, known->values, series->values);
		check_gauge(r, projection, series, false);
		for (unsigned j = 0; j < p->n_values; j++)
			sum[j] += series->values[j];
	}
	known_forget(r, projection);
	check_monotonic(r, p, r->other[projection], p->other.values);
	check_gauge(r, projection, &p->other, true);
	for (unsigned j = 0; j < p->n_values; j++)
		if (!is_gauge(table, p->first_value + j))
			assert_int_equal(sum[j] + p->other.values[j] + p->retired[j],
					 r->totals[p->first_value + j]);
}

static void check(struct reference *r)
{
	const struct table *table = r->table;

	table_sum(r->table);
	for (unsigned i = 0; i < table->n_values; i++) {
		uint64_t sum = table->retired[i];

		for (uint32_t j = 0; j < table->n_rows; j++)
			sum += table->rows[j]->values[i];
		if (is_gauge(table, i))
			assert_int_equal(table->retired[i], 0);
		else
			assert_int_equal(sum, r->totals[i]);
	}
	for (unsigned i = 0; i < table->n_projections; i++)
		check_projection(r, i);
}

static void count_some(struct reference *r)
{
	struct table *table = r->table;
	struct row *row = table->rows[(uint32_t)random() % table->n_rows];

	for (unsigned i = 0; i < 4; i++) {
		unsigned at = (unsigned)random() % table->n_values;
		uint64_t more = (uint64_t)random() % 1000;

		if (is_gauge(table, at)) {
			row->values[at] = more;
			continue;
		}
		row->values[at] += more;
		r->totals[at] += more;
	}
}

static const char *const reasons[] = { "R", "S", "T", "other" };

static void add_some(struct reference *r)
{
	static const char *const symbols[] = { "f", "g", "h", "i", "j", "other" };
	static const char *const devices[] = { "a", "b", "c", "other" };

	add(r->table, symbols[(unsigned)random() % ARRAY_SIZE(symbols)],
	    reasons[(unsigned)random() % ARRAY_SIZE(reasons)],
	    devices[(unsigned)random() % ARRAY_SIZE(devices)], 0);
}

/* Its reason is another one from now on, or the same. */
static void relabel_some(struct reference *r)
{
	struct row *row = r->table->rows[(uint32_t)random() % r->table->n_rows];
	const char *labels[N_LABELS] = { "", reasons[(unsigned)random() % ARRAY_SIZE(reasons)] };

	assert_int_equal(table_relabel(r->table, row, labels), 0);
}

static void do_something(struct reference *r)
{
	struct table *table = r->table;

	switch (random() % 18) {
	case 0 ... 2:
		if (table->n_rows < 60)
			add_some(r);
		break;
	case 3 ... 5:
		if (table->n_rows)
			table_retire(table, table->rows[(uint32_t)random() % table->n_rows]);
		break;
	case 6:
		table_admit(table);
		break;
	case 16 ... 17:
		if (table->n_rows)
			relabel_some(r);
		break;
	case 7:
		if (random() % 8)
			break;
		table_set_budget(table, 1 + (unsigned)random() % 12);
		r->budget = table->budget > r->budget ? table->budget : r->budget;
		break;
	default:
		if (table->n_rows)
			count_some(r);
	}
}

/* Whatever happens in whatever order, the books close and nothing goes backwards. */
static void random_operations(void **state)
{
	struct reference reference;

	(void)state;
	for (unsigned seed = 1; seed <= 8; seed++) {
		srandom(seed);
		reference_open(&reference, make(1 + seed));
		for (unsigned i = 0; i < 3000; i++) {
			do_something(&reference);
			check(&reference);
		}
		while (reference.table->n_rows)
			table_retire(reference.table, reference.table->rows[0]);
		check(&reference);
		for (unsigned i = 0; i < reference.table->n_projections; i++)
			assert_int_equal(reference.table->projections[i].n_series, 0);
		reference_close(&reference);
	}
}

/* A row that is called otherwise leaves its series, which ends with what it had, and counts in another
 * from zero. Its own count goes on. */
static void relabelling(void **state)
{
	static const char borrowed[] = "S";
	const char *labels[N_LABELS] = { "ignored", borrowed, "ignored", "ignored" };
	struct table *table = make(10);
	struct row *row = add(table, "f", "R", "a", 30);
	const struct series *series;

	(void)state;
	assert_int_equal(table_relabel(table, row, labels), 0);
	assert_ptr_equal(row->labels[REASON].text, borrowed);
	assert_string_equal(row->labels[SYMBOL].text, "f");
	row->values[0] += 12;
	table_sum(table);
	assert_int_equal(row->values[0], 42);
	assert_null(find(table, FIRST, "f", "R"));
	assert_null(find(table, SECOND, "R", "a"));
	series = find(table, FIRST, "f", "S");
	assert_non_null(series);
	assert_int_equal(series->values[0], 12);
	assert_non_null(find(table, SECOND, "S", "a"));
	assert_int_equal(table->projections[FIRST].retired[0], 30);
	assert_int_equal(table->retired[0], 0);

	/* To the same again: nothing moves. */
	assert_int_equal(table_relabel(table, row, labels), 0);
	assert_ptr_equal(row->series[FIRST], series);

	table_retire(table, row);
	assert_int_equal(table->retired[0], 42);
	assert_int_equal(table->projections[FIRST].retired[0], 42);
	table_free(table);
}

/* Of two rows of a series one is called otherwise: what it had counted stays. */
static void relabelling_one_of_two(void **state)
{
	const char *labels[N_LABELS] = { "", "S", "", "" };
	struct table *table = make(1);
	struct row *row = add(table, "f", "R", "a", 30);

	(void)state;
	add(table, "f", "R", "a", 5);
	assert_int_equal(table_relabel(table, row, labels), 0);
	row->values[0] += 12;
	table_sum(table);
	assert_int_equal(find(table, FIRST, "f", "R")->values[0], 35);
	/* There is no room for a second series. */
	assert_null(find(table, FIRST, "f", "S"));
	assert_int_equal(table->projections[FIRST].other.values[0], 12);
	table_free(table);
}

static void rates(void **state)
{
	const uint64_t s = 1000000000;
	struct table *table = make(10);
	struct row *old = add(table, "f", "R", "a", 1000), *new;

	(void)state;
	assert_true(table_has_rate(table));
	assert_int_equal(row_rate(table, old), 0); /* no time has passed yet */
	table_rate(table, 100 * s);
	assert_int_equal(row_rate(table, old), 0); /* of old */
	old->values[0] += 7;
	table_rate(table, 100 * s + 1000);
	assert_int_equal(row_rate(table, old), 7000); /* in at least a second */
	table_rate(table, 104 * s);
	assert_int_equal(row_rate(table, old), 7000 / 4);
	new = add(table, "g", "R", "a", 50);
	table_rate(table, 105 * s);
	assert_int_equal(row_rate(table, old), 7000 / 5);
	assert_int_equal(row_rate(table, new), 10000);
	new->values[0] += 50;
	table_rate(table, 109 * s);
	assert_int_equal(row_rate(table, new), 100000 / 9);
	/* From the second snapshot on. */
	table_rate(table, 110 * s);
	assert_int_equal(row_rate(table, old), 0);
	assert_int_equal(row_rate(table, new), 50000 / 5);
	table_rate(table, 115 * s);
	assert_int_equal(row_rate(table, new), 0);
	new->values[0] = UINT64_MAX;
	assert_int_equal(row_rate(table, new), TABLE_MAX_RATE);
	table_free(table);
}

static void nothing_to_free(void **state)
{
	struct table *none = NULL;

	(void)state;
	table_free(NULL);
	table_freep(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(column_names),
		cmocka_unit_test(by_is_exact),
		cmocka_unit_test(no_labels),
		cmocka_unit_test(details_cost_no_series),
		cmocka_unit_test(new_rows_are_zero),
		cmocka_unit_test(labels_are_apart),
		cmocka_unit_test(cut_labels_merge),
		cmocka_unit_test(first_come_first_served),
		cmocka_unit_test(each_projection_has_its_budget),
		cmocka_unit_test(all_other_is_other),
		cmocka_unit_test(retiring_one_row_of_two),
		cmocka_unit_test(retiring_the_last_row),
		cmocka_unit_test(retiring_in_other),
		cmocka_unit_test(rows_stay),
		cmocka_unit_test(admission_of_those_that_wait),
		cmocka_unit_test(admission_to_a_living_series),
		cmocka_unit_test(lower_budget),
		cmocka_unit_test(gauges),
		cmocka_unit_test(histograms),
		cmocka_unit_test(many_series),
		cmocka_unit_test(random_operations),
		cmocka_unit_test(relabelling),
		cmocka_unit_test(relabelling_one_of_two),
		cmocka_unit_test(rates),
		cmocka_unit_test(nothing_to_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
