/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live/parameters.h"
#include "live/subscriber.h"

struct fixture {
	struct table *table;
	struct subscriber *s;
	unsigned woken;
};

static void on_ready(void *userdata)
{
	struct fixture *f = userdata;

	f->woken++;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct live_request request;

	assert_non_null(f);
	f->table = make_drops();
	live_request_init(&request, f->table);
	assert_int_equal(subscriber_new(&request, &f->s), 0);
	f->s->ready = on_ready;
	f->s->userdata = f;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	subscriber_free(f->s);
	table_free(f->table);
	free(f);
	return 0;
}

static void put_bytes(struct fixture *f, const char *bytes, size_t size, uint64_t events)
{
	struct buffer line = { .data = NULL };
	uint64_t lost = f->s->overflowed;
	bool taken;

	buffer_bytes(&line, bytes, size);
	taken = subscriber_put(f->s, &line, events);
	assert_int_equal(f->s->overflowed, taken ? lost : lost + events);
	buffer_free(&line);
}

static void put(struct fixture *f, const char *text)
{
	put_bytes(f, text, strlen(text), 1);
}

/* Reads at most `size` bytes, which must be these. */
static void assert_reads(struct fixture *f, size_t size, const char *expected)
{
	char text[4096];
	ssize_t n;

	assert_true(size < sizeof(text));
	n = subscriber_read(f->s, text, size);
	assert_int_equal(n, strlen(expected));
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void assert_nothing(struct fixture *f, ssize_t expected)
{
	char byte;

	assert_int_equal(subscriber_read(f->s, &byte, 1), expected);
}

/* The request's strings are gone by the time that they are needed. */
static void copies_patterns(void **state)
{
	struct fixture *f = *state;
	struct live_request request;
	struct query_error error;
	struct subscriber *s;
	char pattern[] = "tcp_v4_rcv", other[] = "eth*";

	live_request_init(&request, f->table);
	assert_int_equal(live_parameter(&request, f->table, "symbol", pattern, &error), 0);
	assert_int_equal(live_parameter(&request, f->table, "device!", other, &error), 0);
	assert_int_equal(live_parameter(&request, f->table, "count", "7", &error), 0);
	assert_int_equal(subscriber_new(&request, &s), 0);
	memset(pattern, 'x', sizeof(pattern) - 1);
	memset(other, 'x', sizeof(other) - 1);
	assert_int_equal(s->request.count, 7);
	assert_int_equal(s->request.query.n_filters, 2);
	assert_string_equal(s->request.query.filters[0].pattern, "tcp_v4_rcv");
	assert_string_equal(s->request.query.filters[1].pattern, "eth*");
	assert_true(s->request.query.filters[1].negated);
	subscriber_free(s);
	subscriber_free(NULL);
}

static void in_order(void **state)
{
	struct fixture *f = *state;

	assert_nothing(f, 0);
	put(f, "one\n");
	put(f, "two\n");
	assert_reads(f, 100, "one\ntwo\n");
	assert_nothing(f, 0);
	put(f, "three\n");
	assert_reads(f, 100, "three\n");
	assert_nothing(f, 0);
}

static void in_pieces(void **state)
{
	struct fixture *f = *state;

	put(f, "one\n");
	put(f, "two\n");
	assert_reads(f, 3, "one");
	assert_reads(f, 3, "\ntw");
	/* More has been read than is left: what comes next moves the rest. */
	put(f, "three\n");
	assert_reads(f, 1, "o");
	put(f, "four\n");
	assert_reads(f, 9, "\nthree\nfo");
	assert_reads(f, 9, "ur\n");
	assert_nothing(f, 0);
}

/* Any sizes: what comes out is what went in. */
static void in_random_pieces(void **state)
{
	struct fixture *f = *state;
	unsigned char next_in = 0, next_out = 0, bytes[3000];
	uint64_t in = 0, out = 0;
	ssize_t n;

	srand(4711);
	for (unsigned i = 0; i < 20000; i++) {
		size_t size = (size_t)rand() % 1000;

		for (size_t j = 0; j < size; j++)
			bytes[j] = next_in++;
		put_bytes(f, (const char *)bytes, size, 1);
		in += size;
		n = subscriber_read(f->s, (char *)bytes, (size_t)rand() % 1100 + 1);
		for (ssize_t j = 0; j < n; j++)
			assert_int_equal(bytes[j], next_out++);
		out += (uint64_t)n;
	}
	while ((n = subscriber_read(f->s, (char *)bytes, sizeof(bytes))) > 0)
		out += (uint64_t)n;
	assert_int_equal(f->s->overflowed, 0);
	assert_int_equal(in, out);
}

static void wakes_who_waits(void **state)
{
	struct fixture *f = *state;

	/* It has not asked yet. */
	put(f, "one\n");
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
	assert_reads(f, 2, "on");
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
	/* It has read the last byte, but does not know. */
	assert_reads(f, 2, "e\n");
	put(f, "two\n");
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
	assert_reads(f, 10, "two\n");
	assert_nothing(f, 0);
	/* Now it waits: once, and for something. */
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
	put(f, "three\n");
	assert_int_equal(f->woken, 0);
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 1);
	put(f, "four\n");
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 1);
	assert_reads(f, 100, "three\nfour\n");
	assert_nothing(f, 0);
	put(f, "five\n");
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 2);
}

