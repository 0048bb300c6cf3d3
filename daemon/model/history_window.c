/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "../hash.h"
#include "../util.h"
#include "history_internal.h"

enum { BUCKETS = 4096 };

/* A row as one segment numbers it. */
struct mapped_row {
	const unsigned char *labels;
	size_t size;
	uint32_t found; /* index in the result + 1; 0: not looked for yet */
};

struct mapped_table {
	bool wanted;
	int labels[TABLE_MAX_LABELS]; /* of the segment -> of the table, or -1 */
	unsigned n_labels;
	int *values; /* the same */
	struct mapped_row *rows;
	uint32_t n, capacity;
};

struct sums;
/* What is done with one row's increases. Values are the table's. */
typedef void (*sums_add_t)(struct sums *sums, uint32_t row, const struct history_moved *moved);

struct sums {
	const struct table *table;
	const struct history_window *window;
	uint64_t after; /* only frames with greater numbers */
	struct table *result;
	bool complete; /* rows that are not in the result are of no interest */
	sums_add_t add;
	const struct history_steps *steps;
	uint64_t *points;
	uint32_t buckets[BUCKETS]; /* rows of the result by their labels: index + 1 */
	uint32_t *next;
	uint32_t next_capacity;
	struct mapped_table tables[HISTORY_MAX_TABLES];
	unsigned n_tables;
	struct history_delta deltas[HISTORY_MAX_VALUES];
};

/* ---- rows by their labels, those aside that follow from the others */

static uint32_t bucket_of(const struct table *table, const char *const *labels)
{
	uint64_t hash = HASH_START;

	for (unsigned i = 0; i < table->n_labels; i++) {
		if (table->columns[i].borrowed)
			continue;
		hash = hash_bytes(hash, labels[i], strlen(labels[i]) + 1);
	}
	return (hash >> 32) % BUCKETS;
}

static bool same_labels(const struct table *table, const struct row *row, const char *const *labels)
{
	for (unsigned i = 0; i < table->n_labels; i++)
		if (!table->columns[i].borrowed && strcmp(row->labels[i].text, labels[i]) != 0)
			return false;
	return true;
}

/* Index + 1; 0: there is none. */
static uint32_t sums_find(const struct sums *s, const char *const *labels)
{
	uint32_t i = s->buckets[bucket_of(s->table, labels)];

	while (i && !same_labels(s->table, s->result->rows[i - 1], labels))
		i = s->next[i - 1];
	return i;
}

static int sums_index(struct sums *s, uint32_t row, uint32_t bucket)
{
	if (row >= s->next_capacity) {
		uint32_t capacity = s->next_capacity ? 2 * s->next_capacity : 64;
		uint32_t *next;

		while (capacity <= row)
			capacity *= 2;
		next = reallocarray(s->next, capacity, sizeof(*next));
		if (!next)
			return -ENOMEM;
		s->next = next;
		s->next_capacity = capacity;
	}
	s->next[row] = s->buckets[bucket];
	s->buckets[bucket] = row + 1;
	return 0;
}

static int sums_new_row(struct sums *s, const char **labels, uint32_t *ret_row)
{
	uint32_t bucket = bucket_of(s->table, labels);
	struct row *row;

	if (s->window->explain)
		s->window->explain(s->window->userdata, labels);
	if (table_restore_row(s->result, labels, UINT32_MAX, 0, &row) < 0)
		return -ENOMEM;
	*ret_row = row->index;
	return sums_index(s, row->index, bucket);
}

/* *ret_row: index + 1; 0: it is of no interest. */
static int sums_row(struct sums *s, const char **labels, uint32_t *ret_row)
{
	uint32_t row = sums_find(s, labels);
	int error = 0;

	if (!row && !s->complete) {
		error = sums_new_row(s, labels, &row);
		row++;
	}
	*ret_row = error ? 0 : row;
	return error;
}

