/* SPDX-License-Identifier: BSD-2-Clause */
/* Times and durations as a reader of a history writes them. */
#pragma once

#include <stdint.h>

enum {
	MOMENT_MAX_SECONDS = 366 * 86400, /* of a duration, and of one that is ago */
	MOMENT_AHEAD_SECONDS = 60,	  /* that a reader's clock may be ahead */
};

#define DURATION_ALLOWED "a number with s, m, h or d, from 1s to 366d"
#define MOMENT_ALLOWED \
	"RFC 3339 (2026-11-21T03:12:00Z), HH:MM or HH:MM:SS (UTC), or -15m (s, m, h, d)"

/* "90s", "15m", "2h", "1d": nanoseconds. 0, or -EINVAL for what DURATION_ALLOWED does not say. */
int duration_parse(const char *text, uint64_t *ret_nanoseconds);

/*
 * A time in nanoseconds since the epoch: RFC 3339 with its zone (a space counts as +, which is what
 * a + in a URL becomes), HH:MM[:SS] as the last such moment in UTC that is not after `now`, or a
 * duration before `now`. 0; -EINVAL for what MOMENT_ALLOWED does not say; -ERANGE for what is still
 * to come.
 */
int moment_parse(const char *text, uint64_t now, uint64_t *ret_moment);
