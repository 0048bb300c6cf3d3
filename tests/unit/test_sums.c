/* SPDX-License-Identifier: BSD-2-Clause */
/* Sums in a map of the running kernel, which the test fills in the place of a program. */
#include "fixtures.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/sums.h"

enum { SERIAL = 7, OTHER = 8 };

struct fixture {
	int map; /* -1: there are none here */
	struct subscriber s;
	uint32_t expected_serial;
	char told[4096]; /* "key/stack values;" */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->map = bpf_map_create(BPF_MAP_TYPE_HASH, "sums", sizeof(struct live_sum_key),
				sizeof(struct live_sum), LIVE_SUMS, NULL);
	f->s.serial = f->expected_serial = SERIAL;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->s.sums);
	closep(&f->map);
	free(f);
	return 0;
}

static bool skipped(const struct fixture *f)
{
	if (f->map >= 0)
		return false;
	print_message("maps of the kernel need root: SKIPPED\n");
	skip();
	return true;
}

/* What a program has added up of a row and a stack. */
static void set(const struct fixture *f, uint32_t serial, uint64_t row, uint64_t stack,
		uint64_t packets, uint64_t bytes)
{
	const struct live_sum_key key = { .serial = serial,
					  .stack = stack,
					  .slot.word = { row, 0, 0, row } };
	const struct live_sum sum = { .values = { packets, bytes, 0 },
				      .n_frames = 2,
				      .frames = { stack, row } };

	assert_int_equal(bpf_map_update_elem(f->map, &key, &sum, BPF_ANY), 0);
}

static unsigned entries(const struct fixture *f, uint32_t serial)
{
	struct live_sum_key key, *before = NULL;
	unsigned n = 0;

	while (bpf_map_get_next_key(f->map, before, &key) == 0) {
		n += key.serial == serial;
		before = &key;
	}
	return n;
}

static void on_sum(void *userdata, const struct live_sum_key *key, const struct live_sum *sum)
{
	struct fixture *f = userdata;
	size_t used = strlen(f->told);

	assert_int_equal(key->serial, f->expected_serial);
	assert_int_equal(key->slot.word[0], key->slot.word[3]);
	assert_int_equal(sum->n_frames, 2);
	assert_int_equal(sum->frames[0], key->stack);
	assert_int_equal(sum->frames[1], key->slot.word[0]);
	snprintf(f->told + used, sizeof(f->told) - used, "%ju/%ju %ju %ju;",
		 (uintmax_t)key->slot.word[0], (uintmax_t)key->stack, (uintmax_t)sum->values[0],
		 (uintmax_t)sum->values[1]);
}

static void assert_told(struct fixture *f, const char *expected)
{
	f->told[0] = '\0';
	assert_int_equal(sums_read(&f->s, f->map, NULL, on_sum, f), 0);
	assert_string_equal(f->told, expected);
}

static void increases(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	assert_told(f, "");
	set(f, SERIAL, 1, 0, 10, 1000);
	assert_told(f, "1/0 10 1000;");
	assert_told(f, "");
	set(f, SERIAL, 1, 0, 12, 1100);
	set(f, SERIAL, 2, 0, 1, 60);
	assert_told(f, "1/0 2 100;2/0 1 60;");
	set(f, SERIAL, 2, 0, 5, 61);
	assert_told(f, "2/0 4 1;");
	assert_told(f, "");
	/* Both move again; a third comes. */
	set(f, SERIAL, 1, 0, 13, 1101);
	set(f, SERIAL, 2, 0, 7, 63);
	set(f, SERIAL, 0, 0, 3, 4);
	assert_told(f, "0/0 3 4;2/0 2 2;1/0 1 1;");
}

/* A value that alone has moved is an increase, too. */
static void any_value(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	set(f, SERIAL, 1, 0, 0, 5);
	assert_told(f, "1/0 0 5;");
	set(f, SERIAL, 1, 0, 0, 6);
	assert_told(f, "1/0 0 1;");
	set(f, SERIAL, 2, 0, 0, 0);
	assert_told(f, "");
	set(f, SERIAL, 2, 0, UINT64_MAX, 1);
	assert_told(f, "2/0 18446744073709551615 1;");
}

