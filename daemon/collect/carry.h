/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of an earlier layout of the slots, taken over as numbers. */
#pragma once

#include <stdint.h>

struct collecting;
struct past;

/*
 * Where the probe has superseded the slots that `past` describes: waits until no run of an earlier
 * program can count in them, adds what they hold to the past's rows, and takes the rows' keys away,
 * as they have no slots in this layout. What has no row or column here goes to c->not_carried.
 * Superseded maps that are not the ones described count nothing: those that were carried over
 * before are among them. 0, -errno.
 */
int carry_over(struct collecting *c, struct past *past, uint64_t now);
