/* SPDX-License-Identifier: BSD-2-Clause */
/* What time it is, in nanoseconds. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Since the epoch. */
static inline uint64_t clock_now(void)
{
	return clock_read(CLOCK_REALTIME);
}

/* Of CLOCK_MONOTONIC, as the probes' bpf_ktime_get_ns(). */
static inline uint64_t clock_monotonic(void)
{
	return clock_read(CLOCK_MONOTONIC);
}
