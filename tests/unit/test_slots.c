/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests play the probe: they claim and count by the very code that the kernel runs. */
#include "fake_probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "child.h"
#include "kernel/slots.h"
#include "util.h"

/* The sanitizer's; gcc comes without the header. */
extern size_t __sanitizer_get_current_allocated_bytes(void);
extern int __lsan_do_recoverable_leak_check(void);

enum { KEY, SECOND, N_WRITERS = 3 };

#define NOW 1795230765678901234ULL
#define START 5000000000000ULL /* monotonic: an hour and some after boot */
#define SEC 1000000000ULL
#define IDLE (3600 * SEC)

static const struct column columns[] = {
	[KEY] = { .name = "key" },
	[SECOND] = { .name = "second", .detail = true, .number = true },
	{ .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .metric = "bytes" },
	{ .name = "age", .kind = COLUMN_GAUGE, .metric = "age" },
};

enum { AGE = FAKE_VALUES }; /* a value that no slot has */

struct fixture {
	struct fake_probe probe;
	struct table *table;
	struct slots *slots;
	unsigned described;
	bool unsaved; /* nothing can be saved now */
	unsigned checkpoints;
};

static bool on_checkpoint(void *userdata)
{
	struct fixture *fixture = userdata;

	fixture->checkpoints++;
	return !fixture->unsaved;
}

static void describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	struct fixture *fixture = userdata;
	const struct fake_slot *slot = data;

	assert_true(now >= NOW);
	description_printf(d, KEY, "k%llu", slot->key.word[0] & ~SLOT_LIVE);
	description_printf(d, SECOND, "%llu", slot->key.word[1]);
	fixture->described++;
}

static int open_writers(void **state, unsigned n_writers)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct slots_source source = {
		.n_writers = n_writers,
		.slots_per_writer = FAKE_SLOTS,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
		.first_seen = offsetof(struct fake_slot, first_seen),
		.describe = describe,
		.checkpoint = on_checkpoint,
		.userdata = fixture,
	};

	assert_non_null(fixture);
	fake_probe_open(&fixture->probe, n_writers);
	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), 50, &fixture->table), 0);
	source.slots_fd = fixture->probe.slots.fd;
	source.writers_fd = fixture->probe.writers.fd;
	assert_int_equal(slots_open(&source, fixture->table, &fixture->slots), 0);
	*state = fixture;
	return 0;
}

static int set_up(void **state)
{
	return open_writers(state, N_WRITERS);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	slots_free(fixture->slots);
	table_free(fixture->table);
	fake_probe_close(&fixture->probe);
	free(fixture);
	return 0;
}

static void count(struct fixture *fixture, unsigned writer, uint64_t number, uint64_t bytes)
{
	struct slot_key key = fake_key(number, 1);

	assert_true(fake_count(&fixture->probe, writer, &key, bytes, START));
}

static void collect(struct fixture *fixture, uint64_t after)
{
	assert_int_equal(slots_collect(fixture->slots, NOW + after, START + after), 0);
}

/* The row of a key, which must be there once at most. */
static struct row *find(const struct fixture *fixture, uint64_t number)
{
	struct row *found = NULL;
	char name[24];

	snprintf(name, sizeof(name), "k%llu", (unsigned long long)number);
	for (uint32_t i = 0; i < fixture->table->n_rows; i++) {
		struct row *row = fixture->table->rows[i];

		if (strcmp(row->labels[KEY].text, name) != 0)
			continue;
		assert_null(found);
		found = row;
	}
	return found;
}

static void assert_row(const struct fixture *fixture, uint64_t number, uint64_t packets,
		       uint64_t bytes)
{
	const struct row *row = find(fixture, number);

	assert_non_null(row);
	assert_int_equal(row->values[0], packets);
	assert_int_equal(row->values[1], bytes);
}

static struct fake_slot *slot_of(const struct fixture *fixture, unsigned writer, unsigned place)
{
	__u32 index = writer * FAKE_SLOTS + place % FAKE_SLOTS;

	return fake_lookup(&fixture->probe.slots, &index);
}

