/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growing piece of text. What fails to grow sets `failed` and drops the rest, so that a renderer
 * writes straight on and its caller checks once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../util.h"

struct buffer {
	char *data; /* not NUL-terminated; NULL while empty */
	size_t size, capacity;
	bool failed; /* an allocation failed: the text is incomplete */
};

/* Makes room for `more` bytes. False, with failed set, when there is none. */
bool buffer_reserve(struct buffer *buffer, size_t more);
void buffer_bytes(struct buffer *buffer, const void *bytes, size_t size);
void buffer_printf(struct buffer *buffer, const char *format, ...) _printf_(2, 3);
void buffer_u64(struct buffer *buffer, uint64_t value);
/* Nanoseconds as seconds, exactly, without trailing zeros: 1500000000 -> "1.5", 0 -> "0". */
void buffer_seconds(struct buffer *buffer, uint64_t nanoseconds);
void buffer_free(struct buffer *buffer);

static inline void buffer_string(struct buffer *buffer, const char *string)
{
	buffer_bytes(buffer, string, strlen(string));
}

static inline void buffer_char(struct buffer *buffer, char c)
{
	buffer_bytes(buffer, &c, 1);
}
