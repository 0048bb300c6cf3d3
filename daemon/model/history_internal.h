/* SPDX-License-Identifier: BSD-2-Clause */
/* What the history's files share: nobody else includes this. */
#pragma once

#include "../record.h"
#include "history.h"

#define HISTORY_MILLISECOND UINT64_C(1000000)

/* The head of a segment in the file. */
struct history_segment {
	uint64_t magic;	   /* written last */
	uint64_t ring;	   /* one number for the life of a ring */
	uint64_t sequence; /* from 1; its place is the sequence modulo HISTORY_SEGMENTS */
	uint64_t frame;	   /* the number of its first frame, from 1 */
	uint64_t since;	   /* what was counted from then on is here or in later ones */
	uint64_t checksum; /* of the four above */
	uint64_t used;	   /* bytes of frames */
	uint64_t sampled;  /* when there was a sample last, with something in it or not */
	unsigned char data[];
};

/* What is known of a segment without reading it. */
struct history_extent {
	uint64_t sequence; /* 0: it is empty */
	uint64_t frame, since;
	uint64_t earliest, latest; /* times of its frames */
	uint32_t n_frames, n_tables;
	size_t used;
};

struct history {
	int fd;
	char *map; /* NULL: no ring */
	size_t size, segment_size;
	uint64_t ring;
	uint64_t sampled_at;
	struct history_extent extents[HISTORY_SEGMENTS];
	uint64_t newest, oldest; /* sequences */
	uint64_t n_lost;
	struct buffer frame; /* the one that is being written; has room for a segment */
	size_t frame_head;   /* what it has before its first row */
	struct table *open;  /* whose rows come next in it */
	void (*evict)(void *userdata);
	void *userdata;
};

/* A frame: its length without this head, then numbers. */
struct history_frame_head {
	uint32_t size, checksum;
};

static inline struct history_segment *history_at(const struct history *history, uint64_t sequence)
{
	return (struct history_segment *)(history->map +
					  sequence % HISTORY_SEGMENTS * history->segment_size);
}

/* ---- the file: history_ring.c */

/* Bytes of frames that a segment holds. */
size_t history_segment_room(const struct history *history);
struct history_extent *history_extent_at(struct history *history, uint64_t sequence);
/* The number that the next frame will have. */
uint64_t history_next_frame(const struct history *history);
/* Begins a segment: takes the oldest's place, where all are in use. */
void history_segment_begin(struct history *history);
/* The clock has been set back to `now`: nothing is known only from a later time on. */
void history_set_back(struct history *history, uint64_t now);

uint32_t history_checksum(const unsigned char *data, size_t size);

/* ---- reading: history_read.c */

/* A table as a segment knows it. Texts are the segment's. */
struct history_layout {
	const char *name;
	unsigned n_labels, n_columns, n_values;
	const char *labels[TABLE_MAX_LABELS];
	struct {
		const char *name;
		unsigned n;
	} columns[TABLE_MAX_VALUES];
	uint32_t n_rows;
};

struct history_delta {
	unsigned value;
	uint64_t increase;
};

/* One row in one frame. */
struct history_moved {
	uint64_t frame, time, span;
	unsigned table;
	uint32_t row;
	const struct history_delta *deltas;
	unsigned n;
};

/* Called for each table and row that a segment names, and for each row in each frame. Numbers of
 * tables and rows count from 0 in each segment. Another result than 0 ends the reading. */
struct history_visitor {
	int (*table)(void *userdata, unsigned table, const struct history_layout *layout);
	int (*row)(void *userdata, unsigned table, uint32_t row, const unsigned char *labels,
		   size_t size);
	int (*moved)(void *userdata, const struct history_moved *moved);
	void *userdata;
};

/*
 * Reads `used` bytes of frames, of which the first has the number `frame`. Never looks beyond them.
 * visitor NULL: checks them, checksums too. 0; -EINVAL when they are not frames, -ENOMEM, or what
 * the visitor has returned. *ret_extent has n_frames, n_tables, earliest and latest set.
 */
int history_read(const unsigned char *data, size_t used, uint64_t frame,
		 const struct history_visitor *visitor, struct history_extent *ret_extent);
