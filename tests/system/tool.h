/* SPDX-License-Identifier: BSD-2-Clause */
/* What the small programs of the system tests share: they either do exactly what was asked or die.
 * */
#pragma once

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
	exit(1);
}

/* A whole number from min to max, decimal or 0x; anything else ends the program. */
static inline long number(const char *text, long min, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 0);
	if (errno || end == text || *end || value < min || value > max) {
		errno = 0;
		die("'%s' is not a number from %ld to %ld", text, min, max);
	}
	return value;
}

/* The n-th CPU that this process may run on, counted round and round. */
static inline int nth_cpu(int n)
{
	cpu_set_t allowed;

	if (sched_getaffinity(getpid(), sizeof(allowed), &allowed) < 0)
		die("sched_getaffinity");
	n %= CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && n-- == 0)
			return cpu;
	die("no CPU to run on");
}

/* Pins the calling thread. Loopback and veth then deliver on this very CPU, in the sender's own
 * context, which is where counting is exact on every machine. */
static inline void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		die("cannot run on CPU %d", cpu);
}

static inline double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