static unsigned slots_in_use(const struct fixture *fixture)
{
	unsigned n = 0;

	for (unsigned i = 0; i < fixture->probe.slots.n; i++)
		n += slot_of(fixture, 0, 0)[i].key.word[0] != 0;
	return n;
}

/* The next number after `number` whose key has its place where that one's is. */
static uint64_t same_place(uint64_t number)
{
	struct slot_key key = fake_key(number, 1), other;

	do
		other = fake_key(++number, 1);
	while ((slot_hash(&other) ^ slot_hash(&key)) % FAKE_SLOTS);
	return number;
}

static void nothing_yet(void **state)
{
	struct fixture *fixture = *state;

	collect(fixture, 0);
	assert_int_equal(fixture->table->n_rows, 0);
	assert_int_equal(slots_retire(fixture->slots, START, 0), 0);
}

static void an_event_makes_a_row(void **state)
{
	struct fixture *fixture = *state;
	const struct row *row;

	count(fixture, 0, 7, 100);
	collect(fixture, 3 * SEC);
	assert_int_equal(fixture->table->n_rows, 1);
	assert_row(fixture, 7, 1, 100);
	row = find(fixture, 7);
	assert_string_equal(row->labels[SECOND].text, "1");
	/* When it happened, not when it was read. */
	assert_int_equal(row->first_seen, NOW);
	assert_int_equal(row->last_seen, NOW + 3 * SEC);
	count(fixture, 0, 7, 20);
	collect(fixture, 4 * SEC);
	assert_row(fixture, 7, 2, 120);
	assert_int_equal(row->last_seen, NOW + 4 * SEC);
	collect(fixture, 5 * SEC);
	assert_int_equal(row->first_seen, NOW);
	assert_int_equal(row->last_seen, NOW + 4 * SEC);
	assert_int_equal(fixture->described, 1);
}

/* A clock that is not to be believed: then the row is as old as its reading. */
static void first_seen_is_plausible(void **state)
{
	struct fixture *fixture = *state;
	struct slot_key none = fake_key(1, 1), later = fake_key(2, 1);

	assert_true(fake_count(&fixture->probe, 0, &none, 1, 0));
	assert_true(fake_count(&fixture->probe, 0, &later, 1, START + 1));
	collect(fixture, 0);
	assert_int_equal(find(fixture, 1)->first_seen, NOW);
	assert_int_equal(find(fixture, 2)->first_seen, NOW);
}

/* A value that the collector adds is none of the slots' business. */
static void gauges_are_left_alone(void **state)
{
	struct fixture *fixture = *state;

	count(fixture, 0, 7, 100);
	collect(fixture, 0);
	find(fixture, 7)->values[AGE] = 42;
	count(fixture, 0, 7, 100);
	collect(fixture, SEC);
	assert_int_equal(find(fixture, 7)->values[AGE], 42);
}

/* The slots are only searched when something was claimed. */
static void claims_tell(void **state)
{
	struct fixture *fixture = *state;
	struct slot_writer *writer = fake_writer(&fixture->probe, 1);

	count(fixture, 1, 7, 100);
	writer->claims--;
	collect(fixture, 0);
	assert_int_equal(fixture->table->n_rows, 0);
	writer->claims++;
	collect(fixture, 0);
	assert_row(fixture, 7, 1, 100);
}

/* A slot whose first word is not there yet is not there yet. */
static void half_published(void **state)
{
	struct fixture *fixture = *state;
	struct fake_slot *slot;

	count(fixture, 0, 7, 100);
	slot = slot_of(fixture, 0, 60);
	slot->key.word[1] = 1;
	slot->packets = 5;
	collect(fixture, 0);
	assert_int_equal(fixture->table->n_rows, 1);
	slot->key.word[0] = 60 | SLOT_LIVE;
	fake_writer(&fixture->probe, 0)->claims++;
	collect(fixture, 0);
	assert_row(fixture, 60, 5, 0);
}

