/* SPDX-License-Identifier: BSD-2-Clause */
#include "protobuf.h"

#include "../model/histogram.h"
#include "bpf/histogram.h"
#include "prometheus.h"

/* Field numbers. */
enum { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4 };
enum { TYPE_COUNTER = 0, TYPE_GAUGE = 1, TYPE_HISTOGRAM = 4 };
enum { METRIC_LABEL = 1, METRIC_GAUGE = 2, METRIC_COUNTER = 3, METRIC_HISTOGRAM = 7 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { NUMBER_VALUE = 1 };
enum { BUCKET_COUNT = 1, BUCKET_BOUND = 2 };
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };
enum {
	HISTOGRAM_COUNT = 1,
	HISTOGRAM_SUM = 2,
	HISTOGRAM_BUCKET_FIELD = 3,
	HISTOGRAM_SCHEMA = 5,
	HISTOGRAM_ZERO_THRESHOLD = 6,
	HISTOGRAM_ZERO_COUNT = 7,
	HISTOGRAM_SPAN = 12,
	HISTOGRAM_DELTA = 13,
};

enum { WIRE_VARINT = 0, WIRE_DOUBLE = 1, WIRE_BYTES = 2 };

enum { SCHEMA = 2 }; /* HISTOGRAM_SUB = 2^SCHEMA buckets per power of two */
_Static_assert(HISTOGRAM_SUB == 1 << SCHEMA, "the kernel's buckets are a native schema's");

static void put_varint(struct buffer *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buffer_char(b, (char)(value | 0x80));
	buffer_char(b, (char)value);
}

static void put_key(struct buffer *b, unsigned field, unsigned wire)
{
	put_varint(b, field << 3 | wire);
}

static void put_unsigned(struct buffer *b, unsigned field, uint64_t value)
{
	put_key(b, field, WIRE_VARINT);
	put_varint(b, value);
}

/* sint32 and sint64: zigzag. */
static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static void put_double(struct buffer *b, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	put_key(b, field, WIRE_DOUBLE);
	for (unsigned i = 0; i < 8; i++)
		buffer_char(b, (char)(bits >> 8 * i));
}

static void put_bytes(struct buffer *b, unsigned field, const void *bytes, size_t size)
{
	put_key(b, field, WIRE_BYTES);
	put_varint(b, size);
	buffer_bytes(b, bytes, size);
}

/* A message that was built apart, as its length comes first; what was lost with it is lost here. */
static void put_message(struct buffer *b, unsigned field, struct buffer *message)
{
	put_bytes(b, field, message->data, message->size);
	b->failed |= message->failed;
	message->size = 0;
}

static double as_double(const struct column *column, uint64_t value)
{
	return column->unit == UNIT_SECONDS ? (double)value / 1e9 : (double)value;
}

static void put_label(struct buffer *b, struct buffer *scratch, const char *name,
		      const struct label *value)
{
	put_bytes(scratch, LABEL_NAME, name, strlen(name));
	put_bytes(scratch, LABEL_VALUE, value->text, value->size);
	put_message(b, METRIC_LABEL, scratch);
}

static void put_classic_buckets(struct buffer *b, struct buffer *scratch,
				const struct histogram_scale *scale, const uint64_t *counts)
{
	uint64_t cumulative = 0;

	for (unsigned i = 0; i < scale->bounds; i++) {
		int power = scale->first + (int)(i / HISTOGRAM_SUB);

		cumulative += counts[i];
		if (i % HISTOGRAM_SUB)
			continue;
		put_unsigned(scratch, BUCKET_COUNT, cumulative);
		put_double(scratch, BUCKET_BOUND, histogram_power(power));
		put_message(b, HISTOGRAM_BUCKET_FIELD, scratch);
	}
}

/*
 * Bucket i of ours, bound(i - 1) < v <= bound(i), has the native index 4 * first + i. The first
 * one, which holds all that is small, is the zero bucket; what lies beyond the last bound is given
 * to the next bucket. One span from the first that holds something to the last.
 */
