/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of stacks, through a ring buffer of the running kernel into which a program puts what the
 * test says; the slots are fake_probe.h's. Their frames are addresses that no kernel names. */
#include "fake_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/stacks.h"
#include "collect/stacks.h"
#include "model/query_parameters.h"
#include "util.h"

#define NOW 1795230765678901234ULL
#define START 5000000000000ULL /* monotonic */
#define SEC 1000000000ULL

enum { KEY, LOCATION, HINT, REMARK, N_LABELS };

static const struct column columns[] = {
	[KEY] = { .name = "key" },
	[LOCATION] = { .name = "location", .detail = true },
	[HINT] = { .name = "hint", .borrowed = true },
	[REMARK] = { .name = "remark", .borrowed = true, .prose = true, .detail = true },
	{ .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .metric = "bytes" },
};

enum { WHOLE, SHORT, N_PROGRAMS };

struct fixture {
	struct fake_probe probe;
	struct table *table, *window;
	struct slots *slots;
	struct symbols *symbols;
	struct stacks *stacks;
	int ring, value, programs[N_PROGRAMS]; /* -1: there are none here */
	struct stack_sample *sample;	       /* what the programs put */
	struct query query;
	struct shares shares;
};

static void describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct fake_slot *slot = data;

	(void)userdata;
	(void)now;
	description_printf(d, KEY, "k%llu", slot->key.word[0] & ~SLOT_LIVE);
	description_printf(d, LOCATION, "0x%llx", slot->key.word[1]);
	d->labels[HINT] = "of then";
}

static uint64_t location(const struct slot_key *key)
{
	return key->word[1];
}

/* Puts so many bytes of the value into the ring. */
static int load(const struct fixture *f, int size)
{
	const struct bpf_insn code[] = {
		{ BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, f->ring },
		{ .imm = 0 },
		{ BPF_LD | BPF_DW | BPF_IMM, BPF_REG_2, BPF_PSEUDO_MAP_VALUE, 0, f->value },
		{ .imm = 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, size },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, BPF_RB_NO_WAKEUP },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_output },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "put", "GPL", code, ARRAY_SIZE(code),
			     NULL);
}

static void open_ring(struct fixture *f)
{
	LIBBPF_OPTS(bpf_map_create_opts, mappable, .map_flags = BPF_F_MMAPABLE);
	void *address;

	f->ring = f->value = f->programs[WHOLE] = f->programs[SHORT] = -1;
	f->ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, STACKS_RING, NULL);
	if (f->ring < 0)
		return;
	f->value = bpf_map_create(BPF_MAP_TYPE_ARRAY, "value", 4, sizeof(struct stack_sample), 1,
				  &mappable);
	assert_true(f->value >= 0);
	address = mmap(NULL, sizeof(*f->sample), PROT_READ | PROT_WRITE, MAP_SHARED, f->value, 0);
	assert_true(address != MAP_FAILED);
	f->sample = address;
	f->programs[WHOLE] = load(f, sizeof(struct stack_sample));
	f->programs[SHORT] = load(f, sizeof(struct stack_sample) - 8);
	assert_int_equal(stacks_open(f->ring, f->slots, f->table, location, &f->stacks), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct slots_source source = {
		.n_writers = 1,
		.slots_per_writer = FAKE_SLOTS,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
		.first_seen = offsetof(struct fake_slot, first_seen),
		.describe = describe,
	};

	assert_non_null(f);
	fake_probe_open(&f->probe, 1);
	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), 50, &f->table), 0);
	assert_int_equal(table_new("t", columns, ARRAY_SIZE(columns), 50, &f->window), 0);
	f->window->window.from = NOW - 60 * SEC;
	f->window->window.to = NOW;
	source.slots_fd = f->probe.slots.fd;
	source.writers_fd = f->probe.writers.fd;
	assert_int_equal(slots_open(&source, f->table, &f->slots), 0);
	assert_int_equal(symbols_new(&f->symbols), 0);
	query_init_stacks(&f->query, f->table);
	open_ring(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	stacks_free_shares(&f->shares);
	stacks_close(f->stacks);
	symbols_free(f->symbols);
	slots_free(f->slots);
	table_free(f->window);
	table_free(f->table);
	if (f->sample)
		munmap(f->sample, sizeof(*f->sample));
	for (unsigned i = 0; i < N_PROGRAMS; i++)
		closep(&f->programs[i]);
	closep(&f->value);
	closep(&f->ring);
	fake_probe_close(&f->probe);
	free(f);
	return 0;
}