static void keys_differ_in_every_word(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < SLOT_WORDS; i++) {
		struct slot_key key = fake_key(7, 1);

		key.word[i] ^= 1ULL << 40;
		for (unsigned j = 0; j <= i; j++)
			assert_true(fake_count(&fixture->probe, 0, &key, 10, START));
	}
	count(fixture, 0, 7, 10);
	collect(fixture, 0);
	assert_int_equal(fixture->table->n_rows, 5);
}

static void writers_are_summed(void **state)
{
	struct fixture *fixture = *state;

	count(fixture, 0, 7, 1);
	collect(fixture, 0);
	count(fixture, 1, 7, 20);
	count(fixture, 2, 7, 300);
	count(fixture, 2, 8, 4000);
	collect(fixture, SEC);
	assert_int_equal(fixture->table->n_rows, 2);
	assert_row(fixture, 7, 3, 321);
	assert_row(fixture, 8, 1, 4000);
	assert_int_equal(fixture->described, 2);
	assert_int_equal(slots_in_use(fixture), 4);
}

/* What cannot be saved as ended is not free: a crash would forget it. */
static void retiring_unsaved(void **state)
{
	struct fixture *fixture = *state;

	count(fixture, 0, 7, 20);
	collect(fixture, 0);
	fixture->unsaved = true;
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_int_equal(fixture->table->retired[0], 1);
	assert_int_equal(slots_in_use(fixture), 1);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE + SEC, IDLE), 0);
	assert_int_equal(slots_in_use(fixture), 1);
	/* Its key begins anew meanwhile, elsewhere. */
	count(fixture, 0, 7, 300);
	collect(fixture, IDLE);
	assert_row(fixture, 7, 1, 300);
	assert_int_equal(slots_in_use(fixture), 2);
	fixture->unsaved = false;
	fixture->checkpoints = 0;
	assert_int_equal(slots_retire(fixture->slots, START + IDLE + SEC, IDLE), 0);
	assert_int_equal(fixture->checkpoints, 2);
	assert_int_equal(slots_in_use(fixture), 1);
	assert_int_equal(fixture->table->retired[0], 1);
	assert_row(fixture, 7, 1, 300);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE + SEC, IDLE), 0);
	assert_int_equal(fixture->checkpoints, 2);
}

static void retiring(void **state)
{
	struct fixture *fixture = *state;

	count(fixture, 0, 7, 1);
	count(fixture, 2, 7, 20);
	count(fixture, 0, 8, 300);
	collect(fixture, 0);
	count(fixture, 0, 8, 4000);
	collect(fixture, SEC);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE - 1, IDLE), 0);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_null(find(fixture, 7));
	assert_row(fixture, 8, 2, 4300);
	assert_int_equal(fixture->table->retired[0], 2);
	assert_int_equal(fixture->table->retired[1], 21);
	assert_int_equal(slots_in_use(fixture), 1);
	/* A free slot is all zero but for words of the key that nobody looks at. */
	for (unsigned i = 0; i < N_WRITERS * FAKE_SLOTS; i++) {
		const struct fake_slot *slot = &slot_of(fixture, 0, 0)[i];

		if (slot->key.word[0])
			continue;
		assert_int_equal(slot->packets, 0);
		assert_int_equal(slot->bytes, 0);
		assert_int_equal(slot->first_seen, 0);
	}
	collect(fixture, IDLE);
	assert_int_equal(fixture->table->n_rows, 1);
}

/* What came between the last look and the end is counted, too. */
static void retiring_reads_a_last_time(void **state)
{
	struct fixture *fixture = *state;

	count(fixture, 0, 7, 1);
	collect(fixture, 0);
	count(fixture, 0, 7, 20);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_int_equal(fixture->table->retired[0], 2);
	assert_int_equal(fixture->table->retired[1], 21);
}

static void freed_slots_are_used_again(void **state)
{
	struct fixture *fixture = *state;
	uint64_t next = same_place(7);

	count(fixture, 0, 7, 100);
	collect(fixture, 0);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	count(fixture, 0, next, 5);
	assert_int_equal(slots_in_use(fixture), 1);
	collect(fixture, IDLE);
	assert_int_equal(fixture->table->n_rows, 1);
	assert_row(fixture, next, 1, 5);
	assert_int_equal(fixture->table->retired[1], 100);
}

