/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a drop means: for each reason and for functions of the kernel that stand for one, a class, a
 * line that says what the kernel has decided and a line that says where to look. The program comes
 * with config/hints.conf, whose head describes the format, and a site adds files of its own.
 */
#pragma once

#include "../complaint.h"

enum hints_limits {
	HINTS_MAX = 2048,	     /* sections, in all files together */
	HINTS_MAX_FILES = 64,	     /* in the site's directory */
	HINTS_MAX_FILE = 128 * 1024, /* bytes */
	HINTS_MAX_LINE = 240,	     /* bytes of a meaning or a check: a label must hold it */
	HINTS_MAX_NAME = 63,	     /* bytes of a reason, a symbol or a protocol */
};

/* All classes, the one that matters most first, NULL at the end. */
extern const char *const hint_classes[];

/* Never NULL; "" for a meaning or a check that nobody has written. They point into the hints. */
struct explanation {
	const char *class, *meaning, *check;
};

struct hints;

/*
 * Reads the program's hints and then, in the order of their names, the files *.conf of `directory`,
 * which need not exist (NULL: none). Every fault is told. 0; -EINVAL when there was one; -errno
 * when the directory cannot be read (told, too); -ENOMEM. *ret_hints is untouched on failure.
 */
int hints_load(const char *directory, complain_t complain, void *userdata,
	       struct hints **ret_hints);
void hints_free(struct hints *hints);
void hints_freep(struct hints **hints);

/*
 * What is known of packets of `protocol` that `symbol` dropped for `reason` ("": the kernel gives
 * no reasons). Each of the three comes from the section that says it and fits best: the protocol
 * counts more than the symbol, the symbol more than the reason, a whole name more than a beginning,
 * and of two alike the later. Class "unknown" when nobody says one, and without hints (NULL).
 */
void hints_find(const struct hints *hints, const char *symbol, const char *reason,
		const char *protocol, struct explanation *ret_explanation);