static bool skipped(const struct fixture *f)
{
	if (f->programs[WHOLE] >= 0)
		return false;
	print_message("ring buffers and programs of the kernel need root: SKIPPED\n");
	skip();
	return true;
}

/* The key of kN, whose stacks begin at `location`. */
static struct slot_key key_of(const struct fixture *f, uint64_t number, uint64_t begin)
{
	(void)f;
	return fake_key(number, begin);
}

/* A row of the table that is collected. */
static void add_row(struct fixture *f, uint64_t number, uint64_t begin)
{
	struct slot_key key = key_of(f, number, begin);

	assert_true(fake_count(&f->probe, 0, &key, 100, START));
	assert_int_equal(slots_collect(f->slots, NOW, START), 0);
}

/* The same in the window, which has counted so many. */
static struct row *add_window(struct fixture *f, const char *key, const char *begin,
			      uint64_t packets)
{
	const char *labels[N_LABELS] = { key, begin, "of now", "another remark" };
	struct row *row;

	assert_int_equal(table_add(f->window, labels, NOW, &row), 0);
	row->values[0] = packets;
	return row;
}

static void run(struct fixture *f, unsigned program)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	assert_int_equal(bpf_prog_test_run_opts(f->programs[program], &options), 0);
	assert_int_equal((int)options.retval, 0);
}

/* One sample: frames from `first` on, one after the other. */
static void put(struct fixture *f, uint64_t number, uint64_t begin, uint64_t first, unsigned n)
{
	*f->sample = (struct stack_sample){ .key = key_of(f, number, begin), .n_frames = n };
	for (unsigned i = 0; i < n && i < STACK_FRAMES; i++)
		f->sample->frames[i] = first + i;
	run(f, WHOLE);
}

static void share(struct fixture *f)
{
	uint64_t sum = 0;

	stacks_free_shares(&f->shares);
	memset(&f->shares, 'x', sizeof(f->shares));
	assert_int_equal(stacks_share(f->stacks, f->symbols, f->window, &f->query, 0, &f->shares),
			 0);
	for (uint32_t i = 0; i < f->shares.n; i++)
		sum += f->shares.list[i].events;
	assert_int_equal(sum, f->shares.events);
}

/* Each as "key events/samples frame,frame;" */
static void assert_shares(struct fixture *f, const char *expected)
{
	char text[1024] = "";
	size_t n = 0;

	share(f);
	for (uint32_t i = 0; i < f->shares.n; i++) {
		const struct share *share = &f->shares.list[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %ju/%u ",
				      share->row->labels[KEY].text, (uintmax_t)share->events,
				      share->samples);
		for (unsigned j = 0; j < share->n_frames; j++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", j ? "," : "",
					      share->frames[j]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, ";");
	}
	assert_string_equal(text, expected);
}

static void shared_out(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1001);
	add_window(f, "k1", "0x1001", 100);
	for (unsigned i = 0; i < 3; i++)
		put(f, 1, 0x1001, 0x1000, 3);
	put(f, 1, 0x1001, 0x1001, 1);
	assert_shares(f, "k1 100/0 ;"); /* not looked at yet */
	assert_int_equal(f->shares.sampled_since, 0);
	stacks_collect(f->stacks, NOW - SEC);
	assert_shares(f, "k1 75/3 0x1001,0x1002;k1 25/1 0x1001;");
	assert_ptr_equal(f->shares.table, f->window);
	assert_int_equal(f->shares.columns, 1 << KEY | 1 << LOCATION | 1 << HINT);
	assert_int_equal(f->shares.sampled_since, NOW - SEC);
	assert_int_equal(f->shares.lost, 0);
	/* It is in their proportion, whatever the number, and exact. */
	f->window->rows[0]->values[0] = 10;
	assert_shares(f, "k1 8/3 0x1001,0x1002;k1 2/1 0x1001;");
	f->window->rows[0]->values[0] = 2;
	assert_shares(f, "k1 2/3 0x1001,0x1002;");
	f->window->rows[0]->values[0] = UINT64_MAX;
	assert_shares(f, "k1 13835058055282163711/3 0x1001,0x1002;"
			 "k1 4611686018427387904/1 0x1001;");
	f->window->rows[0]->values[0] = 0;
	assert_shares(f, "");
}

