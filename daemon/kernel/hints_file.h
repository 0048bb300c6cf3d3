/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the text of one file into hints (hints.h), and tells each fault and where it is. */
#pragma once

#include <stdbool.h>

#include "hints.h"

#define HINTS_BLANKS " \t\v\f\r"

/* What a section can name, the one that counts least first. */
enum dimension { REASON, SYMBOL, PROTOCOL, DIMENSIONS };

enum { HINT_CLASS, HINT_MEANING, HINT_CHECK, HINT_KEYS };

/* One section. Its names are those of the heading, where it stands in the file's text. */
struct hint {
	struct {
		const char *text; /* NULL: any */
		unsigned size;
	} names[DIMENSIONS];
	const char *values[HINT_KEYS]; /* NULL: not said */
};

struct hints {
	struct hint *list;
	unsigned n, capacity;
	char *texts[HINTS_MAX_FILES];
	unsigned n_texts;
};

/* One pass over all files. The caller sets hints to userdata, then `path` for each file; it reads
 * n_faults, error and full. */
struct hints_reading {
	struct hints *hints;
	complain_t complain;
	void *userdata;
	const char *path;
	unsigned line, n_faults;
	int error;
	bool full; /* no more is read */
	bool in_section;
	struct hint *hint;	  /* NULL: the heading has had its fault */
	unsigned said[HINT_KEYS]; /* the line of each key; 0: not yet */
};

/* Counts and tells a fault of the line, or of the file where there is none. */
void hints_fault(struct hints_reading *reading, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Takes the text of a file, whose lines end in NUL, and keeps pointers into it. Lines are written
 * to only where they end in blanks. */
void hints_take_text(struct hints_reading *reading, char *text, const char *end);
