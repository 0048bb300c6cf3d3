/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel addresses as symbols. Two ways, tried in this order:
 *	bpf_snprintf("%pB") in a program that is run on demand: kernels since 5.14, no capability
 *	beyond those for BPF, no memory;
 *	/proc/kallsyms, streamed for each new address, which is kept: needs CAP_SYSLOG.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
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

/* Is it /proc/kallsyms that names them? */
bool symbols_read_kallsyms(const struct symbols *symbols);

/* The symbol of the call that returns to `address`. An address that cannot be named is given in
 * hexadecimal. */
void symbols_resolve(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol);

/* One of many addresses. */
struct symbol_wanted {
	uint64_t address;
	struct symbol symbol;
	uint64_t start, end; /* where it begins and ends, as far as is known */
};

/* The symbols of all of these, which are sorted by address, each there once: where each would take a pass
 * over /proc/kallsyms, it is one for all. */
void symbols_resolve_all(struct symbols *symbols, struct symbol_wanted *wanted, size_t n);

/* "tcp_v4_rcv+0xaa/0x8d0 [kernel]", or the address where it has no name. */
enum { SYMBOL_TEXT_SIZE = SYMBOL_NAME_SIZE + SYMBOL_MODULE_SIZE + 48 };
void symbol_print(const struct symbol *symbol, char text[static SYMBOL_TEXT_SIZE]);

/* For tests: one line of kallsyms or of %pB; the stripping of suffixes. */
bool symbol_parse(const char *text, struct symbol *ret_symbol);
void symbol_strip(char *name);
/* The second way: one pass over a file in the format of /proc/kallsyms. 0; -EPERM: all addresses are zero;
 * -errno: it cannot be read. */
int symbols_search(const char *path, struct symbol_wanted *wanted, size_t n);
