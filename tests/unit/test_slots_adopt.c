/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots that have counted before: one rule each; test_restarts.c has them all in any order. */
#include "fake_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/slots.h"
#include "util.h"

enum { N_WRITERS = 3 };

#define NOW 1795230765678901234ULL
#define START 5000000000000ULL
#define SEC 1000000000ULL
#define IDLE (3600 * SEC)

static const struct column columns[] = {
	{ .name = "key" },
	{ .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .metric = "bytes" },
	{ .name = "age", .kind = COLUMN_GAUGE, .metric = "age" },
};

struct fixture {
	struct fake_probe probe;
	struct table *table;
	struct slots *slots;
};

/* The second word of the key is not shown: keys may have the same labels. */
static void describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct fake_slot *slot = data;

	(void)userdata;
	(void)now;
	assert_true(slot->key.word[0] & SLOT_LIVE);
	description_printf(d, 0, "k%llu", slot->key.word[0] & ~SLOT_LIVE);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct slots_source source = {
		.n_writers = N_WRITERS,
		.slots_per_writer = FAKE_SLOTS,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
		.first_seen = offsetof(struct fake_slot, first_seen),
		.describe = describe,
		.userdata = f,
	};

	assert_non_null(f);
	fake_probe_open(&f->probe, N_WRITERS);
	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), 50, &f->table), 0);
	source.slots_fd = f->probe.slots.fd;
	source.writers_fd = f->probe.writers.fd;
	assert_int_equal(slots_open(&source, f->table, &f->slots), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	slots_free(f->slots);
	table_free(f->table);
	fake_probe_close(&f->probe);
	free(f);
	return 0;
}

static void count(struct fixture *f, unsigned writer, uint64_t number, unsigned packets)
{
	struct slot_key key = fake_key(number, 1);

	for (unsigned i = 0; i < packets; i++)
		assert_true(fake_count(&f->probe, writer, &key, 100, START));
}

static struct fake_slot *slot_of(struct fixture *f, unsigned writer, uint64_t number)
{
	struct slot_key key = fake_key(number, 1);

	return (struct fake_slot *)slot_find(&f->probe.slots, &key, writer);
}

static uint32_t index_of(const struct fixture *f, const struct fake_slot *slot)
{
	return (uint32_t)(slot - (struct fake_slot *)f->probe.slots.data);
}

/* As user space marks a slot that is about to retire. */
static struct fake_slot *mark(struct fixture *f, unsigned writer, uint64_t number)
{
	struct fake_slot *slot = slot_of(f, writer, number);

	assert_non_null(slot);
	slot->key.word[0] &= ~SLOT_LIVE;
	return slot;
}

/* An hour and some later. */
static void adopt(struct fixture *f, const struct slots_past *past, unsigned n,
		  const uint32_t *freed, unsigned n_freed)
{
	assert_int_equal(slots_adopt(f->slots, past, n, freed, n_freed, NOW + IDLE, START + IDLE),
			 0);
}

static const struct row *only_row(const struct fixture *f)
{
	assert_int_equal(f->table->n_rows, 1);
	return f->table->rows[0];
}

static void nothing_known(void **state)
{
	struct fixture *f = *state;

	count(f, 0, 7, 2);
	count(f, 2, 7, 3);
	/* The writers' counters may be newer than the slots. */
	fake_writer(&f->probe, 0)->claims = fake_writer(&f->probe, 2)->claims = 0;
	adopt(f, NULL, 0, NULL, 0);
	assert_int_equal(only_row(f)->values[0], 5);
	assert_int_equal(only_row(f)->first_seen, NOW);
	assert_int_equal(only_row(f)->last_seen, NOW + IDLE);
	assert_null(only_row(f)->base);
}

/* Nothing has come since then: it was seen when it was seen, and retires by that. */
static void not_seen_since(void **state)
{
	struct fixture *f = *state;
	const struct slots_past past = {
		.key = fake_key(7, 1),
		.first_seen = 1000,
		.last_seen = NOW + SEC,
		.seen = 2 + 200,
	};

	count(f, 0, 7, 2);
	adopt(f, &past, 1, NULL, 0);
	assert_int_equal(only_row(f)->first_seen, 1000);
	assert_int_equal(only_row(f)->last_seen, NOW + SEC);
	assert_int_equal(slots_retire(f->slots, START + IDLE + SEC - 1, IDLE), 0);
	assert_int_equal(slots_retire(f->slots, START + IDLE + SEC, IDLE), 1);
	assert_int_equal(f->table->retired[0], 2);
}

