/* SPDX-License-Identifier: BSD-2-Clause */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "../hash.h"
#include "../util.h"
#include "histogram.h"
#include "label.h"

static const char other_text[] = "other";
static const uint64_t second_ns = 1000000000;

unsigned column_values(const struct column *column)
{
	switch (column->kind) {
	case COLUMN_LABEL:
		return 0;
	case COLUMN_HISTOGRAM:
		return 1 + column->scale->bounds + 1;
	default:
		return 1;
	}
}

int table_column(const struct table *table, const char *name)
{
	for (unsigned i = 0; i < table->n_columns; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

/* Is the label one of `by`, a list separated by commas? */
static bool by_names(const char *by, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = by; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0'))
			return true;
	return false;
}

static bool same_by(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int projection_init(struct projection *p, const struct table *table, unsigned first)
{
	const struct column *column = &table->columns[first];

	p->first_column = first;
	p->first_value = table->value_of[first];
	for (unsigned i = 0; i < table->n_labels; i++) {
		const struct column *label = &table->columns[i];

		if (column->by ? by_names(column->by, label->name) : !label->detail)
			p->labels[p->n_labels++] = i;
	}
	for (unsigned i = first; i < table->n_columns; i++) {
		if (!same_by(table->columns[i].by, column->by))
			break;
		p->n_columns++;
		p->n_values += column_values(&table->columns[i]);
	}
	p->n_buckets = 64;
	p->buckets = calloc(p->n_buckets, sizeof(*p->buckets));
	p->retired = calloc(p->n_values, sizeof(*p->retired));
	p->other.values = calloc(p->n_values, sizeof(*p->other.values));
	p->other.carried = calloc(p->n_values, sizeof(*p->other.carried));
	p->other.labels = calloc(p->n_labels + 1, sizeof(*p->other.labels));
	if (!p->buckets || !p->retired || !p->other.values || !p->other.carried || !p->other.labels)
		return -ENOMEM;
	for (unsigned i = 0; i < p->n_labels; i++)
		p->other.labels[i] = (struct label){ other_text, sizeof(other_text) - 1, true };
	return 0;
}

int table_new(const char *name, const struct column *columns, unsigned n_columns, unsigned budget,
	      struct table **ret_table)
{
	_cleanup_(table_freep) struct table *table = calloc(1, sizeof(*table));
	int error;

	assert(budget > 0 && n_columns <= TABLE_MAX_LABELS + TABLE_MAX_VALUES);
	if (!table)
		return -ENOMEM;
	table->name = name;
	table->columns = columns;
	table->n_columns = n_columns;
	table->budget = budget;
	while (table->n_labels < n_columns && columns[table->n_labels].kind == COLUMN_LABEL)
		table->n_labels++;
	assert(table->n_labels <= TABLE_MAX_LABELS);
	for (unsigned i = table->n_labels; i < n_columns; i++) {
		assert(columns[i].kind != COLUMN_LABEL);
		table->value_of[i] = table->n_values;
		table->n_values += column_values(&columns[i]);
	}
	for (unsigned i = table->n_labels; i < n_columns;) {
		struct projection *p = &table->projections[table->n_projections];

		assert(table->n_projections < TABLE_MAX_PROJECTIONS);
		table->n_projections++;
		error = projection_init(p, table, i);
		if (error)
			return error;
		i += p->n_columns;
	}
	table->retired = calloc(table->n_values + 1, sizeof(*table->retired));
	if (!table->retired)
		return -ENOMEM;
	*ret_table = TAKE_PTR(table);
	return 0;
}

static void series_free(struct series *series)
{
	if (!series)
		return;
	free(series->labels);
	free(series->values);
	free(series->carried);
	free(series);
}

static void row_free(struct row *row)
{
	if (!row)
		return;
	free(row->base);
	free(row);
}

static void projection_clear(struct projection *p)
{
	for (uint32_t i = 0; i < p->n_series; i++)
		series_free(p->series[i]);
	free(p->series);
	free(p->buckets);
	free(p->retired);
	free(p->other.values);
	free(p->other.carried);
	free(p->other.labels);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->n_rows; i++)
		row_free(table->rows[i]);
	for (unsigned i = 0; i < table->n_projections; i++)
		projection_clear(&table->projections[i]);
	free(table->rows);
	free(table->retired);
	free(table);
}

void table_freep(struct table **table)
{
	table_free(*table);
}

/* Over the labels of the projection, a zero byte after each. */
static uint64_t projection_hash(const struct projection *p, const struct row *row)
{
	uint64_t hash = HASH_START;

	for (unsigned i = 0; i < p->n_labels; i++) {
		const struct label *label = &row->labels[p->labels[i]];

		hash = hash_bytes(hash, label->text, label->size + 1);
	}
	return hash;
}

static bool series_matches(const struct projection *p, const struct series *series,
			   const struct row *row)
{
	for (unsigned i = 0; i < p->n_labels; i++)
		if (strcmp(series->labels[i].text, row->labels[p->labels[i]].text) != 0)
			return false;
	return true;
}

static struct series *projection_find(const struct projection *p, const struct row *row,
				      uint64_t hash)
{
	struct series *series = p->buckets[hash & (p->n_buckets - 1)];

	while (series && !(series->hash == hash && series_matches(p, series, row)))
		series = series->next;
	return series;
}

static void projection_rehash(struct projection *p)
{
	uint32_t n_buckets = p->n_buckets * 2;
	struct series **buckets = calloc(n_buckets, sizeof(*buckets));

	if (!buckets)
		return; /* longer chains, still right */
	for (uint32_t i = 0; i < p->n_series; i++) {
		struct series *series = p->series[i],
			      **at = &buckets[series->hash & (n_buckets - 1)];

		series->next = *at;
		*at = series;
	}
	free(p->buckets);
	p->buckets = buckets;
	p->n_buckets = n_buckets;
}

static struct series *series_new(const struct projection *p, const struct row *row, uint64_t hash)
{
	struct series *series = calloc(1, sizeof(*series));

	if (!series)
		return NULL;
	series->hash = hash;
	series->values = calloc(p->n_values, sizeof(*series->values));
	series->carried = calloc(p->n_values, sizeof(*series->carried));
	series->labels = labels_copy(row->labels, p->labels, p->n_labels);
	if (series->values && series->carried && series->labels)
		return series;
	series_free(series);
	return NULL;
}

/* A series with the row's labels, admitted now. NULL without memory. */
static struct series *projection_admit(struct projection *p, const struct row *row, uint64_t hash)
{
	struct series *series, **at;

	if (p->n_series == p->capacity) {
		uint32_t capacity = p->capacity ? p->capacity * 2 : 16;
		struct series **grown = reallocarray(p->series, capacity, sizeof(*grown));

		if (!grown)
			return NULL;
		p->series = grown;
		p->capacity = capacity;
	}
	series = series_new(p, row, hash);
	if (!series)
		return NULL;
	if (p->n_series >= p->n_buckets)
		projection_rehash(p);
	at = &p->buckets[hash & (p->n_buckets - 1)];
	series->next = *at;
	*at = series;
	series->index = p->n_series;
	p->series[p->n_series++] = series;
	return series;
}

static void projection_remove(struct projection *p, struct series *series)
{
	struct series **at = &p->buckets[series->hash & (p->n_buckets - 1)];

	while (*at != series)
		at = &(*at)->next;
	*at = series->next;
	/* The order of the others is the order of admission: keep it. */
	memmove(&p->series[series->index], &p->series[series->index + 1],
		(p->n_series - series->index - 1) * sizeof(*p->series));
	p->n_series--;
	for (uint32_t i = series->index; i < p->n_series; i++)
		p->series[i]->index = i;
	series_free(series);
}

/*
 * A row that is "other" in every label of a metric belongs to that series, which is always there.
 */
static bool is_other_by_name(const struct projection *p, const struct row *row)
{
	for (unsigned i = 0; i < p->n_labels; i++)
		if (strcmp(row->labels[p->labels[i]].text, other_text) != 0)
			return false;
	return p->n_labels > 0;
}

/*
 * The series that the row counts in: an old one, a new one within the budget, or NULL for `other`.
 */
static struct series *projection_join(struct projection *p, const struct table *table,
				      struct row *row)
{
	uint64_t hash = projection_hash(p, row);
	struct series *series;

	if (is_other_by_name(p, row))
		return NULL;
	series = projection_find(p, row, hash);
	if (!series && p->n_series < table->budget)
		series = projection_admit(p, row, hash);
	if (series)
		series->n_rows++;
	return series;
}

static int table_reserve(struct table *table)
{
	uint32_t capacity = table->row_capacity ? table->row_capacity * 2 : 16;
	struct row **grown;

	if (table->n_rows < table->row_capacity)
		return 0;
	grown = reallocarray(table->rows, capacity, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	table->rows = grown;
	table->row_capacity = capacity;
	return 0;
}

int table_add(struct table *table, const char *const *labels, uint64_t now, struct row **ret_row)
{
	return table_restore_row(table, labels, 0, now, ret_row);
}

int table_restore_row(struct table *table, const char *const *labels, uint32_t outside,
		      uint64_t now, struct row **ret_row)
{
	size_t values = table->n_values * sizeof(uint64_t);
	size_t fixed = sizeof(struct row) + 2 * values + table->n_labels * sizeof(struct label);
	struct row *row;

	if (table_reserve(table) < 0)
		return -ENOMEM;
	row = calloc(1, fixed + labels_size(labels, table->columns, table->n_labels));
	if (!row)
		return -ENOMEM;
	row->values = (uint64_t *)(row + 1);
	row->sampled = row->values + table->n_values;
	row->labels = (struct label *)(row->sampled + table->n_values);
	labels_fill(row->labels, labels, table->columns, table->n_labels, (char *)row + fixed);
	row->first_seen = row->last_seen = now;
	row->index = table->n_rows;
	table->rows[table->n_rows++] = row;
	for (unsigned i = 0; i < table->n_projections; i++)
		if (!(outside & 1u << i))
			row->series[i] = projection_join(&table->projections[i], table, row);
	*ret_row = row;
	return 0;
}

int table_restore_series(struct table *table, unsigned projection, const char *const *labels,
			 uint64_t **ret_carried)
{
	struct label filled[TABLE_MAX_LABELS];
	struct projection *p = &table->projections[projection];
	struct row row = { .labels = filled };
	char *text = malloc(labels_size(labels, NULL, table->n_labels));
	struct series *series;
	uint64_t hash;
	int error = 0;

	if (!text)
		return -ENOMEM;
	labels_fill(filled, labels, NULL, table->n_labels, text);
	hash = projection_hash(p, &row);
	if (projection_find(p, &row, hash) || is_other_by_name(p, &row)) {
		error = -EEXIST;
	} else {
		series = projection_admit(p, &row, hash);
		if (series)
			*ret_carried = series->carried;
		else
			error = -ENOMEM;
	}
	free(text);
	return error;
}

static void add_values(uint64_t *to, const uint64_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] += from[i];
}

/*
 * Adds what the row has counted in this projection since it joined its series. Gauges stay out:
 * they say what is, not what has been, and go with their row.
 */
static void carry(const struct table *table, const struct projection *p, const struct row *row,
		  uint64_t *to)
{
	for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++) {
		unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

		if (table->columns[c].kind == COLUMN_GAUGE)
			continue;
		for (unsigned i = at; i < at + n; i++)
			to[i - p->first_value] += row->values[i] - (row->base ? row->base[i] : 0);
	}
}

/* Ends a series without rows: what it carried is `retired`. */
static void series_end(struct projection *p, struct series *series)
{
	add_values(p->retired, series->carried, p->n_values);
	projection_remove(p, series);
}

static void projection_retire(struct table *table, struct row *row, unsigned index)
{
	struct projection *p = &table->projections[index];
	struct series *series = row->series[index];

	if (!series) {
		carry(table, p, row, p->other.carried);
		return;
	}
	carry(table, p, row, series->carried);
	if (--series->n_rows == 0)
		series_end(p, series);
}

void table_retire(struct table *table, struct row *row)
{
	if (table->ending)
		table->ending(table->userdata, table, row);
	for (unsigned i = table->n_labels; i < table->n_columns; i++)
		if (table->columns[i].kind != COLUMN_GAUGE)
			add_values(&table->retired[table->value_of[i]],
				   &row->values[table->value_of[i]],
				   column_values(&table->columns[i]));
	for (unsigned i = 0; i < table->n_projections; i++)
		projection_retire(table, row, i);
	table->n_rows--;
	table->rows[row->index] = table->rows[table->n_rows];
	table->rows[row->index]->index = row->index;
	row_free(row);
}

void table_set_budget(struct table *table, unsigned budget)
{
	assert(budget > 0);
	table->budget = budget;
}

/* Does the projection have one of the labels in the mask? */
static bool projection_has(const struct projection *p, uint32_t labels)
{
	for (unsigned i = 0; i < p->n_labels; i++)
		if (labels >> p->labels[i] & 1)
			return true;
	return false;
}

/* From here on the row counts in the series of its labels, if there is room, or in `other`. */
static void row_move(struct table *table, struct row *row, unsigned index)
{
	struct projection *p = &table->projections[index];

	projection_retire(table, row, index);
	memcpy(&row->base[p->first_value], &row->values[p->first_value],
	       p->n_values * sizeof(*row->base));
	row->series[index] = projection_join(p, table, row);
}

static int row_rebase(const struct table *table, struct row *row)
{
	if (!row->base)
		row->base = calloc(table->n_values, sizeof(*row->base));
	return row->base ? 0 : -ENOMEM;
}

int table_relabel(struct table *table, struct row *row, const char *const *labels)
{
	uint32_t changed = 0;
	int error = 0;

	for (unsigned i = 0; i < table->n_labels; i++) {
		struct label old = row->labels[i];

		if (!table->columns[i].borrowed)
			continue;
		row->labels[i] = label_borrow(labels[i]);
		if (strcmp(old.text, row->labels[i].text) != 0)
			changed |= 1U << i;
	}
	for (unsigned i = 0; i < table->n_projections && !error; i++) {
		if (!projection_has(&table->projections[i], changed))
			continue;
		error = row_rebase(table, row);
		if (!error)
			row_move(table, row, i);
	}
	return error;
}

bool table_has_rate(const struct table *table)
{
	return table->n_columns > table->n_labels &&
	       table->columns[table->n_labels].kind == COLUMN_COUNTER;
}

void table_rate(struct table *table, uint64_t monotonic)
{
	bool first = table->rated[1] == 0;

	if (!table_has_rate(table))
		return;
	table->collected = monotonic;
	if (!first && monotonic - table->rated[1] < TABLE_RATE_SECONDS * second_ns)
		return;
	table->rated[0] = first ? monotonic : table->rated[1];
	table->rated[1] = monotonic;
	for (uint32_t i = 0; i < table->n_rows; i++) {
		struct row *row = table->rows[i];

		row->before[0] = first ? row->values[0] : row->before[1];
		row->before[1] = row->values[0];
	}
}

uint64_t table_rate_of(uint64_t events, uint64_t nanoseconds)
{
	unsigned __int128 rate = (unsigned __int128)events * TABLE_RATE_SCALE * second_ns;

	rate /= nanoseconds < second_ns ? second_ns : nanoseconds;
	return rate < TABLE_MAX_RATE ? (uint64_t)rate : TABLE_MAX_RATE;
}

uint64_t row_rate(const struct table *table, const struct row *row)
{
	if (!table->collected)
		return 0;
	return table_rate_of(row->values[0] - row->before[0], table->collected - table->rated[0]);
}

/* Is there a series for the row's labels, or room for one? */
static bool has_place(const struct table *table, const struct projection *p, const struct row *row)
{
	if (is_other_by_name(p, row))
		return false;
	return p->n_series < table->budget || projection_find(p, row, projection_hash(p, row));
}

/* Moves a row from `other` to its series, if there is room now: from here on it counts there. */
static void row_promote(struct table *table, struct row *row, unsigned index)
{
	struct projection *p = &table->projections[index];
	struct series *series;

	if (row_rebase(table, row) < 0)
		return; /* without memory it stays where it is */
	series = projection_join(p, table, row);
	if (!series)
		return;
	carry(table, p, row, p->other.carried);
	memcpy(&row->base[p->first_value], &row->values[p->first_value],
	       p->n_values * sizeof(*row->base));
	row->series[index] = series;
	table->admitted++;
}

void table_admit(struct table *table)
{
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (uint32_t j = 0; j < table->n_rows; j++)
			if (!table->rows[j]->series[i] && has_place(table, p, table->rows[j]))
				row_promote(table, table->rows[j], i);
	}
}

