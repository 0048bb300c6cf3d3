/* SPDX-License-Identifier: BSD-2-Clause */
/* What slots.c and slots_adopt.c share: nobody else includes this. */
#pragma once

#include "slots.h"

/* One key: its row and the slots that count for it, as a list through `next_of`. */
struct key {
	struct slot_key key;
	struct key *next; /* in its hash bucket, or in the list of those that retire */
	struct row *row;
	uint64_t *carried;	       /* n_values, counted in slots that are gone; NULL: nothing */
	uint32_t first;		       /* slot index + 1; 0: there is only what it carries */
	uint64_t moved;		       /* monotonic; while it retires, when it was marked */
	const struct slots_past *past; /* while slots_adopt() is at work */
};

enum { KEY_BUCKETS = 1024 };

struct slots {
	struct slots_source source;
	struct table *table;
	uint32_t n_slots;
	char *map; /* n_slots slots, written by the probe */
	struct slot_writer *writers;
	size_t map_size, writers_size;
	uint64_t *claims;  /* per writer, as of the last look at its slots */
	uint32_t *next_of; /* per slot: index + 1 of the next of its key */
	bool *taken;	   /* per slot: belongs to a key */
	uint64_t *sum;	   /* scratch, n_values */
	struct key *buckets[KEY_BUCKETS];
	struct key *retiring;
	struct key *carrying; /* have no slots */
	uint32_t *freed;      /* indices of slots that are counted as ended */
	unsigned n_freed;
	uint64_t revision;
	struct past_index *past; /* while slots_adopt() is at work */
};

struct slot_key *slot_at(const struct slots *slots, uint32_t index);
struct key **key_bucket(struct slots *slots, const struct slot_key *key);
/* The one of a list that these words are of, or NULL. */
struct key *key_find(struct key *list, const struct slot_key *slot);
/* Brings the row's values up to date; false when they were. */
bool key_update(struct slots *slots, struct key *key);
void key_free(struct key *key);
void key_freep(struct key **key);
/* Makes the key's slot free: zeroes, and the state last. */
void slot_free(struct slots *slots, uint32_t index);

/* The past of a key, for one that asks, or NULL. */
const struct slots_past *past_take(struct past_index *index, const struct slot_key *key);
/*
 * A key for this slot, whose word[0] is as it was while the slot was live, with its row: a new one,
 * or that which carries something under the same labels. In no list yet. NULL without memory.
 */
struct key *key_new(struct slots *slots, const void *slot, uint64_t now, uint64_t monotonic);
