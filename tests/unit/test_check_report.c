/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "check_report.h"
#include "golden.h"

static void nothing_wrong(void **state)
{
	struct report report = { .n = 0 };

	(void)state;
	assert_int_equal(report_exit_status(&report), 0);
	report_add(&report, CHECK_OK, "kernel", NULL, "%s", "6.1");
	report_add(&report, CHECK_NOTE, "reason names", "none before 5.17", "none");
	assert_int_equal(report_verdict(&report), CHECK_NOTE);
	assert_int_equal(report_exit_status(&report), 0);
	report_clear(&report);
}

/* The worst decides, wherever it stands. */
static void the_worst_decides(void **state)
{
	struct report report = { .n = 0 };

	(void)state;
	report_add(&report, CHECK_DEGRADED, "collector drops", "load it", "down");
	report_add(&report, CHECK_OK, "kernel", NULL, "6.1");
	assert_int_equal(report_exit_status(&report), 1);
	report_add(&report, CHECK_FAILED, "btf", "use another kernel", "none");
	report_add(&report, CHECK_DEGRADED, "collector block", "load it", "down");
	assert_int_equal(report_exit_status(&report), 2);
	report_clear(&report);
	assert_int_equal(report_exit_status(&report), 0);
}

static void fill(struct report *report)
{
	report_add(report, CHECK_OK, "kernel", NULL, "%s %s", "6.1.0", "x86_64");
	report_add(report, CHECK_NOTE, "reason names", "Linux 5.17 and later have them", "none");
	report_add(report, CHECK_DEGRADED, "collector \"drops\"", "C:\\temp", "%d of %d", 1, 2);
}

static void as_text(void **state)
{
	struct report report = { .n = 0 };
	struct buffer out = { .data = NULL };

	(void)state;
	fill(&report);
	report_text(&report, &out);
	assert_golden(&out, "tests/unit/golden/check.txt");
	buffer_free(&out);
	report_clear(&report);
}

static void as_json(void **state)
{
	struct report report = { .n = 0 };
	struct buffer out = { .data = NULL };
	cJSON *json;

	(void)state;
	fill(&report);
	report_json(&report, &out);
	assert_golden(&out, "tests/unit/golden/check.json");
	json = cJSON_ParseWithLength(out.data, out.size);
	assert_non_null(json);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "checks")), 3);
	assert_int_equal(cJSON_GetObjectItem(json, "exit_status")->valueint, 1);
	cJSON_Delete(json);
	buffer_free(&out);
	report_clear(&report);
}

/* Too many are not forgotten in silence. */
static void too_many(void **state)
{
	struct report report = { .n = 0 };

	(void)state;
	for (unsigned i = 0; i < MAX_FINDINGS; i++)
		report_add(&report, CHECK_OK, "kernel", NULL, "%u", i);
	assert_int_equal(report_exit_status(&report), 0);
	report_add(&report, CHECK_OK, "kernel", NULL, "one more");
	assert_int_equal(report_exit_status(&report), 2);
	report_clear(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_wrong), cmocka_unit_test(the_worst_decides),
		cmocka_unit_test(as_text),	 cmocka_unit_test(as_json),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
