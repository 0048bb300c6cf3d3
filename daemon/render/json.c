/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include <time.h>

#include "../model/histogram.h"
#include "../model/utf8.h"

enum {
	SCHEMA_VERSION = 1,
	INDENT = 2,
	BUCKETS_PER_LINE = 4, /* as many as a power of two has; within 100 columns */
	NANOSECONDS = 1000000000,
	MILLISECOND = 1000000,
};

/* Where the writer stands: what comes before the next item. */
struct json {
	struct buffer *buffer;
	unsigned depth;
	bool first; /* nothing yet in the innermost object or array */
};

static void line(struct json *json)
{
	static const char spaces[] = "                ";
	size_t size = INDENT * json->depth;

	buffer_char(json->buffer, '\n');
	buffer_bytes(json->buffer, spaces, size < sizeof(spaces) ? size : sizeof(spaces) - 1);
}

/* A new item on a line of its own. */
static void item(struct json *json)
{
	if (!json->first)
		buffer_char(json->buffer, ',');
	json->first = false;
	line(json);
}

/* Names are ours: nothing to escape. */
static void key(struct json *json, const char *name)
{
	item(json);
	buffer_char(json->buffer, '"');
	buffer_string(json->buffer, name);
	buffer_string(json->buffer, "\": ");
}

static void begin(struct json *json, char bracket)
{
	buffer_char(json->buffer, bracket);
	json->depth++;
	json->first = true;
}

static void end(struct json *json, char bracket)
{
	json->depth--;
	if (!json->first)
		line(json);
	json->first = false;
	buffer_char(json->buffer, bracket);
}

/* One character, escaped where it must be; returns its bytes. */
static size_t json_character(struct buffer *buffer, const char *at, size_t left)
{
	size_t size = utf8_character(at, left);

	if (size == 0) {
		buffer_string(buffer, "\\ufffd");
		return 1;
	}
	if (*at == '"' || *at == '\\')
		buffer_char(buffer, '\\');
	if (*at == '\n')
		buffer_string(buffer, "\\n");
	else if (*at == '\t')
		buffer_string(buffer, "\\t");
	else if (utf8_is_control(at))
		buffer_printf(buffer, "\\u%04x", (unsigned char)at[size - 1]);
	else
		buffer_bytes(buffer, at, size);
	return size;
}

void json_string(struct buffer *buffer, const char *text, size_t size)
{
	buffer_char(buffer, '"');
	for (size_t i = 0; i < size;)
		i += json_character(buffer, text + i, size - i);
	buffer_char(buffer, '"');
}

void json_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	time_t seconds = (time_t)(nanoseconds_since_epoch / NANOSECONDS);
	unsigned milliseconds = (unsigned)(nanoseconds_since_epoch % NANOSECONDS / MILLISECOND);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buffer_printf(buffer, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_year + 1900,
		      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, milliseconds);
}

static void json_time_or_null(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	if (nanoseconds_since_epoch)
		json_time(buffer, nanoseconds_since_epoch);
	else
		buffer_string(buffer, "null");
}

/* An integer as JSON writes it: no leading zeros, no plus. */
static bool is_integer(const struct label *label)
{
	const char *digits = label->text + (label->text[0] == '-');
	size_t n = strspn(digits, "0123456789");

	return n > 0 && digits[n] == '\0' && (digits[0] != '0' || n == 1);
}

static void write_label(struct buffer *buffer, const struct column *column,
			const struct label *label)
{
	if (column->number && label->size == 0) {
		buffer_string(buffer, "null");
	} else if (column->number && is_integer(label)) {
		buffer_bytes(buffer, label->text, label->size);
	} else if (label->plain) {
		buffer_char(buffer, '"');
		buffer_bytes(buffer, label->text, label->size);
		buffer_char(buffer, '"');
	} else {
		json_string(buffer, label->text, label->size);
	}
}

static void write_number(struct buffer *buffer, enum unit unit, uint64_t value)
{
	if (unit == UNIT_SECONDS)
		buffer_seconds(buffer, value);
	else
		buffer_u64(buffer, value);
}

static void write_buckets(struct json *json, const struct histogram_scale *scale,
			  const uint64_t *counts)
{
	unsigned n = 0;

	begin(json, '[');
	for (unsigned i = 0; i <= scale->bounds; i++) {
		if (counts[i] == 0)
			continue;
		if (n++ % BUCKETS_PER_LINE == 0)
			item(json);
		else
			buffer_string(json->buffer, ", ");
		buffer_char(json->buffer, '[');
		if (i < scale->bounds)
			write_number(json->buffer, scale->unit, scale->table[i]);
		else
			buffer_string(json->buffer, "null");
		buffer_string(json->buffer, ", ");
		buffer_u64(json->buffer, counts[i]);
		buffer_char(json->buffer, ']');
	}
	end(json, ']');
}

