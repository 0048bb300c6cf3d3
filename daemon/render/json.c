/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include <assert.h>

#include "../model/histogram.h"

enum {
	SCHEMA_VERSION = 1,
	POINTS_PER_LINE = 20,
	BUCKETS_PER_LINE = 4, /* as many as a power of two has; within 100 columns */
};

static void write_buckets(struct json *json, const struct histogram_scale *scale,
			  const uint64_t *counts)
{
	unsigned n = 0;

	json_begin(json, '[');
	for (unsigned i = 0; i <= scale->bounds; i++) {
		if (counts[i] == 0)
			continue;
		if (n++ % BUCKETS_PER_LINE == 0)
			json_item(json);
		else
			buffer_string(json->buffer, ", ");
		buffer_char(json->buffer, '[');
		if (i < scale->bounds)
			json_number(json->buffer, scale->unit, scale->table[i]);
		else
			buffer_string(json->buffer, "null");
		buffer_string(json->buffer, ", ");
		buffer_u64(json->buffer, counts[i]);
		buffer_char(json->buffer, ']');
	}
	json_end(json, ']');
}

static void write_histogram(struct json *json, const struct histogram_scale *scale,
			    const uint64_t *values)
{
	static const struct {
		const char *name;
		double quantile;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 } };
	uint64_t count = histogram_count(scale, values);

	json_begin(json, '{');
	json_key(json, "count");
	buffer_u64(json->buffer, count);
	json_key(json, "sum");
	json_number(json->buffer, scale->unit, values[0]);
	for (unsigned i = 0; i < ARRAY_SIZE(quantiles); i++) {
		json_key(json, quantiles[i].name);
		if (count)
			json_number(json->buffer, scale->unit,
				    histogram_quantile(scale, values, quantiles[i].quantile));
		else
			buffer_string(json->buffer, "null");
	}
	json_key(json, "buckets");
	write_buckets(json, scale, values + 1);
	json_end(json, '}');
}

static void write_rate(struct json *json, const struct table *table, uint64_t rate)
{
	static_assert(TABLE_RATE_SCALE == 1000, "three digits");

	if (!table_has_rate(table))
		return;
	json_key(json, "rate");
	buffer_u64(json->buffer, rate / TABLE_RATE_SCALE);
	if (rate % TABLE_RATE_SCALE)
		buffer_printf(json->buffer, ".%03u", (unsigned)(rate % TABLE_RATE_SCALE));
}

static void write_peak(struct json *json, const struct table *table, const struct peak *peak)
{
	if (!table_has_rate(table))
		return;
	json_key(json, "peak");
	if (!peak->rate) {
		buffer_string(json->buffer, "null");
		return;
	}
	json_begin(json, '{');
	write_rate(json, table, peak->rate);
	json_key(json, "time");
	json_time(json->buffer, peak->time);
	json_end(json, '}');
}

static void write_values(struct json *json, const struct table *table, const uint64_t *values,
			 bool gauges)
{
	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		const struct column *column = &table->columns[c];
		const uint64_t *at = values + table->value_of[c];

		if (column->kind == COLUMN_GAUGE && (!gauges || table->window.to))
			continue;
		json_key(json, column->name);
		if (column->kind == COLUMN_HISTOGRAM)
			write_histogram(json, column->scale, at);
		else
			json_number(json->buffer, column->unit, *at);
	}
}

static void write_labels(struct json *json, const struct table *table, uint32_t labels,
			 const struct result_row *row)
{
	for (unsigned i = 0; i < table->n_labels; i++) {
		if (!(labels >> i & 1))
			continue;
		json_key(json, table->columns[i].name);
		json_label(json->buffer, &table->columns[i], &row->labels[i]);
	}
}

static void write_row(struct json *json, const struct table *table, uint32_t labels,
		      const struct result_row *row)
{
	json_item(json);
	json_begin(json, '{');
	write_labels(json, table, labels, row);
	write_values(json, table, row->values, true);
	write_rate(json, table, row->rate);
	write_peak(json, table, &row->peak);
	json_key(json, "first_seen");
	json_time_or_null(json->buffer, row->first_seen);
	json_key(json, "last_seen");
	json_time_or_null(json->buffer, row->last_seen);
	json_end(json, '}');
}

static void write_window(struct json *json, const struct table *table)
{
	json_key(json, "window");
	json_begin(json, '{');
	json_key(json, "from");
	json_time(json->buffer, table->window.from);
	json_key(json, "to");
	json_time(json->buffer, table->window.to);
	json_key(json, "seconds");
	buffer_seconds(json->buffer, table->window.to - table->window.from);
	json_end(json, '}');
	json_key(json, "history_since");
	json_time(json->buffer, table->window.since);
}

static void write_heading(struct json *json, const struct table *table, const char *host,
			  uint64_t now)
{
	json_key(json, "schema_version");
	buffer_u64(json->buffer, SCHEMA_VERSION);
	json_key(json, "table");
	json_string(json->buffer, table->name, strlen(table->name));
	json_key(json, "host");
	json_string(json->buffer, host, strlen(host));
	json_key(json, "time");
	json_time(json->buffer, now);
	json_key(json, "counting_since");
	json_time_or_null(json->buffer, table->counting_since);
	if (table->window.to)
		write_window(json, table);
}

/* What the rows do not show. */
static void write_rest(struct json *json, const struct table *table, const struct result *result)
{
	json_key(json, "other");
	json_begin(json, '{');
	json_key(json, "rows");
	buffer_u64(json->buffer, result->other.n_rows);
	write_values(json, table, result->other.values, true);
	write_rate(json, table, result->other.rate);
	json_end(json, '}');

	/* In a window everything is a row, and what was lost has no time. */
	if (table->window.to)
		return;
	if (!result->filtered) {
		json_key(json, "retired");
		json_begin(json, '{');
		write_values(json, table, table->retired, false);
		json_end(json, '}');
	}

	json_key(json, "lost");
	json_begin(json, '{');
	for (unsigned i = 0; i < table->n_losses; i++) {
		json_key(json, table->losses[i].cause);
		buffer_u64(json->buffer, table->losses[i].events);
	}
	json_end(json, '}');
}

