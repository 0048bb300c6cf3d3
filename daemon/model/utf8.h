/* SPDX-License-Identifier: BSD-2-Clause */
/* Characters in UTF-8 (RFC 3629; the Unicode Standard, table 3-7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { UTF8_MAX_SIZE = 4 };

/* The bytes of the character at `at`, of which `left` (at least 1) are there; 0: it is none. */
size_t utf8_character(const char *at, size_t left);

/* What a terminal might act on: C0, DEL, and C1 (U+0080 to U+009F). `at` is a valid character. */
bool utf8_is_control(const char *at);

/* Of valid text with a NUL at its end: the bytes of its first character, and its characters. */
size_t utf8_size(const char *at);
unsigned utf8_length(const char *text);
