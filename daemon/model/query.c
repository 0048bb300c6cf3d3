/* SPDX-License-Identifier: BSD-2-Clause */
#include "query.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"
#include "histogram.h"

static_assert((int)QUERY_MAX_PATTERN == (int)TABLE_MAX_LABEL_BYTES, "a limit said twice");
static_assert(TABLE_MAX_LABELS <= 32, "a bit for each label");

struct parameter {
	const char *name;
	int (*parse)(struct query *query, const struct table *table, const char *value,
		     struct query_error *ret_error);
};

/* A line of the answer on its way through sorting. */
struct entry {
	struct result_row row;
	uint64_t key; /* what a sort by value looks at */
	uint32_t index; /* in the table: the last to break a tie */
};

struct order {
	const struct table *table;
	uint32_t labels; /* bit per label that is compared */
	int label; /* the label to sort by, -1: entry.key */
	bool ascending;
};

static _printf_(3, 4) int fail(struct query_error *ret_error, const char *parameter,
			       const char *format, ...)
{
	va_list arguments;

	*ret_error = (struct query_error){};
	snprintf(ret_error->parameter, sizeof(ret_error->parameter), "%s", parameter);
	va_start(arguments, format);
	vsnprintf(ret_error->message, sizeof(ret_error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static void allow(struct query_error *error, const char *what)
{
	assert(error->n_allowed < ARRAY_SIZE(error->allowed));
	error->allowed[error->n_allowed++] = what;
}

static _printf_(2, 3) void allow_printf(struct query_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->allowed_text, sizeof(error->allowed_text), format, arguments);
	va_end(arguments);
	allow(error, error->allowed_text);
}

/* The first n columns; of the labels only those in the mask. */
static void allow_columns(struct query_error *error, const struct table *table, uint32_t labels,
			  unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (i >= table->n_labels || labels >> i & 1)
			allow(error, table->columns[i].name);
}

static int find_label(const struct table *table, const char *name, size_t size)
{
	for (unsigned i = 0; i < table->n_labels; i++) {
		const char *label = table->columns[i].name;

		if (strlen(label) == size && memcmp(label, name, size) == 0)
			return (int)i;
	}
	return -ENOENT;
}

/* A group has no single value of a label that is not in `by`. */
static int check_sort(const struct table *table, uint32_t by, int sort,
		      struct query_error *ret_error)
{
	if (by == 0 || sort < 0 || sort >= (int)table->n_labels || by >> sort & 1)
		return 0;
	fail(ret_error, "sort", "\"%s\" is not one of the labels in by", table->columns[sort].name);
	allow_columns(ret_error, table, by, table->n_columns);
	return -EINVAL;
}

static int parse_by(struct query *query, const struct table *table, const char *value,
		    struct query_error *ret_error)
{
	const char *item = value;
	uint32_t by = 0;
	int error;

	for (;;) {
		size_t size = strcspn(item, ",");
		int label = find_label(table, item, size);

		if (label < 0) {
			fail(ret_error, "by", "no such label: \"%.*s\"", size > 64 ? 64 : (int)size,
			     item);
			allow_columns(ret_error, table, UINT32_MAX, table->n_labels);
			return -EINVAL;
		}
		by |= 1U << label;
		if (item[size] == '\0')
			break;
		item += size + 1;
	}

	error = check_sort(table, by, query->sort, ret_error);
	if (error)
		return error;
	query->by = by;
	return 0;
}

static int parse_format(struct query *query, const struct table *table, const char *value,
			struct query_error *ret_error)
{
	(void)table;
	if (strcmp(value, "json") == 0) {
		query->format = FORMAT_JSON;
	} else if (strcmp(value, "text") == 0) {
		query->format = FORMAT_TEXT;
	} else {
		fail(ret_error, "format", "no such format: \"%.64s\"", value);
		allow(ret_error, "json");
		allow(ret_error, "text");
		return -EINVAL;
	}
	return 0;
}

static int parse_sort(struct query *query, const struct table *table, const char *value,
		      struct query_error *ret_error)
{
	bool turned = value[0] == '-';
	int sort = table_column(table, value + turned), error;

	if (sort < 0) {
		fail(ret_error, "sort",
		     "no such column: \"%.64s\" (a leading - turns the order round)",
		     value + turned);
		allow_columns(ret_error, table, query->by ? query->by : UINT32_MAX,
			      table->n_columns);
		return -EINVAL;
	}
	error = check_sort(table, query->by, sort, ret_error);
	if (error)
		return error;
	query->sort = sort;
	query->ascending = turned;
	return 0;
}

static int parse_top(struct query *query, const struct table *table, const char *value,
		     struct query_error *ret_error)
{
	const char *digit = value;
	unsigned top = 0;

	(void)table;
	for (; *digit >= '0' && *digit <= '9' && top <= QUERY_MAX_TOP; digit++)
		top = 10 * top + (unsigned)(*digit - '0');
	if (*digit || top < 1 || top > QUERY_MAX_TOP) {
		fail(ret_error, "top", "not a number of rows: \"%.64s\"", value);
		allow_printf(ret_error, "1 to %u", QUERY_MAX_TOP);
		return -EINVAL;
	}
	query->top = top;
	return 0;
}

/* What may be given once; query.given has a bit for each. */
static const struct parameter parameters[] = {
	{ "by", parse_by },
	{ "format", parse_format },
	{ "sort", parse_sort },
	{ "top", parse_top },
};

static int parse_filter(struct query *query, const struct table *table, const char *name,
			const char *value, struct query_error *ret_error)
{
	size_t size = strlen(name);
	bool negated = size > 0 && name[size - 1] == '!';
	int label = find_label(table, name, size - negated);

	if (label < 0) {
		fail(ret_error, name, "no such parameter");
		for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++)
			allow(ret_error, parameters[i].name);
		allow_columns(ret_error, table, UINT32_MAX, table->n_labels);
		return -EINVAL;
	}
	if (query->n_filters == QUERY_MAX_FILTERS) {
		fail(ret_error, name, "too many filters");
		allow_printf(ret_error, "at most %u filters", QUERY_MAX_FILTERS);
		return -EINVAL;
	}
	if (strlen(value) > QUERY_MAX_PATTERN) {
		fail(ret_error, name, "the pattern is too long");
		allow_printf(ret_error, "at most %u bytes", QUERY_MAX_PATTERN);
		return -EINVAL;
	}
	query->filters[query->n_filters++] = (struct filter){ (unsigned)label, negated, value };
	return 0;
}

void query_init(struct query *query, const struct table *table)
{
	*query = (struct query){ .sort = -1, .top = table->budget };
}

int query_parameter(struct query *query, const struct table *table, const char *name,
		    const char *value, struct query_error *ret_error)
{
	int error;

	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (strcmp(parameters[i].name, name) != 0)
			continue;
		if (query->given >> i & 1)
			return fail(ret_error, name, "given more than once");
		error = parameters[i].parse(query, table, value, ret_error);
		if (error == 0)
			query->given |= 1U << i;
		return error;
	}
	return parse_filter(query, table, name, value, ret_error);
}

