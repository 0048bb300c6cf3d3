/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's file-descriptor store: what is put there comes back at the next start,
 * after a restart and a crash alike, and is dropped when the service is stopped (sd_notify(3),
 * FDSTORE=1). Started by hand there is no store: nothing comes from it and nothing goes there.
 *
 * Descriptors come back in any order and are told apart by their names, which are the manager's
 * FDNAME: at most STORE_NAME_SIZE - 1 bytes of ASCII, no colon. The sockets of socket activation
 * come the same way.
 */
#pragma once

#include <stdbool.h>

enum { STORE_NAME_SIZE = 256 };

struct store;

/* Takes over what the manager has passed, out of the environment too. 0, -errno. */
int store_new(struct store **ret_store);
/* Closes what nobody has taken. What is in the manager's store stays there. */
void store_free(struct store *store);
void store_freep(struct store **store);

/* Is there a manager that keeps descriptors, as far as can be known? */
bool store_is_kept(const struct store *store);

/* The descriptor of this name, from now on the caller's; -ENOENT. A NULL store holds nothing. */
int store_take(struct store *store, const char *name);
/* One whose name begins so, and the rest of its name, which lives as long as the store; -ENOENT. */
int store_take_prefix(struct store *store, const char *prefix, const char **ret_rest);
/* A listening stream socket that the manager has bound, in its order; -ENOENT after the last. */
int store_take_socket(struct store *store);
/* One whose name begins so, to look at: it stays the store's. -ENOENT. */
int store_peek(const struct store *store, const char *prefix);

/* Has the manager keep a copy under this name; it knows a descriptor that it has. 0, -errno. */
int store_put(struct store *store, const char *name, int fd);
/* Has the manager forget what was put under this name, or under all that begin so, and closes what
 * is still here of it. 0, -errno. */
int store_remove(struct store *store, const char *name);
int store_remove_prefix(struct store *store, const char *prefix);