static void in_the_window(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	add_window(f, "k1", "0x1000", 60);
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW - 60 * SEC); /* just before it begins */
	put(f, 1, 0x1000, 0x1000, 2);
	stacks_collect(f->stacks, NOW - 60 * SEC + 1);
	put(f, 1, 0x1000, 0x1000, 3);
	stacks_collect(f->stacks, NOW); /* the last that is in it */
	put(f, 1, 0x1000, 0x1000, 4);
	stacks_collect(f->stacks, NOW + 1);
	assert_shares(f, "k1 30/1 0x1000,0x1001;k1 30/1 0x1000,0x1001,0x1002;");
	assert_int_equal(f->shares.sampled_since, NOW - 60 * SEC);
	f->window->window.to = NOW + 1;
	assert_shares(f, "k1 20/1 0x1000,0x1001;k1 20/1 0x1000,0x1001,0x1002;"
			 "k1 20/1 0x1000,0x1001,0x1002,0x1003;");
}

/* Those before and behind it are better than none. */
static void outside_the_window(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	add_row(f, 2, 0x1000);
	add_window(f, "k1", "0x1000", 9);
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW - 3600 * SEC);
	put(f, 1, 0x1000, 0x1000, 2);
	put(f, 1, 0x1000, 0x1000, 2);
	stacks_collect(f->stacks, NOW + 3600 * SEC);
	put(f, 2, 0x1000, 0x1000, 3);
	stacks_collect(f->stacks, NOW); /* of another row */
	assert_shares(f, "k1 6/2 0x1000,0x1001;k1 3/1 0x1000;");
}

static void rows_apart(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	add_row(f, 2, 0x1000);
	add_row(f, 1, 0x1001);
	add_window(f, "k1", "0x1000", 5);
	add_window(f, "k2", "0x1000", 50);
	add_window(f, "k1", "0x1001", 5);
	add_window(f, "k3", "0x1000", 500); /* never sampled */
	add_window(f, "k10", "x1000", 1);   /* the same letters */
	put(f, 1, 0x1000, 0x1000, 2);
	put(f, 2, 0x1000, 0x1000, 2);
	put(f, 1, 0x1001, 0x1000, 2);
	stacks_collect(f->stacks, NOW);
	/* Of one stack, each begins where its row says. */
	assert_shares(f, "k3 500/0 ;k2 50/1 0x1000,0x1001;k1 5/1 0x1000,0x1001;k1 5/1 0x1001;"
			 "k10 1/0 ;");
	assert_int_equal(f->shares.events, 561);
}

static void filtered(void **state)
{
	struct fixture *f = *state;
	struct query_error error;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	add_window(f, "k1", "0x1000", 5);
	add_window(f, "k2", "0x1000", 50);
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW);
	assert_int_equal(query_parameter(&f->query, f->window, "key", "k1", &error), 0);
	assert_shares(f, "k1 5/1 0x1000;");
	assert_int_equal(f->shares.events, 5);
	assert_int_equal(query_parameter(&f->query, f->window, "hint", "of now", &error), 0);
	assert_shares(f, "k1 5/1 0x1000;");
	assert_int_equal(query_parameter(&f->query, f->window, "hint!", "of now", &error), 0);
	assert_shares(f, "");
	assert_int_equal(f->shares.events, 0);
}

/* A row that has ended and come back is the same. */
static void rows_that_come_back(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW);
	assert_int_equal(slots_retire(f->slots, START + 3600 * SEC, SEC), 1);
	assert_int_equal(f->table->n_rows, 0);
	/* Not before it has a row again. */
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW);
	add_row(f, 1, 0x1000);
	put(f, 1, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW);
	add_window(f, "k1", "0x1000", 5);
	assert_shares(f, "k1 5/2 0x1000;");
	assert_int_equal(f->shares.lost, 1);
}

static void where_they_begin(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1234);
	add_window(f, "k1", "0x1234", 7);
	/* Not at the place that the row names, and nowhere at all. */
	put(f, 1, 0x1234, 0x1000, 2);
	put(f, 1, 0x1234, 0, 0);
	stacks_collect(f->stacks, NOW);
	assert_shares(f, "k1 4/1 0x1000,0x1001;k1 3/1 ;");
	/* Where it is the outermost. */
	put(f, 1, 0x1234, 0x1230, 5);
	put(f, 1, 0x1234, 0x1234 - STACK_FRAMES + 1, STACK_FRAMES);
	stacks_collect(f->stacks, NOW);
	assert_shares(f, "k1 2/1 0x1000,0x1001;k1 2/1 ;k1 2/1 0x1234;k1 1/1 0x1234;");
}

