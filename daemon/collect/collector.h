/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Collectors: each is a struct of constants and functions, and the list of them (list.h) is the
 * only place that knows them all. A collector declares a table and how its probe is loaded and its
 * keys are described; opening, reading, retiring and closing are the same for all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../clock.h"
#include "../config.h"
#include "../kernel/detour.h"
#include "../kernel/probe.h"
#include "../kernel/slots.h"
#include "../model/plot.h"
#include "../model/table.h"
#include "../snapshot.h"
#include "list.h"

struct bpf_object_skeleton;
struct btf;
struct devices;
struct hints;
struct reasons;
struct shares;
struct stacks;
struct store;
struct symbols;

/* What is known of the running kernel. `btf` is there only while collectors are opened. */
struct kernel {
	struct btf *btf;
	char *btf_path;	     /* the file that it comes from; NULL: it is the kernel's own */
	char *no_btf;	     /* why there is none */
	enum gate_kind gate; /* how programs are attached */
	struct symbols *symbols;
	struct reasons *reasons;
	struct devices *devices;
	const struct hints *hints; /* the configuration's */
	const struct config *config;
	struct store *store;	 /* the service manager's; not the kernel's, but kept like it */
	struct history *history; /* the same; NULL: there is none */
	bool privileged;	 /* capabilities stay in force: even reading needs them */
};

/* Reads what the running kernel says of itself, and finds out how programs can be attached to it.
 * No BTF is no error: `btf` is NULL then, and `no_btf` says why. -ENOMEM. */
int kernel_open(struct kernel *kernel, const struct config *config);
void kernel_close(struct kernel *kernel);
/* Around the opening of a collector or a detour while the daemon runs: the kernel's types are there
 * and capabilities in force, and both go again. */
void kernel_begin_load(struct kernel *kernel);
void kernel_end_load(struct kernel *kernel);

struct collecting;
struct live_event; /* bpf/live.h */

/* A collector's single events (live/live.h). Its object has programs and maps for a detour. */
struct live_source {
	unsigned n_values; /* the first counters of the table: what an event adds to */
	unsigned skip;	   /* offsetof() in the slot: the word of who does not want its row */
	const struct column *columns; /* of an event, beyond its row and what every event tells */
	unsigned n_columns;
	/*
	 * Sets the labels of these columns. *state is what it wants to remember, NULL at first,
	 * free()d when nobody listens any more.
	 */
	void (*describe)(struct collecting *c, const struct live_event *event, void **state,
			 struct description *d);
	/* The address that the event's stack is to begin with, or NULL. */
	uint64_t (*location)(const struct slot_key *key);
};

struct collector {
	const char *name;  /* "drops": a key of [collectors], the `collector` label */
	const char *table; /* "drops": the path */
	unsigned
		layout; /* version of its maps' contents; a new one whenever their meaning changes */
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
	unsigned (*slots)(const struct collecting *c, const struct config *config);
	/* Loads and attaches. The reason for a failure is the caller's to free. 0, -errno. */
	int (*open)(struct collecting *c, char **ret_reason);
	slots_describe_t describe; /* userdata is the struct collecting */
	/* Sets the borrowed labels, which follow from the others and the hints; or NULL. */
	void (*explain)(const struct kernel *kernel, const char **labels);
	void (*gauges)(struct collecting *c, uint64_t monotonic); /* or NULL */
	const struct live_source *live;				  /* or NULL */
	bool samples_stacks; /* its object has the map of bpf/stacks.h */
	void (*close)(struct collecting *c);			  /* frees `own`; or NULL */
};

/* Losses in the table's order: first those that every collector has. */
enum { LOSS_MAP_FULL, LOSS_NESTED, LOSS_OWN };

/* A counter of an earlier layout, by its name. */
struct not_carried {
	char name[COLUMN_NAME_SIZE];
	uint64_t value;
};

enum { LACK_SIZE = 256 };

/* Something that this kernel does not give a collector, which works without it. */
struct lack {
	const char *what; /* one word, a label's value: "reason" */
	char why[LACK_SIZE];
};

enum { MAX_LACKS = 4 };

