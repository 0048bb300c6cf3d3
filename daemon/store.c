/* SPDX-License-Identifier: BSD-2-Clause */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "util.h"

/* One name that the manager knows. */
struct stored {
	char *name;
	int fd; /* -1: taken, or put there by this process */
};

struct store {
	struct stored *stored;
	unsigned n, capacity;
	bool kept;
};

static void names_free(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	for (unsigned i = 0; i < store->n; i++) {
		closep(&store->stored[i].fd);
		free(store->stored[i].name);
	}
	free(store->stored);
	free(store);
}

void store_freep(struct store **store)
{
	store_free(*store);
}

static int reserve(struct store *store, unsigned more)
{
	unsigned capacity = (store->n + more) * 2;
	struct stored *grown;

	if (store->n + more <= store->capacity)
		return 0;
	grown = reallocarray(store->stored, capacity, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	store->stored = grown;
	store->capacity = capacity;
	return 0;
}

int store_new(struct store **ret_store)
{
	_cleanup_(store_freep) struct store *store = calloc(1, sizeof(*store));
	char **names = NULL;
	int n = sd_listen_fds_with_names(true, &names);

	if (n < 0)
		return n;
	if (!store || reserve(store, n) < 0) {
		names_free(names, n);
		return -ENOMEM;
	}
	store->kept = getenv("NOTIFY_SOCKET") != NULL;
	for (int i = 0; i < n; i++)
		store->stored[i] = (struct stored){ names[i], SD_LISTEN_FDS_START + i };
	store->n = n;
	free(names);
	*ret_store = TAKE_PTR(store);
	return 0;
}

bool store_is_kept(const struct store *store)
{
	return store && store->kept;
}

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_named(const struct stored *stored, const char *name, bool is_prefix)
{
	return is_prefix ? begins(stored->name, name) : strcmp(stored->name, name) == 0;
}

/* The first descriptor that is here, named so; NULL. */
static struct stored *find(const struct store *store, const char *name, bool is_prefix)
{
	for (unsigned i = 0; store && i < store->n; i++)
		if (store->stored[i].fd >= 0 && is_named(&store->stored[i], name, is_prefix))
			return &store->stored[i];
	return NULL;
}

int store_take(struct store *store, const char *name)
{
	struct stored *stored = find(store, name, false);

	return stored ? TAKE_FD(stored->fd) : -ENOENT;
}

int store_take_prefix(struct store *store, const char *prefix, const char **ret_rest)
{
	struct stored *stored = find(store, prefix, true);

	if (!stored)
		return -ENOENT;
	*ret_rest = stored->name + strlen(prefix);
	return TAKE_FD(stored->fd);
}

int store_take_socket(struct store *store)
{
	for (unsigned i = 0; store && i < store->n; i++)
		if (store->stored[i].fd >= 0 &&
		    sd_is_socket(store->stored[i].fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
			return TAKE_FD(store->stored[i].fd);
	return -ENOENT;
}

int store_peek(const struct store *store, const char *prefix)
{
	const struct stored *stored = find(store, prefix, true);

	return stored ? stored->fd : -ENOENT;
}

/* Writes down a name that the manager is about to know. */
static int remember(struct store *store, const char *name)
{
	char *copy;

	for (unsigned i = 0; i < store->n; i++)
		if (strcmp(store->stored[i].name, name) == 0)
			return 0;
	if (reserve(store, 1) < 0)
		return -ENOMEM;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	store->stored[store->n++] = (struct stored){ copy, -1 };
	return 0;
}

int store_put(struct store *store, const char *name, int fd)
{
	char message[sizeof("FDSTORE=1\nFDPOLL=0\nFDNAME=") + STORE_NAME_SIZE];
	int r;

	assert(strlen(name) < STORE_NAME_SIZE);
	if (!store_is_kept(store))
		return 0;
	r = remember(store, name);
	if (r < 0)
		return r;
	/* FDPOLL=0: the manager would poll, and drop a map, which cannot be polled. */
	snprintf(message, sizeof(message), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, 0, message, &fd, 1);
	return r < 0 ? r : 0;
}

static int forget(struct store *store, const char *name, bool is_prefix)
{
	int error = 0;

	for (unsigned i = 0; store && i < store->n;) {
		struct stored *stored = &store->stored[i];
		int r = 0;

		if (!is_named(stored, name, is_prefix)) {
			i++;
			continue;
		}
		if (store->kept)
			r = sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", stored->name);
		if (r < 0)
			error = r;
		closep(&stored->fd);
		free(stored->name);
		*stored = store->stored[--store->n];
	}
	return error;
}

int store_remove(struct store *store, const char *name)
{
	return forget(store, name, false);
}

int store_remove_prefix(struct store *store, const char *prefix)
{
	return forget(store, prefix, true);
}
