/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbols.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "../clock.h"
#include "../util.h"
#include "symbol_cache.h"
#include "symbols.skel.h"

static const char kallsyms_path[] = "/proc/kallsyms";

struct symbols {
	int program;			   /* -1: the kernel cannot, kallsyms is read instead */
	struct symbols_bpf__bss *exchange; /* the program's variables, mapped */
	bool available;
	struct symbol_cache *cache; /* of what kallsyms said; NULL where it is not read */
};

/* The compiler's copies of a function are the function, for whoever reads a metric. */
void symbol_strip(char *name)
{
	static const char *const suffixes[] = { ".constprop.", ".isra.", ".part.",
						".cold",       ".llvm.", ".lto_priv." };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		char *at = strstr(name, suffixes[i]);

		if (at && at != name)
			*at = '\0';
	}
}

/* "tcp_v4_rcv+0xaa/0x8d0" or "llc_rcv+0x1d/0x2f0 [llc]". */
bool symbol_parse(const char *text, struct symbol *ret_symbol)
{
	struct symbol symbol = { .known = true };

	if (sscanf(text, "%191[^+ ]+0x%" SCNx64 "/0x%" SCNx64 " [%63[^] ]", symbol.raw,
		   &symbol.offset, &symbol.size, symbol.module) < 3)
		return false;
	if (!symbol.module[0])
		strcpy(symbol.module, "kernel");
	strcpy(symbol.name, symbol.raw);
	symbol_strip(symbol.name);
	*ret_symbol = symbol;
	return true;
}

void symbol_print(const struct symbol *symbol, char text[static SYMBOL_TEXT_SIZE])
{
	if (symbol->known)
		snprintf(text, SYMBOL_TEXT_SIZE, "%s+0x%" PRIx64 "/0x%" PRIx64 " [%s]", symbol->raw,
			 symbol->offset, symbol->size, symbol->module);
	else
		snprintf(text, SYMBOL_TEXT_SIZE, "%s", symbol->raw);
}

static void symbol_unknown(uint64_t address, struct symbol *ret_symbol)
{
	*ret_symbol = (struct symbol){ .known = false };
	snprintf(ret_symbol->raw, sizeof(ret_symbol->raw), "0x%" PRIx64, address);
	strcpy(ret_symbol->name, ret_symbol->raw);
}

/* One line of the file. All of `wanted` is sorted: a symbol may be the one that the first address above it
 * is in, and may be the end of the one that the last address below it is in. */
static void offer(struct symbol_wanted *wanted, size_t n, uint64_t at, bool text, const char *name,
		  const char *module)
{
	struct symbol_wanted *inside;
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (wanted[middle].address > at)
			high = middle;
		else
			low = middle + 1;
	}
	if (low > 0 && at < wanted[low - 1].end)
		wanted[low - 1].end = at;
	if (low == n)
		return;
	inside = &wanted[low];
	/* Of several names for one address the first text symbol is taken. */
	if (at < inside->start || !text || (at == inside->start && inside->symbol.raw[0]))
		return;
	inside->start = at;
	strcpy(inside->symbol.raw, name);
	strcpy(inside->symbol.module, module[0] ? module : "kernel");
}

/* What no symbol lies between has the same one around it. */
static void spread(struct symbol_wanted *wanted, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (wanted[i].start || !wanted[i - 1].start)
			continue;
		wanted[i].start = wanted[i - 1].start;
		wanted[i].symbol = wanted[i - 1].symbol;
	}
	for (size_t i = n; i-- > 1;)
		if (wanted[i - 1].end == UINT64_MAX)
			wanted[i - 1].end = wanted[i].end;
}

static void finish(struct symbol_wanted *wanted)
{
	struct symbol *symbol = &wanted->symbol;

	if (wanted->start == 0 || wanted->end == UINT64_MAX) {
		symbol_unknown(wanted->address, symbol);
		return;
	}
	symbol->known = true;
	strcpy(symbol->name, symbol->raw);
	symbol_strip(symbol->name);
	symbol->offset = wanted->address - wanted->start;
	symbol->size = wanted->end - wanted->start;
}

/*
 * Nothing of the file is kept, and it is not sorted: so the pass looks for the greatest symbol below
 * each address and the smallest above it, which is where that one ends.
 */
