/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the running kernel says of itself in its BTF: which arguments its tracepoints pass, what its
 * drop reasons are called. Never the kernel's version: distributions backport.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { REASON_NAME_SIZE = 64 };

struct btf;

/* 0, or -errno: -ENOENT for a kernel without BTF. Several megabytes: free it after use. */
int kernel_btf_load(struct btf **ret_btf);
/* The same from a file (BTF, or ELF with a section of it), of which nobody can tell whether it is
 * of this kernel; NULL: as kernel_btf_load(). -ENODATA: it has been cut down to the types that some
 * program uses, and names no tracepoints. */
int kernel_btf_load_from(const char *path, struct btf **ret_btf);
void kernel_btf_freep(struct btf **btf);

/* The type that stands for a tracepoint, which is what a program of it is loaded for, or -ENOENT. */
int kernel_btf_tracepoint(const struct btf *btf, const char *tracepoint);
/* Arguments that the tracepoint passes to a program, or -ENOENT. */
int kernel_btf_arguments(const struct btf *btf, const char *tracepoint);
/* The value of an enumerator, e.g. "rqf_flags" "__RQF_IO_STAT"; enum_name NULL: of any enum.
 * -ENOENT. */
int kernel_btf_enumerator(const struct btf *btf, const char *enum_name, const char *name);
bool kernel_btf_has_function(const struct btf *btf, const char *name);
/* The function, which is what a program of its entry is loaded for, or -ENOENT. */
int kernel_btf_function(const struct btf *btf, const char *name);
/* How many parameters the function has, or -ENOENT. */
int kernel_btf_parameters(const struct btf *btf, const char *name);
bool kernel_btf_has_struct(const struct btf *btf, const char *name);

/* Names of drop reasons. */
struct reasons;

/* Takes the core reasons from `btf`, which may be NULL. An empty table, where the kernel has none,
 * is no error. */
int reasons_new(const struct btf *btf, struct reasons **ret_reasons);
void reasons_free(struct reasons *reasons);
/* Where a subsystem's reasons are looked for, in the place of the kernel's BTF: a file, whose name
 * must outlive the table. */
void reasons_look_in(struct reasons *reasons, const char *path);
/* How many names are known so far. */
unsigned reasons_count(const struct reasons *reasons);

/*
 * The name of a reason, SKB_DROP_REASON_ taken off. One of a subsystem is looked for in the
 * kernel's BTF and that of its modules, again at most every ten seconds while it is not found
 * ("now" in nanoseconds), and is "subsys_2:7" as long as that is so. An unknown core reason is
 * "reason_200".
 */
void reasons_name(struct reasons *reasons, uint32_t reason, uint64_t now,
		  char name[static REASON_NAME_SIZE]);
