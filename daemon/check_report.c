/* SPDX-License-Identifier: BSD-2-Clause */
#include "check_report.h"

#include <stdarg.h>
#include <string.h>

#include "render/json.h"
#include "util.h"

static const char *const verdicts[] = {
	[CHECK_OK] = "ok",
	[CHECK_NOTE] = "note",
	[CHECK_DEGRADED] = "degraded",
	[CHECK_FAILED] = "failed",
};

void report_add(struct report *report, enum verdict verdict, const char *name, const char *advice,
		const char *found, ...)
{
	struct finding *finding = &report->findings[report->n];
	va_list arguments;

	if (report->n == MAX_FINDINGS) {
		report->incomplete = true;
		return;
	}
	report->n++;
	finding->verdict = verdict;
	finding->name = strdup(name);
	finding->advice = advice ? strdup(advice) : NULL;
	va_start(arguments, found);
	if (vasprintf(&finding->found, found, arguments) < 0)
		finding->found = NULL;
	va_end(arguments);
	if (!finding->name || !finding->found || (advice && !finding->advice))
		report->incomplete = true;
}

enum verdict report_verdict(const struct report *report)
{
	enum verdict worst = report->incomplete ? CHECK_FAILED : CHECK_OK;

	for (unsigned i = 0; i < report->n; i++)
		if (report->findings[i].verdict > worst)
			worst = report->findings[i].verdict;
	return worst;
}

int report_exit_status(const struct report *report)
{
	enum verdict worst = report_verdict(report);

	return worst == CHECK_FAILED ? 2 : worst == CHECK_DEGRADED ? 1 : 0;
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

void report_text(const struct report *report, struct buffer *out)
{
	static const char *const ends[] = {
		[0] = "everything works",
		[1] = "it runs, and something does not work",
		[2] = "it cannot run",
	};

	for (unsigned i = 0; i < report->n; i++) {
		const struct finding *finding = &report->findings[i];

		buffer_printf(out, "%-9s %-34s %s\n", verdicts[finding->verdict],
			      text_or_empty(finding->name), text_or_empty(finding->found));
		if (finding->advice)
			buffer_printf(out, "%-9s   -> %s\n", "", finding->advice);
	}
	if (report->incomplete)
		buffer_string(out, "failed    out of memory: the report is incomplete\n");
	buffer_printf(out, "%s\n", ends[report_exit_status(report)]);
}

static void json_member(struct buffer *out, const char *name, const char *text)
{
	buffer_printf(out, ", \"%s\": ", name);
	if (text)
		json_string(out, text, strlen(text));
	else
		buffer_string(out, "null");
}

void report_json(const struct report *report, struct buffer *out)
{
	buffer_printf(out,
		      "{\n  \"schema_version\": 1,\n  \"status\": \"%s\",\n  \"exit_status\": %d,\n"
		      "  \"checks\": [",
		      verdicts[report_verdict(report)], report_exit_status(report));
	for (unsigned i = 0; i < report->n; i++) {
		const struct finding *finding = &report->findings[i];

		buffer_printf(out, "%s\n    {\"status\": \"%s\"", i ? "," : "",
			      verdicts[finding->verdict]);
		json_member(out, "name", finding->name);
		json_member(out, "found", finding->found);
		json_member(out, "advice", finding->advice);
		buffer_char(out, '}');
	}
	buffer_string(out, "\n  ]\n}\n");
}

void report_clear(struct report *report)
{
	for (unsigned i = 0; i < report->n; i++) {
		free(report->findings[i].name);
		free(report->findings[i].found);
		free(report->findings[i].advice);
	}
	*report = (struct report){ .n = 0 };
}