static void row_labels(const struct table *table, const struct row *row, const char **ret_labels)
{
	for (unsigned i = 0; i < table->n_labels; i++)
		ret_labels[i] = table->columns[i].borrowed ? "" : row->labels[i].text;
}

static void sums_free(struct sums *s)
{
	for (unsigned i = 0; i < s->n_tables; i++) {
		free(s->tables[i].values);
		free(s->tables[i].rows);
	}
	s->n_tables = 0;
}

static void sums_freep(struct sums **sums)
{
	if (!*sums)
		return;
	sums_free(*sums);
	free((*sums)->next);
	free(*sums);
}

/* ---- the segments */

static void map_values(const struct table *table, const struct history_layout *layout, int *to)
{
	unsigned value = 0;

	for (unsigned i = 0; i < layout->n_columns; i++) {
		int column = table_column(table, layout->columns[i].name);

		if (column >= 0 && column_values(&table->columns[column]) != layout->columns[i].n)
			column = -1;
		for (unsigned j = 0; j < layout->columns[i].n; j++)
			to[value++] = column < 0 ? -1 : (int)(table->value_of[column] + j);
	}
}

static int on_table(void *userdata, unsigned number, const struct history_layout *layout)
{
	struct sums *s = userdata;
	struct mapped_table *mapped = &s->tables[number];

	*mapped = (struct mapped_table){ .wanted = strcmp(layout->name, s->table->name) == 0,
					 .n_labels = layout->n_labels };
	s->n_tables = number + 1;
	if (!mapped->wanted)
		return 0;
	mapped->values = calloc(layout->n_values + 1, sizeof(*mapped->values));
	if (!mapped->values)
		return -ENOMEM;
	for (unsigned i = 0; i < layout->n_labels; i++) {
		mapped->labels[i] = table_column(s->table, layout->labels[i]);
		if (mapped->labels[i] >= (int)s->table->n_labels)
			mapped->labels[i] = -1;
	}
	map_values(s->table, layout, mapped->values);
	return 0;
}