void table_restored(struct table *table)
{
	for (unsigned i = 0; i < table->n_projections; i++) {
		struct projection *p = &table->projections[i];

		for (uint32_t j = p->n_series; j > 0; j--)
			if (p->series[j - 1]->n_rows == 0)
				series_end(p, p->series[j - 1]);
	}
	table_admit(table);
}

static void sum_row(const struct table *table, const struct projection *p, const struct row *row,
		    struct series *series)
{
	uint64_t *to = series->values;

	for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++) {
		unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

		for (unsigned i = at; i < at + n; i++, to++) {
			if (table->columns[c].kind != COLUMN_GAUGE)
				*to += row->values[i] - (row->base ? row->base[i] : 0);
			else if (row->values[i] > *to)
				*to = row->values[i];
		}
	}
}

void table_sum(struct table *table)
{
	for (unsigned i = 0; i < table->n_projections; i++) {
		struct projection *p = &table->projections[i];
		size_t size = p->n_values * sizeof(uint64_t);

		memcpy(p->other.values, p->other.carried, size);
		for (uint32_t j = 0; j < p->n_series; j++)
			memcpy(p->series[j]->values, p->series[j]->carried, size);
		for (uint32_t j = 0; j < table->n_rows; j++) {
			struct series *series = table->rows[j]->series[i];

			sum_row(table, p, table->rows[j], series ? series : &p->other);
		}
	}
}
