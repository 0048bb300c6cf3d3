/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows and plots of a table, from the history to the text of the answer. */
#include "fixtures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "model/plot.h"
#include "render/json.h"
#include "render/text.h"

enum { SIZE = HISTORY_MIN_SIZE };

struct fixture {
	struct table *table;
	struct history *history;
	uint64_t now;
};

/*
 * Ten seconds in which each of the four rows drops in its own way; the last has ended by then. The
 * history begins with the third.
 */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *fault;

	assert_non_null(f);
	f->table = make_drops();
	f->now = NOW;
	for (uint32_t i = 0; i < f->table->n_rows; i++)
		memcpy(f->table->rows[i]->sampled, f->table->rows[i]->values,
		       f->table->n_values * sizeof(uint64_t));
	assert_int_equal(history_new(SIZE, -1, f->now, &f->history, &fault), 0);
	for (unsigned second = 1; second <= 10; second++) {
		f->now += SECOND;
		f->table->rows[0]->values[0] += 1;
		f->table->rows[0]->values[1] += 60;
		f->table->rows[1]->values[0] += second % 5 == 0 ? 100 : 0;
		f->table->rows[2]->values[0] += second;
		if (second == 3)
			f->table->rows[3]->values[0] += 7;
		history_sample(f->history, &f->table, 1, f->now);
	}
	table_retire(f->table, f->table->rows[3]);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	table_free(f->table);
	history_free(f->history);
	free(f);
	return 0;
}

static struct table *window(const struct fixture *f, const struct query *query)
{
	struct history_window asked = { .now = f->now };
	struct table *table;

	assert_true(query_window(query, &asked.from, &asked.to));
	assert_int_equal(history_table(f->history, f->table, &asked, &table), 0);
	return table;
}

static void take(struct query *query, const struct fixture *f, const char *name, const char *value)
{
	struct query_error error;

	query->now = f->now;
	assert_int_equal(query_parameter(query, f->table, name, value, &error), 0);
}

static void windows(void **state)
{
	const struct fixture *f = *state;
	struct buffer json = {}, text = {};
	struct query query;
	struct result result;
	struct table *table;

	query_init(&query, f->table);
	take(&query, f, "window", "5s");
	table = window(f, &query);
	assert_int_equal(query_run(&query, table, &result), 0);
	json_render(&json, table, &result, "db7.example.com", f->now);
	text_render(&text, table, &result, "db7.example.com", f->now);
	assert_golden(&json, "tests/unit/golden/window.json");
	assert_golden(&text, "tests/unit/golden/window.txt");
	result_free(&result);
	table_free(table);
	buffer_free(&json);
	buffer_free(&text);
}

/* The second in which the row that is gone was seen, and nothing else of it. */
static void a_row_that_has_ended(void **state)
{
	const struct fixture *f = *state;
	struct query query;
	struct result result;
	struct table *table;

	query_init(&query, f->table);
	take(&query, f, "at", "-7s");
	take(&query, f, "window", "1s");
	take(&query, f, "reason", "NOT_SPECIFIED");
	table = window(f, &query);
	assert_int_equal(query_run(&query, table, &result), 0);
	assert_int_equal(result.n_rows, 1);
	assert_int_equal(result.totals.values[0], 7);
	assert_int_equal(result.totals.rate, 7 * TABLE_RATE_SCALE);
	result_free(&result);
	table_free(table);
}

static void at_has_a_minute(void **state)
{
	const struct fixture *f = *state;
	uint64_t from, to;
	struct query query;

	query_init(&query, f->table);
	assert_false(query_window(&query, &from, &to));
	take(&query, f, "at", "-4s");
	assert_true(query_window(&query, &from, &to));
	assert_int_equal(to, f->now - 4 * SECOND);
	assert_int_equal(from, f->now - 64 * SECOND);
}

static int run(const struct fixture *f, const struct query *query, struct plot *ret_plot,
	       struct query_error *ret_error)
{
	struct history_window asked = { .now = f->now };

	assert_true(query_window(query, &asked.from, &asked.to));
	return plot_run(query, f->history, f->table, &asked, ret_plot, ret_error);
}

