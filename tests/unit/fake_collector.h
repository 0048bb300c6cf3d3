/* SPDX-License-Identifier: BSD-2-Clause */
/* A collector over a fake probe (fake_probe.h), that can also be told to fail. */
#pragma once

#include "fake_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/btf.h>

#include "collect/collector.h"
#include "util.h"

struct fake {
	struct fake_probe probe;
	struct kernel kernel;	/* what the collector's functions are given of all this */
	int error;		/* what open() returns */
	const char *reason;	/* what it says then; NULL: nothing */
	enum probe_start start; /* how its probe is said to have come to be */
	bool bad_maps;		/* its maps cannot be mapped */
	unsigned opened, closed;
	uint64_t gauged; /* the monotonic time that gauges() was given last */
};

enum { FAKE_KEY, FAKE_SECOND, FAKE_PACKETS, FAKE_BYTES, FAKE_AGE };

static const struct column fake_columns[] = {
	[FAKE_KEY] = { .name = "key", .help = "what it is" },
	[FAKE_SECOND] = { .name = "second", .detail = true, .number = true },
	[FAKE_PACKETS] = { .name = "packets",
			   .kind = COLUMN_COUNTER,
			   .metric = "dropscope_fake_packets",
			   .help = "Packets." },
	[FAKE_BYTES] = { .name = "bytes",
			 .kind = COLUMN_COUNTER,
			 .unit = UNIT_BYTES,
			 .metric = "dropscope_fake_bytes",
			 .help = "Bytes." },
	[FAKE_AGE] = { .name = "age",
		       .kind = COLUMN_GAUGE,
		       .metric = "dropscope_fake_age",
		       .help = "Age." },
};

static inline struct fake *fake_of(const struct collecting *c)
{
	return (struct fake *)((char *)c->kernel - offsetof(struct fake, kernel));
}

static inline unsigned fake_slots(const struct collecting *c, const struct config *config)
{
	(void)c;
	(void)config;
	return FAKE_SLOTS;
}

static inline void fake_keep(struct collecting *c, const char *name, int fd)
{
	struct probe_map *map = &c->probe.maps[c->probe.n_maps++];

	snprintf(map->name, sizeof(map->name), "%s", name);
	map->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	assert_true(map->fd >= 0);
}

static inline int fake_open(struct collecting *c, char **ret_reason)
{
	struct fake *fake = fake_of(c);
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(nothing >= 0);
	fake->opened++;
	c->own = fake;
	c->probe.start = fake->start;
	fake_keep(c, "slots", fake->bad_maps ? nothing : fake->probe.slots.fd);
	fake_keep(c, "writers", fake->bad_maps ? nothing : fake->probe.writers.fd);
	close(nothing);
	if (fake->error && fake->reason)
		*ret_reason = strdup(fake->reason);
	return fake->error;
}

static inline void fake_describe(void *userdata, const void *data, uint64_t now,
				 struct description *d)
{
	const struct collecting *c = userdata;
	const struct fake_slot *slot = data;

	(void)now;
	assert_ptr_equal(c->own, fake_of(c));
	description_printf(d, FAKE_KEY, "k%llu", slot->key.word[0] & ~SLOT_LIVE);
	description_printf(d, FAKE_SECOND, "%llu", slot->key.word[1]);
}

/* Leaves the second label to others. */
static inline void fake_describe_key(void *userdata, const void *data, uint64_t now,
				     struct description *d)
{
	fake_describe(userdata, data, now, d);
	d->labels[FAKE_SECOND] = "";
}

static inline void fake_gauges(struct collecting *c, uint64_t monotonic)
{
	fake_of(c)->gauged = monotonic;
	for (uint32_t i = 0; i < c->table->n_rows; i++)
		c->table->rows[i]->values[FAKE_VALUES] = 42;
}

static inline void fake_closed(struct collecting *c)
{
	assert_non_null(c->own);
	fake_of(c)->closed++;
}

/* A struct collector of this name, switched by a field of struct config. */
#define FAKE_COLLECTOR(text, field)                                                             \
	{                                                                                       \
		.name = text, .table = text "s", .enabled = offsetof(struct config, field),     \
		.columns = fake_columns, .n_columns = ARRAY_SIZE(fake_columns),                 \
		.n_slot_values = FAKE_VALUES, .slot_size = sizeof(struct fake_slot),            \
		.first_seen = offsetof(struct fake_slot, first_seen), .writers = 2,             \
		.losses = { { "unmatched", offsetof(struct slot_writer, unmatched) },           \
			    { "inflight_full", offsetof(struct slot_writer, inflight_full) } }, \
		.slots = fake_slots, .open = fake_open, .describe = fake_describe,              \
		.gauges = fake_gauges, .close = fake_closed,                                    \
	}

static inline void fake_start(struct fake *fake)
{
	*fake = (struct fake){ .error = 0 };
	fake_probe_open(&fake->probe, probe_cpus() * 2);
	fake->kernel.btf = btf__new_empty();
	assert_non_null(fake->kernel.btf);
}

static inline void fake_stop(struct fake *fake)
{
	fake_probe_close(&fake->probe);
	btf__free(fake->kernel.btf);
}

/* An event of key `number` by one of the writers. */
static inline void fake_event(struct fake *fake, unsigned writer, uint64_t number, uint64_t bytes)
{
	struct slot_key key = fake_key(number, 1);

	assert_true(fake_count(&fake->probe, writer, &key, bytes, clock_monotonic()));
}
