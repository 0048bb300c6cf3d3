/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of a probe's slots (bpf/slots.h): from memory-mapped counters, per writer, to the rows
 * of a table. It sums, it finds the keys that are new, it retires those that have not moved for
 * long. No system call but for mapping.
 *
 * The counters of a slot begin behind its key and stand in the order of the table's values.
 */
#pragma once

#include <stdint.h>

#include "../model/table.h"
#include "bpf/slots.h"

enum { DESCRIPTION_TEXT = 1024 };

/*
 * What a probe's run has found live it may still add to after the slot is marked (grace.h). Where
 * waiting for it is refused, marked slots are left alone for longer than the soft-lockup watchdog
 * lets anything keep a CPU.
 */
enum { SLOTS_GRACE_SECONDS = 30 };

/* The labels of one key, one per label column: string constants, or texts held here. */
struct description {
	const char *labels[TABLE_MAX_LABELS];
	char text[DESCRIPTION_TEXT];
	unsigned used;
};

/* Sets label `i` to a formatted text; what finds no room is cut. */
void description_printf(struct description *description, unsigned i, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Describes the key of a slot. `slot` is the whole slot as the kernel filled it. */
typedef void (*slots_describe_t)(void *userdata, const void *slot, uint64_t now,
				 struct description *ret_description);

struct slots_source {
	int slots_fd, writers_fd; /* maps, both memory-mappable; not taken over */
	unsigned n_writers, slots_per_writer;
	unsigned slot_size;  /* bytes, a multiple of 8 */
	unsigned n_values;   /* counters behind the key */
	unsigned first_seen; /* offset of a __u64 in the slot, CLOCK_MONOTONIC */
	slots_describe_t describe;
	/*
	 * What has ended is counted as `retired` and its slots are about to be freed: whoever keeps
	 * the table's state over restarts saves it now (slots_save() tells which slots), or a crash
	 * would count them twice or never. NULL: nobody does.
	 */
	bool (*checkpoint)(void *userdata); /* false: it could not; the slots wait */
	void *userdata;
};

/* A row as it was at the daemon's last end. */
struct slots_past {
	struct slot_key key;		/* word[0] is 0: it has no slots, only what it carries */
	const char *const *labels;	/* one per label column */
	uint64_t first_seen, last_seen; /* since the epoch */
	uint64_t seen;			/* the sum of its values */
	uint32_t outside;		/* a bit per projection that counts it in `other` */
	uint64_t *base, *carried; /* n_values of the table, n_values of the slots; or NULL: 0 */
	uint64_t *sampled;	  /* n_values of the table; or NULL: 0 */
	struct peak peak;
};

struct slots;

/* The table must outlive the slots. 0, -errno. */
int slots_open(const struct slots_source *source, struct table *table, struct slots **ret_slots);
void slots_free(struct slots *slots);

/* Brings the table's rows up to date: `now` in nanoseconds since the epoch, `monotonic` since boot.
 * -ENOMEM: some new keys have no row yet; their counts stay in their slots and come with a later
 * call. */
int slots_collect(struct slots *slots, uint64_t now, uint64_t monotonic);

/*
 * Ends the keys that have not moved for `idle` nanoseconds: marks their slots, waits until no run
 * of the probe can hold them, reads them a last time and frees them. To be called after
 * slots_collect(), now and then: when there is something to end it takes an RCU grace period, some
 * tens of milliseconds. Returns how many rows have ended.
 */
unsigned slots_retire(struct slots *slots, uint64_t monotonic, uint64_t idle);

/*
 * Takes up slots that have counted before this process: frees those that were about to be (n_freed
 * indices), makes the rows of all that are in use, and of all that only carry something, as `past`
 * knows them. To be called once, before the first slots_collect(). 0, -ENOMEM: then what has no row
 * yet comes with a later call.
 */
int slots_adopt(struct slots *slots, const struct slots_past *past, unsigned n_past,
		const uint32_t *freed, unsigned n_freed, uint64_t now, uint64_t monotonic);
/* Returns when no run of a probe that began before is still under way. */
void slots_settle(void);
/* Changes whenever a row comes or ends: then what slots_save() writes is another. */
uint64_t slots_revision(const struct slots *slots);
/* Calls back for each row, in no order, with what slots_adopt() wants to know again; then *ret_freed
 * are the slots that are about to be freed, good until the next call. */
typedef void (*slots_save_t)(void *userdata, const struct row *row, const struct slots_past *past);
unsigned slots_save(const struct slots *slots, slots_save_t save, void *userdata,
		    const uint32_t **ret_freed);

/* Sum over the writers of one of struct slot_writer's counters (its offset). */
uint64_t slots_lost(const struct slots *slots, size_t offset);

/* Calls back for each living key: what slot it was first seen in, and its row. */
typedef void (*slots_each_t)(void *userdata, const struct slot_key *key, struct row *row);
void slots_each(const struct slots *slots, slots_each_t each, void *userdata);

/* The row of a key as the last slots_collect() knew it, or NULL. */
struct row *slots_find(struct slots *slots, const struct slot_key *key);
/* Calls back for each slot that belongs to a row. */
typedef void (*slots_slot_t)(void *userdata, void *slot, const struct row *row);
void slots_each_slot(const struct slots *slots, slots_slot_t each, void *userdata);