static bool row_matches(const struct query *query, const struct row *row)
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
	to->n_rows += from->n_rows;
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

static int compare_label(const struct table *table, unsigned column, const struct label *a,
			 const struct label *b)
{
	int result = 0;

	if (table->columns[column].number && a->size && b->size)
		result = compare_numbers(a, b);
	return result ? result : strcmp(a->text, b->text);
}

static int compare_labels(const struct order *order, const struct entry *a, const struct entry *b)
{
	int result = 0;

	for (unsigned i = 0; i < order->table->n_labels && result == 0; i++)
		if (order->labels >> i & 1)
			result = compare_label(order->table, i, &a->row.labels[i],
					       &b->row.labels[i]);
	return result;
}

static int compare_entries(const void *x, const void *y, void *userdata)
{
	const struct order *order = userdata;
	const struct entry *a = x, *b = y;
	int result;

	if (order->label >= 0)
		result = compare_label(order->table, (unsigned)order->label,
				       &a->row.labels[order->label], &b->row.labels[order->label]);
	else
		result = (a->key < b->key) - (a->key > b->key);
	if (result)
		return order->ascending ? -result : result;

	result = compare_labels(order, a, b);
	if (result == 0)
		result = (a->row.first_seen > b->row.first_seen) -
			 (a->row.first_seen < b->row.first_seen);
	return result ? result : (a->index > b->index) - (a->index < b->index);
}

