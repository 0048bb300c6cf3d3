/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A probe: the programs of one object, loaded, each behind a gate that is attached, as plain file
 * descriptors. The object that they came from is freed at once, it holds a hundred times the memory
 * of what is still needed.
 *
 * Under a service manager the descriptors are in its store too (store.h), and the next start takes
 * up what it finds there:
 *
 *	DROPS.map.NAME.LAYOUT-NxSIZE	a map; LAYOUT is the version of what its entries mean
 *	DROPS.gate-map.PROGRAM		a gate: map, program and link
 *	DROPS.gate.PROGRAM
 *	DROPS.link.PROGRAM
 *	DROPS.program.PROGRAM.DIGEST	the program behind the gate; DIGEST is that of its object
 *
 * The same digest and the same maps: nothing is loaded, everything goes on as it is. Another digest:
 * the object is loaded over the maps that fit, and its programs take their gates over. Maps that do
 * not fit (another layout or size) are replaced by new ones, and their last contents are the
 * caller's to carry over (`superseded`).
 *
 * The maps that count (slots.h) belong together: where one of them is refused, or is not there, all
 * that the store has of the probe goes, and it is new.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate.h"

enum { PROBE_MAX_PROGRAMS = 8, PROBE_MAX_MAPS = 6, PROBE_NAME_SIZE = 48 };

struct bpf_object_skeleton;
struct btf;
struct store;

struct probe_program {
	char name[PROBE_NAME_SIZE]; /* e.g. "drops_kfree_skb" */
	struct gate gate;
	int fd; /* the program that counts, which the gate leads to but for a detour (detour.h) */
};

struct probe_map {
	char name[PROBE_NAME_SIZE]; /* "slots"; of superseded ones "slots.1-64x128" */
	int fd;
};

/* How a probe came to be. */
enum probe_start {
	PROBE_NEW,	   /* attached now: it counts from here on */
	PROBE_ADOPTED,	   /* as it was */
	PROBE_TAKEN_OVER,  /* another program, the same counters */
	PROBE_SUPERSEDING, /* other counters; the old are in `superseded` */
};

struct probe {
	enum probe_start start;
	struct probe_program programs[PROBE_MAX_PROGRAMS];
	unsigned n_programs;
	struct probe_map maps[PROBE_MAX_MAPS];
	unsigned n_maps;
	/* Maps that no program writes to any more (but for runs that are still under way). */
	struct probe_map superseded[PROBE_MAX_MAPS];
	unsigned n_superseded;
};

struct probe_source {
	const char *name;		      /* "drops", what the descriptors' names begin with */
	unsigned layout;		      /* version of its maps' contents */
	struct bpf_object_skeleton *skeleton; /* open, constants and map sizes set */
	enum gate_kind kind;		      /* of its programs for tracepoints */
	const struct btf *btf;		      /* the kernel's */
	struct store *store;		      /* or NULL */
	/* Told, in words, of each stored descriptor that is refused; or NULL. */
	void (*note)(void *userdata, const char *text);
	void *userdata;
};

/*
 * What the kernel counts of a program. Time and runs stay 0 unless kernel.bpf_stats_enabled is on.
 */
struct probe_statistics {
	uint64_t runs, nanoseconds;
	uint64_t nested; /* skipped: it was running on that CPU already (since 6.1) */
};

/* Possible CPUs, which is what per-CPU memory is made for. */
unsigned probe_cpus(void);

/*
 * Starts a probe, or takes up the one that the store has. The skeleton stays the caller's, who
 * destroys it after success and failure alike. On failure nothing new stays attached, neither here
 * nor in the store, what the store has goes on as it did, and *ret_reason (the caller's to free)
 * says what is missing and what to do about it. 0, -errno.
 */
int probe_start(const struct probe_source *source, struct probe *ret_probe, char **ret_reason);
/* Closes the descriptors: without a store, detaches and forgets. An empty probe is fine. */
void probe_stop(struct probe *probe);
/* Closes what was superseded, here and in the store. */
void probe_forget_superseded(struct probe *probe, const char *name, struct store *store);

/* Returns `error`, and what it means in words: what could not be done, and what to do about it. */
int probe_explain(int error, const char *what, char **ret_reason);
/* The same, and what can be said of a kernel by its BTF. */
int probe_explain_for(const struct btf *btf, int error, const char *what, char **ret_reason);

/* Has it a program of this name? */
bool probe_has_program(const struct probe *probe, const char *name);
/* The map's descriptor, or -ENOENT. */
int probe_map(const struct probe *probe, const char *name);
/* The superseded map of this name and shape: of this layout, so many entries of this size. -ENOENT. */
int probe_superseded(const struct probe *probe, const char *name, unsigned layout, unsigned entries,
		     unsigned size);
/* The entries of a map of this name in the store, without taking it; 0: none is there. */
unsigned probe_stored_entries(const struct store *store, const char *probe, const char *map);
/* False when the program is not there any more. */
bool probe_read(const struct probe_program *program, struct probe_statistics *ret_statistics);
