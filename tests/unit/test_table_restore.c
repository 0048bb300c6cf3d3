/* SPDX-License-Identifier: BSD-2-Clause */
/* A table that is brought back as it was. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/table.h"
#include "util.h"

enum { SYMBOL, REASON, DEVICE, N_LABELS };
enum { FIRST, SECOND }; /* projections: of symbol and reason, and of device */

static const struct column columns[] = {
	[SYMBOL] = { .name = "symbol" },
	[REASON] = { .name = "reason" },
	[DEVICE] = { .name = "device", .detail = true },
	{ .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .metric = "bytes", .by = "device" },
};

static struct table *make(unsigned budget)
{
	struct table *table;

	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), budget, &table), 0);
	return table;
}

static void restore_series(struct table *table, unsigned projection, const char *symbol,
			   const char *device, uint64_t carries)
{
	const char *labels[N_LABELS] = { symbol, "R", device };
	uint64_t *carried = NULL;

	assert_int_equal(table_restore_series(table, projection, labels, &carried), 0);
	assert_non_null(carried);
	*carried = carries;
}

static struct row *restore_row(struct table *table, const char *symbol, const char *device,
			       uint32_t outside, uint64_t packets)
{
	const char *labels[N_LABELS] = { symbol, "R", device };
	struct row *row;

	assert_int_equal(table_restore_row(table, labels, outside, 1000, &row), 0);
	row->values[0] = packets;
	row->values[1] = 100 * packets;
	return row;
}

static uint64_t value(struct table *table, unsigned projection, const char *label)
{
	const struct projection *p = &table->projections[projection];

	table_sum(table);
	for (uint32_t i = 0; i < p->n_series; i++)
		if (strcmp(p->series[i]->labels[0].text, label) == 0)
			return p->series[i]->values[0];
	return UINT64_MAX;
}

static uint64_t other(struct table *table, unsigned projection)
{
	table_sum(table);
	return table->projections[projection].other.values[0];
}

/* In the order in which they were admitted once, whatever order the rows come in. */
static void order_of_series(void **state)
{
	static const char *const names[] = { "f", "a", "z", "b" };
	struct table *table = make(10);
	const struct projection *p = &table->projections[FIRST];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		restore_series(table, FIRST, names[i], NULL, i);
	for (unsigned i = ARRAY_SIZE(names); i > 0; i--)
		restore_row(table, names[i - 1], "d", 0, 10);
	restore_row(table, "new", "d", 0, 1);
	table_restored(table);
	assert_int_equal(p->n_series, ARRAY_SIZE(names) + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(p->series[i]->labels[0].text, names[i]);
		assert_int_equal(p->series[i]->index, i);
		assert_int_equal(p->series[i]->n_rows, 1);
		assert_int_equal(value(table, FIRST, names[i]), 10 + i);
	}
	assert_string_equal(p->series[4]->labels[0].text, "new");
	table_free(table);
}

static void once_only(void **state)
{
	const char *twice[N_LABELS] = { "f", "R", "other device" };
	const char *other_name[N_LABELS] = { "other", "other", "d" };
	const char *half_other[N_LABELS] = { "other", "R", "d" };
	struct table *table = make(10);
	uint64_t mine = 7, *carried = &mine;

	(void)state;
	restore_series(table, FIRST, "f", "d", 1);
	assert_int_equal(table_restore_series(table, FIRST, twice, &carried), -EEXIST);
	assert_int_equal(table_restore_series(table, FIRST, other_name, &carried), -EEXIST);
	assert_ptr_equal(carried, &mine);
	assert_int_equal(table_restore_series(table, FIRST, half_other, &carried), 0);
	assert_ptr_not_equal(carried, &mine);
	assert_int_equal(table->projections[FIRST].n_series, 2);
	assert_int_equal(table->projections[SECOND].n_series, 0);
	table_free(table);
}

/* Labels are made what table_add() makes of them. */
static void labels_are_the_same(void **state)
{
	struct table *table = make(10);
	char longer[400];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	restore_series(table, FIRST, longer, NULL, 1);
	restore_series(table, FIRST, "\xff\n", NULL, 20);
	restore_row(table, longer, "d", 0, 300);
	restore_row(table, "\xff\n", "d", 0, 4000);
	table_restored(table);
	assert_int_equal(table->projections[FIRST].n_series, 2);
	assert_int_equal(value(table, FIRST, "??"), 4020);
	table_free(table);
}