static void sort_entries(const struct order *order, struct entry *entries, uint32_t n)
{
	qsort_r(entries, n, sizeof(*entries), compare_entries, (void *)order);
}

/* Sums the entries that agree in the order's labels, in place. *ret_values holds the sums. */
static int group_entries(const struct order *order, struct entry *entries, uint32_t *n,
			 uint64_t **ret_values)
{
	const struct table *table = order->table;
	uint32_t n_groups = 0;
	struct entry *group = NULL;
	uint64_t *values;

	sort_entries(order, entries, *n); /* the keys are all 0 yet: by the labels */
	for (uint32_t i = 0; i < *n; i++)
		n_groups += i == 0 || compare_labels(order, &entries[i - 1], &entries[i]) != 0;
	values = calloc((size_t)n_groups * table->n_values + 1, sizeof(*values));
	if (!values)
		return -ENOMEM;
	*ret_values = values;

	for (uint32_t i = 0; i < *n; i++) {
		const struct entry entry = entries[i];

		if (!group || compare_labels(order, group, &entry) != 0) {
			values += group ? table->n_values : 0;
			group = group ? group + 1 : entries;
			*group = (struct entry){ .row.labels = entry.row.labels,
						 .row.values = values };
		}
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
	if (column < table->n_labels)
		order->label = (int)column;
	else if (column < table->n_columns)
		for (uint32_t i = 0; i < n; i++)
			entries[i].key = sort_key(table, column, entries[i].row.values);
	sort_entries(order, entries, n);
}

/* The rows that match, and their sums in `totals`. */
static uint32_t collect_entries(const struct query *query, const struct table *table,
				struct entry *entries, uint64_t *totals)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n_rows; i++) {
		const struct row *row = table->rows[i];

		if (!row_matches(query, row))
			continue;
		entries[n++] = (struct entry){
			.row = { row->labels, row->values, row->first_seen, row->last_seen, 1 },
			.index = i,
		};
		add_values(table, totals, row->values);
	}
	return n;
}

int query_run(const struct query *query, const struct table *table, struct result *ret_result)
{
	uint32_t all = (uint32_t)((1ULL << table->n_labels) - 1), n;
	struct order order = { table, query->by ? query->by : all, -1, false };
	_cleanup_(freep) struct entry *entries =
		calloc((size_t)table->n_rows + 1, sizeof(*entries));
	_cleanup_(freep) uint64_t *sums = calloc(2 * (size_t)table->n_values + 1, sizeof(*sums));
	_cleanup_(freep) uint64_t *groups = NULL;
	struct result result = { .columns = order.labels, .filtered = query->n_filters > 0 };
	uint64_t *other;

	if (!entries || !sums)
		return -ENOMEM;
	n = collect_entries(query, table, entries, sums);
	if (query->by && group_entries(&order, entries, &n, &groups) < 0)
		return -ENOMEM;
	order_entries(query, &order, entries, n);

	result.n_rows = n < query->top ? n : query->top;
	result.rows = calloc((size_t)result.n_rows + 1, sizeof(*result.rows));
	if (!result.rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < result.n_rows; i++)
		result.rows[i] = entries[i].row;
	other = sums + table->n_values;
	result.other.values = other;
	for (uint32_t i = result.n_rows; i < n; i++)
		add_row(table, &result.other, other, &entries[i].row);

	result.totals = sums;
	result.memory[0] = result.rows;
	result.memory[1] = TAKE_PTR(sums);
	result.memory[2] = TAKE_PTR(groups);
	*ret_result = result;
	return 0;
}

void result_free(struct result *result)
{
	for (unsigned i = 0; i < ARRAY_SIZE(result->memory); i++)
		free(result->memory[i]);
	*result = (struct result){};
}
