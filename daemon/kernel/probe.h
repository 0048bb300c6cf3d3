/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A probe: the programs of one object, loaded and attached, as plain file descriptors. The object
 * that they came from is freed at once, it holds a hundred times the memory of what is still
 * needed.
 */
#pragma once

#include <stdint.h>

enum { PROBE_MAX_PROGRAMS = 8, PROBE_MAX_MAPS = 4, PROBE_NAME_SIZE = 48 };

struct bpf_object;

struct probe_program {
	char name[PROBE_NAME_SIZE]; /* e.g. "drops_kfree_skb" */
	int fd, link_fd;
};

struct probe_map {
	char name[PROBE_NAME_SIZE];
	int fd;
};

struct probe {
	struct probe_program programs[PROBE_MAX_PROGRAMS];
	unsigned n_programs;
	struct probe_map maps[PROBE_MAX_MAPS];
	unsigned n_maps;
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
 * Loads the object and attaches every program that is set to be loaded. The object stays the
 * caller's, who frees it after success and failure alike. On failure nothing stays attached and
 * *ret_reason (the caller's to free) says what is missing and what to do about it. 0, -errno.
 */
int probe_start(struct bpf_object *object, struct probe *ret_probe, char **ret_reason);
/* Detaches and forgets. An empty probe is fine. */
void probe_stop(struct probe *probe);

/* The map's descriptor, or -ENOENT. */
int probe_map(const struct probe *probe, const char *name);
void probe_read(const struct probe_program *program, struct probe_statistics *ret_statistics);
