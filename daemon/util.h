/* SPDX-License-Identifier: BSD-2-Clause */
/* The few macros that the whole daemon shares. None of them hides a return. */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Runs `function(&variable)` when the variable goes out of scope. */
#define _cleanup_(function) __attribute__((cleanup(function)))
#define _printf_(string, first) __attribute__((format(printf, string, first)))

/* Hands a pointer over: its value, and NULL stays behind for the destructor. */
#define TAKE_PTR(pointer)                                  \
	({                                                 \
		typeof(pointer) *_taken_from = &(pointer); \
		typeof(pointer) _taken = *_taken_from;     \
		*_taken_from = NULL;                       \
		_taken;                                    \
	})

#define TAKE_FD(fd)                    \
	({                             \
		int *_fd_from = &(fd); \
		int _fd = *_fd_from;   \
		*_fd_from = -1;        \
		_fd;                   \
	})

static inline void freep(void *pointer)
{
	free(*(void **)pointer);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}
