/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The past: every second the increases of all counters that have moved, in a ring of a fixed size,
 * the oldest forgotten first; and from it a table of what was counted in a window of time. It is
 * generic over tables: histograms are counters, gauges are left out. It also keeps each row's peak.
 *
 * The ring is a memory file of HISTORY_SEGMENTS segments, each complete in itself: a header, then
 * frames of {time, span, per table the rows that moved and their values' increases} as record.h
 * writes numbers; the first time that a table or a row is in a segment, its names are. Borrowed
 * labels are not written down: they follow from the others. Bytes are written first, then how many
 * there are, so that a process may end at any point. What is read back is trusted in nothing.
 *
 * A time is told to a second: what was counted since the last sample has the time of the next.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "table.h"

enum history_limits {
	HISTORY_SEGMENTS = 16,
	HISTORY_MIN_SIZE = 1 << 20,  /* or 0: no ring. What a row needs at most fits a segment */
	HISTORY_MAX_SIZE = 16 << 20, /* an answer over all of it takes 3.5 ms for each MiB */
	HISTORY_MAX_TABLES = 64, /* that one segment names; a start of the daemon names all anew */
	HISTORY_MAX_VALUES = 2048, /* of one table */
};

struct history;

/* How much a saved state of a table (its rows' `sampled`) knows of: up to this frame. */
struct history_mark {
	uint64_t ring, frame;
};

/*
 * Makes a history, with a ring of `size` bytes, or without one if that is 0. fd: a ring to go on
 * with, or -1; it is the caller's. When it is not what it should be, *ret_fault says why, there is
 * a new ring. `now`: nanoseconds since the epoch. 0, -errno.
 */
int history_new(size_t size, int fd, uint64_t now, struct history **ret_history,
		const char **ret_fault);
void history_free(struct history *history);
void history_freep(struct history **history);
/* The ring's file, which is the history's; -1: there is none. */
int history_fd(const struct history *history);

/* Called before anything is forgotten: states whose mark is not newer are saved now. */
void history_on_evict(struct history *history, void (*evict)(void *userdata), void *userdata);

/* Writes down what the tables' rows have counted since the last sample. */
void history_sample(struct history *history, struct table *const *tables, unsigned n, uint64_t now);
/* The same for one row that is about to end. */
void history_end(struct history *history, struct table *table, struct row *row, uint64_t now);

/* Of now. NULL, or no ring: both 0. */
struct history_mark history_mark(const struct history *history);
/*
 * Rows that have counted before this process: their `sampled` is as it was saved with the mark, and
 * becomes what the ring has of them. False when the ring does not tell: then it is what they have
 * now, and what they counted meanwhile is in no window.
 */
bool history_recall(struct history *history, struct table *table, struct history_mark mark);

/* From when on everything is there; 0: there is no ring. */
uint64_t history_since(const struct history *history);
/* What could not be written down or was refused: rows of a sample, segments. */
uint64_t history_lost(const struct history *history);

/* Sets the borrowed labels, which follow from the others; or NULL. */
typedef void (*history_explain_t)(void *userdata, const char **labels);

struct history_window {
	uint64_t from, to, now; /* nanoseconds since the epoch; later than `from`, up to `to` */
	history_explain_t explain;
	void *userdata;
};

/*
 * A table with the columns of `table`, and a row for each set of labels that has counted something
 * in the window: what, from when to when, the peak in it. Gauges are 0. A window that reaches up to
 * `now` has what was counted since the last sample, too. 0, -errno.
 */
int history_table(const struct history *history, const struct table *table,
		  const struct history_window *window, struct table **ret_table);

/*
 * The same window as a sequence of steps: adds the increases of one value to
 * points[groups[i] * n_points + step] for each row i of `rows`, the table that history_table() has
 * made of this window. 0, -errno.
 */
struct history_steps {
	uint64_t step; /* nanoseconds */
	unsigned n_points;
	unsigned value;
	const uint32_t *groups; /* UINT32_MAX: not wanted */
};
int history_points(const struct history *history, const struct table *table,
		   const struct history_window *window, const struct table *rows,
		   const struct history_steps *steps, uint64_t *points);
