/* SPDX-License-Identifier: BSD-2-Clause */
#include "plot.h"

#include <errno.h>

#include "../util.h"

#define SECOND UINT64_C(1000000000)

void plot_clear(struct plot *plot)
{
	result_free(&plot->result);
	table_free(plot->rows);
	free(plot->points);
	*plot = (struct plot){ .rows = NULL };
}

/* Whole seconds, so that there are at most QUERY_PLOT_STEPS. */
static uint64_t default_step(uint64_t window)
{
	uint64_t least = QUERY_PLOT_STEPS * SECOND;

	return (window + least - 1) / least * SECOND;
}

static int refuse_points(const struct plot *plot, uint64_t n_points, struct query_error *ret_error)
{
	char allowed[96];

	snprintf(allowed, sizeof(allowed), "at most %u points; here %u series of %llu",
		 QUERY_MAX_POINTS, plot->result.n_rows + 1, (unsigned long long)n_points);
	return query_refuse(
		ret_error, "step",
		"too many points: ask for a longer step, a shorter window or a smaller top",
		allowed);
}

static int plot_fill(const struct query *query, const struct history *history,
		     const struct table *table, const struct history_window *window,
		     struct plot *plot, struct query_error *ret_error)
{
	uint64_t n_points = (plot->to - plot->from + plot->step - 1) / plot->step;
	struct query groups = *query;
	struct history_steps steps = { .step = plot->step,
				       .value = table->value_of[query->column] };
	int error = history_table(history, table, window, &plot->rows);

	groups.sort = (int)query->column;
	if (!error)
		error = query_run(&groups, plot->rows, &plot->result);
	if (error)
		return error;
	if (n_points > QUERY_MAX_POINTS / (plot->result.n_rows + 1))
		return refuse_points(plot, n_points, ret_error);
	plot->n_points = steps.n_points = (unsigned)n_points;
	steps.groups = plot->result.groups;
	plot->points = calloc((plot->result.n_rows + 1) * n_points + 1, sizeof(*plot->points));
	if (!plot->points)
		return -ENOMEM;
	return history_points(history, table, window, plot->rows, &steps, plot->points);
}

int plot_run(const struct query *query, const struct history *history, const struct table *table,
	     const struct history_window *window, struct plot *ret_plot,
	     struct query_error *ret_error)
{
	uint64_t length = window->to - window->from;
	struct plot plot = { .from = window->from,
			     .to = window->to,
			     .step = query->step ? query->step : default_step(length),
			     .column = query->column };
	int error;

	if (plot.step > length)
		return query_refuse(ret_error, "step", "longer than the window",
				    "a duration from 1s to the window's");
	error = plot_fill(query, history, table, window, &plot, ret_error);
	if (error)
		plot_clear(&plot);
	else
		*ret_plot = plot;
	return error;
}