static void a_key_comes_back(void **state)
{
	struct fixture *fixture = *state;
	struct slot_key key = fake_key(7, 1);

	count(fixture, 0, 7, 100);
	collect(fixture, 0);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_true(fake_count(&fixture->probe, 0, &key, 5, START + 2 * IDLE));
	collect(fixture, 2 * IDLE + SEC);
	assert_row(fixture, 7, 1, 5);
	assert_int_equal(find(fixture, 7)->first_seen, NOW + 2 * IDLE);
	assert_int_equal(fixture->described, 2);
	assert_int_equal(fixture->table->retired[0], 1);
}

/* A slot that is freed in front of a living one of the same place: the key takes it as a second
 * one. */
static void two_slots_of_one_key(void **state)
{
	struct fixture *fixture = *state;
	uint64_t second = same_place(7);

	count(fixture, 0, 7, 1);
	count(fixture, 0, second, 20);
	collect(fixture, 0);
	count(fixture, 0, second, 20);
	collect(fixture, SEC);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_null(find(fixture, 7));
	count(fixture, 0, second, 300);
	assert_int_equal(slots_in_use(fixture), 2);
	collect(fixture, IDLE);
	assert_int_equal(fixture->table->n_rows, 1);
	assert_row(fixture, second, 3, 340);
	assert_int_equal(fixture->described, 2);
	/* Both end together. */
	assert_int_equal(slots_retire(fixture->slots, START + 2 * IDLE, IDLE), 1);
	assert_int_equal(slots_in_use(fixture), 0);
	assert_int_equal(fixture->table->retired[0], 4);
	assert_int_equal(fixture->table->retired[1], 341);
}

/* Seventeen keys for sixteen places. */
static void no_room(void **state)
{
	struct fixture *fixture = *state;
	uint64_t number = 7;

	for (unsigned i = 0; i < SLOT_PROBES; i++, number = same_place(number))
		count(fixture, 1, number, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct slot_key key = fake_key(number, 1);

		assert_false(fake_count(&fixture->probe, 1, &key, 1, START));
	}
	count(fixture, 0, number, 1); /* another writer has room */
	collect(fixture, 0);
	assert_int_equal(fixture->table->n_rows, SLOT_PROBES + 1);
	assert_int_equal(slots_lost(fixture->slots, offsetof(struct slot_writer, map_full)), 3);
}

static void losses_are_summed(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < N_WRITERS; i++) {
		struct slot_writer *writer = fake_writer(&fixture->probe, i);

		writer->map_full = 1 + i;
		writer->unmatched = 10 * (1 + i);
		writer->inflight_full = 1ULL << 40;
	}
	assert_int_equal(slots_lost(fixture->slots, offsetof(struct slot_writer, map_full)), 6);
	assert_int_equal(slots_lost(fixture->slots, offsetof(struct slot_writer, unmatched)), 60);
	assert_int_equal(slots_lost(fixture->slots, offsetof(struct slot_writer, inflight_full)),
			 3ULL << 40);
	assert_int_equal(slots_lost(fixture->slots, offsetof(struct slot_writer, claims)), 0);
}

static void each(void *userdata, const struct slot_key *key, struct row *row)
{
	uint64_t *seen = userdata;
	char name[24];

	assert_true(key->word[0] & SLOT_LIVE);
	snprintf(name, sizeof(name), "k%llu", key->word[0] & ~SLOT_LIVE);
	assert_string_equal(row->labels[KEY].text, name);
	*seen += key->word[0] & ~SLOT_LIVE;
}

static void every_living_key(void **state)
{
	struct fixture *fixture = *state;
	uint64_t seen = 0;

	count(fixture, 0, 1, 1);
	count(fixture, 1, 1, 1);
	count(fixture, 1, 20, 1);
	collect(fixture, 0);
	count(fixture, 2, 300, 1);
	collect(fixture, IDLE);
	slots_each(fixture->slots, each, &seen);
	assert_int_equal(seen, 321);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 2);
	seen = 0;
	slots_each(fixture->slots, each, &seen);
	assert_int_equal(seen, 300);
}

