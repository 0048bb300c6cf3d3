/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbols.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../util.h"
#include "symbols.skel.h"

static const char kallsyms_path[] = "/proc/kallsyms";

struct symbols {
	struct symbols_bpf *program;	/* NULL: the kernel cannot, kallsyms is read instead */
	bool available;
};

/* The compiler's copies of a function are the function, for whoever reads a metric. */
void symbol_strip(char *name)
{
	static const char *const suffixes[] = { ".constprop.", ".isra.", ".part.", ".cold",
						".llvm.", ".lto_priv." };

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

static void symbol_unknown(uint64_t address, struct symbol *ret_symbol)
{
	*ret_symbol = (struct symbol){ .known = false };
	snprintf(ret_symbol->raw, sizeof(ret_symbol->raw), "0x%" PRIx64, address);
	strcpy(ret_symbol->name, ret_symbol->raw);
}

/*
 * One pass, nothing kept: the file is not sorted, so it looks for the greatest symbol below the
 * address and the smallest above it, which is where that one ends.
 */
int symbols_search(const char *path, uint64_t address, struct symbol *ret_symbol)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	uint64_t best = 0, next = UINT64_MAX, greatest = 0, at;
	struct symbol found = { .known = true };
	char line[640], name[SYMBOL_NAME_SIZE], type;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		char module[SYMBOL_MODULE_SIZE] = "";

		if (sscanf(line, "%" SCNx64 " %c %191s [%63[^]]", &at, &type, name, module) < 3)
			continue;
		greatest = at > greatest ? at : greatest;
		if (at >= address)
			next = at < next ? at : next;
		/* Of several names for one address the first text symbol is taken. */
		if (at >= address || at < best || !strchr("tTwW", type) ||
		    (at == best && found.raw[0]))
			continue;
		best = at;
		strcpy(found.raw, name);
		strcpy(found.module, module[0] ? module : "kernel");
	}
	if (greatest == 0)
		return -EPERM;
	if (best == 0 || next == UINT64_MAX)
		return -ENOENT;
	strcpy(found.name, found.raw);
	symbol_strip(found.name);
	found.offset = address - best;
	found.size = next - best;
	*ret_symbol = found;
	return 0;
}

static int symbols_run(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	memset(symbols->program->bss, 0, sizeof(*symbols->program->bss));
	symbols->program->bss->addresses[0] = address;
	if (bpf_prog_test_run_opts(bpf_program__fd(symbols->program->progs.resolve), &options))
		return -errno;
	return symbol_parse(symbols->program->bss->names[0], ret_symbol) ? 0 : -ENOENT;
}

int symbols_new(struct symbols **ret_symbols)
{
	struct symbols *symbols = calloc(1, sizeof(*symbols));
	struct symbol probe;

	if (!symbols)
		return -ENOMEM;
	symbols->program = symbols_bpf__open_and_load();
	/* The whole kernel lies above every symbol's start but the first: any address will do to find out
	 * whether addresses are shown. */
	symbols->available = symbols->program ||
			     symbols_search(kallsyms_path, UINT64_MAX, &probe) != -EPERM;
	*ret_symbols = symbols;
	return 0;
}

void symbols_free(struct symbols *symbols)
{
	if (!symbols)
		return;
	symbols_bpf__destroy(symbols->program);
	free(symbols);
}

bool symbols_available(const struct symbols *symbols)
{
	return symbols->available;
}

void symbols_resolve(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	if (symbols->program && symbols_run(symbols, address, ret_symbol) == 0)
		return;
	if (symbols->program || !symbols->available ||
	    symbols_search(kallsyms_path, address, ret_symbol) < 0)
		symbol_unknown(address, ret_symbol);
}
