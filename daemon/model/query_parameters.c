/* SPDX-License-Identifier: BSD-2-Clause */
#include "query_parameters.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../util.h"

static_assert((int)QUERY_MAX_PATTERN == (int)TABLE_MAX_LABEL_BYTES, "a limit said twice");

struct parameter {
	const char *name;
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