/* A row that was counted in `other` goes on so, in the projections where it was. */
static void outside(void **state)
{
	struct table *table = make(1);
	struct row *row;

	(void)state;
	restore_series(table, FIRST, "f", "d", 1);
	restore_series(table, SECOND, "f", "d", 1);
	restore_row(table, "f", "d", 0, 10);
	row = restore_row(table, "g", "d", 1u << FIRST, 5);
	assert_null(row->series[FIRST]);
	assert_non_null(row->series[SECOND]);
	table_restored(table);
	assert_int_equal(other(table, FIRST), 5);
	assert_int_equal(other(table, SECOND), 0);
	assert_int_equal(value(table, FIRST, "f"), 11);
	assert_int_equal(value(table, SECOND, "d"), 1501);
	table_free(table);
}

/* What a row had counted in `other` before it had a series stays there. */
static void base(void **state)
{
	struct table *table = make(5);
	struct row *row;

	(void)state;
	table->projections[FIRST].other.carried[0] = 4;
	restore_series(table, FIRST, "f", "d", 100);
	row = restore_row(table, "f", "d", 0, 10);
	row->base = calloc(table->n_values, sizeof(*row->base));
	assert_non_null(row->base);
	row->base[0] = 4;
	table_restored(table);
	assert_int_equal(value(table, FIRST, "f"), 106);
	assert_int_equal(other(table, FIRST), 4);
	table_retire(table, row);
	assert_int_equal(other(table, FIRST), 4);
	assert_int_equal(table->projections[FIRST].retired[0], 106);
	assert_int_equal(table->retired[0], 10);
	table_free(table);
}

/* Series whose rows have ended meanwhile end, the others keep their place. */
static void ends_what_is_empty(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	struct table *table = make(10);
	const struct projection *p = &table->projections[FIRST];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		restore_series(table, FIRST, names[i], NULL, 1 + i);
	restore_row(table, "b", "d", 0, 10);
	restore_row(table, "d", "d", 0, 10);
	table_restored(table);
	assert_int_equal(p->n_series, 2);
	assert_string_equal(p->series[0]->labels[0].text, "b");
	assert_string_equal(p->series[1]->labels[0].text, "d");
	assert_int_equal(p->retired[0], 1 + 3 + 5);
	assert_int_equal(value(table, FIRST, "b"), 12);
	/* One that comes again begins anew. */
	restore_row(table, "a", "d", 0, 7);
	assert_int_equal(value(table, FIRST, "a"), 7);
	table_free(table);
}

static void lower_budget(void **state)
{
	struct table *table = make(1);

	(void)state;
	restore_series(table, FIRST, "f", NULL, 1);
	restore_series(table, FIRST, "g", NULL, 2);
	restore_row(table, "g", "d", 0, 10);
	restore_row(table, "f", "d", 0, 10);
	restore_row(table, "h", "d", 0, 10);
	table_restored(table);
	/* What lives stays; nothing more is admitted. */
	assert_int_equal(value(table, FIRST, "f"), 11);
	assert_int_equal(value(table, FIRST, "g"), 12);
	assert_int_equal(other(table, FIRST), 10);
	assert_int_equal(value(table, FIRST, "h"), UINT64_MAX);
	table_free(table);
}

static void higher_budget(void **state)
{
	struct table *table = make(3);
	struct row *g;

	(void)state;
	table->projections[FIRST].other.carried[0] = 1000;
	restore_series(table, FIRST, "f", NULL, 1);
	g = restore_row(table, "g", "d", 1u << FIRST, 20);
	restore_row(table, "f", "d", 0, 10);
	table_restored(table);
	/* There is room now: what it had counted stays in `other`, which does not fall. */
	assert_non_null(g->series[FIRST]);
	assert_int_equal(value(table, FIRST, "g"), 0);
	assert_int_equal(other(table, FIRST), 1020);
	assert_int_equal(table->admitted, 1);
	g->values[0]++;
	assert_int_equal(value(table, FIRST, "g"), 1);
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_series),
		cmocka_unit_test(once_only),
		cmocka_unit_test(labels_are_the_same),
		cmocka_unit_test(outside),
		cmocka_unit_test(base),
		cmocka_unit_test(ends_what_is_empty),
		cmocka_unit_test(lower_budget),
		cmocka_unit_test(higher_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
