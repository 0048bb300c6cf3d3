/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables as JSON. Counters are exact 64-bit integers, seconds exact decimals, times RFC 3339 UTC.
 */
#pragma once

#include "../model/query.h"
#include "buffer.h"

/*
 * Appends the whole answer, indented, with a newline at its end:
 *
 *	{ "schema_version": 1, "table": "drops", "host": "...", "time": "...", "counting_since": "...",
 *	  "rows": [ {labels, values, "first_seen", "last_seen"} ],
 *	  "other": {"rows": N, values}, "retired": {values} (only unfiltered), "lost": {cause: N},
 *	  "totals": {values} }
 *
 * A number label that is "" is null, and so is a time that is not known. A histogram is {"count",
 * "sum", "p50", "p90", "p99", "buckets": [[le, count], ...]}: only buckets that hold something, not
 * cumulative, le null for the last; the quantiles are null when nothing was counted. `retired` has
 * no gauges.
 */
void json_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now);

/* {"error": ..., "parameter": ..., "allowed": [...]} and a newline. parameter may be NULL. */
void json_error(struct buffer *buffer, const char *message, const char *parameter,
		const char *const *allowed, unsigned n_allowed);

/* A quoted and escaped string. Bytes that are not UTF-8 become U+FFFD; control characters, C1 too,
 * are escaped, so that no terminal acts on them. */
void json_string(struct buffer *buffer, const char *text, size_t size);

/* "2026-11-21T03:12:45.678Z" with its quotes. */
void json_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch);
