/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A gate: the one program that is attached to a tracepoint, or to a function's entry. It hands every
 * event on to the program that its map names, and does nothing else.
 *
 * So another program can take over without being attached: the map's update is one store (a jump
 * that the kernel patches), and each event is counted by the old program or by the new one. Two
 * programs side by side on the tracepoint cannot agree on that, whatever they both read: they run
 * one after the other for the same event, and it may change in between. The gate's own counters, of
 * nested runs that the kernel skipped among them, go on.
 *
 * The kernel empties the map when its last descriptor is closed: one must be kept, here or in the
 * service manager's store.
 */
#pragma once

#include <stdbool.h>

/* How a gate is attached. The programs behind it are of the same kind. */
enum gate_kind {
	GATE_TP_BTF, /* loaded for the tracepoint's type in the kernel's own BTF */
	GATE_RAW_TP, /* a raw tracepoint, which needs none */
	GATE_FENTRY, /* a function's entry, loaded for the function in the kernel's own BTF */
};

struct gate {
	int map_fd, program_fd, link_fd; /* -1: not there */
	enum gate_kind kind;
};

#define GATE_NONE ((struct gate){ -1, -1, -1, GATE_TP_BTF })

/* "tp_btf", "raw_tp" or "fentry". */
const char *gate_attach_name(const struct gate *gate);

/*
 * A gate for programs of a tracepoint or function, closed and not attached. `btf_id` is that of the
 * tracepoint (kernel_btf_tracepoint()) or function (kernel_btf_function()), and of no use to
 * GATE_RAW_TP; `name` what `bpftool prog` is to show, cut at 15 bytes. 0, -errno.
 */
int gate_new(const char *name, enum gate_kind kind, unsigned btf_id, struct gate *ret_gate);
/* Attaches it to the tracepoint or function, which must be the one that it is for, if it is for one.
 * 0, -errno. */
int gate_attach(struct gate *gate, const char *target);
/* Lets events go to this program from now on. Runs of the one before may still be under way. 0,
 * -errno. */
int gate_set(const struct gate *gate, int program_fd);

/* Is it whole, of its kind, attached to this tracepoint (of functions, to one: the kernel does not say
 * to which), link to program to map? NULL: yes; otherwise what is wrong, in words. */
const char *gate_fault(const struct gate *gate, const char *target);
/* Is this the program that its events go to? */
bool gate_leads_to(const struct gate *gate, int program_fd);

/* Lets events go nowhere, for a gate that another is to stand in for: closing it is not enough
 * while somebody else still holds it. */
void gate_shut(const struct gate *gate);
void gate_close(struct gate *gate);
