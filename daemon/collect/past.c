/* SPDX-License-Identifier: BSD-2-Clause */
#include "past.h"

#include <errno.h>
#include <string.h>

#include "../record.h"
#include "../util.h"
#include "collector.h"
#include "state.h"

/* What is needed while a state is read. */
struct reading {
	struct collecting *c;
	struct past *past;
	struct record record;
	int labels[TABLE_MAX_LABELS]; /* of that run -> of this table, or -1 */
	unsigned n_labels;
	unsigned n_slot_values;
	uint64_t *from, *to; /* values of that run, of this table */
};

void past_clear(struct past *past)
{
	for (unsigned i = 0; i < past->n_rows; i++) {
		free(past->rows[i].base);
		free(past->rows[i].carried);
		free(past->rows[i].sampled);
	}
	for (unsigned i = 0; i < past->n_described; i++)
		free(past->described[i]);
	free(past->described);
	free(past->rows);
	free(past->freed);
	free(past->labels);
	*past = (struct past){ .n_rows = 0 };
}

static struct not_carried *not_carried(struct collecting *c, const char *name)
{
	for (unsigned i = 0; i < c->n_not_carried; i++)
		if (strcmp(c->not_carried[i].name, name) == 0)
			return &c->not_carried[i];
	if (c->n_not_carried == ARRAY_SIZE(c->not_carried))
		return NULL;
	snprintf(c->not_carried[c->n_not_carried].name, COLUMN_NAME_SIZE, "%s", name);
	return &c->not_carried[c->n_not_carried++];
}

/* A counter's value, or a histogram's count of observations. */
void past_lose(struct collecting *c, const struct past *past, unsigned column, const uint64_t *from)
{
	const struct past_column *old = &past->columns[column];
	struct not_carried *lost;
	uint64_t sum = 0;

	for (unsigned i = old->n > 1; i < old->n; i++)
		sum += from[old->value + i];
	lost = sum ? not_carried(c, old->name) : NULL;
	if (lost)
		lost->value += sum;
}

/* Values of that run added to those of this table, for the columns that are in both. */
static void map_values(const struct collecting *c, const struct past *past, const uint64_t *from,
		       uint64_t *to)
{
	for (unsigned i = 0; i < past->n_columns; i++) {
		const struct past_column *old = &past->columns[i];

		for (unsigned j = 0; old->column >= 0 && j < old->n; j++)
			to[c->table->value_of[old->column] + j] += from[old->value + j];
	}
}

/* And for the others. */
static void lose_values(struct collecting *c, const struct past *past, const uint64_t *from)
{
	for (unsigned i = 0; i < past->n_columns; i++)
		if (past->columns[i].column < 0)
			past_lose(c, past, i, from);
}

void past_map_values(struct collecting *c, const struct past *past, const uint64_t *from,
		     uint64_t *to)
{
	map_values(c, past, from, to);
	lose_values(c, past, from);
}

static void read_shape(struct reading *r)
{
	struct past_shape *shape = &r->past->shape;

	shape->layout = record_take_count(&r->record, UINT32_MAX);
	shape->slot_size = record_take_count(&r->record, STATE_MAX_VALUES * sizeof(uint64_t));
	shape->values_at = record_take_count(&r->record, shape->slot_size);
	shape->first_seen = record_take_count(&r->record, shape->slot_size);
	shape->n_writers = record_take_count(&r->record, STATE_MAX_ROWS);
	shape->slots_per_writer = record_take_count(&r->record, STATE_MAX_ROWS);
	shape->writer_size = record_take_count(&r->record, STATE_MAX_VALUES * sizeof(uint64_t));
}

/* This table's column of that name and as many values, or -1. */
static int column_like(const struct table *table, const char *name, unsigned n)
{
	int column = table_column(table, name);

	if (column < 0 || column_values(&table->columns[column]) != n)
		return -1;
	return column;
}

static void read_columns(struct reading *r)
{
	const struct table *table = r->c->table;
	struct past *past = r->past;

	r->n_labels = record_take_count(&r->record, TABLE_MAX_LABELS);
	for (unsigned i = 0; i < r->n_labels; i++)
		r->labels[i] = column_like(table, record_take_text(&r->record), 0);
	past->n_columns = record_take_count(&r->record, TABLE_MAX_VALUES);
	for (unsigned i = 0; i < past->n_columns; i++) {
		struct past_column *column = &past->columns[i];

		column->name = record_take_text(&r->record);
		column->n = record_take_count(&r->record, STATE_MAX_VALUES / TABLE_MAX_VALUES);
		column->value = past->n_values;
		column->column = column->n ? column_like(table, column->name, column->n) : -1;
		past->n_values += column->n;
	}
	r->n_slot_values = record_take_count(&r->record, past->n_values);
	for (unsigned i = 0; i < past->n_columns; i++)
		past->columns[i].in_slots =
			past->columns[i].value + past->columns[i].n <= r->n_slot_values;
}

