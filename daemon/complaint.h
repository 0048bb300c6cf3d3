/* SPDX-License-Identifier: BSD-2-Clause */
/* What is wrong in a file that somebody has written, in words. */
#pragma once

#include <stdarg.h>

#include "util.h"

/* Where a complaint goes: one call per fault, in the file's order. `message` reads
 * "FILE:LINE: KEY: what is wrong; allowed: what would be right" and ends without a newline. */
typedef void (*complain_t)(void *userdata, const char *message);

/* Complains of "PATH:LINE: " and what is formatted; of line 0 without a line, without a path (NULL) of
 * neither. */
void complain_at(complain_t complain, void *userdata, const char *path, unsigned line,
		 const char *format, va_list arguments) _printf_(5, 0);