static void plots(void **state)
{
	const struct fixture *f = *state;
	struct query_error error;
	struct buffer json = {};
	struct query query;
	struct plot plot;

	query_init_plot(&query, f->table);
	take(&query, f, "by", "reason");
	take(&query, f, "window", "14s");
	take(&query, f, "step", "2s");
	take(&query, f, "top", "2");
	take(&query, f, "reason!", "NO_SUCH_REASON");
	assert_int_equal(run(f, &query, &plot, &error), 0);
	json_plot(&json, f->table, &plot, "db7.example.com", f->now);
	assert_golden(&json, "tests/unit/golden/plot.json");
	plot_clear(&plot);
	buffer_free(&json);
}

/* Each step is what a window of its length has; a filter holds for all. */
static void steps_are_windows(void **state)
{
	const struct fixture *f = *state;
	struct query_error error;
	struct query query;
	struct plot plot;

	query_init_plot(&query, f->table);
	take(&query, f, "window", "10s");
	take(&query, f, "step", "3s");
	take(&query, f, "reason", "NETFILTER_DROP");
	assert_int_equal(run(f, &query, &plot, &error), 0);
	assert_int_equal(plot.n_points, 4); /* the last is shorter */
	assert_int_equal(plot.result.n_rows, 1);
	assert_int_equal(plot.points[0], 1 + 2 + 3);
	assert_int_equal(plot.points[1], 4 + 5 + 6);
	assert_int_equal(plot.points[2], 7 + 8 + 9);
	assert_int_equal(plot.points[3], 10);
	for (unsigned i = 4; i < 8; i++)
		assert_int_equal(plot.points[i], 0);
	plot_clear(&plot);
}

static void columns(void **state)
{
	const struct fixture *f = *state;
	struct query_error error;
	struct query query;
	struct plot plot;

	query_init_plot(&query, f->table);
	take(&query, f, "window", "10s");
	take(&query, f, "step", "10s");
	take(&query, f, "column", "bytes");
	assert_int_equal(run(f, &query, &plot, &error), 0);
	assert_int_equal(plot.points[0], 600);
	plot_clear(&plot);
}

static void defaults(void **state)
{
	const struct fixture *f = *state;
	struct query_error error;
	struct query query;
	struct plot plot;

	query_init_plot(&query, f->table);
	query.now = f->now;
	assert_int_equal(run(f, &query, &plot, &error), 0);
	assert_int_equal(plot.to - plot.from, 3600 * SECOND);
	assert_int_equal(plot.step, 10 * SECOND);
	assert_int_equal(plot.n_points, 360);
	plot_clear(&plot);
	take(&query, f, "window", "61s");
	assert_int_equal(run(f, &query, &plot, &error), 0);
	assert_int_equal(plot.step, SECOND);
	plot_clear(&plot);
}

static void refused(void **state)
{
	const struct fixture *f = *state;
	struct query_error error;
	struct query query;
	struct plot plot;

	query_init_plot(&query, f->table);
	take(&query, f, "window", "2s");
	take(&query, f, "step", "3s");
	assert_int_equal(run(f, &query, &plot, &error), -EINVAL);
	assert_string_equal(error.parameter, "step");
	assert_string_equal(error.message, "longer than the window");
	/* Five series, other's among them, of 20,001 points. */
	query_init_plot(&query, f->table);
	take(&query, f, "window", "20001s");
	take(&query, f, "step", "1s");
	assert_int_equal(run(f, &query, &plot, &error), -EINVAL);
	assert_string_equal(error.allowed[0], "at most 100000 points; here 5 series of 20001");
	query_init_plot(&query, f->table);
	take(&query, f, "window", "20000s");
	take(&query, f, "step", "1s");
	assert_int_equal(run(f, &query, &plot, &error), 0);
	plot_clear(&plot);
	assert_int_equal(query_parameter(&query, f->table, "sort", "rate", &error), -EINVAL);
	assert_int_equal(query_parameter(&query, f->table, "column", "reason", &error), -EINVAL);
	assert_string_equal(error.allowed[0], "packets");
	assert_int_equal(query_parameter(&query, f->table, "step", "0.5s", &error), -EINVAL);
	assert_int_equal(query_parameter(&query, f->table, "table", "block", &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(windows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_row_that_has_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(at_has_a_minute, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(steps_are_windows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(columns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