/* Whatever its name would be today; of a column that is new, that is all that is known. */
static void names(void **state)
{
	static const char *const before[] = { "before" }, *const nothing[] = { "" };
	struct fixture *f = *state;
	const struct slots_past past[] = {
		{ .key = fake_key(7, 1), .labels = before, .seen = 202 },
		{ .key = fake_key(8, 1), .labels = nothing, .seen = 101 },
	};

	count(f, 0, 7, 2);
	count(f, 0, 8, 1);
	adopt(f, past, 2, NULL, 0);
	count(f, 1, 7, 3);
	assert_int_equal(slots_collect(f->slots, NOW + IDLE, START + IDLE), 0);
	assert_int_equal(f->table->n_rows, 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct row *row = f->table->rows[i];

		assert_string_equal(row->labels[0].text, row->values[0] == 5 ? "before" : "k8");
	}
}

static void seen_since(void **state)
{
	struct fixture *f = *state;
	const struct slots_past past = {
		.key = fake_key(7, 1),
		.first_seen = 1000,
		.last_seen = NOW + SEC,
		.seen = 1 + 100,
	};

	count(f, 0, 7, 2);
	adopt(f, &past, 1, NULL, 0);
	assert_int_equal(only_row(f)->first_seen, 1000);
	assert_int_equal(only_row(f)->last_seen, NOW + IDLE);
	assert_int_equal(slots_retire(f->slots, START + IDLE + SEC, IDLE), 0);
}

/* The clock has been set back meanwhile, or forward by more than the time since boot. */
static void other_clock(void **state)
{
	struct fixture *f = *state;
	const struct slots_past past[] = {
		{ .key = fake_key(7, 1),
		  .first_seen = 1,
		  .last_seen = NOW + 2 * IDLE,
		  .seen = 101 },
		{ .key = fake_key(8, 1), .first_seen = 1, .last_seen = 2, .seen = 101 },
	};

	count(f, 0, 7, 1);
	count(f, 0, 8, 1);
	adopt(f, past, 2, NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct row *row = f->table->rows[i];
		bool later = strcmp(row->labels[0].text, "k7") == 0;

		assert_int_equal(row->last_seen, later ? NOW + IDLE : 2);
	}
	assert_int_equal(slots_retire(f->slots, START + IDLE + SEC, IDLE), 0);
}

/* A marked slot goes on to retire; the key that has come back is another row. */
static void marked_and_living(void **state)
{
	struct fixture *f = *state;
	uint64_t base[3] = { 1, 100, 0 }, carried[2] = { 10, 1000 };
	const struct slots_past past = {
		.key = fake_key(7, 1),
		.first_seen = 1000,
		.base = base,
		.carried = carried,
	};

	count(f, 0, 7, 2);
	count(f, 1, 7, 4);
	mark(f, 0, 7);
	mark(f, 1, 7);
	count(f, 0, 7, 3);
	adopt(f, &past, 1, NULL, 0);
	assert_int_equal(f->table->n_rows, 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct row *row = f->table->rows[i];

		assert_int_equal(row->values[0], row->base ? 16 : 3);
		assert_int_equal(row->values[1], row->base ? 1600 : 300);
		assert_int_equal(row->first_seen, row->base ? 1000 : NOW);
	}
	assert_int_equal(slots_retire(f->slots, START + IDLE, IDLE), 1);
	assert_int_equal(f->table->retired[0], 16);
	assert_int_equal(only_row(f)->values[0], 3);
	assert_null(only_row(f)->base);
}

/* What is said to be freed is, unless it is somebody's again, or nobody's. */
static void freed(void **state)
{
	struct fixture *f = *state;
	struct fake_slot *slot;
	uint32_t indices[5];

	count(f, 0, 7, 2);
	count(f, 0, 8, 3);
	indices[0] = index_of(f, slot_of(f, 0, 8)); /* living */
	slot = mark(f, 0, 7);
	indices[1] = indices[2] = index_of(f, slot);
	indices[3] = N_WRITERS * FAKE_SLOTS;
	indices[4] = UINT32_MAX;
	adopt(f, NULL, 0, indices, 5);
	assert_int_equal(slot->key.word[0], 0);
	assert_int_equal(slot->packets, 0);
	assert_int_equal(slot->first_seen, 0);
	assert_string_equal(only_row(f)->labels[0].text, "k8");
	assert_int_equal(only_row(f)->values[0], 3);
	assert_int_equal(f->table->retired[0], 0);
}

