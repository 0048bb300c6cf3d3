/* SPDX-License-Identifier: BSD-2-Clause */
/* What the running kernel's BPF can do, by trying it or by its BTF; and the constants of a BPF object
 * that follow from it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct bpf_object;
struct btf;

/* Does its BPF know compare-and-swap? Since 5.12, on arm64 since 5.18. Loads a program of a few
 * instructions. Who may not load programs cannot tell: true, as what is stored of one who could is
 * of use then (store.h). */
bool kernel_has_compare_and_swap(void);
/* Can a probe publish a slot (store_release() in bpf/slots.h)? On x86 always; elsewhere it needs an
 * atomic exchange, which came with compare-and-swap. */
bool kernel_can_publish_slots(void);
/* Does it run a program again in an interrupt of that program's own run? Before 6.1. */
bool kernel_lets_programs_nest(const struct btf *btf);
/* Can a program be attached to the entry of the kernel's function of this name, with so many
 * parameters? Loads one that does nothing and attaches it for a moment. `btf` must be the kernel's
 * own. *ret_error says why not: -ENOENT for a function that is not there, as one that is inlined;
 * -EOPNOTSUPP for one with other parameters. */
bool kernel_can_enter(const struct btf *btf, const char *function, unsigned parameters,
		      int *ret_error);
/* Are maps charged to RLIMIT_MEMLOCK? Before 5.11, when memory cgroups took that over. */
bool kernel_charges_memlock(const struct btf *btf);
/* Where they are, raises the limit as far as this process may, to its hard one at least. To be
 * called before anything is loaded. */
void kernel_raise_memlock(const struct btf *btf);

/* Does it have ring buffers? Since 5.8. Makes a small one. */
bool kernel_has_ring_buffer(void);
/* The kernel's tick (1 / HZ), which is the resolution of its coarse clocks. */
uint64_t kernel_tick_nanoseconds(void);

/* Sets a constant (`const volatile` in the BPF source) of an object that is not loaded yet, by its
 * name. -ENOENT: the object has none of this name. */
int constant_set(struct bpf_object *object, const char *name, uint64_t value);
