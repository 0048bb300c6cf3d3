/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables for Prometheus: its text, version 0.0.4, OpenMetrics 1.0.0, and protocol buffers. */
#pragma once

#include <stdbool.h>

#include "../model/table.h"
#include "buffer.h"

enum prometheus_format { PROMETHEUS_TEXT, PROMETHEUS_OPENMETRICS, PROMETHEUS_PROTOBUF };

/* The format that an Accept header prefers, and its Content-Type. */
enum prometheus_format prometheus_negotiate(const char *accept);
const char *prometheus_content_type(enum prometheus_format format);

/*
 * Appends every metric of the table: HELP, TYPE (and UNIT), then a line per series and one for
 * `other`. The table's sums must be up to date (table_sum()). Histograms are classic, with bounds
 * at powers of two; in protocol buffers also native, with all of the kernel's buckets.
 */
void prometheus_render(struct buffer *buffer, const struct table *table,
		       enum prometheus_format format);
/* What ends the whole: "# EOF" in OpenMetrics. */
void prometheus_finish(struct buffer *buffer, enum prometheus_format format);

/* Calls back for each series that a metric shows, `other` last. */
typedef void (*prometheus_series_t)(void *userdata, const struct table *table,
				    const struct projection *projection,
				    const struct column *column, const struct series *series);
void prometheus_each_series(const struct table *table, const struct projection *projection,
			    const struct column *column, prometheus_series_t each, void *userdata);

/* The metrics of a table as rows of a Markdown table: name, type, labels, help. */
void prometheus_list(struct buffer *buffer, const struct table *table);
