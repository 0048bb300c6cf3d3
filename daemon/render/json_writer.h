/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON, piece by piece: indented objects and arrays, and values as they are. */
#pragma once

#include "../model/table.h"
#include "buffer.h"

/* Where the writer stands: what comes before the next item. */
struct json {
	struct buffer *buffer;
	unsigned depth;
	bool first; /* nothing yet in the innermost object or array */
};

/* A new item on a line of its own. */
void json_item(struct json *json);
/* The same with its name, which is ours: nothing to escape. */
void json_key(struct json *json, const char *name);
void json_begin(struct json *json, char bracket);
void json_end(struct json *json, char bracket);

/* A quoted and escaped string. Bytes that are not UTF-8 become U+FFFD; control characters, C1 too,
 * are escaped, so that no terminal acts on them. */
void json_string(struct buffer *buffer, const char *text, size_t size);

/* "2026-11-21T03:12:45.678Z" with its quotes; exact: to the microsecond. */
void json_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch);
void json_time_exact(struct buffer *buffer, uint64_t nanoseconds_since_epoch);
/* null for 0: it is not known. */
void json_time_or_null(struct buffer *buffer, uint64_t nanoseconds_since_epoch);

/* The value of a label: a string, or a number or null where the column says that it is a number. */
void json_label(struct buffer *buffer, const struct column *column, const struct label *label);
/* The value of a counter. */
void json_number(struct buffer *buffer, enum unit unit, uint64_t value);
