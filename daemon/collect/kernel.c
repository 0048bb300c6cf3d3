/* SPDX-License-Identifier: BSD-2-Clause */
/* What the collectors share of the running kernel. */
#include <errno.h>
#include <string.h>

#include "../kernel/btf.h"
#include "../kernel/devices.h"
#include "../kernel/features.h"
#include "../kernel/symbols.h"
#include "../memory.h"
#include "../privileges.h"
#include "../util.h"
#include "collector.h"

static int explain_no_btf(struct kernel *kernel, const char *path, int error)
{
	static const char own[] =
		"the kernel has no BTF (/sys/kernel/btf/vmlinux), which probes need to "
		"find its structures";
	int size;

	if (!path)
		size = asprintf(
			&kernel->no_btf,
			"%s: use one built with CONFIG_DEBUG_INFO_BTF, or name a file with the "
			"BTF of this kernel as `btf` in [daemon]",
			own);
	else if (error == -ENODATA)
		size = asprintf(
			&kernel->no_btf,
			"%s, and %s names no tracepoints: it has been cut down (bpftool gen "
			"min_core_btf), name one with all types",
			own, path);
	else
		size = asprintf(&kernel->no_btf, "%s, and %s cannot be read as BTF: %s", own, path,
				strerror(-error));
	if (size >= 0)
		return 0;
	kernel->no_btf = NULL;
	return -ENOMEM;
}

/* The kernel's own, or else that of a file. Each collector says so as its reason when there is
 * none. */
static int find_btf(struct kernel *kernel, const char *path)
{
	int error = kernel_btf_load(&kernel->btf);

	if (!error)
		return 0;
	if (path)
		error = kernel_btf_load_from(path, &kernel->btf);
	if (error)
		return error == -ENOMEM ? error : explain_no_btf(kernel, path, error);
	kernel->btf_path = strdup(path);
	return kernel->btf_path ? 0 : -ENOMEM;
}

/*
 * Programs of the kind tp_btf are the fastest, and for types of the kernel's own BTF, which a file
 * cannot stand in for. A kernel may have it and yet refuse them, so one is tried; where it lacks
 * the right to load it, each collector will say that.
 */
static enum gate_kind choose_gate(const struct kernel *kernel)
{
	static const char tracepoint[] = "tcp_retransmit_synack"; /* seldom met */
	struct gate trial = GATE_NONE;
	int id, error;

	if (kernel->btf_path)
		return GATE_RAW_TP;
	id = kernel->btf ? kernel_btf_tracepoint(kernel->btf, tracepoint) : -ENOENT;
	if (id < 0)
		return GATE_TP_BTF;
	error = gate_new("trial", GATE_TP_BTF, id, &trial);
	if (!error)
		error = gate_attach(&trial, tracepoint);
	gate_close(&trial);
	return error && error != -EPERM && error != -EACCES ? GATE_RAW_TP : GATE_TP_BTF;
}

int kernel_open(struct kernel *kernel, const struct config *config)
{
	int error;

	kernel->config = config;
	kernel->hints = config->hints;
	error = find_btf(kernel, config->btf);
	if (error)
		return error;
	if (kernel->btf)
		kernel_raise_memlock(kernel->btf);
	kernel->gate = choose_gate(kernel);
	error = reasons_new(kernel->btf, &kernel->reasons);
	if (error)
		return error;
	reasons_look_in(kernel->reasons, kernel->btf_path);
	error = symbols_new(&kernel->symbols);
	if (!error)
		error = devices_new(config, &kernel->devices);
	return error;
}

void kernel_close(struct kernel *kernel)
{
	kernel_btf_freep(&kernel->btf);
	free(kernel->btf_path);
	free(kernel->no_btf);
	reasons_free(kernel->reasons);
	symbols_free(kernel->symbols);
	devices_free(kernel->devices);
	*kernel = (struct kernel){ .btf = NULL };
}

void kernel_begin_load(struct kernel *kernel)
{
	if (!kernel->btf)
		kernel_btf_load_from(kernel->btf_path, &kernel->btf);
	privileges_use(true);
}

void kernel_end_load(struct kernel *kernel)
{
	if (!kernel->privileged)
		privileges_use(false);
	kernel_btf_freep(&kernel->btf);
	kernel->btf = NULL;
	memory_settle();
}
