/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A detour: programs that count as a probe's own do, in the same maps, and also do something that is
 * wanted for a while only. They stand in the same object under the name of the program that they
 * replace with "_live" behind it, and are loaded and put behind its gate when they are wanted, which
 * is one store (gate.h): no event is counted twice or missed. Until then they cost nothing.
 *
 * Should the daemon die meanwhile they go on counting, and its next start finds a program behind the
 * gate that it does not know, and lets its own take over as from any other build.
 */
#pragma once

#include "probe.h"

struct bpf_object;

enum { DETOUR_MAX_MAPS = 6 };

struct detour {
	int programs[PROBE_MAX_PROGRAMS];	/* by the probe's order; -1: none */
	struct probe_map maps[DETOUR_MAX_MAPS]; /* those that only the detour has: "live_..." */
	unsigned n_maps;
};

#define DETOUR_NONE ((struct detour){ .programs = { -1, -1, -1, -1, -1, -1, -1, -1 } })

/* Takes what only a detour needs out of an object that is not loaded yet: for probe_start(). */
void detour_leave_out(struct bpf_object *object);
/*
 * Leaves only that in it, over the probe's maps, with room for so many writers (slots.h); loads it
 * and takes the gates over. The object stays the caller's. On failure the gates are as before, and
 * *ret_reason (the caller's to free) says why. 0, -errno; -ENOENT: the object has none.
 */
int detour_open(struct bpf_object *object, const struct probe *probe, unsigned writers,
		struct detour *ret_detour, char **ret_reason);
/* Gives the gates back and forgets the rest. 0; -errno: a gate still leads to a program of the
 * detour, which goes on counting. */
int detour_close(struct detour *detour, const struct probe *probe);
/* The map's descriptor, or -ENOENT. */
int detour_map(const struct detour *detour, const char *name);