/* The greatest first; among equals always the same one. */
static void order(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	set(f, SERIAL, 4, 0, 7, 1);
	set(f, SERIAL, 1, 0, 7, 9);
	set(f, SERIAL, 3, 0, 100, 1);
	set(f, SERIAL, 2, 0, UINT64_MAX, 1);
	set(f, SERIAL, 5, 0, 1, 1000000);
	assert_told(f, "2/0 18446744073709551615 1;3/0 100 1;1/0 7 9;4/0 7 1;5/0 1 1000000;");
	/* By what has been added, not by what there is. */
	set(f, SERIAL, 3, 0, 101, 2);
	set(f, SERIAL, 5, 0, 3, 1000001);
	assert_told(f, "5/0 2 1;3/0 1 1;");
}

static void stacks_apart(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	set(f, SERIAL, 1, 111, 5, 50);
	set(f, SERIAL, 1, 113, 6, 60);
	set(f, SERIAL, 2, 111, 1, 10);
	assert_told(f, "1/113 6 60;1/111 5 50;2/111 1 10;");
	set(f, SERIAL, 1, 111, 6, 51);
	assert_told(f, "1/111 1 1;");
}

static void serials_apart(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	set(f, OTHER, 1, 0, 1000, 1);
	assert_told(f, "");
	set(f, SERIAL, 1, 0, 1, 1);
	set(f, SERIAL - 1, 1, 0, 1000, 1);
	set(f, SERIAL + 256, 1, 0, 1000, 1);
	assert_told(f, "1/0 1 1;");
}

static void forgotten(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	sums_forget(f->map, SERIAL);
	for (unsigned i = 0; i < LIVE_SUMS / 2; i++) {
		set(f, SERIAL, i, 1, 1, 1);
		set(f, OTHER, i, 1, 1, 1);
	}
	sums_forget(f->map, 12345);
	assert_int_equal(entries(f, SERIAL), LIVE_SUMS / 2);
	sums_forget(f->map, SERIAL);
	assert_int_equal(entries(f, SERIAL), 0);
	assert_int_equal(entries(f, OTHER), LIVE_SUMS / 2);
	sums_forget(f->map, OTHER);
	assert_int_equal(entries(f, OTHER), 0);
}

/* Under another serial it begins from nothing, and what it had under the old one is gone. */
static void renewed(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	set(f, SERIAL, 1, 0, 10, 1000);
	set(f, SERIAL, 2, 0, 20, 2000);
	set(f, OTHER, 1, 0, 5, 500);
	assert_told(f, "2/0 20 2000;1/0 10 1000;");
	assert_int_equal(f->s.n_idle, 0);
	set(f, SERIAL, 1, 0, 11, 1001);
	assert_told(f, "1/0 1 1;");
	assert_int_equal(f->s.n_idle, 1);
	assert_told(f, "");
	assert_int_equal(f->s.n_idle, 2);
	sums_renew(&f->s, f->map, OTHER);
	assert_int_equal(entries(f, SERIAL), 0);
	assert_int_equal(f->s.serial, OTHER);
	assert_int_equal(f->s.n_idle, 0);
	f->expected_serial = OTHER;
	assert_told(f, "1/0 5 500;");
	assert_told(f, "");
}

static void add_up(void *userdata, const struct live_sum_key *key, const struct live_sum *sum)
{
	uint64_t *counted = userdata;

	(void)key;
	counted[0]++;
	counted[1] += sum->values[0];
}

/* As many as there can be: each once. */
static void full(void **state)
{
	struct fixture *f = *state;
	uint64_t counted[2] = { 0, 0 };

	if (skipped(f))
		return;
	for (uint64_t i = 0; i < LIVE_SUMS; i++)
		set(f, SERIAL, i * 0x123456789, i, i + 1, 1);
	assert_int_equal(sums_read(&f->s, f->map, NULL, add_up, counted), 0);
	assert_int_equal(counted[0], LIVE_SUMS);
	assert_int_equal(counted[1], (uint64_t)LIVE_SUMS * (LIVE_SUMS + 1) / 2);
	for (uint64_t i = 0; i < LIVE_SUMS; i += 3)
		set(f, SERIAL, i * 0x123456789, i, i + 11, 1);
	memset(counted, 0, sizeof(counted));
	assert_int_equal(sums_read(&f->s, f->map, NULL, add_up, counted), 0);
	assert_int_equal(counted[0], (LIVE_SUMS + 2) / 3);
	assert_int_equal(counted[1], 10 * ((LIVE_SUMS + 2) / 3));
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(increases),     test(any_value), test(order),   test(stacks_apart),
		test(serials_apart), test(forgotten), test(renewed), test(full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
