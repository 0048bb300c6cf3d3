/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t address; /* 0: free */
	uint64_t kept;
	struct symbol symbol;
};

struct symbol_cache {
	struct entry entries[SYMBOL_CACHE_SIZE];
};

int symbol_cache_new(struct symbol_cache **ret_cache)
{
	*ret_cache = calloc(1, sizeof(**ret_cache));
	return *ret_cache ? 0 : -ENOMEM;
}

void symbol_cache_free(struct symbol_cache *cache)
{
	free(cache);
}

/* The first of its places. The upper half of a product is spread even where addresses are multiples of
 * something. */
static unsigned first_place(uint64_t address)
{
	unsigned sets = SYMBOL_CACHE_SIZE / SYMBOL_CACHE_WAYS;

	return (address * 0x9e3779b97f4a7c15 >> 32) % sets * SYMBOL_CACHE_WAYS;
}

bool symbol_cache_find(const struct symbol_cache *cache, uint64_t address, uint64_t now,
		       struct symbol *ret_symbol)
{
	const struct entry *entry = &cache->entries[first_place(address)];
	const struct entry *end = entry + SYMBOL_CACHE_WAYS;

	while (entry < end && entry->address != address)
		entry++;
	if (!address || entry == end)
		return false;
	if (strcmp(entry->symbol.module, "kernel") != 0 &&
	    now - entry->kept > SYMBOL_CACHE_MODULE_SECONDS * 1000000000ULL)
		return false;
	*ret_symbol = entry->symbol;
	return true;
}

void symbol_cache_keep(struct symbol_cache *cache, uint64_t address, uint64_t now,
		       const struct symbol *symbol)
{
	struct entry *first = &cache->entries[first_place(address)], *place = first;

	for (struct entry *entry = first; entry < first + SYMBOL_CACHE_WAYS; entry++) {
		if (entry->address == address) {
			place = entry;
			break;
		}
		if (entry->kept < place->kept)
			place = entry;
	}
	*place = (struct entry){ .address = address, .kept = now, .symbol = *symbol };
}
