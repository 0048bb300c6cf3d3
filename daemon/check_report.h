/* SPDX-License-Identifier: BSD-2-Clause */
/* What a check of this machine has found, and how it is shown. */
#pragma once

#include <stdbool.h>

#include "render/buffer.h"

/* From good to bad. */
enum verdict {
	CHECK_OK,
	CHECK_NOTE,	/* this kernel does not give it; nothing to be done about it here */
	CHECK_DEGRADED, /* dropscope runs, and something of it does not work */
	CHECK_FAILED,	/* dropscope cannot run */
};

/* A line of the report, whose texts are its own. */
struct finding {
	enum verdict verdict;
	char *name;   /* "btf", "tracepoint kfree_skb" */
	char *found;  /* how it is */
	char *advice; /* what to do about it, or what follows; NULL: nothing */
};

enum { MAX_FINDINGS = 128 };

/* Zeroed at first. What has no room or no memory sets `incomplete`. */
struct report {
	struct finding findings[MAX_FINDINGS];
	unsigned n;
	bool incomplete;
};

/* Adds a finding; the texts are copied. `advice` may be NULL. */
void report_add(struct report *report, enum verdict verdict, const char *name, const char *advice,
		const char *found, ...) _printf_(5, 6);

/* The worst of all; CHECK_FAILED, too, when the report is incomplete. */
enum verdict report_verdict(const struct report *report);
/* As lines for a reader, advice below what it is about; or as one JSON object:
 * { "schema_version": 1, "status": ..., "exit_status": N,
 *   "checks": [{"name", "status", "found", "advice" (or null)}] } */
void report_text(const struct report *report, struct buffer *out);
void report_json(const struct report *report, struct buffer *out);
/* 0 works, 1 degraded, 2 cannot run. */
int report_exit_status(const struct report *report);
void report_clear(struct report *report);
