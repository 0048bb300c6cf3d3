/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../util.h"
#include "history_internal.h"

static const uint64_t magic = 0x317473696870726f; /* "orphist1", little-endian */

size_t history_segment_room(const struct history *h)
{
	return h->segment_size - sizeof(struct history_segment);
}

struct history_extent *history_extent_at(struct history *h, uint64_t sequence)
{
	return &h->extents[sequence % HISTORY_SEGMENTS];
}

uint64_t history_next_frame(const struct history *h)
{
	const struct history_extent *extent = &h->extents[h->newest % HISTORY_SEGMENTS];

	return h->newest ? extent->frame + extent->n_frames : 1;
}

static uint64_t head_checksum(const struct history_segment *segment)
{
	return history_checksum((const unsigned char *)segment,
				offsetof(struct history_segment, checksum));
}

void history_segment_begin(struct history *h)
{
	uint64_t sequence = h->newest + 1, frame = history_next_frame(h), since = h->sampled_at;
	struct history_segment *segment = history_at(h, sequence);

	/* A part of this very sample may be in the one before. */
	if (h->newest && history_extent_at(h, h->newest)->latest > since)
		since = history_extent_at(h, h->newest)->latest;
	if (h->newest && sequence - h->oldest == HISTORY_SEGMENTS) {
		if (h->evict)
			h->evict(h->userdata);
		h->oldest++;
	}
	if (!h->newest)
		h->oldest = sequence;
	__atomic_store_n(&segment->magic, 0, __ATOMIC_SEQ_CST);
	segment->ring = h->ring;
	segment->sequence = sequence;
	segment->frame = frame;
	segment->since = since;
	segment->sampled = h->sampled_at;
	segment->used = 0;
	/* The checksum is over the magic, too. */
	segment->checksum = head_checksum(&(struct history_segment){
		.magic = magic,
		.ring = h->ring,
		.sequence = sequence,
		.frame = frame,
		.since = since,
	});
	__atomic_store_n(&segment->magic, magic, __ATOMIC_RELEASE);
	*history_extent_at(h, sequence) =
		(struct history_extent){ .sequence = sequence, .frame = frame, .since = since };
	h->newest = sequence;
}

void history_set_back(struct history *h, uint64_t now)
{
	for (uint64_t at = h->oldest; h->newest && at <= h->newest; at++)
		if (history_extent_at(h, at)->since > now)
			history_extent_at(h, at)->since = now;
}

/* ---- opening */

/* Is it whole? Then its extent is known. */
static bool segment_adopt(struct history *h, uint64_t sequence)
{
	const struct history_segment *segment = history_at(h, sequence);
	struct history_extent *extent = history_extent_at(h, sequence);
	struct history_extent next = *history_extent_at(h, sequence + 1);

	if (segment->magic != magic || segment->checksum != head_checksum(segment) ||
	    segment->sequence != sequence || segment->ring != h->ring || segment->frame == 0 ||
	    segment->used > history_segment_room(h))
		return false;
	*extent = (struct history_extent){ .frame = segment->frame, .since = segment->since };
	if (history_read(segment->data, segment->used, segment->frame, NULL, extent) < 0)
		return false;
	/* Between the two there is nothing that is missing. */
	if (h->newest && extent->frame + extent->n_frames != next.frame)
		return false;
	extent->used = segment->used;
	extent->sequence = sequence;
	return true;
}

/* The greatest sequence among heads that are whole, and its ring; 0: there is none. */
static uint64_t find_newest(const struct history *h, uint64_t *ret_ring)
{
	uint64_t newest = 0;

	for (unsigned i = 0; i < HISTORY_SEGMENTS; i++) {
		const struct history_segment *segment = history_at(h, i);

		if (segment->magic != magic || segment->checksum != head_checksum(segment) ||
		    segment->sequence % HISTORY_SEGMENTS != i || segment->sequence <= newest)
			continue;
		newest = segment->sequence;
		*ret_ring = segment->ring;
	}
	return newest;
}

