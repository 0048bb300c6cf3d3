/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for the frames of stacks, which are few and come again and again. */
#pragma once

#include <stdint.h>

#include "symbols.h"

struct frames;

/* Up to 240 KB. The symbols must outlive it. 0, -ENOMEM. */
int frames_new(struct symbols *symbols, struct frames **ret_frames);
void frames_free(struct frames *frames);
/* All of these, in any order and as often as they come, are about to be resolved: symbols_resolve_all(). They
 * are kept until the next call that finds new ones, for some seconds. */
void frames_prefetch(struct frames *frames, const uint64_t *addresses, size_t n);
/* The symbol of the call that returns to `address`, as symbols_resolve(). */
void frames_resolve(struct frames *frames, uint64_t address, struct symbol *ret_symbol);
/*
 * How many of the innermost frames to pass over: those of the tracing itself, up to the one that
 * returns to `location`; where that is not among them (0: it is not known), those of tracepoints and
 * BPF programs by their names.
 */
unsigned frames_skip(struct frames *frames, const uint64_t *addresses, unsigned n,
		     uint64_t location);