/* membarrier(2) is not to be had: the kernel may be built without, or a filter may forbid it. */
static void retire_by_time(void *userdata)
{
	struct fixture *fixture = userdata;
	struct slot_key key = fake_key(7, 1);
	uint64_t grace = SLOTS_GRACE_SECONDS * SEC, end = START + IDLE;
	struct fake_slot *held;
	const struct row *row;

	child_refuse(SYS_membarrier, EINVAL);
	expect(fake_count(&fixture->probe, 0, &key, 1, START));
	expect(slots_collect(fixture->slots, NOW, START) == 0);
	row = fixture->table->rows[0];
	/* A run has found the slot live, and the daemon marks it meanwhile. */
	held = fake_run(&fixture->probe, 0, &key, START);
	expect(slots_retire(fixture->slots, end, IDLE) == 0);
	expect(held->key.word[0] == 7);
	held->packets++;
	held->bytes += 20;
	/* The next run of that program passes the marked slot by. */
	expect(fake_count(&fixture->probe, 0, &key, 300, end));
	expect(held->packets == 2);
	expect(slots_collect(fixture->slots, NOW + IDLE, end + SEC) == 0);
	expect(fixture->table->n_rows == 2);
	expect(row->values[0] == 2 && row->values[1] == 21);
	expect(row->last_seen == NOW + IDLE);
	expect(fixture->table->rows[1]->values[1] == 300);
	/* What is added after that is not lost, either. */
	held->packets++;
	expect(slots_retire(fixture->slots, end + grace - 1, IDLE) == 0);
	expect(fixture->table->n_rows == 2);
	expect(slots_retire(fixture->slots, end + grace, IDLE) == 1);
	expect(held->key.word[0] == 0 && held->packets == 0);
	expect(fixture->table->n_rows == 1);
	expect(fixture->table->rows[0]->values[1] == 300);
	expect(fixture->table->retired[0] == 3 && fixture->table->retired[1] == 21);
	/* One that is still waiting when everything ends. */
	expect(slots_retire(fixture->slots, end + 2 * IDLE, IDLE) == 0);
	slots_free(fixture->slots);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

static void without_membarrier(void **state)
{
	in_a_child(retire_by_time, *state);
}

struct sums {
	uint64_t packets, bytes;
};

static struct sums sum_all(const struct fixture *fixture)
{
	const struct table *table = fixture->table;
	struct sums sums = { table->retired[0], table->retired[1] };

	for (uint32_t i = 0; i < table->n_rows; i++) {
		sums.packets += table->rows[i]->values[0];
		sums.bytes += table->rows[i]->values[1];
	}
	return sums;
}

/* Ending keys takes a grace period of the kernel's, so that many end at a time. */
enum { CHURN_WRITERS = 64, CHURN_KEYS = 100000, CHURN_ALIVE = 500 };

static int set_up_churn(void **state)
{
	return open_writers(state, CHURN_WRITERS);
}

/* One event of a key near `newest`, now and then of an old one that comes back, or by another
 * writer. */
static void churn(struct fixture *fixture, uint64_t newest, struct sums *sent)
{
	uint64_t number = newest - (uint64_t)random() % CHURN_ALIVE;
	uint64_t bytes = (uint64_t)random() % 1500;
	unsigned writer = (unsigned)(random() % 20 ? number : (uint64_t)random()) % CHURN_WRITERS;
	struct slot_key key;

	if (random() % 50 == 0)
		number = (uint64_t)random() % (newest + 1);
	key = fake_key(number, number * 7);
	if (!fake_count(&fixture->probe, writer, &key, bytes, START + newest))
		return;
	sent->packets++;
	sent->bytes += bytes;
}

static void assert_sums(const struct fixture *fixture, const struct sums *sent)
{
	struct sums got = sum_all(fixture);

	assert_int_equal(got.packets, sent->packets);
	assert_int_equal(got.bytes, sent->bytes);
}

/* Keys come and go for ever: every event is in the sums, and nothing grows. */
static void churn_of_keys(void **state)
{
	struct fixture *fixture = *state;
	struct sums sent = { 0, 0 };
	size_t settled = 0;

	srandom(1);
	for (uint64_t i = CHURN_ALIVE; i < CHURN_KEYS; i++) {
		for (unsigned j = 0; j < 4; j++)
			churn(fixture, i, &sent);
		if (i % 100 == 0)
			collect(fixture, i);
		if (i % 1000)
			continue;
		assert_sums(fixture, &sent);
		slots_retire(fixture->slots, START + i, CHURN_ALIVE);
		table_admit(fixture->table);
		assert_sums(fixture, &sent);
		assert_true(fixture->table->n_rows <= 2 * CHURN_ALIVE);
		if (i == CHURN_KEYS / 10)
			settled = __sanitizer_get_current_allocated_bytes();
		if (settled)
			assert_true(__sanitizer_get_current_allocated_bytes() <
				    settled + settled / 4);
	}
	assert_true(slots_lost(fixture->slots, offsetof(struct slot_writer, map_full)) <
		    sent.packets / 100);
	collect(fixture, CHURN_KEYS);
	slots_retire(fixture->slots, START + CHURN_KEYS, 0);
	assert_int_equal(fixture->table->n_rows, 0);
	assert_int_equal(slots_in_use(fixture), 0);
	assert_sums(fixture, &sent);
}

enum { CONCURRENT_EVENTS = 200000 };

/* By the key as the kernel has it, while it has a row. */
static void rows_by_key(void **state)
{
	struct fixture *fixture = *state;
	struct slot_key one = fake_key(1, 1), two = fake_key(2, 1), other = fake_key(1, 2);

	assert_null(slots_find(fixture->slots, &one));
	count(fixture, 0, 1, 100);
	assert_null(slots_find(fixture->slots, &one)); /* not looked at yet */
	collect(fixture, 0);
	assert_non_null(slots_find(fixture->slots, &one));
	assert_ptr_equal(slots_find(fixture->slots, &one), find(fixture, 1));
	assert_null(slots_find(fixture->slots, &two));
	assert_null(slots_find(fixture->slots, &other));
	count(fixture, 1, 2, 100);
	collect(fixture, SEC);
	assert_ptr_equal(slots_find(fixture->slots, &two), find(fixture, 2));
	count(fixture, 1, 2, 100);
	collect(fixture, IDLE);
	assert_int_equal(slots_retire(fixture->slots, START + IDLE, IDLE), 1);
	assert_null(slots_find(fixture->slots, &one));
	assert_ptr_equal(slots_find(fixture->slots, &two), find(fixture, 2));
}

struct seen {
	struct fixture *fixture;
	unsigned slots[10]; /* of each key */
};

static void on_slot(void *userdata, void *data, const struct row *row)
{
	struct fake_slot *slot = data;
	struct seen *seen = userdata;
	uint64_t number = slot->key.word[0] & ~SLOT_LIVE;

	assert_in_range(number, 1, 9);
	assert_ptr_equal(row, find(seen->fixture, number));
	seen->slots[number]++;
	slot->pad = number; /* it is the probe's own */
}

/* A key has one for each writer that has met it. */
static void every_slot(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { .fixture = fixture };
	unsigned marked = 0;

	slots_each_slot(fixture->slots, on_slot, &seen);
	count(fixture, 0, 1, 1);
	for (unsigned i = 0; i < N_WRITERS; i++)
		count(fixture, i, 2, 1);
	count(fixture, 2, 3, 1);
	slots_each_slot(fixture->slots, on_slot, &seen);
	assert_int_equal(seen.slots[1] + seen.slots[2] + seen.slots[3], 0);
	collect(fixture, 0);
	slots_each_slot(fixture->slots, on_slot, &seen);
	assert_int_equal(seen.slots[1], 1);
	assert_int_equal(seen.slots[2], N_WRITERS);
	assert_int_equal(seen.slots[3], 1);
	for (unsigned i = 0; i < N_WRITERS * FAKE_SLOTS; i++) {
		const struct fake_slot *slot = fake_lookup(&fixture->probe.slots, &i);

		assert_int_equal(slot->pad, slot->key.word[0] & ~SLOT_LIVE);
		marked += slot->pad != 0;
	}
	assert_int_equal(marked, 2 + N_WRITERS);
}

static void *count_concurrently(void *userdata)
{
	struct fixture *fixture = userdata;

	for (uint64_t i = 0; i < CONCURRENT_EVENTS; i++) {
		struct slot_key key = fake_key(i * i % 29, i * i % 29 * 7);

		fake_count(&fixture->probe, 1, &key, 3, START);
	}
	return NULL;
}

/* The reader sees no slot before its key is whole, and no counter fall. */
static void read_while_counting(void **state)
{
	struct fixture *fixture = *state;
	struct sums last = { 0, 0 }, got;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, count_concurrently, fixture), 0);
	do {
		collect(fixture, 0);
		got = sum_all(fixture);
		assert_true(got.packets >= last.packets && got.bytes >= last.bytes);
		last = got;
	} while (pthread_tryjoin_np(thread, NULL) != 0);
	collect(fixture, 0);
	got = sum_all(fixture);
	assert_int_equal(got.packets, CONCURRENT_EVENTS);
	assert_int_equal(got.bytes, 3 * CONCURRENT_EVENTS);
	for (uint32_t i = 0; i < fixture->table->n_rows; i++) {
		const struct row *row = fixture->table->rows[i];

		assert_int_equal(atoi(row->labels[SECOND].text),
				 7 * atoi(row->labels[KEY].text + 1));
	}
}

