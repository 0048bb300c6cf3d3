/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables as JSON. Counters are exact 64-bit integers, seconds exact decimals, times RFC 3339 UTC.
 */
#pragma once

#include "../model/plot.h"
#include "../model/shares.h"
#include "json_writer.h"

/*
 * Appends the whole answer, indented, with a newline at its end:
 *
 *	{ "schema_version": 1, "table": "drops", "host": "...", "time": "...", "counting_since": "...",
 *	  "rows": [ {labels, values, "rate", "peak", "first_seen", "last_seen"} ],
 *	  "other": {"rows": N, values, "rate"}, "retired": {values} (only unfiltered),
 *	  "lost": {cause: N}, "totals": {values, "rate"} }
 *
 * Of a window of time (table->window) there are "window": {"from", "to", "seconds"} and
 * "history_since" behind "counting_since", no gauges, no `retired` and no `lost`.
 *
 * A number label that is "" is null, and so is a time that is not known. A histogram is {"count",
 * "sum", "p50", "p90", "p99", "buckets": [[le, count], ...]}: only buckets that hold something, not
 * cumulative, le null for the last; the quantiles are null when nothing was counted. `retired` has
 * no gauges. The rate is the first value's, per second (row_rate()); a table without a counter
 * there has none. The peak is {"rate", "time"}, or null as long as there is none.
 */
void json_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now);

/*
 * A plot: {the same heading, "column", "from", "to", "step" (seconds), "history_since",
 * "series": [{"labels": {...}, "values": [...]}], "other": {"rows": N, "values": [...]}}. The values
 * are the increases in each step, null for steps that the history does not reach back to.
 */
void json_plot(struct buffer *buffer, const struct table *table, const struct plot *plot,
	       const char *host, uint64_t now);

/*
 * Shares: {the same heading, "window", "history_since", "sampled_since", "lost_samples",
 * "stacks": [{labels, COUNTER, "samples", "stack": [the innermost first]}], "totals": {COUNTER}}; the
 * counter is the table's first.
 */
void json_shares(struct buffer *buffer, const struct shares *shares, const char *host,
		 uint64_t now);

/* {"error": ..., "parameter": ..., "allowed": [...]} and a newline. parameter may be NULL. */
void json_error(struct buffer *buffer, const char *message, const char *parameter,
		const char *const *allowed, unsigned n_allowed);
