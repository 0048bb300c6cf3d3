/* SPDX-License-Identifier: BSD-2-Clause */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "../util.h"
#include "symbol_cache.h"

struct frames {
	struct symbols *symbols;
	struct symbol_cache *cache;
	struct symbol_wanted *found; /* by the last frames_prefetch() that found something new */
	size_t n_found;
	uint64_t found_at;
};

int frames_new(struct symbols *symbols, struct frames **ret_frames)
{
	struct frames *frames = calloc(1, sizeof(*frames));

	if (!frames || symbol_cache_new(&frames->cache) < 0) {
		free(frames);
		return -ENOMEM;
	}
	frames->symbols = symbols;
	*ret_frames = frames;
	return 0;
}

void frames_free(struct frames *frames)
{
	if (!frames)
		return;
	symbol_cache_free(frames->cache);
	free(frames->found);
	free(frames);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol_wanted *left = a, *right = b;

	return left->address < right->address ? -1 : left->address > right->address;
}

static int by_number(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* NULL: it is not there, or too old, as the cache's are. */
static const struct symbol *find(const struct frames *frames, uint64_t address, uint64_t now)
{
	const struct symbol_wanted key = { .address = address }, *found;

	if (!frames->n_found ||
	    now - frames->found_at > SYMBOL_CACHE_MODULE_SECONDS * 1000000000ULL)
		return NULL;
	found = bsearch(&key, frames->found, frames->n_found, sizeof(key), by_address);
	return found ? &found->symbol : NULL;
}

/* Sorts them; leaves each once. */
static size_t distinct(uint64_t *numbers, size_t n)
{
	size_t kept = 0;

	qsort(numbers, n, sizeof(*numbers), by_number);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || numbers[i] != numbers[kept - 1])
			numbers[kept++] = numbers[i];
	return kept;
}

void frames_prefetch(struct frames *frames, const uint64_t *addresses, size_t n)
{
	_cleanup_(freep) uint64_t *unknown = NULL;
	uint64_t now = clock_monotonic();
	struct symbol_wanted *wanted;
	size_t n_unknown = 0;
	struct symbol symbol;

	for (size_t i = 0; i < n; i++) {
		if (symbol_cache_find(frames->cache, addresses[i], now, &symbol) ||
		    find(frames, addresses[i], now))
			continue;
		if (!unknown)
			unknown = calloc(n - i, sizeof(*unknown));
		if (!unknown)
			return;
		unknown[n_unknown++] = addresses[i];
	}
	if (n_unknown == 0)
		return;
	n_unknown = distinct(unknown, n_unknown);
	wanted = calloc(n_unknown, sizeof(*wanted));
	if (!wanted)
		return;
	for (size_t i = 0; i < n_unknown; i++)
		wanted[i].address = unknown[i];
	symbols_resolve_all(frames->symbols, wanted, n_unknown);
	free(frames->found);
	frames->found = wanted;
	frames->n_found = n_unknown;
	frames->found_at = now;
}

void frames_resolve(struct frames *frames, uint64_t address, struct symbol *ret_symbol)
{
	uint64_t now = clock_monotonic();
	const struct symbol *found;

	if (symbol_cache_find(frames->cache, address, now, ret_symbol))
		return;
	found = find(frames, address, now);
	if (found)
		*ret_symbol = *found;
	else
		symbols_resolve(frames->symbols, address, ret_symbol);
	symbol_cache_keep(frames->cache, address, now, ret_symbol);
}

static bool is_tracing(const struct symbol *symbol)
{
	static const char *const beginnings[] = { "bpf_", "__bpf_", "__traceiter_",
						  "__probestub_" };

	for (unsigned i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (strncmp(symbol->name, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

unsigned frames_skip(struct frames *frames, const uint64_t *addresses, unsigned n,
		     uint64_t location)
{
	struct symbol symbol;
	unsigned i;

	for (i = 0; location && i < n; i++)
		if (addresses[i] == location)
			return i;
	for (i = 0; i < n; i++) {
		frames_resolve(frames, addresses[i], &symbol);
		if (!is_tracing(&symbol))
			break;
	}
	return i;
}