static void write_histogram(struct json *json, const struct histogram_scale *scale,
			    const uint64_t *values)
{
	static const struct {
		const char *name;
		double quantile;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 } };
	uint64_t count = histogram_count(scale, values);

	begin(json, '{');
	key(json, "count");
	buffer_u64(json->buffer, count);
	key(json, "sum");
	write_number(json->buffer, scale->unit, values[0]);
	for (unsigned i = 0; i < ARRAY_SIZE(quantiles); i++) {
		key(json, quantiles[i].name);
		if (count)
			write_number(json->buffer, scale->unit,
				     histogram_quantile(scale, values, quantiles[i].quantile));
		else
			buffer_string(json->buffer, "null");
	}
	key(json, "buckets");
	write_buckets(json, scale, values + 1);
	end(json, '}');
}

static void write_values(struct json *json, const struct table *table, const uint64_t *values,
			 bool gauges)
{
	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		const struct column *column = &table->columns[c];
		const uint64_t *at = values + table->value_of[c];

		if (column->kind == COLUMN_GAUGE && !gauges)
			continue;
		key(json, column->name);
		if (column->kind == COLUMN_HISTOGRAM)
			write_histogram(json, column->scale, at);
		else
			write_number(json->buffer, column->unit, *at);
	}
}

static void write_row(struct json *json, const struct table *table, uint32_t labels,
		      const struct result_row *row)
{
	item(json);
	begin(json, '{');
	for (unsigned i = 0; i < table->n_labels; i++) {
		if (!(labels >> i & 1))
			continue;
		key(json, table->columns[i].name);
		write_label(json->buffer, &table->columns[i], &row->labels[i]);
	}
	write_values(json, table, row->values, true);
	key(json, "first_seen");
	json_time_or_null(json->buffer, row->first_seen);
	key(json, "last_seen");
	json_time_or_null(json->buffer, row->last_seen);
	end(json, '}');
}

static void write_heading(struct json *json, const struct table *table, const char *host,
			  uint64_t now)
{
	key(json, "schema_version");
	buffer_u64(json->buffer, SCHEMA_VERSION);
	key(json, "table");
	json_string(json->buffer, table->name, strlen(table->name));
	key(json, "host");
	json_string(json->buffer, host, strlen(host));
	key(json, "time");
	json_time(json->buffer, now);
	key(json, "counting_since");
	json_time_or_null(json->buffer, table->counting_since);
}

/* What the rows do not show. */
static void write_rest(struct json *json, const struct table *table, const struct result *result)
{
	key(json, "other");
	begin(json, '{');
	key(json, "rows");
	buffer_u64(json->buffer, result->other.n_rows);
	write_values(json, table, result->other.values, true);
	end(json, '}');

	if (!result->filtered) {
		key(json, "retired");
		begin(json, '{');
		write_values(json, table, table->retired, false);
		end(json, '}');
	}

	key(json, "lost");
	begin(json, '{');
	for (unsigned i = 0; i < table->n_losses; i++) {
		key(json, table->losses[i].cause);
		buffer_u64(json->buffer, table->losses[i].events);
	}
	end(json, '}');
}

void json_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now)
{
	struct json json = { .buffer = buffer };

	begin(&json, '{');
	write_heading(&json, table, host, now);
	key(&json, "rows");
	begin(&json, '[');
	for (uint32_t i = 0; i < result->n_rows; i++)
		write_row(&json, table, result->columns, &result->rows[i]);
	end(&json, ']');
	write_rest(&json, table, result);
	key(&json, "totals");
	begin(&json, '{');
	write_values(&json, table, result->totals, true);
	end(&json, '}');
	end(&json, '}');
	buffer_char(buffer, '\n');
}

void json_error(struct buffer *buffer, const char *message, const char *parameter,
		const char *const *allowed, unsigned n_allowed)
{
	struct json json = { .buffer = buffer };

	begin(&json, '{');
	key(&json, "error");
	json_string(buffer, message, strlen(message));
	if (parameter) {
		key(&json, "parameter");
		json_string(buffer, parameter, strlen(parameter));
	}
	key(&json, "allowed");
	begin(&json, '[');
	for (unsigned i = 0; i < n_allowed; i++) {
		item(&json);
		json_string(buffer, allowed[i], strlen(allowed[i]));
	}
	end(&json, ']');
	end(&json, '}');
	buffer_char(buffer, '\n');
}
