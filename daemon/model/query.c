/* SPDX-License-Identifier: BSD-2-Clause */
#include "query.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"
#include "histogram.h"

static_assert(TABLE_MAX_LABELS <= 32, "a bit for each label");

/* A line of the answer on its way through sorting. */
struct entry {
	struct result_row row;
	uint64_t key;	/* what a sort by value looks at, after the rate where that is asked for */
	uint32_t index; /* in the table: the last to break a tie */
};

struct order {
	const struct table *table;
	uint32_t labels; /* bit per label that is compared */
	int label;	 /* the label to sort by, -1: entry.key */
	bool rate;	 /* before the key */
	uint32_t first;	 /* bit per label that comes before all of these */
	bool ascending;
};

void query_init(struct query *query, const struct table *table)
{
	*query = (struct query){ .sort = SORT_DEFAULT, .top = table->budget };
}

void query_init_plot(struct query *query, const struct table *table)
{
	query_init(query, table);
	query->plot = true;
	query->window = QUERY_PLOT_SECONDS * 1000000000ULL;
	query->top = QUERY_PLOT_TOP;
	query->column = table->n_labels;
	while (table->columns[query->column].kind != COLUMN_COUNTER)
		query->column++;
	assert(query->column < table->n_columns);
}

void query_init_stacks(struct query *query, const struct table *table)
{
	query_init(query, table);
	query->stacks = true;
	query->format = FORMAT_TEXT;
	query->window = QUERY_WINDOW_SECONDS * 1000000000ULL;
}

bool query_window(const struct query *query, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t window = query->window ? query->window : QUERY_WINDOW_SECONDS * 1000000000ULL;

	if (!query->window && !query->at)
		return false;
	*ret_to = query->at ? query->at : query->now;
	*ret_from = *ret_to > window ? *ret_to - window : 0;
	return true;
}

bool query_matches(const struct query *query, const struct row *row)
{
	uint32_t wanted = 0, found = 0;

	for (unsigned i = 0; i < query->n_filters; i++) {
		const struct filter *filter = &query->filters[i];
		const char *text = row->labels[filter->column].text;
		bool matches = strcmp(filter->pattern, text) == 0 ||
			       fnmatch(filter->pattern, text, 0) == 0;

		if (filter->negated && matches)
			return false;
		if (!filter->negated)
			wanted |= 1U << filter->column;
		if (!filter->negated && matches)
			found |= 1U << filter->column;
	}
	return found == wanted;
}

static void add_values(const struct table *table, uint64_t *to, const uint64_t *from)
{
	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

		for (unsigned i = at; i < at + n; i++) {
			if (table->columns[c].kind != COLUMN_GAUGE)
				to[i] += from[i];
			else if (from[i] > to[i])
				to[i] = from[i];
		}
	}
}

/* `values` are the ones that `to` shows. */
static void add_row(const struct table *table, struct result_row *to, uint64_t *values,
		    const struct result_row *from)
{
	add_values(table, values, from->values);
	if (from->first_seen && (!to->first_seen || from->first_seen < to->first_seen))
		to->first_seen = from->first_seen;
	if (from->last_seen > to->last_seen)
		to->last_seen = from->last_seen;
	to->rate += from->rate;
	to->n_rows += from->n_rows;
	if (from->peak.rate > to->peak.rate)
		to->peak = from->peak;
}

static bool is_number(const struct label *label)
{
	return label->size > 0 && strspn(label->text, "0123456789") == label->size;
}

/* Numbers in their own order, before everything else but "". */
static int compare_numbers(const struct label *a, const struct label *b)
{
	const char *x = a->text + strspn(a->text, "0"), *y = b->text + strspn(b->text, "0");
	size_t x_size = strlen(x), y_size = strlen(y);
	int result = is_number(b) - is_number(a);

	if (result || !is_number(a))
		return result;
	result = (x_size > y_size) - (x_size < y_size);
	return result ? result : strcmp(x, y);
}

