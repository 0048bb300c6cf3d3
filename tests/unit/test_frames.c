/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/frames.h"
#include "util.h"

struct fixture {
	struct symbols *symbols;
	struct frames *frames;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(symbols_new(&f->symbols), 0);
	assert_int_equal(frames_new(f->symbols, &f->frames), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	frames_free(f->frames);
	symbols_free(f->symbols);
	free(f);
	return 0;
}

static void location_known(void **state)
{
	static const uint64_t stack[] = { 0x1001, 0x1002, 0x1003, 0x1002 };
	struct fixture *f = *state;

	assert_int_equal(frames_skip(f->frames, stack, 4, 0x1001), 0);
	assert_int_equal(frames_skip(f->frames, stack, 4, 0x1003), 2);
	/* The innermost of a recursion. */
	assert_int_equal(frames_skip(f->frames, stack, 4, 0x1002), 1);
	assert_int_equal(frames_skip(f->frames, stack + 3, 1, 0x1002), 0);
	assert_int_equal(frames_skip(f->frames, stack, 0, 0x1001), 0);
}

/* None of these is a tracing function, as far as one can tell. */
static void location_unknown(void **state)
{
	static const uint64_t stack[] = { 0x1001, 0x1002, 0 };
	struct fixture *f = *state;

	assert_int_equal(frames_skip(f->frames, stack, 3, 0), 0);
	assert_int_equal(frames_skip(f->frames, stack, 3, 0x1004), 0);
	assert_int_equal(frames_skip(f->frames, NULL, 0, 0), 0);
}

static void without_names(void **state)
{
	struct fixture *f = *state;
	struct symbol symbol;

	for (unsigned i = 0; i < 2; i++) {
		memset(&symbol, 'x', sizeof(symbol));
		frames_resolve(f->frames, 0x1234, &symbol);
		assert_false(symbol.known);
		assert_string_equal(symbol.name, "0x1234");
		assert_string_equal(symbol.module, "");
	}
	frames_free(NULL);
}

/* Within a function of the running kernel; 0: there is none of this name, or none is shown. */
static uint64_t find(const char *wanted)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	char line[512], name[256];
	uint64_t found = 0;

	while (file && !found && fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %*c %255s", &address, name) == 2 &&
		    strcmp(name, wanted) == 0 && address)
			found = address + 5;
	if (file)
		fclose(file);
	return found;
}

static bool skipped(const struct fixture *f)
{
	if (geteuid() == 0 && symbols_available(f->symbols) && find("__traceiter_kfree_skb"))
		return false;
	print_message("the kernel's symbols need root: SKIPPED\n");
	skip();
	return true;
}

/* Calls from these are the tracing's own, up to the first that is not. */
static void by_names(void **state)
{
	static const char *const tracing[] = { "__traceiter_kfree_skb", "__bpf_trace_kfree_skb",
					       "bpf_trace_run2", "bpf_get_stack",
					       "__probestub_kfree_skb" };
	struct fixture *f = *state;
	uint64_t stack[8];
	unsigned n = 0;

	if (skipped(f))
		return;
	/* Not every kernel has all of them. */
	for (unsigned i = 0; i < ARRAY_SIZE(tracing); i++) {
		stack[n] = find(tracing[i]);
		n += stack[n] != 0;
	}
	assert_in_range(n, 1, ARRAY_SIZE(tracing));
	stack[n] = find("tcp_v4_rcv");
	stack[n + 1] = find("__traceiter_kfree_skb");
	stack[n + 2] = find("ip_rcv");
	assert_true(stack[n] && stack[n + 2]);
	assert_int_equal(frames_skip(f->frames, stack, n + 3, 0), n);
	/* Elsewhere, it tells nothing. */
	assert_int_equal(frames_skip(f->frames, stack, n + 3, 0x1234), n);
	/* Nothing but tracing. */
	assert_int_equal(frames_skip(f->frames, stack, n, 0), n);
	assert_int_equal(frames_skip(f->frames, stack + n, 3, 0), 0);
	/* What is known is known better. */
	assert_int_equal(frames_skip(f->frames, stack, n + 3, stack[0]), 0);
	assert_int_equal(frames_skip(f->frames, stack, n + 3, stack[n + 2]), n + 2);
}

/* The second time without the kernel's help, and no other. */
static void resolved(void **state)
{
	struct fixture *f = *state;
	uint64_t address, other;
	struct symbol symbol;

	if (skipped(f))
		return;
	address = find("tcp_v4_rcv");
	other = find("ip_rcv");
	assert_true(address && other);
	for (unsigned i = 0; i < 3; i++) {
		frames_resolve(f->frames, address, &symbol);
		assert_string_equal(symbol.name, "tcp_v4_rcv");
		assert_string_equal(symbol.module, "kernel");
		assert_int_equal(symbol.offset, 5);
		frames_resolve(f->frames, other, &symbol);
		assert_string_equal(symbol.name, "ip_rcv");
	}
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(location_known), test(location_unknown), test(without_names),
		test(by_names),	      test(resolved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