static void ends(void **state)
{
	struct fixture *f = *state;

	put(f, "one\n");
	f->s->ending = f->s->ended = true;
	assert_reads(f, 2, "on");
	assert_reads(f, 2, "e\n");
	assert_nothing(f, -EPIPE);
	assert_nothing(f, -EPIPE);
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
}

/* The end is something to wake for. */
static void ends_while_waited_for(void **state)
{
	struct fixture *f = *state;

	assert_nothing(f, 0);
	f->s->ending = true;
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 0);
	f->s->ended = true;
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 1);
	subscriber_wake(f->s);
	assert_int_equal(f->woken, 1);
	assert_nothing(f, -EPIPE);
}

static char *block(size_t size)
{
	char *bytes = malloc(size);

	assert_non_null(bytes);
	memset(bytes, 'x', size);
	return bytes;
}

static void overflows(void **state)
{
	struct fixture *f = *state;
	char *bytes = block(LIVE_QUEUE_SIZE);

	put_bytes(f, bytes, LIVE_QUEUE_SIZE - 10, 1);
	put(f, "123456789\n"); /* the very last that fits */
	assert_int_equal(f->s->overflowed, 0);
	put_bytes(f, "\n", 1, 1);
	put_bytes(f, "\n", 1, 1000);
	put_bytes(f, "", 0, 1);
	assert_int_equal(f->s->overflowed, 1001);
	assert_int_equal(subscriber_read(f->s, bytes, 9), 9);
	put(f, "123456789\n");
	assert_int_equal(f->s->overflowed, 1002);
	put(f, "12345678\n");
	assert_int_equal(f->s->overflowed, 1002);
	assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE), LIVE_QUEUE_SIZE);
	assert_memory_equal(bytes + LIVE_QUEUE_SIZE - 19, "123456789\n12345678\n", 19);
	assert_nothing(f, 0);
	put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	assert_int_equal(f->s->overflowed, 1002);
	free(bytes);
}

/* A line that could not be made is no line. */
/* Who has read all that was there gets a report whole, whatever its size. */
static void reports(void **state)
{
	struct fixture *f = *state;
	char *bytes = block(LIVE_QUEUE_SIZE);

	f->s->unbounded = true;
	for (unsigned i = 0; i < 3; i++)
		put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	f->s->unbounded = false;
	assert_int_equal(f->s->overflowed, 0);
	put(f, "x\n");
	assert_int_equal(f->s->overflowed, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE), LIVE_QUEUE_SIZE);
	assert_nothing(f, 0);
	free(bytes);
}

static void failed_lines(void **state)
{
	struct fixture *f = *state;
	struct buffer line = { .data = NULL };

	buffer_string(&line, "half a li");
	line.failed = true;
	assert_false(subscriber_put(f->s, &line, 3));
	buffer_free(&line);
	assert_int_equal(f->s->overflowed, 3);
	assert_nothing(f, 0);
	put(f, "whole\n");
	assert_reads(f, 100, "whole\n");
}

/* A reader that is slow all the time costs no more than twice what may wait. */
static void memory_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *bytes = block(LIVE_QUEUE_SIZE);

	put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	for (unsigned i = 0; i < 4000; i++) {
		assert_int_equal(subscriber_read(f->s, bytes, 1000), 1000);
		put_bytes(f, bytes, 1000, 1);
		assert_in_range(f->s->queue.capacity, 0, 2 * LIVE_QUEUE_SIZE);
	}
	assert_int_equal(f->s->overflowed, 0);
	free(bytes);
}

