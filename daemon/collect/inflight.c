/* SPDX-License-Identifier: BSD-2-Clause */
#include "inflight.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../util.h"

enum {
	SUSPECT_SECONDS = 60, /* older than this, an entry is checked */
	SWEEP_SECONDS = 10,
	GONE_SECONDS = 3600,
};

long sysfs_number(const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	long number = 0;

	if (!file || fscanf(file, "%ld", &number) != 1)
		return 0;
	return number;
}

void device_path(char path[static DEVICE_PATH_SIZE], uint32_t device, const char *file)
{
	snprintf(path, DEVICE_PATH_SIZE, "/sys/dev/block/%u:%u%s", device >> 20, device & 0xfffff,
		 file);
}

int inflight_open(int fd, unsigned entries, bool is_hash, struct inflight **ret_inflight)
{
	struct inflight *own = calloc(1, sizeof(*own));
	void *address;

	if (!own)
		return -ENOMEM;
	own->fd = fd;
	own->entries = entries;
	if (!is_hash) {
		own->size = entries * sizeof(*own->array);
		address = mmap(NULL, own->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (address == MAP_FAILED) {
			int error = -errno;

			free(own);
			return error;
		}
		own->array = address;
	}
	*ret_inflight = own;
	return 0;
}

void inflight_free(struct inflight *own)
{
	if (!own)
		return;
	if (own->array)
		munmap(own->array, own->size);
	free(own);
}

static struct oldest *oldest_find(struct inflight *own, uint32_t device, unsigned operation)
{
	for (unsigned i = 0; i < own->n_oldest; i++)
		if (own->oldest[i].device == device && own->oldest[i].operation == operation)
			return &own->oldest[i];
	if (own->n_oldest == MAX_OLDEST)
		return NULL;
	own->oldest[own->n_oldest] = (struct oldest){ .device = device, .operation = operation };
	return &own->oldest[own->n_oldest++];
}

/*
 * Does the kernel know of nothing on its way to this device? Its count is of requests with iostats
 * on. Flushes and passthrough are not among them: they are given an hour, after which others would
 * wait behind them. So is a device without an entry (gone, or a hidden path of a multipath one).
 */
static bool device_is_idle(uint32_t device, unsigned operation, uint64_t age)
{
	_cleanup_(fclosep) FILE *file = NULL;
	unsigned long reads, writes;
	char path[DEVICE_PATH_SIZE];

	device_path(path, device, "/inflight");
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT && age > GONE_SECONDS * 1000000000ULL;
	if ((operation == BLOCK_FLUSH || operation == BLOCK_OTHER) &&
	    age <= GONE_SECONDS * 1000000000ULL)
		return false;
	device_path(path, device, "/queue/iostats");
	return sysfs_number(path) == 1 && fscanf(file, "%lu %lu", &reads, &writes) == 2 &&
	       reads == 0 && writes == 0;
}

/* A look at a request on its way. */
struct look {
	struct inflight *own;
	uint64_t monotonic;
	bool sweep; /* what is old is compared with what the kernel says */
};

/*
 * Takes one request into account. False for one whose completion was missed (the probe's run was
 * skipped, the device went away): what is old on an idle device would look like a hanging disk for
 * ever.
 */
static bool look_at(const struct look *look, const struct block_inflight *entry)
{
	struct oldest *oldest;
	uint64_t age;

	if (!entry->request || !entry->queued || entry->queued >= look->monotonic || !entry->device)
		return true;
	age = look->monotonic - entry->queued;
	if (look->sweep && age > SUSPECT_SECONDS * 1000000000ULL &&
	    device_is_idle(entry->device, entry->operation, age))
		return false;
	oldest = oldest_find(look->own, entry->device, entry->operation);
	if (oldest && age > oldest->age)
		oldest->age = age;
	return true;
}

/* Frees an entry if it still is what it was when it was looked at. Whoever claims it next resets
 * it. */
static void inflight_forget(struct block_inflight *entry, const struct block_inflight *seen)
{
	__u64 request = seen->request;

	if (__atomic_load_n(&entry->issued, __ATOMIC_ACQUIRE) == seen->issued)
		__atomic_compare_exchange_n(&entry->request, &request, 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
}

static void look_at_array(const struct look *look)
{
	for (unsigned i = 0; i < look->own->entries; i++) {
		struct block_inflight *entry = &look->own->array[i];
		struct block_inflight seen = {
			.request = __atomic_load_n(&entry->request, __ATOMIC_ACQUIRE),
			.issued = __atomic_load_n(&entry->issued, __ATOMIC_ACQUIRE),
			.queued = __atomic_load_n(&entry->queued, __ATOMIC_RELAXED),
			.device = entry->device,
			.operation = entry->operation,
		};

		if (!look_at(look, &seen))
			inflight_forget(entry, &seen);
	}
}

/* Entries come and go meanwhile: it is no more than the map has room for. The next key is asked for
 * before this one is deleted, as without its key the search would begin anew. */
static void look_at_hash(const struct look *look)
{
	int fd = look->own->fd;
	uint64_t key, next;
	bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;

	for (unsigned i = 0; more && i < look->own->entries; i++) {
		struct block_inflight seen;

		key = next;
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (bpf_map_lookup_elem(fd, &key, &seen) == 0 && !look_at(look, &seen))
			bpf_map_delete_elem(fd, &key);
	}
}

void inflight_measure(struct inflight *own, uint64_t monotonic)
{
	struct look look = {
		.own = own,
		.monotonic = monotonic,
		.sweep = monotonic - own->swept >= SWEEP_SECONDS * 1000000000ULL,
	};

	if (own->array)
		look_at_array(&look);
	else
		look_at_hash(&look);
	if (look.sweep)
		own->swept = monotonic;
}
