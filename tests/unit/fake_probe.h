/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A probe without a kernel: the probes' half of bpf/slots.h, compiled for this machine, over maps
 * that are memfds. To be included before anything else that includes bpf/slots.h.
 */
#pragma once

#include <linux/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* A map, as bpf_map_lookup_elem() sees it. */
struct fake_map {
	char *data;
	__u32 n, size;
	int fd;
};

static inline void *fake_lookup(const struct fake_map *map, const __u32 *index)
{
	return *index < map->n ? map->data + (size_t)*index * map->size : NULL;
}

/* In the place of bpf_helpers.h, which clashes with libbpf.h. */
#define __BPF_HELPERS__
#define __bpf__
#define bpf_map_lookup_elem fake_lookup
#define barrier() asm volatile("" ::: "memory")
#ifdef __x86_64__
#define __TARGET_ARCH_x86
#endif
#include "bpf/slots.h"
#undef bpf_map_lookup_elem
#undef __bpf__
#undef __BPF_HELPERS__

struct fake_slot {
	struct slot_key key;
	__u64 packets;
	__u64 bytes;
	__u64 first_seen;
	__u64 pad;
};

enum { FAKE_VALUES = 2, FAKE_SLOTS = 64 }; /* as slots_per_writer */

struct fake_probe {
	struct fake_map slots, writers;
};

static inline void fake_map_open(struct fake_map *map, __u32 n, __u32 size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), all = (size_t)n * size;

	all = (all + page - 1) / page * page;
	*map = (struct fake_map){ .n = n, .size = size };
	map->fd = memfd_create("fake map", MFD_CLOEXEC);
	assert_true(map->fd >= 0);
	assert_int_equal(ftruncate(map->fd, (off_t)all), 0);
	map->data = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	assert_true(map->data != MAP_FAILED);
}

static inline void fake_map_close(struct fake_map *map)
{
	munmap(map->data, (size_t)map->n * map->size);
	close(map->fd);
}

static inline void fake_probe_open(struct fake_probe *probe, unsigned n_writers)
{
	fake_map_open(&probe->slots, n_writers * FAKE_SLOTS, sizeof(struct fake_slot));
	fake_map_open(&probe->writers, n_writers, sizeof(struct slot_writer));
}

static inline void fake_probe_close(struct fake_probe *probe)
{
	fake_map_close(&probe->slots);
	fake_map_close(&probe->writers);
}

static inline struct slot_writer *fake_writer(const struct fake_probe *probe, __u32 writer)
{
	return fake_lookup(&probe->writers, &writer);
}

static inline struct slot_key fake_key(uint64_t number, uint64_t second)
{
	return (struct slot_key){ { number | SLOT_LIVE, second, 0, 0 } };
}

/* What a probe's program does until it adds: the key's slot, or NULL and one more in map_full. */
static inline struct fake_slot *fake_run(struct fake_probe *probe, __u32 writer,
					 const struct slot_key *key, uint64_t monotonic)
{
	struct fake_slot *slot = (void *)slot_find(&probe->slots, key, writer);
	struct slot_writer *counters;

	if (slot)
		return slot;
	slot = (void *)slot_search(&probe->slots, &probe->writers, key, writer, &counters);
	if (slot && slot_is_new(&slot->key)) {
		slot->first_seen = monotonic;
		slot_publish(&slot->key, key, counters);
	}
	return slot;
}

/* One event. False when it was lost. */
static inline bool fake_count(struct fake_probe *probe, __u32 writer, const struct slot_key *key,
			      uint64_t bytes, uint64_t monotonic)
{
	struct fake_slot *slot = fake_run(probe, writer, key, monotonic);

	if (!slot)
		return false;
	slot->packets += 1;
	slot->bytes += bytes;
	return true;
}
