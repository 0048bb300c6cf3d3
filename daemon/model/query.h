/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a reader asks of a table: filters, grouping, order and length; generic over tables.
 *
 *	LABEL=GLOB		rows whose label matches; given again: or. fnmatch(3) patterns
 *	LABEL!=GLOB		rows whose label matches none of them (the parameter's name is "LABEL!")
 *	by=LABEL,LABEL		sums of the rows that agree in these: counters and histograms are
 *				added, of gauges the greatest
 *	sort=COLUMN or -COLUMN	a counter or gauge: greatest first; a histogram: by its count; a
 *				label: A to Z; - turns it round. Labels break ties, A to Z
 *	top=N			the first N rows; what is left is summed as `other`
 *	format=json, text
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
	QUERY_MAX_PATTERN = 255, /* bytes, as TABLE_MAX_LABEL_BYTES */
	QUERY_MAX_TOP = 100000,
};

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
	int sort;	/* a column; -1: the first value column */
	bool ascending; /* smallest number first, Z to A */
	unsigned top;
	unsigned given; /* bit per parameter that may be given only once */
};

/* A query with the defaults: JSON, no filter, the budget's number of rows. */
void query_init(struct query *query, const struct table *table);

/* One line of an answer. Labels are the table's, values the table's or the result's own. In a group
 * only the labels of result.columns mean anything. */
struct result_row {
	const struct label *labels; /* one per label column; NULL in `other` */
	const uint64_t *values;
	uint64_t first_seen, last_seen;
	uint32_t n_rows; /* rows of the table that it sums */
};

struct result {
	uint32_t columns; /* bit per label column that is to be shown */
	struct result_row *rows;
	uint32_t n_rows;
	struct result_row other; /* beyond `top`; n_rows is 0 when there is nothing */
	uint64_t *totals;	 /* of all that matched, `retired` not among it */
	bool filtered;		 /* then `retired` is no part of the answer */
	void *memory[3];
};

/* Answers the query from the rows as they stand; good until the table changes. 0, -ENOMEM. */
int query_run(const struct query *query, const struct table *table, struct result *ret_result);
void result_free(struct result *result);
