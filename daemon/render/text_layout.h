/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands where in a table's text: which columns and sums are shown, and how wide they are. */
#pragma once

#include "../model/query.h"

enum text_layout_limits {
	TEXT_LINE_WIDTH = 100, /* where it can be had */
	TEXT_GAP = 2,
	TEXT_CELL_SIZE = 32,
	TEXT_MIN_LABEL = 8, /* what a label's column is not cut below */
	TEXT_MAX_FIELDS = 3 * TABLE_MAX_VALUES + 3,
	TEXT_MAX_SUMS = 3, /* other, total, retired */
};

enum text_field_kind {
	FIELD_VALUE,
	FIELD_RATE,
	FIELD_COUNT, /* the next three belong to one histogram, in this order */
	FIELD_P50,
	FIELD_P99,
	FIELD_AGE,
	FIELD_IDLE,
};

/* A column of numbers. */
struct text_field {
	enum text_field_kind kind;
	unsigned column; /* the table's; not for the times */
	unsigned width;
};

/* A line below the rows. */
struct text_sum {
	char title[48];
	bool gauges;	       /* and a rate: what is, not what has been */
	struct result_row row; /* without labels */
};

struct text_layout {
	const struct table *table;
	const struct result *result;
	uint64_t now;
	struct text_field fields[TEXT_MAX_FIELDS];
	unsigned n_fields;
	struct {
		unsigned column, width;
		bool empty; /* in all rows */
	} labels[TABLE_MAX_LABELS];
	unsigned n_labels;
	unsigned prose[TABLE_MAX_LABELS], n_prose; /* columns */
	struct text_sum sums[TEXT_MAX_SUMS];
	unsigned n_sums;
};

/* Points into the table and the result. now: nanoseconds since the epoch. */
void text_layout_init(struct text_layout *layout, const struct table *table,
		      const struct result *result, uint64_t now);

/* What a field shows of a row or a sum, in ASCII; gauges: false where they and the rate have no
 * value. */
void text_layout_cell(const struct text_layout *layout, const struct text_field *field,
		      const struct result_row *row, bool gauges, char ret_text[TEXT_CELL_SIZE]);
const char *text_layout_heading(const struct text_layout *layout, const struct text_field *field);

/* Is prose shown for the row? Not where one of its labels is last in an order of its own. */
bool text_layout_explains(const struct text_layout *layout, const struct result_row *row);

/* What a histogram's three fields take together; `field` is the first. */
unsigned text_layout_histogram_width(const struct text_field *field);