int symbols_search(const char *path, struct symbol_wanted *wanted, size_t n)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	char line[640], name[SYMBOL_NAME_SIZE], type;
	uint64_t greatest = 0, at;

	if (!file)
		return -errno;
	for (size_t i = 0; i < n; i++)
		wanted[i] =
			(struct symbol_wanted){ .address = wanted[i].address, .end = UINT64_MAX };
	while (fgets(line, sizeof(line), file)) {
		char module[SYMBOL_MODULE_SIZE] = "";

		if (sscanf(line, "%" SCNx64 " %c %191s [%63[^]]", &at, &type, name, module) < 3)
			continue;
		greatest = at > greatest ? at : greatest;
		offer(wanted, n, at, strchr("tTwW", type), name, module);
	}
	spread(wanted, n);
	for (size_t i = 0; i < n; i++)
		finish(&wanted[i]);
	return greatest ? 0 : -EPERM;
}

static int symbols_run(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	memset(symbols->exchange, 0, sizeof(*symbols->exchange));
	symbols->exchange->address = address;
	if (bpf_prog_test_run_opts(symbols->program, &options))
		return -errno;
	return symbol_parse(symbols->exchange->name, ret_symbol) ? 0 : -ENOENT;
}

/* Keeps the program and its variables, and nothing of libbpf's object. */
static int symbols_load(struct symbols *symbols)
{
	struct symbols_bpf *skeleton = symbols_bpf__open_and_load();
	void *address;
	int error = 0;

	if (!skeleton)
		return -errno;
	address = mmap(NULL, sizeof(*symbols->exchange), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(skeleton->maps.bss), 0);
	symbols->program = fcntl(bpf_program__fd(skeleton->progs.resolve), F_DUPFD_CLOEXEC, 3);
	if (address != MAP_FAILED)
		symbols->exchange = address;
	if (address == MAP_FAILED || symbols->program < 0)
		error = -errno;
	symbols_bpf__destroy(skeleton);
	return error;
}

int symbols_new(struct symbols **ret_symbols)
{
	struct symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return -ENOMEM;
	symbols->program = -1;
	symbols->available =
		symbols_load(symbols) == 0 || symbols_search(kallsyms_path, NULL, 0) == 0;
	if (symbols_read_kallsyms(symbols) && symbol_cache_new(&symbols->cache) < 0) {
		symbols_free(symbols);
		return -ENOMEM;
	}
	*ret_symbols = symbols;
	return 0;
}

void symbols_free(struct symbols *symbols)
{
	if (!symbols)
		return;
	if (symbols->exchange)
		munmap(symbols->exchange, sizeof(*symbols->exchange));
	closep(&symbols->program);
	symbol_cache_free(symbols->cache);
	free(symbols);
}

bool symbols_available(const struct symbols *symbols)
{
	return symbols->available;
}

bool symbols_read_kallsyms(const struct symbols *symbols)
{
	return symbols->available && (symbols->program < 0 || !symbols->exchange);
}

static void symbols_read(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	struct symbol_wanted wanted = { .address = address };
	uint64_t now = clock_monotonic();

	if (symbol_cache_find(symbols->cache, address, now, ret_symbol))
		return;
	if (symbols_search(kallsyms_path, &wanted, 1) < 0) {
		symbol_unknown(address, ret_symbol);
		return;
	}
	*ret_symbol = wanted.symbol;
	if (ret_symbol->known)
		symbol_cache_keep(symbols->cache, address, now, ret_symbol);
}

void symbols_resolve(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	if (symbols->cache)
		symbols_read(symbols, address, ret_symbol);
	else if (!symbols->available || symbols_run(symbols, address, ret_symbol) < 0)
		symbol_unknown(address, ret_symbol);
}

void symbols_resolve_all(struct symbols *symbols, struct symbol_wanted *wanted, size_t n)
{
	if (symbols->cache && symbols_search(kallsyms_path, wanted, n) == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (symbols->cache)
			symbol_unknown(wanted[i].address, &wanted[i].symbol);
		else
			symbols_resolve(symbols, wanted[i].address, &wanted[i].symbol);
	}
}
