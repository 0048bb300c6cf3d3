/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables as aligned text for a terminal. */
#pragma once

#include "../model/query.h"
#include "buffer.h"

/*
 * Appends a heading, a line per row and the lines for `other`, `retired`, losses and totals.
 * Counters stand on the left, aligned to the right; labels behind them, in the order of the
 * columns; a histogram is shown as its count, median and 99th percentile. `age` is the time since a
 * row was first seen, `idle` since it was last seen. Detail labels that are empty in all rows are
 * left out, and other such labels where a line would be longer than 100 columns.
 */
void text_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now);
