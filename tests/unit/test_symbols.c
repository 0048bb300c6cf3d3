/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <cmocka.h>

#include "child.h"
#include "kernel/symbols.h"
#include "util.h"

static void parse(void **state)
{
	static const struct {
		const char *text, *name, *raw, *module;
		uint64_t offset, size;
	} cases[] = {
		{ "tcp_v4_rcv+0xaa/0x8d0", "tcp_v4_rcv", "tcp_v4_rcv", "kernel", 0xaa, 0x8d0 },
		{ "llc_rcv+0x1d/0x2f0 [llc]", "llc_rcv", "llc_rcv", "llc", 0x1d, 0x2f0 },
		{ "f+0x0/0x1", "f", "f", "kernel", 0, 1 },
		{ "ip_rcv.constprop.0+0x1/0x2", "ip_rcv", "ip_rcv.constprop.0", "kernel", 1, 2 },
		{ "f.isra.0.cold+0x1/0x2 [nf_tables]", "f", "f.isra.0.cold", "nf_tables", 1, 2 },
		{ "f+0xffffffffffffffff/0xffffffffffffffff", "f", "f", "kernel", UINT64_MAX,
		  UINT64_MAX },
		/* The build id that kernels with CONFIG_STACKTRACE_BUILD_ID print. */
		{ "llc_rcv+0x1d/0x2f0 [llc 1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d]", "llc_rcv",
		  "llc_rcv", "llc", 0x1d, 0x2f0 },
		{ "tcp_v4_rcv+0xaa/0x8d0 1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d", "tcp_v4_rcv",
		  "tcp_v4_rcv", "kernel", 0xaa, 0x8d0 },
		/* Rust, mangled. */
		{ "_RNvCs1234_7my_crate4main+0x1/0x2", "_RNvCs1234_7my_crate4main",
		  "_RNvCs1234_7my_crate4main", "kernel", 1, 2 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct symbol symbol;

		memset(&symbol, 'x', sizeof(symbol));
		assert_true(symbol_parse(cases[i].text, &symbol));
		assert_true(symbol.known);
		assert_string_equal(symbol.name, cases[i].name);
		assert_string_equal(symbol.raw, cases[i].raw);
		assert_string_equal(symbol.module, cases[i].module);
		assert_int_equal(symbol.offset, cases[i].offset);
		assert_int_equal(symbol.size, cases[i].size);
	}
}

static void parse_garbage(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"0xffffffff81234567",
		"(____ptrval____)",
		"tcp_v4_rcv",
		"tcp_v4_rcv+0xaa",
		"tcp_v4_rcv+0xaa/",
		"tcp_v4_rcv+aa/8d0",
		"+0xaa/0x8d0",
		" +0xaa/0x8d0",
		"tcp v4+0xaa/0x8d0",
		"tcp_v4_rcv+0xzz/0x8d0",
		"tcp_v4_rcv+0xaa 0x8d0",
	};
	struct symbol symbol, untouched;

	(void)state;
	memset(&untouched, 'x', sizeof(untouched));
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		symbol = untouched;
		assert_false(symbol_parse(texts[i], &symbol));
		assert_memory_equal(&symbol, &untouched, sizeof(symbol));
	}
}

/* As long as there is room for; one more, and it is no symbol rather than another's name. */
static void parse_long_names(void **state)
{
	char name[SYMBOL_NAME_SIZE + 1], text[SYMBOL_NAME_SIZE + 128];
	struct symbol symbol;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[SYMBOL_NAME_SIZE - 1] = '\0';
	snprintf(text, sizeof(text), "%s+0x1/0x2 [m]", name);
	assert_true(symbol_parse(text, &symbol));
	assert_string_equal(symbol.raw, name);
	assert_string_equal(symbol.module, "m");
	snprintf(text, sizeof(text), "%sn+0x1/0x2 [m]", name);
	assert_false(symbol_parse(text, &symbol));
	memset(name, 'm', SYMBOL_MODULE_SIZE);
	name[SYMBOL_MODULE_SIZE] = '\0';
	snprintf(text, sizeof(text), "f+0x1/0x2 [%s]", name);
	assert_true(symbol_parse(text, &symbol));
	name[SYMBOL_MODULE_SIZE - 1] = '\0';
	assert_string_equal(symbol.module, name);
}

