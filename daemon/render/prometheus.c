/* SPDX-License-Identifier: BSD-2-Clause */
#include "prometheus.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "../model/histogram.h"
#include "bpf/histogram.h"
#include "protobuf.h"

enum { MAX_BOUNDS = 64, BOUND_SIZE = 24, LINE_EXTRA = 16 };

/*
 * A metric on its way to text: what all of its lines share, and the labels of the series at hand.
 */
struct writer {
	struct buffer *out;
	size_t metric_size;
	size_t name_sizes[TABLE_MAX_LABELS];
	struct buffer labels;		     /* symbol="...",module="..." */
	char bounds[MAX_BOUNDS][BOUND_SIZE]; /* of a histogram, as le shows them */
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

/* OpenMetrics knows a unit only as the end of a name. */
static void write_unit(struct buffer *b, const struct column *column)
{
	const char *unit = column->unit == UNIT_SECONDS ? "seconds" : "bytes";
	const char *end = strrchr(column->metric, '_');

	if (column->unit != UNIT_NONE && end && strcmp(end + 1, unit) == 0)
		buffer_printf(b, "# UNIT %s %s\n", column->metric, unit);
}

/* In 0.0.4 a counter's family is named like its samples; in OpenMetrics without _total. */
static void write_family(struct buffer *b, const struct column *column,
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
	if (format == PROMETHEUS_OPENMETRICS)
		write_unit(b, column);
}

/* Copies a label's text and returns where it ends; escaped, it is at most twice as long. */
static char *put_label_text(char *at, const struct label *label)
{
	if (label->plain)
		return mempcpy(at, label->text, label->size);
	for (const char *from = label->text; *from; from++) {
		if (*from == '"' || *from == '\\')
			*at++ = '\\';
		*at++ = *from;
	}
	return at;
}

static void write_labels(struct writer *w, const struct table *table, const struct projection *p,
			 const struct series *series)
{
	size_t size = 0;
	char *at;

	w->labels.size = 0;
	for (unsigned i = 0; i < p->n_labels; i++)
		size += w->name_sizes[i] + 2u * series->labels[i].size + sizeof(",=\"\"");
	if (size == 0 || !buffer_reserve(&w->labels, size))
		return;
	at = w->labels.data;
	for (unsigned i = 0; i < p->n_labels; i++) {
		if (i > 0)
			*at++ = ',';
		at = mempcpy(at, table->columns[p->labels[i]].name, w->name_sizes[i]);
		*at++ = '=';
		*at++ = '"';
		at = put_label_text(at, &series->labels[i]);
		*at++ = '"';
	}
	w->labels.size = at - w->labels.data;
}

/* metric_suffix{labels,le="..."} and a space; `le` is NULL but for buckets. */
static void write_name(struct writer *w, const struct column *column, const char *suffix,
		       const char *le)
{
	size_t suffix_size = strlen(suffix), le_size = le ? strlen(le) : 0;
	char *at;

	if (!buffer_reserve(w->out,
			    w->metric_size + suffix_size + w->labels.size + le_size + LINE_EXTRA))
		return;
	at = w->out->data + w->out->size;
	at = mempcpy(at, column->metric, w->metric_size);
	at = mempcpy(at, suffix, suffix_size);
	if (w->labels.size || le) {
		*at++ = '{';
		if (w->labels.size)
			at = mempcpy(at, w->labels.data, w->labels.size);
		if (le) {
			at = mempcpy(at, w->labels.size ? ",le=\"" : "le=\"",
				     w->labels.size ? 5 : 4);
			at = mempcpy(at, le, le_size);
			*at++ = '"';
		}
		*at++ = '}';
	}
	*at++ = ' ';
	w->out->size = at - w->out->data;
}

static void write_value(struct buffer *b, const struct column *column, uint64_t value)
{
	if (column->unit == UNIT_SECONDS)
		buffer_seconds(b, value);
	else
		buffer_u64(b, value);
	buffer_char(b, '\n');
}

static void write_count(struct buffer *b, uint64_t count)
{
	buffer_u64(b, count);
	buffer_char(b, '\n');
}

/* The powers of two as floats: 2^-20 is "9.5367431640625e-07", 2^3 is "8.0". */
static void prepare_bounds(struct writer *w, const struct histogram_scale *scale)
{
	for (unsigned i = 0; i * HISTOGRAM_SUB < scale->bounds; i++) {
		int power = scale->first + (int)i;

		assert(i < MAX_BOUNDS);
		if (power >= 0)
			snprintf(w->bounds[i], BOUND_SIZE, "%lu.0", 1UL << power);
		else
			snprintf(w->bounds[i], BOUND_SIZE, "%.17g", histogram_power(power));
	}
}

/* Only the bounds that are powers of two, which are every HISTOGRAM_SUBth. */
static void write_histogram(struct writer *w, const struct column *column, const uint64_t *values)
{
	const struct histogram_scale *scale = column->scale;
	const uint64_t *counts = values + 1;
	uint64_t cumulative = 0;

	for (unsigned i = 0; i < scale->bounds; i++) {
		cumulative += counts[i];
		if (i % HISTOGRAM_SUB)
			continue;
		write_name(w, column, "_bucket", w->bounds[i / HISTOGRAM_SUB]);
		write_count(w->out, cumulative);
	}
	cumulative += counts[scale->bounds];
	write_name(w, column, "_bucket", "+Inf");
	write_count(w->out, cumulative);
	write_name(w, column, "_sum", NULL);
	write_value(w->out, column, values[0]);
	write_name(w, column, "_count", NULL);
	write_count(w->out, cumulative);
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

static void write_series(void *userdata, const struct table *table, const struct projection *p,
			 const struct column *column, const struct series *series)
{
	const uint64_t *values =
		&series->values[table->value_of[column - table->columns] - p->first_value];
	struct writer *w = userdata;

	write_labels(w, table, p, series);
	if (column->kind == COLUMN_HISTOGRAM) {
		write_histogram(w, column, values);
		return;
	}
	write_name(w, column, column->kind == COLUMN_COUNTER ? "_total" : "", NULL);
	write_value(w->out, column, *values);
}

static void write_metric(struct writer *w, const struct table *table, const struct projection *p,
			 const struct column *column)
{
	w->metric_size = strlen(column->metric);
	for (unsigned i = 0; i < p->n_labels; i++)
		w->name_sizes[i] = strlen(table->columns[p->labels[i]].name);
	if (column->kind == COLUMN_HISTOGRAM)
		prepare_bounds(w, column->scale);
	prometheus_each_series(table, p, column, write_series, w);
}

void prometheus_render(struct buffer *b, const struct table *table, enum prometheus_format format)
{
	struct writer w = { .out = b };

	if (format == PROMETHEUS_PROTOBUF) {
		protobuf_render(b, table);
		return;
	}
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++) {
			if (!table->columns[c].metric)
				continue;
			write_family(b, &table->columns[c], format);
			write_metric(&w, table, p, &table->columns[c]);
		}
	}
	b->failed |= w.labels.failed;
	buffer_free(&w.labels);
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
