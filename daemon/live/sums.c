/* SPDX-License-Identifier: BSD-2-Clause */
#include "sums.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "../util.h"

static int by_key(const void *a, const void *b)
{
	return memcmp(&((const struct sum *)a)->key, &((const struct sum *)b)->key,
		      sizeof(struct live_sum_key));
}

static int by_value(const void *a, const void *b)
{
	uint64_t left = ((const struct sum *)a)->sum.values[0];
	uint64_t right = ((const struct sum *)b)->sum.values[0];

	return left == right ? by_key(a, b) : left < right ? 1 : -1;
}

/*
 * All that belongs to the listener. A program may add an entry meanwhile, which then comes now or
 * with the next call; none goes, so that the walk does not begin anew.
 */
static int read_map(int map, uint32_t serial, struct sum **ret_sums, unsigned *ret_n)
{
	_cleanup_(freep) struct sum *sums = NULL;
	struct live_sum_key key, *before = NULL;
	unsigned n = 0, room = 0;

	while (bpf_map_get_next_key(map, before, &key) == 0) {
		before = &key;
		if (key.serial != serial)
			continue;
		if (n == room) {
			struct sum *more = reallocarray(sums, room ? 2 * room : 16, sizeof(*sums));

			if (!more)
				return -ENOMEM;
			sums = more;
			room = room ? 2 * room : 16;
		}
		sums[n].key = key;
		if (bpf_map_lookup_elem(map, &key, &sums[n].sum) == 0)
			n++;
	}
	if (n > 0)
		qsort(sums, n, sizeof(*sums), by_key);
	*ret_sums = TAKE_PTR(sums);
	*ret_n = n;
	return 0;
}

/* What `now` has more than `before`, both sorted by key; what has not moved is left out. */
static unsigned increases(const struct sum *before, unsigned n_before, const struct sum *now,
			  unsigned n, struct sum *ret_increases)
{
	unsigned found = 0, old = 0;

	for (unsigned i = 0; i < n; i++) {
		struct sum *increase = &ret_increases[found];
		uint64_t moved = 0;

		*increase = now[i];
		while (old < n_before && by_key(&before[old], &now[i]) < 0)
			old++;
		if (old < n_before && by_key(&before[old], &now[i]) == 0)
			for (unsigned j = 0; j < LIVE_VALUES; j++)
				increase->sum.values[j] -= before[old].sum.values[j];
		for (unsigned j = 0; j < LIVE_VALUES; j++)
			moved |= increase->sum.values[j];
		found += moved != 0;
	}
	return found;
}

/* All their stacks at once, for whoever takes a pass over a file to name some. */
static void prefetch(struct frames *frames, const struct sum *sums, unsigned n)
{
	_cleanup_(freep) uint64_t *addresses =
		calloc((size_t)n * LIVE_FRAMES + 1, sizeof(*addresses));
	size_t n_addresses = 0;

	for (unsigned i = 0; i < n && addresses; i++)
		for (unsigned j = 0; j < sums[i].sum.n_frames && j < LIVE_FRAMES; j++)
			addresses[n_addresses++] = sums[i].sum.frames[j];
	frames_prefetch(frames, addresses, n_addresses);
}

int sums_read(struct subscriber *s, int map, struct frames *frames, sums_each_t each,
	      void *userdata)
{
	_cleanup_(freep) struct sum *now = NULL, *changed = NULL;
	unsigned n, n_changed;
	int error = read_map(map, s->serial, &now, &n);

	if (error || n == 0)
		return error;
	changed = calloc(n, sizeof(*changed));
	if (!changed)
		return -ENOMEM;
	n_changed = increases(s->sums, s->n_sums, now, n, changed);
	free(s->sums);
	s->sums = TAKE_PTR(now);
	s->n_sums = n;
	s->n_idle = n - n_changed;
	qsort(changed, n_changed, sizeof(*changed), by_value);
	if (frames)
		prefetch(frames, changed, n_changed);
	for (unsigned i = 0; i < n_changed; i++)
		each(userdata, &changed[i].key, &changed[i].sum);
	return 0;
}

void sums_renew(struct subscriber *s, int map, uint32_t serial)
{
	sums_forget(map, s->serial);
	s->serial = serial;
	free(s->sums);
	s->sums = NULL;
	s->n_sums = s->n_idle = 0;
}

void sums_forget(int map, uint32_t serial)
{
	struct live_sum_key key, next;
	bool more = bpf_map_get_next_key(map, NULL, &next) == 0;

	while (more) {
		key = next;
		more = bpf_map_get_next_key(map, &key, &next) == 0;
		if (key.serial == serial)
			bpf_map_delete_elem(map, &key);
	}
}
