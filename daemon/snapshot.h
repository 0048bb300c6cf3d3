/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a part of the daemon must know again at its next start, however this run ends: bytes in two
 * memory files that the service manager keeps (store.h), written in turns. Each carries its number
 * and a checksum: the newer whole one is what was saved last, and a write that was cut short leaves
 * the one before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "render/buffer.h"

enum { SNAPSHOT_MAX_SIZE = 64 << 20 };

struct store;

/* Zeroed: kept by nobody. */
struct snapshot {
	bool kept;
	int fds[2];
	uint64_t sequence; /* of what was saved last */
};

/*
 * Opens the snapshot of this name ("drops": NAME.state.0 and .1 in the store), making what is not
 * there. Without a store that is kept there is nothing to open: snapshot_save() does nothing.
 * *ret_saved is what was saved last, the caller's to free, empty when there is nothing; *ret_fault
 * says, when it is not NULL, what was there and is refused. 0, -errno.
 */
int snapshot_open(struct store *store, const char *name, struct snapshot *ret_snapshot,
		  struct buffer *ret_saved, const char **ret_fault);
/* 0, or -errno: then what was saved before is still there. */
int snapshot_save(struct snapshot *snapshot, const struct buffer *saved);
/* It stays in the store. */
void snapshot_close(struct snapshot *snapshot);