static int on_row(void *userdata, unsigned table, uint32_t row, const unsigned char *labels,
		  size_t size)
{
	struct mapped_table *mapped = &((struct sums *)userdata)->tables[table];

	if (!mapped->wanted)
		return 0;
	if (mapped->n == mapped->capacity) {
		uint32_t capacity = mapped->capacity ? 2 * mapped->capacity : 64;
		struct mapped_row *rows = reallocarray(mapped->rows, capacity, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		mapped->rows = rows;
		mapped->capacity = capacity;
	}
	(void)row; /* they come in their order */
	mapped->rows[mapped->n++] = (struct mapped_row){ labels, size, 0 };
	return 0;
}

static int look_for(struct sums *s, const struct mapped_table *mapped, struct mapped_row *row)
{
	struct record record = { row->labels, row->labels + row->size, false };
	const char *labels[TABLE_MAX_LABELS];

	for (unsigned i = 0; i < s->table->n_labels; i++)
		labels[i] = "";
	for (unsigned i = 0; i < mapped->n_labels; i++) {
		const char *text = record_take_text(&record);

		if (mapped->labels[i] >= 0 && !s->table->columns[mapped->labels[i]].borrowed)
			labels[mapped->labels[i]] = text;
	}
	return sums_row(s, labels, &row->found);
}

static int on_moved(void *userdata, const struct history_moved *from)
{
	struct sums *s = userdata;
	const struct mapped_table *mapped = &s->tables[from->table];
	struct history_moved moved = *from;
	struct mapped_row *row;
	int error = 0;

	if (!mapped->wanted || from->time <= s->window->from || from->time > s->window->to ||
	    from->frame <= s->after)
		return 0;
	row = &mapped->rows[from->row];
	if (!row->found)
		error = look_for(s, mapped, row);
	if (!row->found)
		return error;
	moved.deltas = s->deltas;
	moved.n = 0;
	for (unsigned i = 0; i < from->n; i++) {
		int value = mapped->values[from->deltas[i].value];

		if (value >= 0)
			s->deltas[moved.n++] =
				(struct history_delta){ (unsigned)value, from->deltas[i].increase };
	}
	s->add(s, row->found - 1, &moved);
	return 0;
}

static bool is_in(const struct sums *s, const struct history_extent *extent)
{
	return extent->n_frames > 0 && extent->latest > s->window->from &&
	       extent->earliest <= s->window->to && extent->frame + extent->n_frames - 1 > s->after;
}

static int sum_segments(const struct history *h, struct sums *s)
{
	const struct history_visitor visitor = { on_table, on_row, on_moved, s };
	int error = 0;

	for (uint64_t i = h->oldest; h->map && i <= h->newest && !error; i++) {
		const struct history_extent *extent = &h->extents[i % HISTORY_SEGMENTS];
		struct history_extent seen;

		if (!is_in(s, extent))
			continue;
		error = history_read(history_at(h, i)->data, extent->used, extent->frame, &visitor,
				     &seen);
		if (error == -EINVAL) /* it was whole when it was taken up, or we wrote it */
			error = -EIO;
		sums_free(s);
	}
	return error;
}

/* What the table has counted since the last sample. */
static int sum_unsampled(const struct history *h, struct sums *s)
{
	const struct table *table = s->table;
	const char *labels[TABLE_MAX_LABELS];
	uint64_t now = s->window->now;
	struct history_moved moved = { .time = now, .deltas = s->deltas };
	int error = 0;

	moved.span = now > h->sampled_at ? now - h->sampled_at : 0;
	for (uint32_t i = 0; i < table->n_rows && !error; i++) {
		const struct row *row = table->rows[i];
		uint32_t found = 0;

		moved.n = 0;
		for (unsigned c = table->n_labels; c < table->n_columns; c++) {
			unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

			if (table->columns[c].kind == COLUMN_GAUGE)
				continue;
			for (unsigned j = at; j < at + n; j++)
				if (row->values[j] != row->sampled[j])
					s->deltas[moved.n++] = (struct history_delta){
						j, row->values[j] - row->sampled[j]
					};
		}
		if (moved.n == 0)
			continue;
		row_labels(table, row, labels);
		error = sums_row(s, labels, &found);
		if (found)
			s->add(s, found - 1, &moved);
	}
	return error;
}

static int sum_window(const struct history *h, struct sums *s)
{
	int error = sum_segments(h, s);

	if (!error && s->window->to >= s->window->now)
		error = sum_unsampled(h, s);
	return error;
}

/* ---- what is made of it */

static void add_values(struct sums *s, uint32_t index, const struct history_moved *moved)
{
	struct row *row = s->result->rows[index];
	uint64_t begin = moved->time - (moved->span < moved->time ? moved->span : 0);
	struct peak peak = { 0, moved->time };

	if (begin < s->window->from)
		begin = s->window->from;
	if (!row->first_seen || begin < row->first_seen)
		row->first_seen = begin;
	if (moved->time > row->last_seen)
		row->last_seen = moved->time;
	for (unsigned i = 0; i < moved->n; i++)
		row->values[moved->deltas[i].value] += moved->deltas[i].increase;
	if (moved->n > 0 && moved->deltas[0].value == 0 && table_has_rate(s->table))
		peak.rate = table_rate_of(moved->deltas[0].increase, moved->span);
	if (peak.rate > row->peak.rate)
		row->peak = peak;
}

static void add_points(struct sums *s, uint32_t index, const struct history_moved *moved)
{
	const struct history_steps *steps = s->steps;
	uint64_t point = (moved->time - s->window->from - 1) / steps->step;
	uint64_t *points = s->points + (size_t)steps->groups[index] * steps->n_points;

	if (steps->groups[index] == UINT32_MAX)
		return;
	for (unsigned i = 0; i < moved->n && point < steps->n_points; i++)
		if (moved->deltas[i].value == steps->value)
			points[point] += moved->deltas[i].increase;
}

int history_table(const struct history *h, const struct table *table,
		  const struct history_window *window, struct table **ret_table)
{
	_cleanup_(table_freep) struct table *result = NULL;
	_cleanup_(sums_freep) struct sums *s = calloc(1, sizeof(*s));
	int error;

	if (!s)
		return -ENOMEM;
	error = table_new(table->name, table->columns, table->n_columns, table->budget, &result);
	if (error)
		return error;
	s->table = table;
	s->window = window;
	s->result = result;
	s->add = add_values;
	error = sum_window(h, s);
	if (error)
		return error;
	result->counting_since = table->counting_since;
	result->window.from = window->from;
	result->window.to = window->to;
	result->window.since = history_since(h);
	/* Rates are over the part that the history knows. */
	result->collected = window->to - window->from;
	if (result->window.since > window->from && result->window.since < window->to)
		result->collected = window->to - result->window.since;
	*ret_table = TAKE_PTR(result);
	return 0;
}

int history_points(const struct history *h, const struct table *table,
		   const struct history_window *window, const struct table *rows,
		   const struct history_steps *steps, uint64_t *points)
{
	_cleanup_(sums_freep) struct sums *s = calloc(1, sizeof(*s));
	const char *labels[TABLE_MAX_LABELS];
	int error = s ? 0 : -ENOMEM;

	if (error)
		return error;
	s->table = table;
	s->window = window;
	s->result = (struct table *)rows; /* complete: none is added */
	s->complete = true;
	s->add = add_points;
	s->steps = steps;
	s->points = points;
	for (uint32_t i = 0; i < rows->n_rows && !error; i++) {
		row_labels(table, rows->rows[i], labels);
		error = sums_index(s, i, bucket_of(table, labels));
	}
	return error ? error : sum_window(h, s);
}

/* ---- what earlier runs have written down */

/* Takes for the row what it has counted of what the ring has for its labels: there may be several
 * with the same. */
static void recall_row(const struct table *table, struct row *row, struct row *rest)
{
	for (unsigned i = 0; i < table->n_values; i++) {
		uint64_t most = row->values[i] - row->sampled[i];
		uint64_t taken = rest->values[i] < most ? rest->values[i] : most;

		row->sampled[i] += taken;
		rest->values[i] -= taken;
	}
	if (rest->peak.rate > row->peak.rate)
		row->peak = rest->peak;
}

static int recall(const struct history *h, struct table *table, uint64_t after)
{
	const struct history_window all = { .from = 0, .to = UINT64_MAX - 1, .now = UINT64_MAX };
	_cleanup_(table_freep) struct table *result = NULL;
	_cleanup_(sums_freep) struct sums *s = calloc(1, sizeof(*s));
	const char *labels[TABLE_MAX_LABELS];
	int error = s ? 0 : -ENOMEM;

	if (!error)
		error = table_new(table->name, table->columns, table->n_columns, 1, &result);
	if (error)
		return error;
	s->table = table;
	s->window = &all;
	s->after = after;
	s->result = result;
	s->add = add_values;
	error = sum_window(h, s);
	for (uint32_t i = 0; i < table->n_rows && !error; i++) {
		uint32_t found;

		row_labels(table, table->rows[i], labels);
		found = sums_find(s, labels);
		if (found)
			recall_row(table, table->rows[i], result->rows[found - 1]);
	}
	return error;
}

bool history_recall(struct history *h, struct table *table, struct history_mark mark)
{
	bool known = h->map && mark.ring == h->ring && mark.frame <= history_mark(h).frame &&
		     mark.frame + 1 >= h->extents[h->oldest % HISTORY_SEGMENTS].frame;

	if (known && recall(h, table, mark.frame) == 0)
		return true;
	for (uint32_t i = 0; i < table->n_rows; i++)
		memcpy(table->rows[i]->sampled, table->rows[i]->values,
		       table->n_values * sizeof(*table->rows[i]->values));
	return false;
}