/* What is not in the list comes last. */
static int place(const char *const *order, const char *text)
{
	int i = 0;

	while (order[i] && strcmp(order[i], text) != 0)
		i++;
	return i;
}

static int compare_label(const struct table *table, unsigned column, const struct label *a,
			 const struct label *b)
{
	const char *const *order = table->columns[column].order;
	int result = 0;

	if (table->columns[column].number && a->size && b->size)
		result = compare_numbers(a, b);
	if (order)
		result = place(order, a->text) - place(order, b->text);
	return result ? result : strcmp(a->text, b->text);
}

static int compare_labels(const struct table *table, uint32_t labels, const struct entry *a,
			  const struct entry *b)
{
	int result = 0;

	for (unsigned i = 0; i < table->n_labels && result == 0; i++)
		if (labels >> i & 1)
			result = compare_label(table, i, &a->row.labels[i], &b->row.labels[i]);
	return result;
}

static int compare_keys(const struct order *order, const struct entry *a, const struct entry *b)
{
	int result = compare_labels(order->table, order->first, a, b);

	if (result == 0 && order->label >= 0)
		return compare_label(order->table, (unsigned)order->label,
				     &a->row.labels[order->label], &b->row.labels[order->label]);
	if (result == 0 && order->rate)
		result = (a->row.rate < b->row.rate) - (a->row.rate > b->row.rate);
	return result ? result : (a->key < b->key) - (a->key > b->key);
}

static int compare_entries(const void *x, const void *y, void *userdata)
{
	const struct order *order = userdata;
	const struct entry *a = x, *b = y;
	int result = compare_keys(order, a, b);

	if (result)
		return order->ascending ? -result : result;

	result = compare_labels(order->table, order->labels, a, b);
	if (result == 0)
		result = (a->row.first_seen > b->row.first_seen) -
			 (a->row.first_seen < b->row.first_seen);
	return result ? result : (a->index > b->index) - (a->index < b->index);
}

static void sort_entries(const struct order *order, struct entry *entries, uint32_t n)
{
	qsort_r(entries, n, sizeof(*entries), compare_entries, (void *)order);
}

/* Sums the entries that agree in the order's labels, in place: their index is the group's number
 * then, and groups[] that of each row's. *ret_values holds the sums. */
static int group_entries(const struct order *order, struct entry *entries, uint32_t *n,
			 uint32_t *groups, uint64_t **ret_values)
{
	const struct table *table = order->table;
	uint32_t n_groups = 0;
	struct entry *group = NULL;
	uint64_t *values;

	sort_entries(order, entries, *n); /* the keys are all 0 yet: by the labels */
	for (uint32_t i = 0; i < *n; i++)
		n_groups += i == 0 ||
			    compare_labels(table, order->labels, &entries[i - 1], &entries[i]) != 0;
	values = calloc((size_t)n_groups * table->n_values + 1, sizeof(*values));
	if (!values)
		return -ENOMEM;
	*ret_values = values;

	for (uint32_t i = 0; i < *n; i++) {
		const struct entry entry = entries[i];

		if (!group || compare_labels(table, order->labels, group, &entry) != 0) {
			values += group ? table->n_values : 0;
			group = group ? group + 1 : entries;
			*group = (struct entry){ .row.labels = entry.row.labels,
						 .row.values = values,
						 .index = (uint32_t)(group - entries) };
		}
		groups[entry.index] = group->index;
		add_row(table, &group->row, values, &entry.row);
	}
	*n = n_groups;
	return 0;
}

static uint64_t sort_key(const struct table *table, unsigned column, const uint64_t *values)
{
	values += table->value_of[column];
	if (table->columns[column].kind == COLUMN_HISTOGRAM)
		return histogram_count(table->columns[column].scale, values);
	return *values;
}

