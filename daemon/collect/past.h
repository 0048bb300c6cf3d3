/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The past of a collector: its state as an earlier run of the daemon wrote it (state.h), read into
 * this run's columns. Rows are this table's labels and values already; what has no column here is in
 * the collector's not_carried.
 */
#pragma once

#include <stdint.h>

#include "../kernel/slots.h"
#include "../model/history.h"
#include "../render/buffer.h"

struct collecting;

/* How that run's slots were laid out. */
struct past_shape {
	unsigned slot_size, values_at, first_seen;
	unsigned n_writers, slots_per_writer, writer_size;
	unsigned layout; /* the collector's; the keys' meaning */
};

/* One value column of that run. */
struct past_column {
	const char *name;
	unsigned n, value; /* values, and the first of them */
	bool in_slots;
	int column; /* of this table, or -1 */
};

struct past_loss {
	const char *cause;
	uint64_t lost;	 /* by maps earlier still */
	unsigned offset; /* in struct slot_writer; 0: not there */
};

struct past {
	uint64_t counting_since;
	bool sampled; /* rows have what the history knew of them, and peaks */
	struct history_mark mark;
	struct past_shape shape;
	struct past_column columns[TABLE_MAX_VALUES];
	unsigned n_columns, n_values;
	struct past_loss losses[TABLE_MAX_LOSSES];
	unsigned n_losses;
	struct slots_past *rows;
	unsigned n_rows, capacity;
	const char **labels; /* the rows', capacity times the table's number of them */
	struct description *
		*described; /* n_described of them: texts of rows that were added here */
	unsigned n_described;
	uint32_t *freed;
	unsigned n_freed;
};

/*
 * Reads a state, and brings the table's totals and series back as it goes. Texts live as long as
 * `saved`. 0, -EINVAL when it is none, -ENOMEM. past_clear() after success and failure alike.
 */
int past_read(struct collecting *c, const struct buffer *saved, struct past *ret_past);
/* Values of that run added to those of this table, column by column; what has none is counted in
 * c->not_carried. */
void past_map_values(struct collecting *c, const struct past *past, const uint64_t *from,
		     uint64_t *to);
/* Counts one of that run's columns as not carried. */
void past_lose(struct collecting *c, const struct past *past, unsigned column,
	       const uint64_t *from);
/* Makes room for one more row. 0, -ENOMEM. */
int past_reserve(struct past *past, unsigned n_labels);
void past_clear(struct past *past);
