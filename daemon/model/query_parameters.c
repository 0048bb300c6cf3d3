/* SPDX-License-Identifier: BSD-2-Clause */
#include "query_parameters.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../util.h"
#include "moment.h"

static_assert((int)QUERY_MAX_PATTERN == (int)TABLE_MAX_LABEL_BYTES, "a limit said twice");

enum { IN_TABLE = 1, IN_PLOT = 2, IN_STACKS = 4 };

struct parameter {
	const char *name;
	unsigned in; /* where it may be given */
	int (*parse)(struct query *query, const struct table *table, const char *value,
		     struct query_error *ret_error);
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

int query_refuse(struct query_error *ret_error, const char *parameter, const char *message,
		 const char *allowed)
{
	fail(ret_error, parameter, "%s", message);
	snprintf(ret_error->allowed_text, sizeof(ret_error->allowed_text), "%s", allowed);
	ret_error->allowed[ret_error->n_allowed++] = ret_error->allowed_text;
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
	allow(ret_error, "rate");
	allow_columns(ret_error, table, by, table->n_columns);
	return -EINVAL;
}

static int parse_at(struct query *query, const struct table *table, const char *value,
		    struct query_error *ret_error)
{
	int error = moment_parse(value, query->now, &query->at);

	(void)table;
	if (!error)
		return 0;
	fail(ret_error, "at",
	     error == -ERANGE ? "still to come: \"%.64s\"" : "not a time: \"%.64s\"", value);
	allow(ret_error, MOMENT_ALLOWED);
	return -EINVAL;
}

static int parse_window(struct query *query, const struct table *table, const char *value,
			struct query_error *ret_error)
{
	(void)table;
	if (duration_parse(value, &query->window) == 0)
		return 0;
	fail(ret_error, "window", "not a duration: \"%.64s\"", value);
	allow(ret_error, DURATION_ALLOWED);
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
	bool rate = strcmp(value + turned, "rate") == 0;
	int sort = rate ? SORT_RATE : table_column(table, value + turned), error;

	if (sort < 0 && !rate) {
		fail(ret_error, "sort",
		     "no such column: \"%.64s\" (a leading - turns the order round)",
		     value + turned);
		allow(ret_error, "rate");
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

static int parse_counter(struct query *query, const struct table *table, const char *value,
			 struct query_error *ret_error)
{
	int column = table_column(table, value);

	if (column >= 0 && table->columns[column].kind == COLUMN_COUNTER) {
		query->column = (unsigned)column;
		return 0;
	}
	fail(ret_error, "column", "no such counter: \"%.64s\"", value);
	for (unsigned i = table->n_labels; i < table->n_columns; i++)
		if (table->columns[i].kind == COLUMN_COUNTER)
			allow(ret_error, table->columns[i].name);
	return -EINVAL;
}

static int parse_step(struct query *query, const struct table *table, const char *value,
		      struct query_error *ret_error)
{
	(void)table;
	if (duration_parse(value, &query->step) == 0)
		return 0;
	fail(ret_error, "step", "not a duration: \"%.64s\"", value);
	allow(ret_error, DURATION_ALLOWED);
	return -EINVAL;
}

/* The caller has found it by this name. */
static int parse_table(struct query *query, const struct table *table, const char *value,
		       struct query_error *ret_error)
{
	(void)query;
	if (strcmp(value, table->name) == 0)
		return 0;
	return fail(ret_error, "table", "given more than once");
}

/* What may be given once; query.given has a bit for each. */
static const struct parameter parameters[] = {
	{ "at", IN_TABLE | IN_PLOT | IN_STACKS, parse_at },
	{ "by", IN_TABLE | IN_PLOT, parse_by },
	{ "column", IN_PLOT, parse_counter },
	{ "format", IN_TABLE | IN_STACKS, parse_format },
	{ "sort", IN_TABLE, parse_sort },
	{ "step", IN_PLOT, parse_step },
	{ "table", IN_PLOT, parse_table },
	{ "top", IN_TABLE | IN_PLOT, parse_top },
	{ "window", IN_TABLE | IN_PLOT | IN_STACKS, parse_window },
};

static bool may_be_given(const struct query *query, const struct parameter *parameter)
{
	return parameter->in & (query->stacks ? IN_STACKS : query->plot ? IN_PLOT : IN_TABLE);
}

int query_filter(struct query *query, const struct table *table, const char *name,
		 const char *value, struct query_error *ret_error)
{
	size_t size = strlen(name), bytes = 0;
	bool negated = size > 0 && name[size - 1] == '!';
	int label = find_label(table, name, size - negated);

	if (label < 0) {
		fail(ret_error, name, "no such parameter");
		return -ENOENT;
	}
	for (unsigned i = 0; i < query->n_filters; i++)
		bytes += strlen(query->filters[i].pattern);
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
	if (bytes + strlen(value) > QUERY_MAX_PATTERNS) {
		fail(ret_error, name, "the patterns are too long");
		allow_printf(ret_error, "at most %u bytes together", QUERY_MAX_PATTERNS);
		return -EINVAL;
	}
	query->filters[query->n_filters++] = (struct filter){ (unsigned)label, negated, value };
	return 0;
}

void query_allow_labels(struct query_error *error, const struct table *table)
{
	allow_columns(error, table, UINT32_MAX, table->n_labels);
}

int query_parameter(struct query *query, const struct table *table, const char *name,
		    const char *value, struct query_error *ret_error)
{
	int error;

	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (strcmp(parameters[i].name, name) != 0 || !may_be_given(query, &parameters[i]))
			continue;
		if (query->given >> i & 1) {
			fail(ret_error, name, "given more than once");
			allow(ret_error, "one value");
			return -EINVAL;
		}
		error = parameters[i].parse(query, table, value, ret_error);
		if (error == 0)
			query->given |= 1U << i;
		return error;
	}
	error = query_filter(query, table, name, value, ret_error);
	if (error != -ENOENT)
		return error;
	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++)
		if (may_be_given(query, &parameters[i]))
			allow(ret_error, parameters[i].name);
	query_allow_labels(ret_error, table);
	return -EINVAL;
}
