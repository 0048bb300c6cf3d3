/* SPDX-License-Identifier: BSD-2-Clause */
#include "prometheus.h"

#include <stdlib.h>
#include <strings.h>

#include "../model/histogram.h"
#include "bpf/histogram.h"
#include "protobuf.h"

/* What a sample's name is made of, and the labels of the series that it is of. */
struct sample {
	const struct column *column;
	const char *suffix; /* "_total", "_bucket", ... */
	const struct table *table;
	const struct projection *projection;
	const struct series *series;
};

static const struct format {
	const char *type; /* in an Accept header */
	const char *content_type;
} formats[] = {
	[PROMETHEUS_TEXT] = { "text/plain", "text/plain; version=0.0.4; charset=utf-8" },
	[PROMETHEUS_OPENMETRICS] = { "application/openmetrics-text",
				     "application/openmetrics-text; version=1.0.0; charset=utf-8" },
	[PROMETHEUS_PROTOBUF] = { "application/vnd.google.protobuf",
				  "application/vnd.google.protobuf; "
				  "proto=io.prometheus.client.MetricFamily; encoding=delimited" },
};

const char *prometheus_content_type(enum prometheus_format format)
{
	return formats[format].content_type;
}

/* The q of one element of an Accept header, which ends at a comma: 1 when it says nothing. */
static double quality(const char *element, size_t size)
{
	for (const char *at = element; at < element + size; at++) {
		if (*at != ';')
			continue;
		at++;
		while (at < element + size && (*at == ' ' || *at == '\t'))
			at++;
		if (at + 1 < element + size && (*at == 'q' || *at == 'Q') && at[1] == '=')
			return strtod(at + 2, NULL);
	}
	return 1;
}

static bool element_is(const char *element, size_t size, const char *type)
{
	size_t length = strlen(type);

	return size >= length && strncasecmp(element, type, length) == 0 &&
	       (size == length || strchr("; \t", element[length]));
}

enum prometheus_format prometheus_negotiate(const char *accept)
{
	enum prometheus_format best = PROMETHEUS_TEXT;
	double best_quality = 0;

	for (const char *at = accept; *at;) {
		size_t size;

		at += strspn(at, " \t,");
		size = strcspn(at, ",");
		for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
			double q;

			if (!element_is(at, size, formats[i].type))
				continue;
			q = quality(at, size);
			if (q > best_quality) {
				best = i;
				best_quality = q;
			}
		}
		at += size;
	}
	return best;
}

static const char *type_name(enum column_kind kind)
{
	return kind == COLUMN_COUNTER ? "counter" : kind == COLUMN_GAUGE ? "gauge" : "histogram";
}

/* In 0.0.4 a counter's family is named like its samples; in OpenMetrics without _total. */
static void render_family(struct buffer *b, const struct column *column,
			  enum prometheus_format format)
{
	const char *suffix =
		format == PROMETHEUS_TEXT && column->kind == COLUMN_COUNTER ? "_total" : "";

	buffer_string(b, "# HELP ");
	buffer_string(b, column->metric);
	buffer_string(b, suffix);
	buffer_char(b, ' ');
	buffer_string(b, column->help);
	buffer_string(b, "\n# TYPE ");
	buffer_string(b, column->metric);
	buffer_string(b, suffix);
	buffer_char(b, ' ');
	buffer_string(b, type_name(column->kind));
	buffer_char(b, '\n');
}

static void render_label_value(struct buffer *b, const struct label *label)
{
	if (label->plain) {
		buffer_bytes(b, label->text, label->size);
		return;
	}
	for (const char *at = label->text; *at; at++) {
		if (*at == '"' || *at == '\\')
			buffer_char(b, '\\');
		buffer_char(b, *at);
	}
}

/* name_suffix{label="value",...,le="..."} and a space. */
static void render_name(struct buffer *b, const struct sample *s, const char *le, size_t le_size)
{
	char separator = '{';

	buffer_string(b, s->column->metric);
	buffer_string(b, s->suffix);
	for (unsigned i = 0; i < s->projection->n_labels; i++) {
		buffer_char(b, separator);
		buffer_string(b, s->table->columns[s->projection->labels[i]].name);
		buffer_bytes(b, "=\"", 2);
		render_label_value(b, &s->series->labels[i]);
		buffer_char(b, '"');
		separator = ',';
	}
	if (le) {
		buffer_char(b, separator);
		buffer_bytes(b, "le=\"", 4);
		buffer_bytes(b, le, le_size);
		buffer_char(b, '"');
		separator = ',';
	}
	if (separator == ',')
		buffer_char(b, '}');
	buffer_char(b, ' ');
}

