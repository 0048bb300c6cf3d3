/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a collector's counters need over the daemon's end, beside the kernel's maps: what has ended
 * (`retired`, what series carry), which rows are counted in `other`, when they were seen, since when
 * is counted, and how much of it the history (model/history.h) has been told. It describes itself
 * (names of labels and columns, layout of the slots), so that a daemon whose table or slots look
 * otherwise can still carry the numbers over.
 */
#pragma once

#include <stdint.h>

#include "../render/buffer.h"

enum { STATE_MAX_ROWS = 1 << 20, STATE_MAX_VALUES = 1 << 14 };

/* Of what state_write() writes: another one is not read. */
#define STATE_FORMAT "dropscope 2"
/* But for the one before, which says nothing of the history and of peaks. */
#define STATE_FORMAT_BEFORE "dropscope 1"

struct collecting;

/* Writes it. Failure is in saved->failed. */
void state_write(const struct collecting *c, struct buffer *saved);

/*
 * Brings the collector back: its table is new, its probe runs, its slots are mapped and not yet
 * looked at. `saved` may be empty. What could not be carried is counted in c->not_carried and
 * logged. 0, or -errno: then the table is not to be used, as a part of it may be there.
 */
int state_restore(struct collecting *c, const struct buffer *saved, uint64_t now,
		  uint64_t monotonic);
