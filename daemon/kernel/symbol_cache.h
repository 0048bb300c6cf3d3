/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Symbols that have been found, where finding one takes a pass over /proc/kallsyms (40 ms): the keys
 * of a table, and the frames of stacks, share few locations. Each address has SYMBOL_CACHE_WAYS places,
 * of which a new one takes the one that was kept first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "symbols.h"

enum {
	SYMBOL_CACHE_SIZE = 512,
	SYMBOL_CACHE_WAYS = 8,
	SYMBOL_CACHE_MODULE_SECONDS = 10, /* a module's: another may come to lie there */
};

struct symbol_cache;

/* 240 KB, as far as it is used. 0, -ENOMEM. */
int symbol_cache_new(struct symbol_cache **ret_cache);
void symbol_cache_free(struct symbol_cache *cache);

/* `now` is monotonic, in nanoseconds. False: it is not there, or not any more. */
bool symbol_cache_find(const struct symbol_cache *cache, uint64_t address, uint64_t now,
		       struct symbol *ret_symbol);
void symbol_cache_keep(struct symbol_cache *cache, uint64_t address, uint64_t now,
		       const struct symbol *symbol);
