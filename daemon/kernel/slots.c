/* SPDX-License-Identifier: BSD-2-Clause */
#include "slots.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../util.h"

static const uint64_t grace_ns = SLOTS_GRACE_SECONDS * 1000000000ULL;

/* One key: its row and the slots that count for it, as a list through `next_of`. */
struct key {
	struct slot_key key;
	struct key *next; /* in its hash bucket, or in the list of those that retire */
	struct row *row;
	uint32_t first; /* slot index + 1 */
	uint64_t moved; /* monotonic; while it retires, when it was marked */
};

enum { KEY_BUCKETS = 1024 };

struct slots {
	struct slots_source source;
	struct table *table;
	uint32_t n_slots;
	char *map; /* n_slots slots, written by the probe */
	struct slot_writer *writers;
	size_t map_size, writers_size;
	uint64_t *claims;  /* per writer, as of the last look at its slots */
	uint32_t *next_of; /* per slot: index + 1 of the next of its key */
	bool *taken;	   /* per slot: belongs to a key */
	uint64_t *sum;	   /* scratch, n_values */
	struct key *buckets[KEY_BUCKETS];
	struct key *retiring;
};

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

static struct slot_key *slot_at(const struct slots *slots, uint32_t index)
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
	if (!slots->claims || !slots->next_of || !slots->taken || !slots->sum)
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

static void keys_free(struct key *key)
{
	while (key) {
		struct key *next = key->next;

		free(key);
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
	if (slots->map)
		munmap(slots->map, slots->map_size);
	if (slots->writers)
		munmap(slots->writers, slots->writers_size);
	free(slots->claims);
	free(slots->next_of);
	free(slots->taken);
	free(slots->sum);
	free(slots);
}

static struct key **key_bucket(struct slots *slots, const struct slot_key *key)
{
	uint64_t hash = 0;

	for (unsigned i = 0; i < SLOT_WORDS; i++)
		hash = (hash ^ key->word[i]) * 0x9e3779b97f4a7c15;
	return &slots->buckets[(hash >> 32) % KEY_BUCKETS];
}

/* A row for a key that is seen for the first time. */
static struct key *key_add(struct slots *slots, const struct slot_key *slot, struct key **bucket,
			   uint64_t now, uint64_t monotonic)
{
	const char *cold = (const char *)slot + slots->source.first_seen;
	_cleanup_(freep) struct key *key = calloc(1, sizeof(*key));
	struct description description = { .used = 0 };
	uint64_t first_seen;

	if (!key)
		return NULL;
	slots->source.describe(slots->source.userdata, slot, now, &description);
	if (table_add(slots->table, description.labels, now, &key->row) < 0)
		return NULL;
	memcpy(&first_seen, cold, sizeof(first_seen));
	if (first_seen && first_seen <= monotonic)
		key->row->first_seen = now - (monotonic - first_seen);
	key->key = *slot;
	key->moved = monotonic;
	key->next = *bucket;
	*bucket = key;
	return TAKE_PTR(key);
}

static int slot_take(struct slots *slots, uint32_t index, uint64_t now, uint64_t monotonic)
{
	const struct slot_key *slot = slot_at(slots, index);
	struct key **bucket = key_bucket(slots, slot), *key = *bucket;

	while (key && memcmp(&key->key, slot, sizeof(*slot)) != 0)
		key = key->next;
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

	memset(sum, 0, n * sizeof(*sum));
	for (uint32_t i = key->first; i; i = slots->next_of[i - 1]) {
		const uint64_t *values = slot_values(slots, i - 1);

		for (unsigned j = 0; j < n; j++)
			sum[j] += __atomic_load_n(&values[j], __ATOMIC_RELAXED);
	}
}

static bool key_update(struct slots *slots, struct key *key)
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

/* Zeroes the slots and gives them back, the state last. */
static void key_release(struct slots *slots, const struct key *key)
{
	uint32_t next;

	for (uint32_t i = key->first; i; i = next) {
		struct slot_key *slot = slot_at(slots, i - 1);

		next = slots->next_of[i - 1];
		slots->next_of[i - 1] = 0;
		slots->taken[i - 1] = false;
		memset(slot + 1, 0, slots->source.slot_size - sizeof(*slot));
		__atomic_store_n(&slot->word[0], 0, __ATOMIC_RELEASE);
	}
}

/* Marks what has not moved and puts it into the list of those that retire. */
static void keys_mark(struct slots *slots, uint64_t monotonic, uint64_t idle)
{
	for (unsigned i = 0; i < KEY_BUCKETS; i++) {
		for (struct key **at = &slots->buckets[i]; *at;) {
			struct key *key = *at;

			if (monotonic - key->moved < idle) {
				at = &key->next;
				continue;
			}
			*at = key->next;
			key_mark(slots, key);
			key->moved = monotonic;
			key->next = slots->retiring;
			slots->retiring = key;
		}
	}
}

/* No run of a probe that began before this call goes on after it. */
static bool probes_have_passed(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
}

unsigned slots_retire(struct slots *slots, uint64_t monotonic, uint64_t idle)
{
	unsigned ended = 0;
	bool passed;

	keys_mark(slots, monotonic, idle);
	if (!slots->retiring)
		return 0;
	passed = probes_have_passed();
	for (struct key **at = &slots->retiring; *at;) {
		struct key *key = *at;

		if (!passed && monotonic - key->moved < grace_ns) {
			at = &key->next;
			continue;
		}
		*at = key->next;
		key_update(slots, key);
		key_release(slots, key);
		table_retire(slots->table, key->row);
		free(key);
		ended++;
	}
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