static void order_entries(const struct query *query, struct order *order, struct entry *entries,
			  uint32_t n)
{
	const struct table *table = order->table;
	unsigned column = query->sort < 0 ? table->n_labels : (unsigned)query->sort;

	order->ascending = query->ascending;
	order->rate = query->sort < 0;
	for (unsigned i = 0; i < table->n_labels && query->sort == SORT_DEFAULT; i++)
		if (table->columns[i].order)
			order->first |= order->labels & 1U << i;
	if (column < table->n_labels)
		order->label = (int)column;
	else if (column < table->n_columns)
		for (uint32_t i = 0; i < n; i++)
			entries[i].key = sort_key(table, column, entries[i].row.values);
	sort_entries(order, entries, n);
}

/* The rows that match, and their sums in `totals`. */
static uint32_t collect_entries(const struct query *query, const struct table *table,
				struct entry *entries, struct result_row *totals, uint64_t *sums)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n_rows; i++) {
		const struct row *row = table->rows[i];

		if (!query_matches(query, row))
			continue;
		entries[n] = (struct entry){
			.row = { row->labels, row->values, row->first_seen, row->last_seen,
				 row_rate(table, row), 1, row->peak },
			.index = i,
		};
		add_row(table, totals, sums, &entries[n++].row);
	}
	return n;
}

/* From the number that a row's group (or the row) had before sorting to the place that it has. */
static int place_groups(const struct entry *entries, uint32_t n, uint32_t n_shown, uint32_t *groups,
			uint32_t n_rows)
{
	_cleanup_(freep) uint32_t *places = calloc((size_t)n_rows + 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		places[entries[i].index] = i < n_shown ? i : n_shown;
	for (uint32_t i = 0; i < n_rows; i++)
		if (groups[i] != UINT32_MAX)
			groups[i] = places[groups[i]];
	return 0;
}

int query_run(const struct query *query, const struct table *table, struct result *ret_result)
{
	uint32_t all = (uint32_t)((1ULL << table->n_labels) - 1), n;
	struct order order = { table, query->by ? query->by : all, .label = -1 };
	_cleanup_(freep) struct entry *entries =
		calloc((size_t)table->n_rows + 1, sizeof(*entries));
	_cleanup_(freep) uint64_t *sums = calloc(2 * (size_t)table->n_values + 1, sizeof(*sums));
	_cleanup_(freep) uint64_t *groups = NULL;
	struct result result = { .columns = order.labels,
				 .grouped = query->by != 0,
				 .filtered = query->n_filters > 0 };
	_cleanup_(freep) uint32_t *members = calloc((size_t)table->n_rows + 1, sizeof(*members));
	uint64_t *other;

	if (!entries || !sums || !members)
		return -ENOMEM;
	memset(members, 0xff, table->n_rows * sizeof(*members));
	n = collect_entries(query, table, entries, &result.totals, sums);
	for (uint32_t i = 0; i < n; i++)
		members[entries[i].index] = entries[i].index;
	if (query->by && group_entries(&order, entries, &n, members, &groups) < 0)
		return -ENOMEM;
	order_entries(query, &order, entries, n);

	result.n_rows = n < query->top ? n : query->top;
	if (place_groups(entries, n, result.n_rows, members, table->n_rows) < 0)
		return -ENOMEM;
	result.rows = calloc((size_t)result.n_rows + 1, sizeof(*result.rows));
	if (!result.rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < result.n_rows; i++)
		result.rows[i] = entries[i].row;
	other = sums + table->n_values;
	result.other.values = other;
	for (uint32_t i = result.n_rows; i < n; i++)
		add_row(table, &result.other, other, &entries[i].row);

	result.totals.values = sums;
	result.memory[0] = result.rows;
	result.memory[1] = TAKE_PTR(sums);
	result.memory[2] = TAKE_PTR(groups);
	result.groups = members;
	result.memory[3] = TAKE_PTR(members);
	*ret_result = result;
	return 0;
}

void result_free(struct result *result)
{
	for (unsigned i = 0; i < ARRAY_SIZE(result->memory); i++)
		free(result->memory[i]);
	*result = (struct result){};
}
