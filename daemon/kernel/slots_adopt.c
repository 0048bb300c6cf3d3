/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots that have counted before this process, and what it must leave for the next. */
#include <errno.h>
#include <string.h>

#include "../util.h"
#include "slots_internal.h"

/* The past rows by their keys. */
struct past_index {
	const struct slots_past *past;
	uint32_t *next; /* per row: index + 1 of the next in its bucket */
	bool *used;	/* per row: a key has it */
	uint32_t buckets[KEY_BUCKETS];
};

static unsigned bucket_of(const struct slot_key *key)
{
	return (key->word[0] ^ key->word[1] ^ key->word[2] ^ key->word[3]) * 0x9e3779b97f4a7c15 >>
	       54;
}

_Static_assert(KEY_BUCKETS == 1 << (64 - 54), "the hash picks one of the buckets");

static void past_index_free(struct past_index *index)
{
	free(index->next);
	free(index->used);
}

static int past_index(const struct slots_past *past, unsigned n, struct past_index *ret_index)
{
	*ret_index = (struct past_index){
		.past = past,
		.next = calloc(n + 1, sizeof(*ret_index->next)),
		.used = calloc(n + 1, sizeof(*ret_index->used)),
	};
	if (!ret_index->next || !ret_index->used) {
		past_index_free(ret_index);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t *bucket = &ret_index->buckets[bucket_of(&past[i].key)];

		if (!past[i].key.word[0])
			continue;
		ret_index->next[i] = *bucket;
		*bucket = i + 1;
	}
	return 0;
}

const struct slots_past *past_take(struct past_index *index, const struct slot_key *key)
{
	uint32_t i = index ? index->buckets[bucket_of(key)] : 0;

	while (i && (index->used[i - 1] || memcmp(&index->past[i - 1].key, key, sizeof(*key)) != 0))
		i = index->next[i - 1];
	if (!i)
		return NULL;
	index->used[i - 1] = true;
	return &index->past[i - 1];
}

static uint64_t sum_of(const struct slots *slots, const struct row *row)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < slots->source.n_values; i++)
		sum += row->values[i];
	return sum;
}

static uint64_t *copy(const uint64_t *values, unsigned n)
{
	uint64_t *copied = values ? malloc(n * sizeof(*values)) : NULL;

	if (copied)
		memcpy(copied, values, n * sizeof(*values));
	return copied;
}

/* Gives a row back what is known of it. One that has counted since then has been seen now. */
static int key_recall(struct slots *slots, struct key *key, const struct slots_past *past,
		      uint64_t now, uint64_t monotonic)
{
	struct row *row = key->row;

	if (past->carried && !key->carried) {
		key->carried = copy(past->carried, slots->source.n_values);
		if (!key->carried)
			return -ENOMEM;
	}
	if (past->base && !row->base) {
		row->base = copy(past->base, slots->table->n_values);
		if (!row->base)
			return -ENOMEM;
	}
	if (past->sampled)
		memcpy(row->sampled, past->sampled, slots->table->n_values * sizeof(*row->sampled));
	row->peak = past->peak;
	key_update(slots, key);
	row->first_seen = past->first_seen;
	if (past->seen != sum_of(slots, row) || past->last_seen > now)
		return 0;
	row->last_seen = past->last_seen;
	if (now - past->last_seen <= monotonic)
		key->moved = monotonic - (now - past->last_seen);
	return 0;
}

static int keys_recall(struct slots *slots, struct key *key, uint64_t now, uint64_t monotonic)
{
	int error = 0;

	for (; key; key = key->next) {
		if (key->past && key_recall(slots, key, key->past, now, monotonic) < 0)
			error = -ENOMEM;
		key->past = NULL;
	}
	return error;
}

/* Those that retire, too. Who marked them has ended meanwhile: their grace begins anew. */
static int retiring_recall(struct slots *slots, uint64_t now, uint64_t monotonic)
{
	int error = keys_recall(slots, slots->retiring, now, monotonic);

	for (struct key *key = slots->retiring; key; key = key->next)
		key->moved = monotonic;
	return error;
}