/* A row without slots stands until its key comes, or until it has stood for long enough. */
static void carrying(void **state)
{
	struct fixture *f = *state;
	const char *const seven[] = { "k7" }, *const eight[] = { "k8" };
	uint64_t carried[2] = { 10, 1000 };
	struct slots_past past[] = {
		{ .labels = seven, .first_seen = 1000, .last_seen = NOW, .carried = carried },
		{ .labels = eight, .first_seen = 2000, .last_seen = NOW, .carried = carried },
		{ .labels = eight }, /* carries nothing: it is none */
	};

	past[0].seen = past[1].seen = 1010;
	adopt(f, past, 3, NULL, 0);
	assert_int_equal(f->table->n_rows, 2);
	assert_int_equal(f->table->rows[0]->values[1], 1000);
	assert_int_equal(f->table->rows[0]->last_seen, NOW);
	count(f, 0, 7, 1);
	assert_int_equal(slots_collect(f->slots, NOW + IDLE, START + IDLE), 0);
	assert_int_equal(f->table->n_rows, 2);
	assert_int_equal(f->table->rows[0]->values[1], 1100);
	assert_int_equal(f->table->rows[0]->first_seen, 1000);
	assert_int_equal(f->table->rows[0]->last_seen, NOW + IDLE);
	assert_int_equal(slots_retire(f->slots, START + IDLE, IDLE), 1);
	assert_string_equal(only_row(f)->labels[0].text, "k7");
	assert_int_equal(f->table->retired[0], 10);
	assert_int_equal(slots_retire(f->slots, START + 2 * IDLE, IDLE), 1);
	assert_int_equal(f->table->retired[0], 21);
}

/* A key that knows what it carries, and a row of the same labels that has no slots: two rows. */
static void carrying_beside(void **state)
{
	struct fixture *f = *state;
	const char *const seven[] = { "k7" };
	uint64_t mine[2] = { 10, 1000 }, others[2] = { 500, 50000 };
	const struct slots_past past[] = {
		{ .labels = seven, .first_seen = 2000, .carried = others },
		{ .key = fake_key(7, 1), .labels = seven, .first_seen = 1000, .carried = mine },
	};

	count(f, 0, 7, 1);
	adopt(f, past, 2, NULL, 0);
	assert_int_equal(f->table->n_rows, 2);
	assert_int_equal(f->table->rows[0]->values[0] + f->table->rows[1]->values[0], 511);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(f->table->rows[i]->values[0],
				 f->table->rows[i]->first_seen == 1000 ? 11 : 500);
}

struct saved {
	struct slots_past past[8];
	unsigned n;
};

static void on_save(void *userdata, const struct row *row, const struct slots_past *past)
{
	struct saved *saved = userdata;

	(void)row;
	assert_true(saved->n < ARRAY_SIZE(saved->past));
	saved->past[saved->n++] = *past;
}

static void saved_rows(void **state)
{
	struct fixture *f = *state;
	const char *const eight[] = { "k8" };
	uint64_t carried[2] = { 10, 1000 };
	const struct slots_past past = { .labels = eight, .first_seen = 2000, .carried = carried };
	struct saved saved = { .n = 0 };
	const uint32_t *indices;
	uint64_t revision;

	count(f, 0, 7, 2);
	mark(f, 0, 7);
	count(f, 0, 9, 3);
	adopt(f, &past, 1, NULL, 0);
	assert_int_equal(slots_save(f->slots, on_save, &saved, &indices), 0);
	assert_int_equal(saved.n, 3);
	for (unsigned i = 0; i < saved.n; i++) {
		uint64_t key = saved.past[i].key.word[0];

		assert_true(key == 0 || key == (7 | SLOT_LIVE) || key == (9 | SLOT_LIVE));
		assert_int_equal(saved.past[i].carried != NULL, key == 0);
		assert_int_equal(saved.past[i].seen, !key		      ? 1010
						     : key == (7 | SLOT_LIVE) ? 202
									      : 303);
	}
	revision = slots_revision(f->slots);
	count(f, 0, 9, 1);
	assert_int_equal(slots_collect(f->slots, NOW + IDLE, START + IDLE), 0);
	assert_int_equal(slots_revision(f->slots), revision);
	count(f, 0, 10, 1);
	assert_int_equal(slots_collect(f->slots, NOW + IDLE, START + IDLE), 0);
	assert_int_not_equal(slots_revision(f->slots), revision);
	revision = slots_revision(f->slots);
	assert_int_equal(slots_retire(f->slots, START + IDLE, IDLE), 1);
	assert_int_not_equal(slots_revision(f->slots), revision);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(nothing_known),   test(not_seen_since),	test(names), test(seen_since),
		test(other_clock),     test(marked_and_living), test(freed), test(carrying),
		test(carrying_beside), test(saved_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
