/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/symbol_cache.h"

#define SECOND 1000000000ULL

static int set_up(void **state)
{
	return symbol_cache_new((struct symbol_cache **)state);
}

static int tear_down(void **state)
{
	symbol_cache_free(*state);
	return 0;
}

static struct symbol symbol(const char *name, const char *module)
{
	struct symbol s = { .known = true, .offset = 0x10, .size = 0x100 };

	strcpy(s.name, name);
	strcpy(s.module, module);
	return s;
}

static void kernel_symbols_stay(void **state)
{
	struct symbol kept = symbol("tcp_v4_rcv", "kernel"), found;

	assert_false(symbol_cache_find(*state, 0xffffffff81000010, 0, &found));
	symbol_cache_keep(*state, 0xffffffff81000010, 5 * SECOND, &kept);
	assert_true(symbol_cache_find(*state, 0xffffffff81000010, 5 * SECOND, &found));
	assert_memory_equal(&found, &kept, sizeof(kept));
	assert_true(symbol_cache_find(*state, 0xffffffff81000010, 5000000 * SECOND, &found));
	assert_false(symbol_cache_find(*state, 0xffffffff81000011, 5 * SECOND, &found));
}

/* A module may go, and another one come to lie there. */
static void module_symbols_do_not(void **state)
{
	struct symbol kept = symbol("llc_rcv", "llc"), found;

	symbol_cache_keep(*state, 0xffffffffc0000010, 5 * SECOND, &kept);
	assert_true(symbol_cache_find(*state, 0xffffffffc0000010, 15 * SECOND, &found));
	assert_string_equal(found.module, "llc");
	assert_false(symbol_cache_find(*state, 0xffffffffc0000010, 15 * SECOND + 1, &found));
	symbol_cache_keep(*state, 0xffffffffc0000010, 16 * SECOND, &kept);
	assert_true(symbol_cache_find(*state, 0xffffffffc0000010, 17 * SECOND, &found));
}

/* What is found is what was kept under this very address, however many there are. */
static void many(void **state)
{
	unsigned n_found = 0;

	for (uint64_t address = 1; address <= 10 * SYMBOL_CACHE_SIZE; address++) {
		struct symbol kept = symbol("f", "kernel");

		kept.offset = address;
		symbol_cache_keep(*state, address * 16, SECOND, &kept);
	}
	for (uint64_t address = 1; address <= 10 * SYMBOL_CACHE_SIZE; address++) {
		struct symbol found;

		if (!symbol_cache_find(*state, address * 16, SECOND, &found))
			continue;
		assert_int_equal(found.offset, address);
		n_found++;
	}
	assert_in_range(n_found, SYMBOL_CACHE_SIZE / 2, SYMBOL_CACHE_SIZE);
}

/* A free place is no entry for the address 0. */
static void nothing_at_zero(void **state)
{
	struct symbol found;

	assert_false(symbol_cache_find(*state, 0, 0, &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kernel_symbols_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(module_symbols_do_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_at_zero, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
