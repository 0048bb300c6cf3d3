/* SPDX-License-Identifier: BSD-2-Clause */
#include "slots_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "../util.h"
#include "grace.h"

static const uint64_t grace_ns = SLOTS_GRACE_SECONDS * 1000000000ULL;

void description_printf(struct description *d, unsigned i, const char *format, ...)
{
	size_t room = sizeof(d->text) - d->used;
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(d->text + d->used, room, format, arguments);
	va_end(arguments);
	if (size < 0 || room == 0) {
		d->labels[i] = "";
		return;
	}
	d->labels[i] = d->text + d->used;
	d->used += (size_t)size < room ? (size_t)size + 1 : room;
}

struct slot_key *slot_at(const struct slots *slots, uint32_t index)
{
	return (struct slot_key *)(slots->map + (size_t)index * slots->source.slot_size);
}

static uint64_t *slot_values(const struct slots *slots, uint32_t index)
{
	return (uint64_t *)(slot_at(slots, index) + 1);
}

static int map_shared(int fd, size_t size, void *ret_address, size_t *ret_size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *address;

	size = (size + page - 1) & ~(page - 1);
	address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (address == MAP_FAILED)
		return -errno;
	*(void **)ret_address = address;
	*ret_size = size;
	return 0;
}

static void slots_freep(struct slots **slots)
{
	slots_free(*slots);
}

int slots_open(const struct slots_source *source, struct table *table, struct slots **ret_slots)
{
	_cleanup_(slots_freep) struct slots *slots = calloc(1, sizeof(*slots));
	int error;

	if (!slots)
		return -ENOMEM;
	slots->source = *source;
	slots->table = table;
	slots->n_slots = source->n_writers * source->slots_per_writer;
	slots->claims = calloc(source->n_writers, sizeof(*slots->claims));
	slots->next_of = calloc(slots->n_slots, sizeof(*slots->next_of));
	slots->taken = calloc(slots->n_slots, sizeof(*slots->taken));
	slots->sum = calloc(source->n_values, sizeof(*slots->sum));
	slots->freed = calloc(slots->n_slots, sizeof(*slots->freed));
	if (!slots->claims || !slots->next_of || !slots->taken || !slots->sum || !slots->freed)
		return -ENOMEM;
	error = map_shared(source->slots_fd, (size_t)slots->n_slots * source->slot_size,
			   &slots->map, &slots->map_size);
	if (!error)
		error = map_shared(source->writers_fd, source->n_writers * sizeof(*slots->writers),
				   &slots->writers, &slots->writers_size);
	if (error)
		return error;
	*ret_slots = TAKE_PTR(slots);
	return 0;
}

void key_free(struct key *key)
{
	if (!key)
		return;
	free(key->carried);
	free(key);
}

void key_freep(struct key **key)
{
	key_free(*key);
}

static void keys_free(struct key *key)
{
	while (key) {
		struct key *next = key->next;

		key_free(key);
		key = next;
	}
}

void slots_free(struct slots *slots)
{
	if (!slots)
		return;
	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		keys_free(slots->buckets[i]);
	keys_free(slots->retiring);
	keys_free(slots->carrying);
	if (slots->map)
		munmap(slots->map, slots->map_size);
	if (slots->writers)
		munmap(slots->writers, slots->writers_size);
	free(slots->claims);
	free(slots->next_of);
	free(slots->taken);
	free(slots->sum);
	free(slots->freed);
	free(slots);
}

struct key **key_bucket(struct slots *slots, const struct slot_key *key)
{
	uint64_t hash = 0;

	for (unsigned i = 0; i < SLOT_WORDS; i++)
		hash = (hash ^ key->word[i]) * 0x9e3779b97f4a7c15;
	return &slots->buckets[(hash >> 32) % KEY_BUCKETS];
}

struct key *key_find(struct key *list, const struct slot_key *slot)
{
	while (list && memcmp(&list->key, slot, sizeof(*slot)) != 0)
		list = list->next;
	return list;
}

/* Of the rows that only carry something, the one with the same labels: it is this one's past. */
static struct key *carrying_take(struct slots *slots, const struct row *row)
{
	for (struct key **at = &slots->carrying; *at; at = &(*at)->next) {
		struct key *key = *at;
		unsigned i = 0;

		while (i < slots->table->n_labels &&
		       strcmp(key->row->labels[i].text, row->labels[i].text) == 0)
			i++;
		if (i == slots->table->n_labels) {
			*at = key->next;
			return key;
		}
	}
	return NULL;
}

static uint64_t first_seen(const struct slots *slots, const void *slot, uint64_t now,
			   uint64_t monotonic)
{
	uint64_t seen;

	memcpy(&seen, (const char *)slot + slots->source.first_seen, sizeof(seen));
	return seen && seen <= monotonic ? now - (monotonic - seen) : now;
}