static void memory_is_given_back(void **state)
{
	struct fixture *f = *state;
	char *bytes = block(LIVE_QUEUE_SIZE);

	put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	assert_in_range(f->s->queue.capacity, LIVE_QUEUE_SIZE, SIZE_MAX);
	assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE - 1), LIVE_QUEUE_SIZE - 1);
	assert_in_range(f->s->queue.capacity, LIVE_QUEUE_SIZE, SIZE_MAX);
	assert_int_equal(subscriber_read(f->s, bytes, 1), 1);
	assert_int_equal(f->s->queue.capacity, 0);
	/* Little is kept for the next line. */
	put(f, "one\n");
	assert_reads(f, 10, "one\n");
	assert_in_range(f->s->queue.capacity, 1, 16 * 1024);
	free(bytes);
}

/* ---- notices */

#define START (1000 * SECOND) /* monotonic */

static void notice(struct fixture *f, uint64_t after)
{
	subscriber_notice(f->s, START + after, NOW);
}

static void nothing_to_say(void **state)
{
	struct fixture *f = *state;

	f->s->told = 1000;
	notice(f, 0);
	f->s->ending = true;
	notice(f, 100 * SECOND);
	assert_nothing(f, 0);
}

static void says_what_is_new(void **state)
{
	struct fixture *f = *state;

	f->s->held_back = 12;
	f->s->lost = 3;
	f->s->overflowed = 4;
	notice(f, 0);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":12,\"lost\":7}\n");
	notice(f, 5 * SECOND);
	assert_nothing(f, 0);
	f->s->overflowed++;
	notice(f, 6 * SECOND);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":0,\"lost\":1}\n");
	f->s->held_back = UINT64_MAX;
	notice(f, 7 * SECOND);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\","
		     "\"held_back\":18446744073709551603,\"lost\":0}\n");
}

static void once_a_second(void **state)
{
	struct fixture *f = *state;

	f->s->held_back = 1;
	notice(f, 0);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":1,\"lost\":0}\n");
	f->s->held_back = 2;
	notice(f, 1);
	f->s->held_back = 3;
	notice(f, SECOND - 1);
	assert_nothing(f, 0);
	notice(f, SECOND);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":2,\"lost\":0}\n");
	/* The end waits for nothing. */
	f->s->lost = 9;
	f->s->ending = true;
	notice(f, SECOND + 1);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":0,\"lost\":9}\n");
	notice(f, SECOND + 2);
	assert_nothing(f, 0);
}

/* Of what a queue has no room for, the last notice tells all. */
static void of_a_full_queue(void **state)
{
	struct fixture *f = *state;
	char *bytes = block(LIVE_QUEUE_SIZE);

	put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	put(f, "x\n");
	notice(f, 0);
	put(f, "x\n");
	notice(f, 2 * SECOND);
	assert_int_equal(f->s->queue.size, LIVE_QUEUE_SIZE);
	/* Half of it has been read. */
	assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE / 2 - 1),
			 LIVE_QUEUE_SIZE / 2 - 1);
	notice(f, 3 * SECOND);
	assert_int_equal(f->s->queue.size, LIVE_QUEUE_SIZE);
	assert_int_equal(subscriber_read(f->s, bytes, 1), 1);
	notice(f, 4 * SECOND);
	assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE / 2), LIVE_QUEUE_SIZE / 2);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":0,\"lost\":2}\n");
	/* At its end there is room for one, whatever it holds. */
	put_bytes(f, bytes, LIVE_QUEUE_SIZE, 1);
	put(f, "x\n");
	f->s->ending = true;
	notice(f, 4 * SECOND + 1);
	assert_int_equal(subscriber_read(f->s, bytes, LIVE_QUEUE_SIZE), LIVE_QUEUE_SIZE);
	assert_reads(f, 1000,
		     "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"held_back\":0,\"lost\":1}\n");
	free(bytes);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(copies_patterns),	     test(in_order),	      test(in_pieces),
		test(in_random_pieces),	     test(wakes_who_waits),   test(ends),
		test(ends_while_waited_for), test(overflows),	      test(reports),
		test(failed_lines),	     test(memory_is_bounded), test(memory_is_given_back),
		test(nothing_to_say),	     test(says_what_is_new),  test(once_a_second),
		test(of_a_full_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