/* One collector at work, or down. */
struct collecting {
	const struct collector *collector;
	struct kernel *kernel;
	struct table *table;
	struct probe probe;
	struct detour *detouring; /* while open() is called for one */
	struct stacks *stacks;	  /* NULL: none can be read */
	struct slots *slots;	  /* NULL: down */
	unsigned slots_per_writer, budget;
	int error;     /* of the last collection */
	char *reason;  /* why it is down; NULL: it is up */
	bool disabled; /* by the configuration: down, and nothing is wrong */
	struct lack lacks[MAX_LACKS];
	unsigned n_lacks;
	bool programs_nest; /* set by open(): one may interrupt another that writes the same slots */
	uint64_t duration;  /* nanoseconds, of the last collection */
	struct snapshot snapshot;
	uint64_t saved;		  /* the revision then */
	struct history_mark mark; /* of the state that was taken up */
	bool save_failed;
	const char *mute; /* why it cannot tell of single events; NULL: it can, if it has any */
	uint64_t hold;	  /* nanoseconds that a row is kept, as sums of it may not be told yet */
	uint64_t lost[TABLE_MAX_LOSSES]; /* by earlier maps; beside the table's losses */
	/* What earlier layouts had counted and this one has no row or column for. */
	struct not_carried not_carried[TABLE_MAX_VALUES];
	unsigned n_not_carried;
	void *own; /* the collector's */
};

#define COLLECTOR_COUNT(collector) +1
enum { N_COLLECTORS = 0 COLLECTORS(COLLECTOR_COUNT) };

extern const struct collector *const collectors[N_COLLECTORS];

/*
 * Makes the table and, unless the configuration says no, opens the collector, taking up what the
 * service manager's store has of it. A collector that
 * cannot be opened is down and has a reason: that is no failure. 0, -ENOMEM.
 */
int collecting_open(const struct collector *collector, struct kernel *kernel,
		    const struct config *config, uint64_t now, struct collecting *ret_collecting);
void collecting_close(struct collecting *c);
/* Is it enabled in the configuration? */
bool collector_enabled(const struct collector *collector, const struct config *config);

/* Brings the table up to date. Does nothing for one that is down. */
void collecting_collect(struct collecting *c);
/* Has the last collection gone well, and are its programs still there? One that is down has nothing
 * to answer. */
bool collecting_answers(const struct collecting *c);
/* Describes all rows anew after a change of the kernel's hints. -ENOMEM: some of them count in the
 * series of their old labels on. */
int collecting_explain(struct collecting *c);
/* Ends rows that have not moved for `idle` nanoseconds, and gives room to those that wait for it.
 * Returns how many have ended. */
unsigned collecting_retire(struct collecting *c, uint64_t idle);

/* Changes whenever what the next start must know does, beside the counts in the maps. */
uint64_t collecting_revision(const struct collecting *c);
/* Has the service manager keep what the next start must know, beside the maps. */
void collecting_save(struct collecting *c);
/* What was counted in a window of time: history_table(). 0, -errno. */
int collecting_window(struct collecting *c, uint64_t from, uint64_t to, uint64_t now,
		      struct table **ret_table);
/* Shares out over sampled stacks what was counted in a window, which collecting_window() has made:
 * stacks_share(). 0, -ENOMEM. */
int collecting_share(struct collecting *c, const struct table *window, const struct query *query,
		     struct shares *ret_shares);
/* The same in steps: plot_run(). */
int collecting_plot(struct collecting *c, const struct query *query, struct plot *ret_plot,
		    struct query_error *ret_error);

/* Names a tracepoint that the kernel lacks, as a reason. Returns -ENOENT. */
int collecting_missing(const char *tracepoint, char **ret_reason);

/* For open(): notes what the kernel does not give, a string constant, and why in less than LACK_SIZE
 * bytes. */
_printf_(3, 4) void collecting_lacks(struct collecting *c, const char *what, const char *why, ...);

/* Puts the programs that tell of single events behind the gates of one that is up: detour_open().
 * Between kernel_begin_load() and kernel_end_load(). */
int collecting_detour(struct collecting *c, struct detour *ret_detour, char **ret_reason);

/* For open(): sizes the maps and sets the constants that every probe has, and starts it as
 * probe_start() does, or the detour that it is called for. */
int collecting_load(struct collecting *c, struct bpf_object_skeleton *skeleton, char **ret_reason);