/* It keeps the names that it had: what they come from may be gone, or have another name now, and its
 * counts belong to the series that they are in. */
static void keep_labels(const struct slots *slots, const struct slots_past *past,
			struct description *description)
{
	for (unsigned i = 0; i < slots->table->n_labels && past->labels; i++)
		if (past->labels[i] && past->labels[i][0])
			description->labels[i] = past->labels[i];
}

struct key *key_new(struct slots *slots, const void *slot, uint64_t now, uint64_t monotonic)
{
	_cleanup_(key_freep) struct key *key = calloc(1, sizeof(*key)), *carrying = NULL;
	const struct slots_past *past = past_take(slots->past, slot);
	struct description description = { .used = 0 };
	struct row *row;

	if (!key)
		return NULL;
	slots->source.describe(slots->source.userdata, slot, now, &description);
	if (past)
		keep_labels(slots, past, &description);
	if (table_restore_row(slots->table, description.labels, past ? past->outside : 0, now,
			      &row) < 0)
		return NULL;
	/* A key with a past of its own has taken what was carried for it, if it was its turn. */
	carrying = past ? NULL : carrying_take(slots, row);
	if (carrying) {
		table_retire(slots->table, row);
		row = carrying->row;
		key->carried = TAKE_PTR(carrying->carried);
	} else {
		row->first_seen = first_seen(slots, slot, now, monotonic);
	}
	key->row = row;
	memcpy(&key->key, slot, sizeof(key->key));
	key->moved = monotonic;
	key->past = past;
	slots->revision++;
	return TAKE_PTR(key);
}

static struct key *key_add(struct slots *slots, const struct slot_key *slot, struct key **bucket,
			   uint64_t now, uint64_t monotonic)
{
	struct key *key = key_new(slots, slot, now, monotonic);

	if (!key)
		return NULL;
	key->next = *bucket;
	*bucket = key;
	return key;
}

static int slot_take(struct slots *slots, uint32_t index, uint64_t now, uint64_t monotonic)
{
	const struct slot_key *slot = slot_at(slots, index);
	struct key **bucket = key_bucket(slots, slot), *key = key_find(*bucket, slot);

	if (!key)
		key = key_add(slots, slot, bucket, now, monotonic);
	if (!key)
		return -ENOMEM;
	slots->next_of[index] = key->first;
	key->first = index + 1;
	slots->taken[index] = true;
	return 0;
}

/* The slots that a writer has claimed since the last look. */
static int writer_look(struct slots *slots, unsigned writer, uint64_t now, uint64_t monotonic)
{
	uint64_t claims = __atomic_load_n(&slots->writers[writer].claims, __ATOMIC_ACQUIRE);
	uint32_t first = writer * slots->source.slots_per_writer;
	int error = 0;

	if (claims == slots->claims[writer])
		return 0;
	for (uint32_t i = first; i < first + slots->source.slots_per_writer; i++) {
		uint64_t state = __atomic_load_n(&slot_at(slots, i)->word[0], __ATOMIC_ACQUIRE);

		if (!slots->taken[i] && (state & SLOT_LIVE) &&
		    slot_take(slots, i, now, monotonic) < 0)
			error = -ENOMEM;
	}
	if (!error)
		slots->claims[writer] = claims;
	return error;
}

static void key_sum(const struct slots *slots, const struct key *key, uint64_t *sum)
{
	unsigned n = slots->source.n_values;

	if (key->carried)
		memcpy(sum, key->carried, n * sizeof(*sum));
	else
		memset(sum, 0, n * sizeof(*sum));
	for (uint32_t i = key->first; i; i = slots->next_of[i - 1]) {
		const uint64_t *values = slot_values(slots, i - 1);

		for (unsigned j = 0; j < n; j++)
			sum[j] += __atomic_load_n(&values[j], __ATOMIC_RELAXED);
	}
}

bool key_update(struct slots *slots, struct key *key)
{
	size_t size = slots->source.n_values * sizeof(*slots->sum);

	key_sum(slots, key, slots->sum);
	if (memcmp(slots->sum, key->row->values, size) == 0)
		return false;
	memcpy(key->row->values, slots->sum, size);
	return true;
}

int slots_collect(struct slots *slots, uint64_t now, uint64_t monotonic)
{
	int error = 0;

	for (unsigned i = 0; i < slots->source.n_writers; i++)
		if (writer_look(slots, i, now, monotonic) < 0)
			error = -ENOMEM;
	for (unsigned i = 0; i < KEY_BUCKETS; i++) {
		for (struct key *key = slots->buckets[i]; key; key = key->next) {
			if (!key_update(slots, key))
				continue;
			key->moved = monotonic;
			key->row->last_seen = now;
		}
	}
	for (struct key *key = slots->retiring; key; key = key->next)
		if (key_update(slots, key))
			key->row->last_seen = now;
	return error;
}