/* What is not whole is forgotten, and what is older than that, as the ring has no holes. */
static bool ring_adopt(struct history *h, uint64_t now)
{
	uint64_t first = find_newest(h, &h->ring), at = first;

	for (; at > 0 && first - at < HISTORY_SEGMENTS; at--) {
		bool whole = segment_adopt(h, at);

		if (!whole && h->newest)
			break;
		if (!whole)
			continue;
		h->newest = h->newest ? h->newest : at;
		h->oldest = at;
	}
	for (unsigned i = 0; i < HISTORY_SEGMENTS; i++) {
		struct history_segment *segment = history_at(h, i);
		uint64_t sequence = h->extents[i].sequence;

		if (!segment->magic || (sequence && sequence >= h->oldest))
			continue;
		h->extents[i] = (struct history_extent){ .sequence = 0 };
		segment->magic = 0;
		h->n_lost++;
	}
	if (!h->newest)
		return false;
	h->sampled_at = history_at(h, h->newest)->sampled;
	if (h->sampled_at > now)
		h->sampled_at = now;
	history_set_back(h, now);
	return true;
}

/* NULL: the file is one that can be mapped for good. */
static const char *file_fault(int fd, size_t size)
{
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || seals < 0 ||
	    !(seals & F_SEAL_SHRINK))
		return "it is no ring of dropscoped's";
	if (status.st_size != (off_t)size)
		return "it has another size than [history] size asks for";
	return NULL;
}

static int ring_map(struct history *h, int fd)
{
	void *map = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	h->map = map;
	h->fd = fd;
	return 0;
}

static int ring_make(struct history *h, uint64_t now)
{
	int fd = memfd_create("history", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (fd < 0)
		return -errno;
	error = ftruncate(fd, (off_t)h->size) < 0 ||
				fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0
			? -errno
			: ring_map(h, fd);
	if (error) {
		close(fd);
		return error;
	}
	h->ring = now;
	h->sampled_at = now;
	h->newest = h->oldest = 0;
	history_segment_begin(h);
	return 0;
}

static void ring_close(struct history *h)
{
	if (h->map)
		munmap(h->map, h->size);
	closep(&h->fd);
	h->map = NULL;
	h->fd = -1;
}

static int ring_open(struct history *h, int fd, uint64_t now, const char **ret_fault)
{
	int error, copy;

	*ret_fault = fd >= 0 ? file_fault(fd, h->size) : NULL;
	if (fd < 0 || *ret_fault)
		return ring_make(h, now);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	error = ring_map(h, copy);
	if (error) {
		close(copy);
		return error;
	}
	if (ring_adopt(h, now)) {
		*ret_fault = h->n_lost ? "a part of it is damaged" : NULL;
		return 0;
	}
	*ret_fault = "it is damaged";
	ring_close(h);
	memset(h->extents, 0, sizeof(h->extents));
	return ring_make(h, now);
}

int history_new(size_t size, int fd, uint64_t now, struct history **ret_history,
		const char **ret_fault)
{
	_cleanup_(history_freep) struct history *h = calloc(1, sizeof(*h));
	int error;

	*ret_fault = NULL;
	if (!h)
		return -ENOMEM;
	h->fd = -1;
	h->size = size;
	h->sampled_at = now;
	h->segment_size = size / HISTORY_SEGMENTS / sizeof(uint64_t) * sizeof(uint64_t);
	if (size > 0) {
		/* So that writing needs no more; what is not written to takes no memory. */
		if (!buffer_reserve(&h->frame, 2 * h->segment_size))
			return -ENOMEM;
		error = ring_open(h, fd, now, ret_fault);
		if (error)
			return error;
	}
	*ret_history = TAKE_PTR(h);
	return 0;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	ring_close(h);
	buffer_free(&h->frame);
	free(h);
}

void history_freep(struct history **history)
{
	history_free(*history);
}

int history_fd(const struct history *h)
{
	return h->fd;
}

void history_on_evict(struct history *h, void (*evict)(void *userdata), void *userdata)
{
	h->evict = evict;
	h->userdata = userdata;
}

uint64_t history_since(const struct history *h)
{
	return h->map ? h->extents[h->oldest % HISTORY_SEGMENTS].since : 0;
}

uint64_t history_lost(const struct history *h)
{
	return h->n_lost;
}

struct history_mark history_mark(const struct history *h)
{
	return h && h->map ? (struct history_mark){ h->ring, history_next_frame(h) - 1 }
			   : (struct history_mark){ 0, 0 };
}
