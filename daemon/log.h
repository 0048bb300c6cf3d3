/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: structured journal entries when standard error is the journal's stream, plain lines
 * ("dropscoped: warning: ...") on a terminal or in a file. State is per process, like standard
 * error itself: the level and where lines go, set once by log_open().
 *
 * Leaf modules do not log: they return an errno or a reason, and the caller logs once.
 */
#pragma once

#include <syslog.h>

#include "util.h"

/* Finds out where standard error goes ($JOURNAL_STREAM against its device and inode). */
void log_open(void);

/* Messages above `priority` (LOG_ERR .. LOG_DEBUG) are not shown. */
void log_set_level(int priority);
int log_level(void);

/*
 * One message, without a newline at its end. `fields` is NULL or up to 8 journal fields as
 * "NAME=value" strings, NULL-terminated (COLLECTOR=drops, CONFIG_FILE=...): shown by
 * `journalctl -o verbose`, not on a terminal. There each line of the message is written with one
 * write(2), and control characters become '?'. errno is left as it was.
 */
void log_write(int priority, const char *const *fields, const char *format, ...) _printf_(3, 4);

#define log_error(...) log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, NULL, __VA_ARGS__)
