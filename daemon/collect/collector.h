/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Collectors: each is a struct of constants and functions, and the list of them (list.h) is the
 * only place that knows them all. A collector declares a table and how its probe is loaded and its
 * keys are described; opening, reading, retiring and closing are the same for all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../config.h"
#include "../kernel/probe.h"
#include "../kernel/slots.h"
#include "../model/table.h"
#include "list.h"

struct bpf_object;
struct btf;
struct devices;
struct reasons;
struct symbols;

/* What is known of the running kernel. `btf` is there only while collectors are opened. */
struct kernel {
	struct btf *btf;
	struct symbols *symbols;
	struct reasons *reasons;
	struct devices *devices;
};

struct collecting;

struct collector {
	const char *name;	      /* "drops": a key of [collectors], the `collector` label */
	const char *table;	      /* "drops": the path */
	size_t enabled;		      /* offsetof() its bool in struct config */
	const struct column *columns; /* n_slot_values of the values come from the slots, first */
	unsigned n_columns, n_slot_values;
	unsigned slot_size, first_seen; /* sizeof() and offsetof() in the slot's struct */
	unsigned writers;		/* programs that claim slots, on each CPU */
	struct {
		const char *cause;
		unsigned counter;	/* offset in struct slot_writer */
	} losses[TABLE_MAX_LOSSES - 2]; /* what can be lost, beside map_full and nested */

	/* Slots for each writer: a power of two. */
	unsigned (*slots)(const struct config *config);
	/* Loads and attaches. The reason for a failure is the caller's to free. 0, -errno. */
	int (*open)(struct collecting *c, char **ret_reason);
	slots_describe_t describe; /* userdata is the struct collecting */
	void (*gauges)(struct collecting *c, uint64_t monotonic); /* or NULL */
	void (*close)(struct collecting *c);			  /* frees `own`; or NULL */
};

/* One collector at work, or down. */
struct collecting {
	const struct collector *collector;
	struct kernel *kernel;
	struct table *table;
	struct probe probe;
	struct slots *slots; /* NULL: down */
	unsigned slots_per_writer;
	char *reason;	   /* why it is down; NULL: it is up */
	bool disabled;	   /* by the configuration: down, and nothing is wrong */
	uint64_t duration; /* nanoseconds, of the last collection */
	void *own;	   /* the collector's */
};

#define COLLECTOR_COUNT(collector) +1
enum { N_COLLECTORS = 0 COLLECTORS(COLLECTOR_COUNT) };

extern const struct collector *const collectors[N_COLLECTORS];

/*
 * Makes the table and, unless the configuration says no, opens the collector. A collector that
 * cannot be opened is down and has a reason: that is no failure. 0, -ENOMEM.
 */
int collecting_open(const struct collector *collector, struct kernel *kernel,
		    const struct config *config, uint64_t now, struct collecting *ret_collecting);
void collecting_close(struct collecting *c);
/* Is it enabled in the configuration? */
bool collector_enabled(const struct collector *collector, const struct config *config);

/* Brings the table up to date. Does nothing for one that is down. */
void collecting_collect(struct collecting *c);
/* Ends rows that have not moved for `idle` nanoseconds, and gives room to those that wait for it.
 * Returns how many have ended. */
unsigned collecting_retire(struct collecting *c, uint64_t idle);

/* Names a tracepoint that the kernel lacks, as a reason. Returns -ENOENT. */
int collecting_missing(const char *tracepoint, char **ret_reason);

/* For open(): sizes the maps that every probe has, and starts it as probe_start() does. */
int collecting_load(struct collecting *c, struct bpf_object *object, char **ret_reason);

uint64_t clock_now(void); /* nanoseconds since the epoch */
uint64_t clock_monotonic(void);