static void strip(void **state)
{
	static const struct {
		const char *name, *expected;
	} cases[] = {
		{ "tcp_v4_rcv", "tcp_v4_rcv" },
		{ "f.constprop.0", "f" },
		{ "f.isra.0", "f" },
		{ "f.isra.12", "f" },
		{ "f.part.0", "f" },
		{ "f.cold", "f" },
		{ "f.cold.123", "f" },
		{ "f.constprop.0.isra.1", "f" },
		{ "f.isra.1.constprop.0.cold", "f" },
		{ "f.part.0.cold", "f" },
		{ "f.llvm.12345678901234567890", "f" },
		{ "f.lto_priv.0", "f" },
		{ "f.eh", "f.eh" },
		{ "__x64_sys_read", "__x64_sys_read" },
		{ "particle_isra_cold", "particle_isra_cold" },
		{ "bpf_prog_6deef7357e7b4530_sd_fw_ingress",
		  "bpf_prog_6deef7357e7b4530_sd_fw_ingress" },
		{ ".cold", ".cold" }, /* not an empty label */
		{ "", "" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[64];

		strcpy(name, cases[i].name);
		symbol_strip(name);
		assert_string_equal(name, cases[i].expected);
	}
}

/* Searches a file with this text. */
static int search_all(const char *text, struct symbol_wanted *wanted, size_t n)
{
	char path[] = "/tmp/test_symbols.XXXXXX";
	int fd = mkstemp(path), error;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	error = symbols_search(path, wanted, n);
	unlink(path);
	return error;
}

static int search(const char *text, uint64_t address, struct symbol *ret_symbol)
{
	struct symbol_wanted wanted = { .address = address };
	int error = search_all(text, &wanted, 1);

	*ret_symbol = wanted.symbol;
	return error ? error : wanted.symbol.known ? 0 : -ENOENT;
}

static const char kallsyms[] = "ffffffff81003000 T third\n"
			       "ffffffffc0002000 t llc_rcv\t[llc]\n"
			       "ffffffff81001000 T first\n"
			       "ffffffffc0001000 t llc_init\t[llc]\n"
			       "0000000000000000 A fixed_percpu_data\n"
			       "ffffffff81002000 t second.isra.0\n"
			       "ffffffff81002800 d some_data\n"
			       "ffffffff81003000 T third_alias\n"
			       "ffffffff81003800 W weak\n"
			       "ffffffffc0003000 t bpf_prog_1234_f\t[bpf]\n"
			       "ffffffffc0004000 t end\t[bpf]\n";

static void assert_found(uint64_t address, const char *name, const char *raw, const char *module,
			 uint64_t offset, uint64_t size)
{
	struct symbol symbol;

	memset(&symbol, 'x', sizeof(symbol));
	assert_int_equal(search(kallsyms, address, &symbol), 0);
	assert_true(symbol.known);
	assert_string_equal(symbol.name, name);
	assert_string_equal(symbol.raw, raw);
	assert_string_equal(symbol.module, module);
	assert_int_equal(symbol.offset, offset);
	assert_int_equal(symbol.size, size);
}

/* The file is in no order. */
static void search_unsorted(void **state)
{
	(void)state;
	assert_found(0xffffffff81001001, "first", "first", "kernel", 1, 0x1000);
	assert_found(0xffffffff81001fff, "first", "first", "kernel", 0xfff, 0x1000);
	assert_found(0xffffffff81003123, "third", "third", "kernel", 0x123, 0x800);
	assert_found(0xffffffff81003801, "weak", "weak", "kernel", 1,
		     0xffffffffc0001000 - 0xffffffff81003800);
}

static void search_modules(void **state)
{
	(void)state;
	assert_found(0xffffffffc0001010, "llc_init", "llc_init", "llc", 0x10, 0x1000);
	assert_found(0xffffffffc0002ff0, "llc_rcv", "llc_rcv", "llc", 0xff0, 0x1000);
	assert_found(0xffffffffc0003001, "bpf_prog_1234_f", "bpf_prog_1234_f", "bpf", 1, 0x1000);
}

/* A call that never returns may be a function's last instruction: its return address is the next
 * one's start. */
static void search_on_a_start(void **state)
{
	(void)state;
	assert_found(0xffffffff81002000, "first", "first", "kernel", 0x1000, 0x1000);
	assert_found(0xffffffffc0002000, "llc_init", "llc_init", "llc", 0x1000, 0x1000);
}

/* Data is no function, but where it starts the function before it ends. */
static void search_past_data(void **state)
{
	(void)state;
	assert_found(0xffffffff81002400, "second", "second.isra.0", "kernel", 0x400, 0x800);
	/* Nothing is ever dropped in some_data. */
	assert_found(0xffffffff81002900, "second", "second.isra.0", "kernel", 0x900, 0x1000);
}

static void search_outside(void **state)
{
	struct symbol symbol;

	(void)state;
	/* Below the first, behind the last, and nothing at all. */
	assert_int_equal(search(kallsyms, 0xffffffff81000000, &symbol), -ENOENT);
	assert_int_equal(search(kallsyms, 0xffffffff81001000, &symbol), -ENOENT);
	assert_int_equal(search(kallsyms, 0xffffffffc0004001, &symbol), -ENOENT);
	assert_string_equal(symbol.raw, "0xffffffffc0004001");
	assert_string_equal(symbol.module, "");
	assert_int_equal(search(kallsyms, UINT64_MAX, &symbol), -ENOENT);
	assert_int_equal(search(kallsyms, 0, &symbol), -ENOENT);
	assert_string_equal(symbol.name, "0x0");
}

/* Many at once are what each of them is alone. */
static void search_many(void **state)
{
	static const uint64_t parts[] = { 0xffffffff80fffff0, 0xffffffffc0000ff0 };
	enum { EACH = 0x340 };
	static struct symbol_wanted wanted[ARRAY_SIZE(parts) * EACH];
	struct symbol alone;
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
		wanted[i].address = parts[i / EACH] + i % EACH * 0x10;
	assert_int_equal(search_all(kallsyms, wanted, ARRAY_SIZE(wanted)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i += 13) {
		search(kallsyms, wanted[i].address, &alone);
		assert_string_equal(wanted[i].symbol.raw, alone.raw);
		assert_string_equal(wanted[i].symbol.name, alone.name);
		assert_string_equal(wanted[i].symbol.module, alone.module);
		assert_int_equal(wanted[i].symbol.offset, alone.offset);
		assert_int_equal(wanted[i].symbol.size, alone.size);
		assert_int_equal(wanted[i].symbol.known, alone.known);
		known += alone.known;
	}
	assert_in_range(known, 100, ARRAY_SIZE(wanted) / 13);
	/* Far apart, with whole symbols between them. */
	wanted[0].address = 0xffffffff81001001;
	wanted[1].address = 0xffffffff81003801;
	wanted[2].address = 0xffffffffc0003010;
	assert_int_equal(search_all(kallsyms, wanted, 3), 0);
	assert_string_equal(wanted[0].symbol.name, "first");
	assert_int_equal(wanted[0].symbol.size, 0x1000);
	assert_string_equal(wanted[1].symbol.name, "weak");
	assert_int_equal(wanted[1].symbol.offset, 1);
	assert_string_equal(wanted[2].symbol.module, "bpf");
	assert_int_equal(search_all(kallsyms, NULL, 0), 0);
}

/* What the kernel shows to those without CAP_SYSLOG. */
static void search_without_rights(void **state)
{
	struct symbol symbol;

	(void)state;
	assert_int_equal(search("0000000000000000 T first\n"
				"0000000000000000 T second\n"
				"0000000000000000 t llc_rcv\t[llc]\n",
				0xffffffff81001001, &symbol),
			 -EPERM);
}

static void search_odd_lines(void **state)
{
	char text[2000] = "ffffffff81001000 T first\n";
	struct symbol symbol;

	(void)state;
	strcat(text, "\nnonsense\nffffffff81001800\nffffffff81001900 T\n\xff\xfe\n");
	strcat(text, "ffffffff81002000 t ");
	memset(text + strlen(text), 'n', 600);
	strcat(text, "\nffffffff81003000 T last");
	assert_int_equal(search(text, 0xffffffff81001950, &symbol), 0);
	assert_string_equal(symbol.name, "first");
	assert_int_equal(symbol.size, 0x1000);
	/* A name that finds no room is cut. */
	assert_int_equal(search(text, 0xffffffff81002001, &symbol), 0);
	assert_int_equal(strlen(symbol.raw), SYMBOL_NAME_SIZE - 1);
	assert_int_equal(symbol.size, 0x1000);
}

static void search_no_file(void **state)
{
	struct symbol_wanted wanted = { .address = 1 };

	(void)state;
	assert_int_equal(symbols_search("/nonexistent/kallsyms", &wanted, 1), -ENOENT);
}

/* The start of a function of the running kernel. */
static uint64_t running_function(const char *name)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/kallsyms", "re");
	char line[640], found[256];
	uint64_t address;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNx64 " %*c %255s", &address, found) == 2 &&
		    strcmp(found, name) == 0 && address)
			return address;
	print_message("no address of %s in /proc/kallsyms: SKIPPED\n", name);
	skip();
	return 0;
}