static void what_cannot_be_mapped(void **state)
{
	struct fixture *fixture = *state;
	struct slots_source source = {
		.slots_fd = -1,
		.writers_fd = fixture->probe.writers.fd,
		.n_writers = N_WRITERS,
		.slots_per_writer = FAKE_SLOTS,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
	};
	struct slots *slots = NULL;

	assert_int_equal(slots_open(&source, fixture->table, &slots), -EBADF);
	assert_null(slots);
	source.slots_fd = fixture->probe.slots.fd;
	source.writers_fd = -1;
	assert_int_equal(slots_open(&source, fixture->table, &slots), -EBADF);
	assert_null(slots);
	slots_free(NULL);
}

/* The descriptors are not taken over. */
static void descriptors_stay_open(void **state)
{
	struct fixture *fixture = *state;

	slots_free(fixture->slots);
	fixture->slots = NULL;
	assert_int_equal(lseek(fixture->probe.slots.fd, 0, SEEK_SET), 0);
	assert_int_equal(lseek(fixture->probe.writers.fd, 0, SEEK_SET), 0);
}

static void descriptions(void **state)
{
	struct description d = { .used = 0 };
	char longer[600];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	description_printf(&d, 0, "%s+%u", "f", 1);
	description_printf(&d, 1, "%s", "");
	description_printf(&d, 2, "%s", longer);
	description_printf(&d, 3, "%s", longer); /* no room for all of it */
	description_printf(&d, 4, "%s", "more");
	assert_string_equal(d.labels[0], "f+1");
	assert_string_equal(d.labels[1], "");
	assert_string_equal(d.labels[2], longer);
	assert_int_equal(strlen(d.labels[3]), DESCRIPTION_TEXT - 4 - 1 - sizeof(longer) - 1);
	assert_string_equal(d.labels[4], "");
	assert_true(d.used <= DESCRIPTION_TEXT);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(nothing_yet),
		test(an_event_makes_a_row),
		test(first_seen_is_plausible),
		test(gauges_are_left_alone),
		test(claims_tell),
		test(half_published),
		test(keys_differ_in_every_word),
		test(writers_are_summed),
		test(retiring),
		test(retiring_unsaved),
		test(retiring_reads_a_last_time),
		test(freed_slots_are_used_again),
		test(a_key_comes_back),
		test(two_slots_of_one_key),
		test(no_room),
		test(losses_are_summed),
		test(every_living_key),
		test(rows_by_key),
		test(every_slot),
		test(without_membarrier),
		cmocka_unit_test_setup_teardown(churn_of_keys, set_up_churn, tear_down),
		test(read_while_counting),
		test(what_cannot_be_mapped),
		test(descriptors_stay_open),
		cmocka_unit_test(descriptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
