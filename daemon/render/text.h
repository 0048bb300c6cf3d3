/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables as aligned text for a terminal. */
#pragma once

#include "../model/query.h"
#include "buffer.h"

/*
 * Appends a heading, a line per row and the lines for `other`, `retired`, losses and totals.
 * Counters stand on the left, aligned to the right; labels behind them, in the order of the
 * columns, but those with an order of their own first; a histogram is shown as its count, median
 * and 99th percentile. `age` is the time since a row was first seen, `idle` since it was last seen.
 * Of a table that has brief columns only those are shown, unless the result is grouped and has room
 * for more. Detail labels that are empty in all rows are left out, and other such labels where a
 * line would be longer than 100 columns; if it still is, the widest labels are cut, and end in ~.
 * Prose stands below its row, unless one of the row's labels is the last in an order of its own.
 */
void text_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now);