/* The program (where it can be loaded) and the file agree. */
static void running_kernel(void **state)
{
	uint64_t start = running_function("tcp_v4_rcv");
	struct symbol_wanted wanted = { .address = start + 0x10 };
	struct symbol resolved, searched;
	struct symbols *symbols;

	(void)state;
	assert_int_equal(symbols_new(&symbols), 0);
	assert_true(symbols_available(symbols));
	assert_int_equal(symbols_search("/proc/kallsyms", &wanted, 1), 0);
	searched = wanted.symbol;
	symbols_resolve(symbols, start + 0x10, &resolved);
	assert_true(resolved.known && searched.known);
	assert_string_equal(searched.name, "tcp_v4_rcv");
	assert_string_equal(resolved.name, "tcp_v4_rcv");
	assert_string_equal(resolved.module, "kernel");
	assert_string_equal(searched.module, "kernel");
	assert_int_equal(resolved.offset, 0x10);
	assert_int_equal(searched.offset, 0x10);
	assert_int_equal(resolved.size, searched.size);
	assert_in_range(resolved.size, 0x11, 0x10000);
	/* Its first byte is where a call in the function before it returns to. */
	symbols_resolve(symbols, start, &resolved);
	assert_string_not_equal(resolved.name, "tcp_v4_rcv");
	assert_true(resolved.known);
	symbols_free(symbols);
}

