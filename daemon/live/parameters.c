/* SPDX-License-Identifier: BSD-2-Clause */
#include "parameters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../model/moment.h"
#include "../util.h"
#include "filter.h"

static int parse_stack(struct live_request *request, const char *value)
{
	if (strcmp(value, "1") != 0 && strcmp(value, "0") != 0)
		return -EINVAL;
	request->stack = value[0] == '1';
	return 0;
}

static int parse_count(struct live_request *request, const char *value)
{
	unsigned long count = 0;

	if (strlen(value) > 10 || strspn(value, "0123456789") != strlen(value))
		return -EINVAL;
	count = strtoul(value, NULL, 10);
	if (count < 1 || count > LIVE_MAX_COUNT)
		return -EINVAL;
	request->count = count;
	return 0;
}

static int parse_interval(struct live_request *request, const char *value)
{
	uint64_t interval;

	if (duration_parse(value, &interval) < 0 || interval > LIVE_MAX_INTERVAL)
		return -EINVAL;
	request->interval = interval;
	return 0;
}

static int parse_duration(struct live_request *request, const char *value)
{
	return duration_parse(value, &request->duration);
}

static const struct {
	const char *name;
	int (*parse)(struct live_request *request, const char *value);
	const char *what, *allowed;
} parameters[] = {
	{ "count", parse_count, "a number of events", "1 to 1000000000" },
	{ "duration", parse_duration, "a duration", DURATION_ALLOWED },
	{ "interval", parse_interval, "an interval", "a number with s or m, from 1s to 1h" },
	{ "stack", parse_stack, "a switch", "0 or 1" },
};

void live_request_init(struct live_request *request, const struct table *table)
{
	*request = (struct live_request){ .count = 0 };
	query_init(&request->query, table);
}

static int refuse(unsigned i, const char *value, struct query_error *ret_error)
{
	char message[128];

	snprintf(message, sizeof(message), "not %s: \"%.64s\"", parameters[i].what, value);
	return query_refuse(ret_error, parameters[i].name, message, parameters[i].allowed);
}

int live_parameter(struct live_request *request, const struct table *table, const char *name,
		   const char *value, struct query_error *ret_error)
{
	int error;

	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (strcmp(parameters[i].name, name) != 0)
			continue;
		error = parameters[i].parse(request, value);
		return error ? refuse(i, value, ret_error) : 0;
	}
	if (filter_is(name)) {
		request->by_address = request->by_address || filter_is_address(name);
		return filter_take(&request->filter, name, value, ret_error);
	}
	error = query_filter(&request->query, table, name, value, ret_error);
	if (error != -ENOENT)
		return error;
	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++)
		ret_error->allowed[ret_error->n_allowed++] = parameters[i].name;
	filter_allow(ret_error);
	query_allow_labels(ret_error, table);
	return -EINVAL;
}
