/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disk requests on their way, read from where the probe remembers them (bpf/inflight.h): the oldest
 * of each device and operation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/block.h"

enum {
	MAX_OLDEST = 256, /* devices times operations with requests on their way */
	DEVICE_PATH_SIZE = 64,
};

struct row;

/* The oldest request of a device and operation. */
struct oldest {
	uint32_t device;
	unsigned operation;
	uint64_t age;
	struct row *row; /* stands in until a completion makes a row; or NULL */
	bool shown;	 /* by a row that has counters */
};

struct inflight {
	int fd;			      /* the probe's map; not taken over */
	struct block_inflight *array; /* mapped; NULL: it is a hash map */
	unsigned entries;
	size_t size;
	struct oldest oldest[MAX_OLDEST];
	unsigned n_oldest;
	uint64_t swept; /* when old entries were last compared with the kernel's count */
};

/* `fd` is the map, with room for `entries`. 0, -errno. */
int inflight_open(int fd, unsigned entries, bool is_hash, struct inflight **ret_inflight);
void inflight_free(struct inflight *own);
/* One pass: raises the ages of `oldest`, and adds what is not there. Entries of requests that the
 * device does not know any more are freed now and then. */
void inflight_measure(struct inflight *own, uint64_t monotonic);

/* What sysfs says of a device: its directory, or a file in there ("/inflight"). */
void device_path(char path[static DEVICE_PATH_SIZE], uint32_t device, const char *file);
/* The number in a file, or 0. */
long sysfs_number(const char *path);
