/* SPDX-License-Identifier: BSD-2-Clause */
#include "snapshot.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hash.h"
#include "store.h"
#include "util.h"

static const uint64_t magic = 0x65706f6373706f72; /* "ropscope", little-endian */

struct header {
	uint64_t magic, sequence, size, checksum;
};

/* Over the number and the bytes. */
static uint64_t checksum(uint64_t sequence, const char *data, size_t size)
{
	return hash_bytes(HASH_START ^ sequence, data, size);
}

/* What is wrong with it; NULL: it is whole, and *ret_saved is its bytes; "": nothing was
 * written, or not to the end. */
static const char *read_file(int fd, uint64_t *ret_sequence, struct buffer *ret_saved)
{
	struct buffer saved = { .data = NULL };
	struct header header;
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return "it is no file";
	if (status.st_size == 0)
		return "";
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return "it was not written by dropscoped";
	if (header.magic == 0)
		return ""; /* the header comes last: a write was cut short */
	if (header.magic != magic)
		return "it was not written by dropscoped";
	if (header.size > SNAPSHOT_MAX_SIZE || !buffer_reserve(&saved, header.size + 1))
		return "it is too large";
	if (pread(fd, saved.data, header.size, sizeof(header)) != (ssize_t)header.size ||
	    checksum(header.sequence, saved.data, header.size) != header.checksum) {
		buffer_free(&saved);
		return "it is damaged";
	}
	saved.size = header.size;
	*ret_sequence = header.sequence;
	*ret_saved = saved;
	return NULL;
}

static int make_file(struct store *store, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	store_put(store, name, fd);
	return fd;
}

/* One of the two files, with what it holds; made, where there is none or it is refused. */
static int open_file(struct store *store, const char *name, int *ret_fd, uint64_t *ret_sequence,
		     struct buffer *ret_saved, const char **ret_fault)
{
	int fd = store_take(store, name);
	const char *fault = fd >= 0 ? read_file(fd, ret_sequence, ret_saved) : NULL;

	if (fault && fault[0]) {
		*ret_fault = fault;
		store_remove(store, name);
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		fd = make_file(store, name);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int snapshot_open(struct store *store, const char *name, struct snapshot *ret_snapshot,
		  struct buffer *ret_saved, const char **ret_fault)
{
	struct snapshot snapshot = { .kept = store_is_kept(store), .fds = { -1, -1 } };

	*ret_saved = (struct buffer){ .data = NULL };
	*ret_fault = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(snapshot.fds) && snapshot.kept; i++) {
		struct buffer saved = { .data = NULL };
		char full[STORE_NAME_SIZE];
		uint64_t sequence = 0;
		int error;

		snprintf(full, sizeof(full), "%s.state.%u", name, i);
		error = open_file(store, full, &snapshot.fds[i], &sequence, &saved, ret_fault);
		if (error) {
			snapshot_close(&snapshot);
			buffer_free(ret_saved);
			return error;
		}
		if (sequence <= snapshot.sequence) {
			buffer_free(&saved);
			continue;
		}
		snapshot.sequence = sequence;
		buffer_free(ret_saved);
		*ret_saved = saved;
	}
	*ret_snapshot = snapshot;
	return 0;
}

static int write_part(int fd, const void *data, size_t size, off_t at)
{
	ssize_t written = pwrite(fd, data, size, at);

	if (written < 0)
		return -errno;
	return (size_t)written == size ? 0 : -ENOSPC;
}

int snapshot_save(struct snapshot *snapshot, const struct buffer *saved)
{
	uint64_t sequence = snapshot->sequence + 1;
	struct header header = { magic, sequence, saved->size,
				 checksum(sequence, saved->data, saved->size) };
	int fd = snapshot->fds[sequence % 2], error;

	if (!snapshot->kept)
		return 0;
	if (saved->failed || saved->size > SNAPSHOT_MAX_SIZE)
		return saved->failed ? -ENOMEM : -E2BIG;
	/* Empty first: a file is whole, or has a checksum that is not that of its bytes. */
	error = ftruncate(fd, 0) < 0 ? -errno : 0;
	if (!error)
		error = write_part(fd, saved->data, saved->size, sizeof(header));
	if (!error)
		error = write_part(fd, &header, sizeof(header), 0);
	if (error)
		return error;
	snapshot->sequence = sequence;
	return 0;
}

void snapshot_close(struct snapshot *snapshot)
{
	for (unsigned i = 0; i < ARRAY_SIZE(snapshot->fds) && snapshot->kept; i++)
		closep(&snapshot->fds[i]);
	*snapshot = (struct snapshot){ .kept = false };
}