static void put_native_buckets(struct buffer *b, struct buffer *scratch,
			       const struct histogram_scale *scale, const uint64_t *counts)
{
	unsigned from = 1, to = scale->bounds;
	int64_t previous = 0;

	put_unsigned(b, HISTOGRAM_SCHEMA, zigzag(SCHEMA));
	put_double(b, HISTOGRAM_ZERO_THRESHOLD, histogram_power(scale->first));
	put_unsigned(b, HISTOGRAM_ZERO_COUNT, counts[0]);
	while (from <= to && !counts[from])
		from++;
	while (to >= from && !counts[to])
		to--;
	if (from > to)
		return;
	put_unsigned(scratch, SPAN_OFFSET, zigzag(scale->first * HISTOGRAM_SUB + (int)from));
	put_unsigned(scratch, SPAN_LENGTH, to - from + 1);
	put_message(b, HISTOGRAM_SPAN, scratch);
	for (unsigned i = from; i <= to; i++) {
		put_unsigned(b, HISTOGRAM_DELTA, zigzag((int64_t)counts[i] - previous));
		previous = (int64_t)counts[i];
	}
}

struct scratch {
	struct buffer family, metric, value, part;
};

static void put_value(struct scratch *s, const struct column *column, const uint64_t *values)
{
	struct buffer *b = &s->value;

	if (column->kind != COLUMN_HISTOGRAM) {
		put_double(b, NUMBER_VALUE, as_double(column, *values));
		put_message(&s->metric,
			    column->kind == COLUMN_GAUGE ? METRIC_GAUGE : METRIC_COUNTER, b);
		return;
	}
	put_unsigned(b, HISTOGRAM_COUNT, histogram_count(column->scale, values));
	put_double(b, HISTOGRAM_SUM, as_double(column, values[0]));
	put_classic_buckets(b, &s->part, column->scale, values + 1);
	put_native_buckets(b, &s->part, column->scale, values + 1);
	put_message(&s->metric, METRIC_HISTOGRAM, b);
}

static void put_metric(void *userdata, const struct table *table, const struct projection *p,
		       const struct column *column, const struct series *series)
{
	struct scratch *s = userdata;

	for (unsigned i = 0; i < p->n_labels; i++)
		put_label(&s->metric, &s->part, table->columns[p->labels[i]].name,
			  &series->labels[i]);
	put_value(s, column,
		  &series->values[table->value_of[column - table->columns] - p->first_value]);
	put_message(&s->family, FAMILY_METRIC, &s->metric);
}

static void put_family(struct buffer *b, struct scratch *s, const struct table *table,
		       const struct projection *p, const struct column *column)
{
	static const uint8_t types[] = { [COLUMN_COUNTER] = TYPE_COUNTER,
					 [COLUMN_GAUGE] = TYPE_GAUGE,
					 [COLUMN_HISTOGRAM] = TYPE_HISTOGRAM };
	char name[128];
	int size = snprintf(name, sizeof(name), "%s%s", column->metric,
			    column->kind == COLUMN_COUNTER ? "_total" : "");

	put_bytes(&s->family, FAMILY_NAME, name, (size_t)size);
	put_bytes(&s->family, FAMILY_HELP, column->help, strlen(column->help));
	put_unsigned(&s->family, FAMILY_TYPE, types[column->kind]);
	prometheus_each_series(table, p, column, put_metric, s);
	put_varint(b, s->family.size);
	buffer_bytes(b, s->family.data, s->family.size);
	b->failed |= s->family.failed;
	s->family.size = 0;
}

void protobuf_render(struct buffer *b, const struct table *table)
{
	struct scratch scratch = { .family = { .data = NULL } };

	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++)
			if (table->columns[c].metric)
				put_family(b, &scratch, table, p, &table->columns[c]);
	}
	buffer_free(&scratch.family);
	buffer_free(&scratch.metric);
	buffer_free(&scratch.value);
	buffer_free(&scratch.part);
}