static void read_losses(struct reading *r)
{
	struct past *past = r->past;
	unsigned n;

	past->n_losses = record_take_count(&r->record, TABLE_MAX_LOSSES);
	for (unsigned i = 0; i < past->n_losses; i++) {
		past->losses[i].cause = record_take_text(&r->record);
		past->losses[i].offset = record_take_count(&r->record, past->shape.writer_size);
		past->losses[i].lost = record_take_number(&r->record);
	}
	n = record_take_count(&r->record, TABLE_MAX_VALUES);
	for (unsigned i = 0; i < n; i++) {
		struct not_carried *lost = not_carried(r->c, record_take_text(&r->record));
		uint64_t value = record_take_number(&r->record);

		if (lost)
			lost->value += value;
	}
}

/* The next n values, from the table's value `first` on, as values of this table: in r->to. Totals
 * and bases say again what rows and retired rows have counted: not carried is what those lose. */
static void read_values(struct reading *r, unsigned first, unsigned n)
{
	memset(r->from, 0, r->past->n_values * sizeof(*r->from));
	memset(r->to, 0, r->c->table->n_values * sizeof(*r->to));
	record_take_numbers(&r->record, r->from + first, n);
	map_values(r->c, r->past, r->from, r->to);
}

static void read_counts(struct reading *r, unsigned n)
{
	read_values(r, 0, n);
	lose_values(r->c, r->past, r->from);
}

/* The totals of one of that run's projections go to this table's, column by column. */
static void read_totals(struct reading *r, unsigned first, unsigned n, bool other)
{
	struct table *table = r->c->table;

	read_values(r, first, n);
	for (unsigned i = 0; i < table->n_projections; i++) {
		struct projection *p = &table->projections[i];
		uint64_t *to = other ? p->other.carried : p->retired;

		for (unsigned j = 0; j < p->n_values; j++)
			to[j] += r->to[p->first_value + j];
	}
}

/* One series of that run. Where it has none here, what it carries has ended. */
static int read_series(struct reading *r, const uint8_t *labels, unsigned n_labels, unsigned first,
		       unsigned n, int projection)
{
	const char *texts[TABLE_MAX_LABELS] = { NULL };
	struct table *table = r->c->table;
	int error = -EEXIST;

	for (unsigned i = 0; i < n_labels; i++) {
		const char *text = record_take_text(&r->record);

		if (r->labels[labels[i]] >= 0)
			texts[r->labels[labels[i]]] = text;
	}
	read_values(r, first, n);
	for (unsigned i = 0; i < table->n_projections; i++) {
		struct projection *p = &table->projections[i];
		uint64_t *to = p->retired;

		if ((int)i == projection)
			error = table_restore_series(table, i, texts, &to);
		if (error && error != -EEXIST)
			return error;
		for (unsigned j = 0; j < p->n_values; j++)
			to[j] += r->to[p->first_value + j];
	}
	return 0;
}

/* This table's projection that holds a column of that run, or -1. */
static int projection_of(const struct table *table, const struct past_column *column)
{
	for (unsigned i = 0; column->column >= 0 && i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		if ((unsigned)column->column - p->first_column < p->n_columns)
			return (int)i;
	}
	return -1;
}

static int read_projection(struct reading *r)
{
	struct past *past = r->past;
	unsigned column = record_take_count(&r->record, past->n_columns ? past->n_columns - 1 : 0);
	unsigned n_columns = record_take_count(&r->record, past->n_columns - column);
	unsigned n_labels = record_take_count(&r->record, r->n_labels), n = 0, n_series;
	unsigned first = past->columns[column].value;
	uint8_t labels[TABLE_MAX_LABELS];
	int error = 0;

	for (unsigned i = 0; i < n_labels; i++)
		labels[i] = record_take_count(&r->record, r->n_labels - 1);
	for (unsigned i = 0; i < n_columns; i++)
		n += past->columns[column + i].n;
	read_totals(r, first, n, false);
	read_totals(r, first, n, true);
	n_series = record_take_count(&r->record, STATE_MAX_ROWS);
	for (unsigned i = 0; i < n_series && !error && !r->record.failed; i++)
		error = read_series(r, labels, n_labels, first, n,
				    projection_of(r->c->table, &past->columns[column]));
	return error;
}

/* What is in r->to, the caller's to free; NULL without memory. */
static uint64_t *copy_values(const struct reading *r)
{
	uint64_t *values = malloc((r->c->table->n_values + 1) * sizeof(*values));

	if (values)
		memcpy(values, r->to, r->c->table->n_values * sizeof(*values));
	return values;
}

/* Where a column has gone, nobody will ask what the history has of it. */
static int read_sampled(struct reading *r, struct slots_past *row)
{
	const struct past *past = r->past;

	row->sampled = calloc(r->c->table->n_values + 1, sizeof(*row->sampled));
	if (!row->sampled)
		return -ENOMEM;
	record_take_numbers(&r->record, r->from, past->n_values);
	for (unsigned i = 0; i < past->n_columns; i++) {
		const struct past_column *old = &past->columns[i];

		for (unsigned j = 0; old->column >= 0 && j < old->n; j++)
			row->sampled[r->c->table->value_of[old->column] + j] =
				r->from[old->value + j];
	}
	row->peak.rate = record_take_count(&r->record, TABLE_MAX_RATE);
	row->peak.time = record_take_number(&r->record);
	return 0;
}