/* What is no sample is none. */
static void malformed(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0x1000);
	add_window(f, "k1", "0x1000", 5);
	*f->sample = (struct stack_sample){ .key = key_of(f, 1, 0x1000), .n_frames = 1 };
	f->sample->frames[0] = 0x1000;
	run(f, SHORT);
	f->sample->n_frames = STACK_FRAMES + 1;
	run(f, WHOLE);
	f->sample->n_frames = UINT32_MAX;
	run(f, WHOLE);
	stacks_collect(f->stacks, NOW);
	assert_shares(f, "k1 5/0 ;");
	assert_int_equal(f->shares.lost, 0);
	assert_int_equal(f->shares.sampled_since, 0);
}

static void lost(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	put(f, 1, 0x1000, 0x1000, 1);
	put(f, 2, 0x1000, 0x1000, 1);
	stacks_collect(f->stacks, NOW);
	assert_int_equal(stacks_share(f->stacks, f->symbols, f->window, &f->query, 40, &f->shares),
			 0);
	assert_int_equal(f->shares.lost, 42);
	assert_int_equal(f->shares.n, 0);
	assert_int_equal(f->shares.sampled_since, 0);
}

/* So many samples of k1 of different stacks, or of one. */
static void put_many(struct fixture *f, unsigned n, uint64_t first, bool different, uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		put(f, 1, 0, first + (different ? i : 0), 1);
		if (i % 200 == 199 || i == n - 1)
			stacks_collect(f->stacks, now);
	}
}

/* The oldest goes first, and with its last sample a stack. */
static void the_last_are_kept(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0);
	add_window(f, "k1", "0x0", STACKS_SAMPLES);
	put_many(f, 2, 0x1000, false, NOW - 3);
	put_many(f, STACKS_SAMPLES - 2, 0x2000, false, NOW - 2);
	assert_shares(f, "k1 8190/8190 0x2000;k1 2/2 0x1000;");
	assert_int_equal(f->shares.sampled_since, NOW - 3);
	put_many(f, 1, 0x3000, false, NOW - 1);
	assert_shares(f, "k1 8190/8190 0x2000;k1 1/1 0x1000;k1 1/1 0x3000;");
	put_many(f, 1, 0x3000, false, NOW - 1);
	assert_shares(f, "k1 8190/8190 0x2000;k1 2/2 0x3000;");
	assert_int_equal(f->shares.sampled_since, NOW - 2);
	/* One that had gone. */
	put_many(f, 1, 0x1000, false, NOW);
	assert_shares(f, "k1 8189/8189 0x2000;k1 2/2 0x3000;k1 1/1 0x1000;");
	put_many(f, STACKS_SAMPLES, 0x4000, false, NOW);
	assert_shares(f, "k1 8192/8192 0x4000;");
	assert_int_equal(f->shares.sampled_since, NOW);
	assert_int_equal(f->shares.lost, 0);
}

/* Where every stack is another: the last of those. */
static void different_stacks(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	add_row(f, 1, 0);
	add_window(f, "k1", "0x0", STACKS_DISTINCT);
	put_many(f, STACKS_DISTINCT, 0x10000, true, NOW - 2);
	share(f);
	assert_int_equal(f->shares.n, STACKS_DISTINCT);
	assert_int_equal(f->shares.lost, 0);
	/* One that is known needs no room. */
	put_many(f, 1, 0x10000 + 1, false, NOW - 2);
	share(f);
	assert_int_equal(f->shares.n, STACKS_DISTINCT);
	put_many(f, STACKS_DISTINCT, 0x20000, true, NOW - 1);
	share(f);
	assert_int_equal(f->shares.n, STACKS_DISTINCT);
	assert_int_equal(f->shares.sampled_since, NOW - 1);
	for (uint32_t i = 0; i < f->shares.n; i++)
		assert_int_equal(strncmp(f->shares.list[i].frames[0], "0x2", 3), 0);
	/* More than all of them, again and again. */
	put_many(f, STACKS_SAMPLES + 3 * STACKS_DISTINCT, 0x30000, true, NOW);
	share(f);
	assert_int_equal(f->shares.n, STACKS_DISTINCT);
	assert_int_equal(f->shares.lost, 0);
}

static void cannot_be_opened(void **state)
{
	struct fixture *f = *state;
	struct stacks *stacks = (void *)f;

	assert_true(stacks_open(f->probe.slots.fd, f->slots, f->table, NULL, &stacks) < 0);
	assert_true(stacks_open(-1, f->slots, f->table, NULL, &stacks) < 0);
	assert_ptr_equal(stacks, f);
	stacks_close(NULL);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shared_out),	 test(in_the_window),	 test(outside_the_window),
		test(rows_apart),	 test(filtered),	 test(rows_that_come_back),
		test(where_they_begin),	 test(malformed),	 test(lost),
		test(the_last_are_kept), test(different_stacks), test(cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
