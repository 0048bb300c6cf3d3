/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbols.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "../util.h"
#include "symbols.skel.h"

static const char kallsyms_path[] = "/proc/kallsyms";

struct symbols {
	int program;			   /* -1: the kernel cannot, kallsyms is read instead */
	struct symbols_bpf__bss *exchange; /* the program's variables, mapped */
	bool available;
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
	struct symbol ignored;

	if (!symbols)
		return -ENOMEM;
	symbols->program = -1;
	/* Any address will do to find out whether kallsyms shows addresses. */
	symbols->available = symbols_load(symbols) == 0 ||
			     (access(kallsyms_path, R_OK) == 0 &&
			      symbols_search(kallsyms_path, UINT64_MAX, &ignored) == -ENOENT);
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
	free(symbols);
}

bool symbols_available(const struct symbols *symbols)
{
	return symbols->available;
}

void symbols_resolve(struct symbols *symbols, uint64_t address, struct symbol *ret_symbol)
{
	bool running = symbols->program >= 0 && symbols->exchange;

	if (running && symbols_run(symbols, address, ret_symbol) == 0)
		return;
	if (running || !symbols->available ||
	    symbols_search(kallsyms_path, address, ret_symbol) < 0)
		symbol_unknown(address, ret_symbol);
}