static void unknown_addresses(void **state)
{
	struct symbols *symbols;
	struct symbol symbol;

	(void)state;
	assert_int_equal(symbols_new(&symbols), 0);
	memset(&symbol, 'x', sizeof(symbol));
	symbols_resolve(symbols, 0x1234, &symbol);
	assert_false(symbol.known);
	assert_string_equal(symbol.name, "0x1234");
	assert_string_equal(symbol.raw, "0x1234");
	assert_string_equal(symbol.module, "");
	assert_int_equal(symbol.offset, 0);
	assert_int_equal(symbol.size, 0);
	symbols_resolve(symbols, 0, &symbol);
	assert_string_equal(symbol.name, "0x0");
	symbols_free(symbols);
	symbols_free(NULL);
}

/* A machine of our own, seen by this process alone, whose kernel refuses bpf(2). `text` is in the
 * place of /proc/kallsyms; NULL: it has none. */
static void replace_machine(const char *text)
{
	FILE *file;

	child_replace("/proc");
	child_refuse(SYS_bpf, EPERM);
	libbpf_set_print(NULL);
	if (!text)
		return;
	file = fopen("/proc/kallsyms", "w");
	expect(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The second way alone. */
static void only_kallsyms(void *userdata)
{
	struct symbols *symbols;
	struct symbol symbol;

	(void)userdata;
	replace_machine(kallsyms);
	expect(symbols_new(&symbols) == 0);
	expect(symbols_available(symbols));
	symbols_resolve(symbols, 0xffffffffc0002010, &symbol);
	expect(symbol.known && strcmp(symbol.name, "llc_rcv") == 0);
	expect(strcmp(symbol.module, "llc") == 0 && symbol.offset == 0x10);
	symbols_resolve(symbols, 0xffffffff81000000, &symbol);
	expect(!symbol.known && strcmp(symbol.name, "0xffffffff81000000") == 0);
	symbols_free(symbols);
}

static void only_zeros(void *userdata)
{
	struct symbols *symbols;
	struct symbol symbol;

	(void)userdata;
	replace_machine("0000000000000000 T first\n0000000000000000 T second\n");
	expect(symbols_new(&symbols) == 0);
	expect(!symbols_available(symbols));
	symbols_resolve(symbols, 0xffffffff81001001, &symbol);
	expect(!symbol.known && strcmp(symbol.raw, "0xffffffff81001001") == 0);
	symbols_free(symbols);
}

/* A kernel without CONFIG_KALLSYMS. */
static void no_kallsyms(void *userdata)
{
	struct symbols *symbols;
	struct symbol symbol;

	(void)userdata;
	replace_machine(NULL);
	expect(symbols_new(&symbols) == 0);
	expect(!symbols_available(symbols));
	symbols_resolve(symbols, 0xffffffff81001001, &symbol);
	expect(!symbol.known);
	symbols_free(symbols);
}

static void without_bpf(void **state)
{
	(void)state;
	in_a_child(only_kallsyms, NULL);
}

static void without_bpf_and_rights(void **state)
{
	(void)state;
	in_a_child(only_zeros, NULL);
}

static void without_anything(void **state)
{
	(void)state;
	in_a_child(no_kallsyms, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(parse_garbage),
		cmocka_unit_test(parse_long_names),
		cmocka_unit_test(strip),
		cmocka_unit_test(search_unsorted),
		cmocka_unit_test(search_modules),
		cmocka_unit_test(search_on_a_start),
		cmocka_unit_test(search_past_data),
		cmocka_unit_test(search_outside),
		cmocka_unit_test(search_many),
		cmocka_unit_test(search_without_rights),
		cmocka_unit_test(search_odd_lines),
		cmocka_unit_test(search_no_file),
		cmocka_unit_test(running_kernel),
		cmocka_unit_test(unknown_addresses),
		cmocka_unit_test(without_bpf),
		cmocka_unit_test(without_bpf_and_rights),
		cmocka_unit_test(without_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
