/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include "golden.h"
#include "render/folded.h"
#include "shared.h"

static void assert_folded(struct share *list, unsigned n, const char *expected)
{
	struct shares shares = { .list = list, .n = n };
	struct buffer buffer = { .data = NULL };

	folded_render(&buffer, &shares);
	assert_false(buffer.failed);
	buffer_char(&buffer, '\0');
	assert_string_equal(buffer.data, expected);
	buffer_free(&buffer);
}

static void golden(void **state)
{
	struct shared shared;
	struct buffer buffer = { .data = NULL };

	(void)state;
	shared_make(&shared);
	folded_render(&buffer, &shared.shares);
	assert_golden(&buffer, "tests/unit/golden/stacks.folded");
	buffer_free(&buffer);
	shared_free(&shared);
}

static void nothing(void **state)
{
	(void)state;
	assert_folded(NULL, 0, "");
}

/* Names of functions only, the outermost first. */
static void frames(void **state)
{
	static const char *const names[] = { "tcp_v4_rcv+0xaa/0x8d0 [kernel]", "0xffffffffc0001234",
					     "nf_hook [nf_tables]", "a;b+0x1/0x2 [m]", "plain" };
	struct share share = { .frames = names, .n_frames = 5, .events = UINT64_MAX };

	(void)state;
	assert_folded(&share, 1,
		      "plain;a;nf_hook;0xffffffffc0001234;tcp_v4_rcv 18446744073709551615\n");
	share.n_frames = 1;
	assert_folded(&share, 1, "tcp_v4_rcv 18446744073709551615\n");
}

/* Other places in the same functions, and other rows. */
static void the_same_functions(void **state)
{
	static const char *const first[] = { "f+0x1/0x9 [kernel]", "g+0x2/0x9 [kernel]" };
	static const char *const second[] = { "f+0x3/0x9 [kernel]", "g+0x4/0x9 [kernel]" };
	static const char *const other[] = { "f+0x1/0x9 [kernel]", "h+0x2/0x9 [kernel]" };
	struct share list[] = {
		{ .frames = other, .n_frames = 2, .events = 50 },
		{ .frames = first, .n_frames = 2, .events = 30 },
		{ .frames = other, .n_frames = 1, .events = 7 },
		{ .frames = second, .n_frames = 2, .events = 12 },
	};

	(void)state;
	assert_folded(list, 4, "f 7\ng;f 42\nh;f 50\n");
}

/* What has no stack is told all the same, or the sum would be wrong. */
static void rows_without_stacks(void **state)
{
	static const char *const frames_of_one[] = { "tcp_v4_rcv+0x1/0x9 [kernel]" };
	struct table *table = make_drops();
	struct share list[] = {
		{ .row = table->rows[2], .events = 3 },
		{ .row = table->rows[1], .frames = frames_of_one, .n_frames = 1, .events = 4 },
		{ .row = table->rows[1], .events = 5 },
	};

	(void)state;
	assert_folded(list, 3, "nf_hook_slow 3\ntcp_v4_rcv 9\n");
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(nothing),
		cmocka_unit_test(frames),
		cmocka_unit_test(the_same_functions),
		cmocka_unit_test(rows_without_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