void json_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now)
{
	struct json json = { .buffer = buffer };

	json_begin(&json, '{');
	write_heading(&json, table, host, now);
	json_key(&json, "rows");
	json_begin(&json, '[');
	for (uint32_t i = 0; i < result->n_rows; i++)
		write_row(&json, table, result->columns, &result->rows[i]);
	json_end(&json, ']');
	write_rest(&json, table, result);
	json_key(&json, "totals");
	json_begin(&json, '{');
	write_values(&json, table, result->totals.values, true);
	write_rate(&json, table, result->totals.rate);
	json_end(&json, '}');
	json_end(&json, '}');
	buffer_char(buffer, '\n');
}

static void write_points(struct json *json, const struct plot *plot, uint32_t series)
{
	enum unit unit = plot->rows->columns[plot->column].unit;
	const uint64_t *points = plot->points + (size_t)series * plot->n_points;

	json_key(json, "values");
	json_begin(json, '[');
	for (unsigned i = 0; i < plot->n_points; i++) {
		if (i % POINTS_PER_LINE == 0)
			json_item(json);
		else
			buffer_string(json->buffer, ", ");
		if (plot->from + (i + 1) * plot->step <= plot->rows->window.since)
			buffer_string(json->buffer, "null");
		else
			json_number(json->buffer, unit, points[i]);
	}
	json_end(json, ']');
}

static void write_series(struct json *json, const struct plot *plot, uint32_t series)
{
	const struct result *result = &plot->result;

	json_item(json);
	json_begin(json, '{');
	json_key(json, "labels");
	json_begin(json, '{');
	write_labels(json, plot->rows, result->columns, &result->rows[series]);
	json_end(json, '}');
	write_points(json, plot, series);
	json_end(json, '}');
}

void json_plot(struct buffer *buffer, const struct table *table, const struct plot *plot,
	       const char *host, uint64_t now)
{
	const char *column = table->columns[plot->column].name;
	struct json json = { .buffer = buffer };

	json_begin(&json, '{');
	write_heading(&json, table, host, now);
	json_key(&json, "column");
	json_string(buffer, column, strlen(column));
	json_key(&json, "from");
	json_time(buffer, plot->from);
	json_key(&json, "to");
	json_time(buffer, plot->to);
	json_key(&json, "step");
	buffer_seconds(buffer, plot->step);
	json_key(&json, "history_since");
	json_time(buffer, plot->rows->window.since);
	json_key(&json, "series");
	json_begin(&json, '[');
	for (uint32_t i = 0; i < plot->result.n_rows; i++)
		write_series(&json, plot, i);
	json_end(&json, ']');
	json_key(&json, "other");
	json_begin(&json, '{');
	json_key(&json, "rows");
	buffer_u64(buffer, plot->result.other.n_rows);
	write_points(&json, plot, plot->result.n_rows);
	json_end(&json, '}');
	json_end(&json, '}');
	buffer_char(buffer, '\n');
}

static void write_share(struct json *json, const struct shares *shares, const struct share *share)
{
	const struct table *table = shares->table;
	const struct result_row row = { .labels = share->row->labels };

	json_item(json);
	json_begin(json, '{');
	write_labels(json, table, shares->columns, &row);
	json_key(json, table->columns[table->n_labels].name);
	buffer_u64(json->buffer, share->events);
	json_key(json, "samples");
	buffer_u64(json->buffer, share->samples);
	json_key(json, "stack");
	json_begin(json, '[');
	for (unsigned i = 0; i < share->n_frames; i++) {
		json_item(json);
		json_string(json->buffer, share->frames[i], strlen(share->frames[i]));
	}
	json_end(json, ']');
	json_end(json, '}');
}

void json_shares(struct buffer *buffer, const struct shares *shares, const char *host, uint64_t now)
{
	const struct table *table = shares->table;
	struct json json = { .buffer = buffer };

	json_begin(&json, '{');
	write_heading(&json, table, host, now);
	json_key(&json, "sampled_since");
	json_time_or_null(buffer, shares->sampled_since);
	json_key(&json, "lost_samples");
	buffer_u64(buffer, shares->lost);
	json_key(&json, "stacks");
	json_begin(&json, '[');
	for (uint32_t i = 0; i < shares->n; i++)
		write_share(&json, shares, &shares->list[i]);
	json_end(&json, ']');
	json_key(&json, "totals");
	json_begin(&json, '{');
	json_key(&json, table->columns[table->n_labels].name);
	buffer_u64(buffer, shares->events);
	json_end(&json, '}');
	json_end(&json, '}');
	buffer_char(buffer, '\n');
}

void json_error(struct buffer *buffer, const char *message, const char *parameter,
		const char *const *allowed, unsigned n_allowed)
{
	struct json json = { .buffer = buffer };

	json_begin(&json, '{');
	json_key(&json, "error");
	json_string(buffer, message, strlen(message));
	if (parameter) {
		json_key(&json, "parameter");
		json_string(buffer, parameter, strlen(parameter));
	}
	json_key(&json, "allowed");
	json_begin(&json, '[');
	for (unsigned i = 0; i < n_allowed; i++) {
		json_item(&json);
		json_string(buffer, allowed[i], strlen(allowed[i]));
	}
	json_end(&json, ']');
	json_end(&json, '}');
	buffer_char(buffer, '\n');
}
