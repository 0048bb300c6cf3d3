/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a reader asks of a table: filters, grouping, order and length; generic over tables.
 *
 *	LABEL=GLOB		rows whose label matches; given again: or. fnmatch(3) patterns
 *	LABEL!=GLOB		rows whose label matches none of them (the parameter's name is "LABEL!")
 *	by=LABEL,LABEL		sums of the rows that agree in these: counters and histograms are
 *				added, of gauges the greatest
 *	sort=COLUMN or -COLUMN	a counter, a gauge or rate: greatest first; a histogram: by its
 *				count; a label: A to Z, or in its own order; - turns it round.
 *				Labels break ties. Without it: labels that have an order of their
 *				own, then rate, then the first value
 *	top=N			the first N rows; what is left is summed as `other`
 *	window=DURATION		what was counted in so long a time (moment.h), up to now
 *	at=TIME			up to then; without a window: 60s
 *	format=json, text
 *
 * A plot (plot.h) takes by, the filters, top, window and at, and
 *
 *	table=NAME		which one
 *	column=COUNTER		of which counter; otherwise the first
 *	step=DURATION		one sum for so long each; otherwise at most QUERY_PLOT_STEPS of them
 *
 * Stacks (shares.h) take the filters, window, at and format.
 *
 * All filters must hold. A label that equals the pattern byte for byte matches, so that "veth*"
 * finds the group of that name too.
 */
#pragma once

#include "table.h"

struct buffer;

enum query_format { FORMAT_JSON, FORMAT_TEXT };

enum query_limits {
	QUERY_MAX_FILTERS = 32,
	QUERY_MAX_PATTERN = 255,   /* bytes, as TABLE_MAX_LABEL_BYTES */
	QUERY_MAX_PATTERNS = 1024, /* bytes of all of them: each is held against each row */
	QUERY_MAX_TOP = 100000,
	QUERY_WINDOW_SECONDS = 60, /* where only `at` is given */
	QUERY_PLOT_SECONDS = 3600, /* of a plot, where no window is given */
	QUERY_PLOT_TOP = 20,
	QUERY_PLOT_STEPS = 360,
	QUERY_MAX_POINTS = 100000, /* of all series of a plot together */
};

enum query_sort { SORT_DEFAULT = -1, SORT_RATE = -2 };

struct filter {
	unsigned column;
	bool negated;
	const char *pattern; /* the caller's string */
};

struct query {
	enum query_format format;
	struct filter filters[QUERY_MAX_FILTERS];
	unsigned n_filters;
	uint32_t by;	/* bit per label column; 0: no grouping */
	int sort;	/* a column, or one of enum query_sort */
	bool ascending; /* smallest number first, Z to A */
	unsigned top;
	uint64_t now;	     /* nanoseconds since the epoch, the caller's: what `at` refers to */
	uint64_t window, at; /* nanoseconds, and since the epoch; both 0: everything, and now */
	bool plot;
	bool stacks;	 /* window, at, format and filters only */
	uint64_t step;	 /* of a plot, nanoseconds; 0: by the window */
	unsigned column; /* of a plot: a counter */
	unsigned given;	 /* bit per parameter that may be given only once */
};

/* A query with the defaults: JSON, no filter, the budget's number of rows. */
void query_init(struct query *query, const struct table *table);
/* The same for a plot: an hour, the first counter, the greatest QUERY_PLOT_TOP. */
void query_init_plot(struct query *query, const struct table *table);
/* The same for stacks: the last QUERY_WINDOW_SECONDS, as text. */
void query_init_stacks(struct query *query, const struct table *table);

/* One line of an answer. Labels are the table's, values the table's or the result's own. In a group
 * only the labels of result.columns mean anything. */
struct result_row {
	const struct label *labels; /* one per label column; NULL in `other` */
	const uint64_t *values;
	uint64_t first_seen, last_seen;
	uint64_t rate;	  /* as row_rate() */
	uint32_t n_rows;  /* rows of the table that it sums */
	struct peak peak; /* of several rows, the greatest */
};

struct result {
	uint32_t columns; /* bit per label column that is to be shown */
	struct result_row *rows;
	uint32_t n_rows;
	struct result_row other;  /* beyond `top`; n_rows is 0 when there is nothing */
	struct result_row totals; /* of all that matched, `retired` not among it */
	bool grouped;
	bool filtered; /* then `retired` is no part of the answer */
	/* Per row of the table: which of `rows` it is in; n_rows: `other`; UINT32_MAX: it does not
	 * match. */
	uint32_t *groups;
	void *memory[4];
};

/* The window that is asked for; false: there is none, and everything is wanted. */
bool query_window(const struct query *query, uint64_t *ret_from, uint64_t *ret_to);

/* Do the row's labels meet all filters? */
bool query_matches(const struct query *query, const struct row *row);

/* Answers the query from the rows as they stand; good until the table changes. 0, -ENOMEM. */
int query_run(const struct query *query, const struct table *table, struct result *ret_result);
void result_free(struct result *result);