static void render_value(struct buffer *b, const struct column *column, uint64_t value)
{
	if (column->unit == UNIT_SECONDS)
		buffer_seconds(b, value);
	else
		buffer_u64(b, value);
	buffer_char(b, '\n');
}

/* A power of two as a float: 2^-20 is "9.5367431640625e-07", 2^3 is "8.0". */
static size_t render_bound(int exponent, char text[static 32])
{
	if (exponent >= 0)
		return snprintf(text, 32, "%lu.0", 1UL << exponent);
	return snprintf(text, 32, "%.17g", 1.0 / (1UL << -exponent));
}

/* Only the bounds that are powers of two, which are every HISTOGRAM_SUBth. */
static void render_histogram(struct buffer *b, struct sample *s, const uint64_t *values)
{
	const struct histogram_scale *scale = s->column->scale;
	const uint64_t *counts = values + 1;
	uint64_t cumulative = 0;
	char bound[32];

	s->suffix = "_bucket";
	for (unsigned i = 0; i < scale->bounds; i++) {
		cumulative += counts[i];
		if (i % HISTOGRAM_SUB)
			continue;
		render_name(b, s, bound,
			    render_bound(scale->first + (int)(i / HISTOGRAM_SUB), bound));
		buffer_u64(b, cumulative);
		buffer_char(b, '\n');
	}
	cumulative += counts[scale->bounds];
	render_name(b, s, "+Inf", 4);
	buffer_u64(b, cumulative);
	buffer_char(b, '\n');
	s->suffix = "_sum";
	render_name(b, s, NULL, 0);
	render_value(b, s->column, values[0]);
	s->suffix = "_count";
	render_name(b, s, NULL, 0);
	buffer_u64(b, cumulative);
	buffer_char(b, '\n');
}

/* `other` is there from the start, so that it can be seen to begin to count; a gauge has none. */
void prometheus_each_series(const struct table *table, const struct projection *projection,
			    const struct column *column, prometheus_series_t each, void *userdata)
{
	for (uint32_t i = 0; i < projection->n_series; i++)
		each(userdata, table, projection, column, projection->series[i]);
	if (!table->fixed && column->kind != COLUMN_GAUGE)
		each(userdata, table, projection, column, &projection->other);
}

static void render_series(void *userdata, const struct table *table, const struct projection *p,
			  const struct column *column, const struct series *series)
{
	const uint64_t *values =
		&series->values[table->value_of[column - table->columns] - p->first_value];
	struct sample sample = {
		.column = column, .table = table, .projection = p, .series = series
	};
	struct buffer *b = userdata;

	if (column->kind == COLUMN_HISTOGRAM) {
		render_histogram(b, &sample, values);
		return;
	}
	sample.suffix = column->kind == COLUMN_COUNTER ? "_total" : "";
	render_name(b, &sample, NULL, 0);
	render_value(b, column, *values);
}

void prometheus_render(struct buffer *b, const struct table *table, enum prometheus_format format)
{
	if (format == PROMETHEUS_PROTOBUF) {
		protobuf_render(b, table);
		return;
	}
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++) {
			if (!table->columns[c].metric)
				continue;
			render_family(b, &table->columns[c], format);
			prometheus_each_series(table, p, &table->columns[c], render_series, b);
		}
	}
}

void prometheus_finish(struct buffer *b, enum prometheus_format format)
{
	if (format == PROMETHEUS_OPENMETRICS)
		buffer_string(b, "# EOF\n");
}

void prometheus_list(struct buffer *b, const struct table *table)
{
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++) {
			const struct column *column = &table->columns[c];

			if (!column->metric)
				continue;
			buffer_printf(b, "| `%s%s` | %s | ", column->metric,
				      column->kind == COLUMN_COUNTER ? "_total" : "",
				      type_name(column->kind));
			for (unsigned j = 0; j < p->n_labels; j++)
				buffer_printf(b, "%s%s", j ? ", " : "",
					      table->columns[p->labels[j]].name);
			buffer_printf(b, " | %s |\n", column->help);
		}
	}
}
