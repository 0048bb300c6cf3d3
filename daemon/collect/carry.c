/* SPDX-License-Identifier: BSD-2-Clause */
#include "carry.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../log.h"
#include "../util.h"
#include "collector.h"
#include "past.h"

/* A superseded map, mapped. */
struct mapped {
	char *data;
	size_t size;
	unsigned n, value_size;
};

static void mapped_close(struct mapped *map)
{
	if (map->data)
		munmap(map->data, map->size);
}

/* -ENOENT: the probe has superseded none of this name and shape. */
static int mapped_open(const struct collecting *c, const char *name, const struct past_shape *shape,
		       unsigned n, unsigned value_size, struct mapped *ret_map)
{
	struct bpf_map_info info = { .type = 0 };
	__u32 size = sizeof(info);
	size_t page = sysconf(_SC_PAGESIZE);
	int fd = probe_superseded(&c->probe, name, shape->layout, n, value_size);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.max_entries != n || info.value_size != value_size)
		return -EINVAL;
	*ret_map = (struct mapped){ .n = n, .value_size = value_size };
	ret_map->size = ((size_t)n * value_size + page - 1) & ~(page - 1);
	ret_map->data = mmap(NULL, ret_map->size, PROT_READ, MAP_SHARED, fd, 0);
	if (ret_map->data == MAP_FAILED) {
		ret_map->data = NULL;
		return -errno;
	}
	return 0;
}

/* A key may be there twice: the one that retires was saved last. */
static struct slots_past *find(const struct past *past, const struct slot_key *key, bool retires)
{
	struct slots_past *found = NULL;

	for (unsigned i = 0; i < past->n_rows && (retires || !found); i++)
		if (memcmp(&past->rows[i].key, key, sizeof(*key)) == 0)
			found = &past->rows[i];
	return found;
}

/* A row for a slot that was claimed after the state was saved: where keys still mean what they
 * meant, it can be described. NULL: it cannot. */
static struct slots_past *describe(struct collecting *c, struct past *past, const void *slot,
				   uint64_t now)
{
	struct description **described, *d;
	struct slots_past *row;

	if (past->shape.layout != c->collector->layout ||
	    past->shape.slot_size != c->collector->slot_size ||
	    past_reserve(past, c->table->n_labels) < 0)
		return NULL;
	described = reallocarray(past->described, past->n_described + 1, sizeof(*described));
	if (!described)
		return NULL;
	past->described = described;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	past->described[past->n_described++] = d;
	c->collector->describe(c, slot, now, d);
	row = &past->rows[past->n_rows];
	row->key = *(const struct slot_key *)slot;
	row->labels = memcpy(past->labels + past->n_rows * (size_t)c->table->n_labels, d->labels,
			     c->table->n_labels * sizeof(*d->labels));
	past->n_rows++;
	row->first_seen = row->last_seen = now;
	return row;
}

/* Adds what one slot holds to its row. */
static int carry_slot(struct collecting *c, struct past *past, struct slot_key *slot,
		      const uint64_t *from, uint64_t now)
{
	bool retires = !(slot->word[0] & SLOT_LIVE);
	struct slots_past *row;

	slot->word[0] |= SLOT_LIVE; /* as the state and describe() know it */
	row = find(past, slot, retires);

	if (!row)
		row = describe(c, past, slot, now);
	if (!row) {
		for (unsigned i = 0; i < past->n_columns; i++)
			past_lose(c, past, i, from);
		return 0;
	}
	if (!row->carried)
		row->carried = calloc(c->table->n_values, sizeof(*row->carried));
	if (!row->carried)
		return -ENOMEM;
	past_map_values(c, past, from, row->carried);
	return 0;
}

/* Was this slot about to be freed? Then what it holds has been counted as ended. */
static bool is_freed(const struct past *past, uint32_t index, const struct slot_key *slot)
{
	if (slot->word[0] & SLOT_LIVE)
		return false;
	for (unsigned i = 0; i < past->n_freed; i++)
		if (past->freed[i] == index)
			return true;
	return false;
}

static int carry_slots(struct collecting *c, struct past *past, const struct mapped *map,
		       uint64_t now)
{
	_cleanup_(freep) struct slot_key *slot = malloc(map->value_size);
	_cleanup_(freep) uint64_t *from = calloc(past->n_values + 1, sizeof(*from));
	const struct past_column *last = NULL;
	int error = slot && from ? 0 : -ENOMEM;
	size_t size;

	for (unsigned i = 0; i < past->n_columns; i++)
		if (past->columns[i].in_slots)
			last = &past->columns[i];
	size = last ? (last->value + last->n) * sizeof(*from) : 0;
	if (!error && past->shape.values_at + size > map->value_size)
		return -EINVAL;
	for (unsigned i = 0; i < map->n && !error; i++) {
		memcpy(slot, map->data + (size_t)i * map->value_size, map->value_size);
		if (!slot->word[0] || is_freed(past, i, slot))
			continue;
		memcpy(from, (const char *)slot + past->shape.values_at, size);
		error = carry_slot(c, past, slot, from, now);
	}
	return error;
}

/* What the superseded writers had lost, by causes that are still known. */
static void carry_losses(struct collecting *c, const struct past *past)
{
	struct mapped map = { .data = NULL };

	if (mapped_open(c, "writers", &past->shape, past->shape.n_writers, past->shape.writer_size,
			&map) < 0)
		return;
	for (unsigned i = 0; i < past->n_losses; i++) {
		const struct past_loss *loss = &past->losses[i];

		for (unsigned j = 0; j < c->table->n_losses; j++) {
			if (!loss->offset || loss->offset + sizeof(uint64_t) > map.value_size ||
			    strcmp(loss->cause, c->table->losses[j].cause) != 0)
				continue;
			for (unsigned k = 0; k < map.n; k++)
				c->lost[j] +=
					*(uint64_t *)(map.data + k * map.value_size + loss->offset);
		}
	}
	mapped_close(&map);
}

static void forget_slots(struct past *past)
{
	for (unsigned i = 0; i < past->n_rows; i++)
		past->rows[i].key = (struct slot_key){ { 0 } };
	past->n_freed = 0;
}

/* Are these slots those that the probe has now? Then there is nothing to carry. */
static bool is_current(const struct collecting *c, const struct past_shape *shape)
{
	return shape->layout == c->collector->layout &&
	       shape->slot_size == c->collector->slot_size &&
	       shape->n_writers * shape->slots_per_writer ==
		       probe_cpus() * c->collector->writers * c->slots_per_writer;
}

/* The rows' slots, wherever they have been. From here on the rows are only what they carry. */
static int carry_rows(struct collecting *c, struct past *past, uint64_t now)
{
	const struct past_shape *shape = &past->shape;
	struct mapped map = { .data = NULL };
	int error = mapped_open(c, "slots", shape, shape->n_writers * shape->slots_per_writer,
				shape->slot_size, &map);

	if (!error)
		error = carry_slots(c, past, &map, now);
	mapped_close(&map);
	forget_slots(past);
	return error == -ENOENT ? 0 : error;
}

int carry_over(struct collecting *c, struct past *past, uint64_t now)
{
	int error = 0;

	if (c->probe.n_superseded == 0)
		return 0;
	slots_settle();
	if (past->shape.layout == 0)
		log_warning("%s: counters of another layout are lost: no state describes them",
			    c->collector->name);
	if (!is_current(c, &past->shape))
		error = carry_rows(c, past, now);
	if (!error)
		carry_losses(c, past);
	return error;
}