static int read_row(struct reading *r, struct slots_past *row, const char **labels)
{
	for (unsigned i = 0; i < SLOT_WORDS; i++)
		row->key.word[i] = record_take_number(&r->record);
	for (unsigned i = 0; i < r->n_labels; i++) {
		const char *text = record_take_text(&r->record);

		if (r->labels[i] >= 0)
			labels[r->labels[i]] = text;
	}
	for (unsigned i = 0; i < r->c->table->n_labels; i++)
		if (!labels[i] || r->c->table->columns[i].borrowed)
			labels[i] = "";
	if (r->c->collector->explain)
		r->c->collector->explain(r->c->kernel, labels);
	row->labels = labels;
	row->first_seen = record_take_number(&r->record);
	row->last_seen = record_take_number(&r->record);
	row->seen = record_take_number(&r->record);
	row->outside = record_take_number(&r->record);
	if (record_take_count(&r->record, 1)) {
		read_values(r, 0, r->past->n_values);
		row->base = copy_values(r);
		if (!row->base)
			return -ENOMEM;
	}
	if (record_take_count(&r->record, 1)) {
		read_counts(r, r->n_slot_values);
		row->carried = copy_values(r);
		if (!row->carried)
			return -ENOMEM;
	}
	return r->past->sampled ? read_sampled(r, row) : 0;
}

int past_reserve(struct past *past, unsigned n_labels)
{
	unsigned capacity = past->capacity ? past->capacity * 2 : 64;
	struct slots_past *rows;
	const char **labels;

	if (past->n_rows < past->capacity)
		return 0;
	rows = reallocarray(past->rows, capacity, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	past->rows = rows;
	labels = reallocarray(past->labels, capacity * (size_t)n_labels, sizeof(*labels));
	if (!labels)
		return -ENOMEM;
	memset(rows + past->capacity, 0, (capacity - past->capacity) * sizeof(*rows));
	memset(labels + past->capacity * (size_t)n_labels, 0,
	       (capacity - past->capacity) * (size_t)n_labels * sizeof(*labels));
	past->labels = labels;
	past->capacity = capacity;
	for (unsigned i = 0; i < past->n_rows; i++)
		rows[i].labels = labels + i * (size_t)n_labels;
	return 0;
}

static int read_rows(struct reading *r)
{
	unsigned n_labels = r->c->table->n_labels;
	struct past *past = r->past;
	int error = 0;

	while (!error && record_take_count(&r->record, 1)) {
		error = past_reserve(past, n_labels);
		if (!error)
			error = read_row(r, &past->rows[past->n_rows],
					 past->labels + past->n_rows * (size_t)n_labels);
		past->n_rows += !error;
	}
	past->n_freed = record_take_count(&r->record, STATE_MAX_ROWS);
	past->freed = calloc(past->n_freed + 1, sizeof(*past->freed));
	if (error || !past->freed)
		return -ENOMEM;
	for (unsigned i = 0; i < past->n_freed; i++)
		past->freed[i] = record_take_count(&r->record, UINT32_MAX);
	return 0;
}

static int read_all(struct reading *r)
{
	const char *format = record_take_text(&r->record);
	struct past *past = r->past;
	unsigned n;
	int error = 0;

	past->sampled = strcmp(format, STATE_FORMAT) == 0;
	if (!past->sampled && strcmp(format, STATE_FORMAT_BEFORE) != 0)
		return -EINVAL;
	past->counting_since = record_take_number(&r->record);
	if (past->sampled) {
		past->mark.ring = record_take_number(&r->record);
		past->mark.frame = record_take_number(&r->record);
	}
	read_shape(r);
	read_columns(r);
	read_losses(r);
	r->from = calloc(past->n_values + 1, sizeof(*r->from));
	r->to = calloc(r->c->table->n_values + 1, sizeof(*r->to));
	if (!r->from || !r->to)
		return -ENOMEM;
	read_counts(r, past->n_values);
	for (unsigned i = 0; i < r->c->table->n_values; i++)
		r->c->table->retired[i] += r->to[i];
	n = record_take_count(&r->record, TABLE_MAX_PROJECTIONS);
	for (unsigned i = 0; i < n && !error && !r->record.failed; i++)
		error = read_projection(r);
	if (!error)
		error = read_rows(r);
	if (!error && (r->record.failed || r->record.at != r->record.end))
		error = -EINVAL;
	return error;
}

int past_read(struct collecting *c, const struct buffer *saved, struct past *ret_past)
{
	const unsigned char *data = (const unsigned char *)saved->data;
	struct reading r = { .c = c,
			     .past = ret_past,
			     .record = { data, data + saved->size, false } };
	int error = read_all(&r);

	free(r.from);
	free(r.to);
	return error;
}
