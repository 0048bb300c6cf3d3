/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "live/parameters.h"
#include "model/moment.h"

static int set_up(void **state)
{
	*state = make_drops();
	return 0;
}

static int tear_down(void **state)
{
	table_free(*state);
	return 0;
}

static void take(const struct table *table, struct live_request *request, const char *name,
		 const char *value)
{
	struct query_error error;

	if (live_parameter(request, table, name, value, &error) != 0)
		fail_msg("%s=%s: %s", name, value, error.message);
}

/* "message [allowed, allowed]" */
static void assert_refused(const struct table *table, const char *name, const char *value,
			   const char *expected)
{
	struct live_request request, before;
	struct query_error error;
	char text[1024];

	live_request_init(&request, table);
	before = request;
	memset(&error, 'x', sizeof(error));
	assert_int_equal(live_parameter(&request, table, name, value, &error), -EINVAL);
	assert_string_equal(error.parameter, name);
	snprintf(text, sizeof(text), "%s [", error.message);
	for (unsigned i = 0; i < error.n_allowed; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? ", " : "",
			 error.allowed[i]);
	strcat(text, "]");
	assert_string_equal(text, expected);
	assert_int_equal(request.stack, before.stack);
	assert_int_equal(request.count, before.count);
	assert_int_equal(request.interval, before.interval);
	assert_int_equal(request.duration, before.duration);
	assert_int_equal(request.query.n_filters, 0);
}

static void defaults(void **state)
{
	struct live_request request;

	memset(&request, 'x', sizeof(request));
	live_request_init(&request, *state);
	assert_int_equal(request.count, 0);
	assert_int_equal(request.duration, 0);
	assert_int_equal(request.interval, 0);
	assert_false(request.stack);
	assert_false(request.local);
	assert_false(request.by_address);
	assert_int_equal(request.filter.groups, 0);
	assert_int_equal(request.filter.n_terms, 0);
	assert_int_equal(request.query.n_filters, 0);
}

static void taken(void **state)
{
	struct table *table = *state;
	struct live_request request;

	live_request_init(&request, table);
	take(table, &request, "stack", "1");
	take(table, &request, "count", "1");
	take(table, &request, "duration", "90s");
	take(table, &request, "interval", "1s");
	assert_true(request.stack);
	assert_int_equal(request.count, 1);
	assert_int_equal(request.duration, 90 * SECOND);
	assert_int_equal(request.interval, SECOND);
	/* The last one counts. */
	take(table, &request, "stack", "0");
	take(table, &request, "count", "1000000000");
	take(table, &request, "duration", "2h");
	take(table, &request, "interval", "1h");
	assert_int_equal(request.interval, 3600 * SECOND);
	assert_false(request.stack);
	assert_int_equal(request.count, 1000000000);
	assert_int_equal(request.duration, 7200 * SECOND);
	take(table, &request, "count", "0000000017");
	assert_int_equal(request.count, 17);
}

static void filters(void **state)
{
	static const char pattern[] = "tcp_*";
	struct table *table = *state;
	struct live_request request;

	live_request_init(&request, table);
	take(table, &request, "symbol", pattern);
	take(table, &request, "reason!", "NO_SOCKET");
	assert_int_equal(request.query.n_filters, 2);
	assert_int_equal(request.query.filters[0].column, 0);
	assert_false(request.query.filters[0].negated);
	assert_ptr_equal(request.query.filters[0].pattern, pattern);
	assert_int_equal(request.query.filters[1].column, 2);
	assert_true(request.query.filters[1].negated);
	assert_int_equal(request.filter.n_terms, 0);
	take(table, &request, "proto", "tcp");
	take(table, &request, "port", "80");
	assert_false(request.by_address);
	take(table, &request, "addr", "10.0.0.0/8,2001:db8::1");
	assert_true(request.by_address);
	assert_int_equal(request.filter.n_terms, 1 + 2 + 4);
	assert_int_equal(request.query.n_filters, 2);
}

static void refused(void **state)
{
	static const char count[] = "not a number of events: \"%s\" [1 to 1000000000]";
	static const char *const counts[] = { "",    "0",  "1000000001", "-1",	"1.5",
					      "ten", " 1", "1 ",	 "0x1", "00000000001" };
	static const char *const times[] = { "", "0s", "-1s", "s", "1 s", "1y", "soon" };
	struct table *table = *state;
	char expected[256];

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(expected, sizeof(expected), count, counts[i]);
		assert_refused(table, "count", counts[i], expected);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		snprintf(expected, sizeof(expected),
			 "not a duration: \"%s\" [" DURATION_ALLOWED "]", times[i]);
		assert_refused(table, "duration", times[i], expected);
		snprintf(expected, sizeof(expected),
			 "not an interval: \"%s\" [a number with s or m, from 1s to 1h]", times[i]);
		assert_refused(table, "interval", times[i], expected);
	}
	assert_refused(table, "interval", "3601s",
		       "not an interval: \"3601s\" [a number with s or m, from 1s to 1h]");
	assert_refused(table, "stack", "", "not a switch: \"\" [0 or 1]");
	assert_refused(table, "stack", "2", "not a switch: \"2\" [0 or 1]");
	assert_refused(table, "stack", "yes", "not a switch: \"yes\" [0 or 1]");
	assert_refused(table, "stack", "11", "not a switch: \"11\" [0 or 1]");
	assert_refused(table, "saddr", "nobody",
		       "not an address: \"nobody\" [an IPv4 or IPv6 address, or ADDRESS/PREFIX]");
	assert_refused(table, "dport", "65536", "not a port: \"65536\" [1 to 65535]");
}

static void long_values(void **state)
{
	char value[400], expected[256];

	memset(value, '7', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	snprintf(expected, sizeof(expected), "not a number of events: \"%.64s\" [1 to 1000000000]",
		 value);
	assert_refused(*state, "count", value, expected);
	snprintf(expected, sizeof(expected), "not a switch: \"%.64s\" [0 or 1]", value);
	assert_refused(*state, "stack", value, expected);
	assert_refused(*state, "symbol", value, "the pattern is too long [at most 255 bytes]");
}

static void too_many_filters(void **state)
{
	struct table *table = *state;
	struct live_request request;
	struct query_error error;

	live_request_init(&request, table);
	for (unsigned i = 0; i < QUERY_MAX_FILTERS; i++)
		take(table, &request, "symbol", "x");
	assert_int_equal(live_parameter(&request, table, "symbol", "x", &error), -EINVAL);
	assert_string_equal(error.message, "too many filters");
	assert_int_equal(error.n_allowed, 1);
	assert_string_equal(error.allowed[0], "at most 32 filters");
}

/* What a table takes beside filters makes no sense of a stream. */
static void unknown(void **state)
{
	static const char *const names[] = { "",    "!",      "counts", "count!", "at",
					     "top", "window", "format", "by",	  "proto!" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		assert_refused(*state, names[i], "1",
			       "no such parameter [count, duration, interval, stack, proto, addr, "
			       "saddr, daddr, port, sport, dport, symbol, module, reason, device, "
			       "netns, offset]");
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(defaults), test(taken),	   test(filters),
		test(refused),	test(long_values), test(too_many_filters),
		test(unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