/* A row that has no slots. */
static int carrying_add(struct slots *slots, const struct slots_past *past, uint64_t now,
			uint64_t monotonic)
{
	_cleanup_(key_freep) struct key *key = calloc(1, sizeof(*key));
	int error;

	if (!key)
		return -ENOMEM;
	key->moved = monotonic;
	error = table_restore_row(slots->table, past->labels, past->outside, now, &key->row);
	if (!error)
		error = key_recall(slots, key, past, now, monotonic);
	if (error)
		return error;
	key->next = slots->carrying;
	slots->carrying = TAKE_PTR(key);
	return 0;
}

/* A slot that is marked as retired and not freed: its key was about to end, and goes on doing so. */
static int marked_take(struct slots *slots, uint32_t index, uint64_t now, uint64_t monotonic)
{
	_cleanup_(freep) struct slot_key *slot = malloc(slots->source.slot_size);
	struct key *key;

	if (!slot)
		return -ENOMEM;
	memcpy(slot, slot_at(slots, index), slots->source.slot_size);
	slot->word[0] |= SLOT_LIVE; /* as describe() knows it */
	key = key_find(slots->retiring, slot);
	if (!key) {
		key = key_new(slots, slot, now, monotonic);
		if (!key)
			return -ENOMEM;
		key->next = slots->retiring;
		slots->retiring = key;
	}
	slots->next_of[index] = key->first;
	key->first = index + 1;
	slots->taken[index] = true;
	return 0;
}

static bool is_marked(const struct slots *slots, uint32_t index)
{
	uint64_t state = __atomic_load_n(&slot_at(slots, index)->word[0], __ATOMIC_ACQUIRE);

	return state && !(state & SLOT_LIVE);
}

static int marked_adopt(struct slots *slots, uint64_t now, uint64_t monotonic)
{
	int error = 0;

	for (uint32_t i = 0; i < slots->n_slots; i++)
		if (is_marked(slots, i) && marked_take(slots, i, now, monotonic) < 0)
			error = -ENOMEM;
	return error;
}

int slots_adopt(struct slots *slots, const struct slots_past *past, unsigned n_past,
		const uint32_t *freed, unsigned n_freed, uint64_t now, uint64_t monotonic)
{
	struct past_index index;
	int error = past_index(past, n_past, &index);

	if (error)
		return error;
	for (unsigned i = 0; i < n_freed; i++)
		if (freed[i] < slots->n_slots && is_marked(slots, freed[i]))
			slot_free(slots, freed[i]);
	for (unsigned i = 0; i < n_past && !error; i++)
		if (!past[i].key.word[0] && past[i].carried)
			error = carrying_add(slots, &past[i], now, monotonic);
	slots->past = &index;
	for (unsigned i = 0; i < slots->source.n_writers; i++)
		slots->claims[i] = UINT64_MAX; /* not yet looked at */
	if (!error)
		error = marked_adopt(slots, now, monotonic);
	if (!error)
		error = slots_collect(slots, now, monotonic);
	slots->past = NULL;
	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		if (keys_recall(slots, slots->buckets[i], now, monotonic) < 0)
			error = -ENOMEM;
	if (retiring_recall(slots, now, monotonic) < 0)
		error = -ENOMEM;
	past_index_free(&index);
	return error;
}

static void key_save(const struct slots *slots, const struct key *key, slots_save_t save,
		     void *userdata)
{
	const struct slots_past past = {
		.key = key->key,
		.first_seen = key->row->first_seen,
		.last_seen = key->row->last_seen,
		.seen = sum_of(slots, key->row),
		.base = key->row->base,
		.carried = key->carried,
		.sampled = key->row->sampled,
		.peak = key->row->peak,
	};

	save(userdata, key->row, &past);
}

unsigned slots_save(const struct slots *slots, slots_save_t save, void *userdata,
		    const uint32_t **ret_freed)
{
	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		for (const struct key *key = slots->buckets[i]; key; key = key->next)
			key_save(slots, key, save, userdata);
	for (const struct key *key = slots->retiring; key; key = key->next)
		key_save(slots, key, save, userdata);
	for (const struct key *key = slots->carrying; key; key = key->next)
		key_save(slots, key, save, userdata);
	*ret_freed = slots->freed;
	return slots->n_freed;
}
