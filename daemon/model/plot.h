/* SPDX-License-Identifier: BSD-2-Clause */
/* The past as series of numbers, a sum for each step of a window, one series for each group. */
#pragma once

#include "history.h"
#include "query_parameters.h"

struct plot {
	uint64_t from, to, step; /* nanoseconds; the last step may be shorter */
	unsigned n_points, column;
	struct table *rows;   /* what the window has */
	struct result result; /* its groups: a series each, and one for `other` */
	uint64_t *points;     /* n_points for each group, then for `other` */
};

/*
 * Answers a query for a plot (query_init_plot()) from the history of a table. 0; -ENOMEM; -EINVAL
 * with *ret_error filled when it cannot be answered: a step that is longer than the window, or more
 * than QUERY_MAX_POINTS. plot_clear() after success.
 */
int plot_run(const struct query *query, const struct history *history, const struct table *table,
	     const struct history_window *window, struct plot *ret_plot,
	     struct query_error *ret_error);
void plot_clear(struct plot *plot);
