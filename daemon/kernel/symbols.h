/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel addresses as symbols. Two ways, tried in this order:
 *	bpf_snprintf("%pB") in a program that is run on demand: kernels since 5.14, no capability
 *	beyond those for BPF, no memory;
 *	/proc/kallsyms, streamed for each new address: needs CAP_SYSLOG.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SYMBOL_NAME_SIZE = 192, SYMBOL_MODULE_SIZE = 64 };

struct symbol {
	char name
		[SYMBOL_NAME_SIZE]; /* without .constprop.0 and the like; "0xffff..." when unknown */
	char raw[SYMBOL_NAME_SIZE];	 /* as the kernel calls it */
	char module[SYMBOL_MODULE_SIZE]; /* "kernel" for the kernel itself; "" when unknown */
	uint64_t offset, size;		 /* of the return address in it; 0 when unknown */
	bool known;
};

struct symbols;

/* Never fails for want of symbols, only of memory (-ENOMEM): see symbols_available(). */
int symbols_new(struct symbols **ret_symbols);
void symbols_free(struct symbols *symbols);

/* Can addresses be named at all? */
bool symbols_available(const struct symbols *symbols);

/* The symbol of the call that returns to `address`. An address that cannot be named is given in
 * hexadecimal. */
void symbols_resolve(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol);

/* For tests: one line of kallsyms or of %pB; the stripping of suffixes. */
bool symbol_parse(const char *text, struct symbol *ret_symbol);
void symbol_strip(char *name);
/*
 * The second way: searches a file in the format of /proc/kallsyms. 0, -ENOENT, -EPERM (all zeros).
 */
int symbols_search(const char *path, uint64_t address, struct symbol *ret_symbol);