/* From here on no new run of the probe finds these slots. */
static void key_mark(struct slots *slots, const struct key *key)
{
	for (uint32_t i = key->first; i; i = slots->next_of[i - 1])
		__atomic_and_fetch(&slot_at(slots, i - 1)->word[0], ~SLOT_LIVE, __ATOMIC_SEQ_CST);
}

void slot_free(struct slots *slots, uint32_t index)
{
	struct slot_key *slot = slot_at(slots, index);

	memset(slot + 1, 0, slots->source.slot_size - sizeof(*slot));
	__atomic_store_n(&slot->word[0], 0, __ATOMIC_RELEASE);
}

/* The key has ended: what it counted is in the table's `retired`, its slots are about to be free. */
static void key_end(struct slots *slots, struct key *key)
{
	key_update(slots, key);
	table_retire(slots->table, key->row);
	for (uint32_t i = key->first; i; i = slots->next_of[i - 1])
		slots->freed[slots->n_freed++] = i - 1;
	slots->revision++;
	key_free(key);
}

static bool checkpoint(const struct slots *slots)
{
	return !slots->source.checkpoint || slots->source.checkpoint(slots->source.userdata);
}

/* Frees the slots of what has ended. They are saved as such before, or a crash in the middle would
 * count them again; and as free afterwards, as they are somebody else's from then on. What cannot be
 * saved stays marked until it can. */
static void free_ended(struct slots *slots)
{
	if (!checkpoint(slots))
		return;
	for (unsigned i = 0; i < slots->n_freed; i++) {
		slots->next_of[slots->freed[i]] = 0;
		slots->taken[slots->freed[i]] = false;
		slot_free(slots, slots->freed[i]);
	}
	slots->n_freed = 0;
	checkpoint(slots);
}

static void key_retire(struct slots *slots, struct key *key, uint64_t monotonic)
{
	key_mark(slots, key);
	key->moved = monotonic;
	key->next = slots->retiring;
	slots->retiring = key;
}

/* One that has come back while it still retires has its time when that is over: marked slots do not
 * tell whose they are, and a restart would take both for one. */
static void list_retire(struct slots *slots, struct key **list, struct key *earlier,
			uint64_t monotonic, uint64_t idle)
{
	for (struct key **at = list; *at;) {
		struct key *key = *at;

		if (monotonic - key->moved < idle || (key->first && key_find(earlier, &key->key))) {
			at = &key->next;
			continue;
		}
		*at = key->next;
		key_retire(slots, key, monotonic);
	}
}

/* Marks what has not moved and puts it into the list of those that retire. */
static void keys_mark(struct slots *slots, uint64_t monotonic, uint64_t idle)
{
	struct key *earlier = slots->retiring;

	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		list_retire(slots, &slots->buckets[i], earlier, monotonic, idle);
	list_retire(slots, &slots->carrying, earlier, monotonic, idle);
}

unsigned slots_retire(struct slots *slots, uint64_t monotonic, uint64_t idle)
{
	unsigned ended = 0;
	bool passed;

	keys_mark(slots, monotonic, idle);
	if (!slots->retiring && !slots->n_freed)
		return 0;
	passed = !slots->retiring || grace_wait();
	for (struct key **at = &slots->retiring; *at;) {
		struct key *key = *at, *next;

		if (!passed && monotonic - key->moved < grace_ns) {
			at = &key->next;
			continue;
		}
		next = key->next;
		key_end(slots, key); /* in the list: what is saved meanwhile is whole */
		*at = next;
		ended++;
	}
	if (slots->n_freed > 0)
		free_ended(slots);
	return ended;
}

uint64_t slots_lost(const struct slots *slots, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < slots->source.n_writers; i++)
		sum += __atomic_load_n((uint64_t *)((char *)&slots->writers[i] + offset),
				       __ATOMIC_RELAXED);
	return sum;
}

void slots_each(const struct slots *slots, slots_each_t each, void *userdata)
{
	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		for (const struct key *key = slots->buckets[i]; key; key = key->next)
			each(userdata, &key->key, key->row);
}

struct row *slots_find(struct slots *slots, const struct slot_key *slot)
{
	const struct key *key = key_find(*key_bucket(slots, slot), slot);

	return key ? key->row : NULL;
}

void slots_each_slot(const struct slots *slots, slots_slot_t each, void *userdata)
{
	for (unsigned i = 0; i < KEY_BUCKETS; i++)
		for (const struct key *key = slots->buckets[i]; key; key = key->next)
			for (uint32_t j = key->first; j; j = slots->next_of[j - 1])
				each(userdata, slot_at(slots, j - 1), key->row);
}

uint64_t slots_revision(const struct slots *slots)
{
	return slots->revision;
}

void slots_settle(void)
{
	if (!grace_wait())
		sleep(1); /* longer than a program runs, if not than it could be held up */
}
