/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "model/moment.h"
#include "util.h"

#define SECOND UINT64_C(1000000000)
#define NOW (1795230765 * SECOND + 678901234) /* 2026-11-21 03:12:45.678901234Z */

static void test_moments(void **state)
{
	static const struct {
		const char *text;
		int error;
		int64_t ago_ns; /* before NOW */
	} table[] = {
		{ "2026-11-21T03:12:45Z", 0, 678901234 },
		{ "2026-11-21t03:12:45z", 0, 678901234 },
		{ "2026-11-21 03:12:45Z", 0, 678901234 },
		{ "2026-11-21T03:12:45.678901234Z", 0, 0 },
		{ "2026-11-21T03:12:45.6789012349999Z", 0, 0 },
		{ "2026-11-21T03:12:45.5Z", 0, 178901234 },
		{ "2026-11-21T04:12:45+01:00", 0, 678901234 },
		{ "2026-11-21T04:12:45 01:00", 0, 678901234 }, /* a + in a URL */
		{ "2026-11-20T22:42:45-04:30", 0, 678901234 },
		{ "2024-02-29T03:12:45Z", 0, 86054400 * (int64_t)SECOND + 678901234 },
		{ "2026-11-21T03:13:45Z", 0, -59321098766 }, /* a clock that is ahead */
		{ "2026-11-21T03:13:46Z", -ERANGE, 0 },
		{ "2030-01-01T00:00:00Z", -ERANGE, 0 },
		{ "03:12:45", 0, 678901234 },
		{ "03:12", 0, 45678901234 },
		{ "00:00", 0, 11565678901234 },
		{ "03:12:46", 0, 86399678901234 }, /* yesterday's */
		{ "03:13", 0, 86385678901234 },
		{ "23:59:59", 0, 11566678901234 },
		{ "-1s", 0, SECOND },
		{ "-15m", 0, 900 * SECOND },
		{ "-2h", 0, 7200 * SECOND },
		{ "-1d", 0, 86400 * SECOND },
		{ "-366d", 0, 366 * 86400 * SECOND },
		{ "", -EINVAL, 0 },
		{ "now", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "-15", -EINVAL, 0 },
		{ "-0s", -EINVAL, 0 },
		{ "-367d", -EINVAL, 0 },
		{ "+15m", -EINVAL, 0 },
		{ "15m", -EINVAL, 0 },
		{ "3:12", -EINVAL, 0 },
		{ "24:00", -EINVAL, 0 },
		{ "03:60", -EINVAL, 0 },
		{ "03:12:61", -EINVAL, 0 },
		{ "03:12:", -EINVAL, 0 },
		{ "03:12 ", -EINVAL, 0 },
		{ "2026-11-21", -EINVAL, 0 },
		{ "2026-11-21T03:12Z", -EINVAL, 0 },
		{ "2026-11-21T03:12:45", -EINVAL, 0 },
		{ "2026-11-21T03:12:45.Z", -EINVAL, 0 },
		{ "2026-11-21T03:12:45+0100", -EINVAL, 0 },
		{ "2026-11-21T03:12:45+24:00", -EINVAL, 0 },
		{ "2026-11-21T03:12:45Zx", -EINVAL, 0 },
		{ "2026-11-31T03:12:45Z", -EINVAL, 0 },
		{ "2025-02-29T03:12:45Z", -EINVAL, 0 },
		{ "2026-13-01T03:12:45Z", -EINVAL, 0 },
		{ "2026-00-01T03:12:45Z", -EINVAL, 0 },
		{ "2026-11-00T03:12:45Z", -EINVAL, 0 },
		{ "1969-12-31T23:59:59Z", -EINVAL, 0 },
		{ "1970-01-01T00:30:00+01:00", -EINVAL, 0 },
		{ "1795230765", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t moment = 42;
		int error = moment_parse(table[i].text, NOW, &moment);
		uint64_t expected = table[i].error ? 42 : NOW - (uint64_t)table[i].ago_ns;

		if (error != table[i].error || moment != expected)
			print_error("\"%s\"\n", table[i].text);
		assert_int_equal(error, table[i].error);
		assert_int_equal(moment, expected);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds; /* 0: refused */
	} table[] = {
		{ "1s", 1 },
		{ "60s", 60 },
		{ "15m", 900 },
		{ "2h", 7200 },
		{ "1d", 86400 },
		{ "007s", 7 },
		{ "366d", 366 * 86400 },
		{ "31622400s", 31622400 },
		{ "31622401s", 0 },
		{ "367d", 0 },
		{ "0s", 0 },
		{ "60", 0 },
		{ "", 0 },
		{ "s", 0 },
		{ "1.5s", 0 },
		{ "-1s", 0 },
		{ " 1s", 0 },
		{ "1 s", 0 },
		{ "1S", 0 },
		{ "1ms", 0 },
		{ "1s ", 0 },
		{ "1w", 0 },
		{ "99999999999999999999999s", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t duration = 0;
		int error = duration_parse(table[i].text, &duration);

		if (duration != table[i].seconds * SECOND)
			print_error("\"%s\"\n", table[i].text);
		assert_int_equal(error, table[i].seconds ? 0 : -EINVAL);
		assert_int_equal(duration, table[i].seconds * SECOND);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
