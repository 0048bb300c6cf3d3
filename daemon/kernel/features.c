/* SPDX-License-Identifier: BSD-2-Clause */
#include "features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "../util.h"
#include "btf.h"
#include "gate.h"

bool kernel_has_compare_and_swap(void)
{
	static const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW,
		  .dst_reg = BPF_REG_10,
		  .src_reg = BPF_REG_1,
		  .off = -8 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW,
		  .dst_reg = BPF_REG_10,
		  .src_reg = BPF_REG_1,
		  .off = -8,
		  .imm = BPF_CMPXCHG },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	_cleanup_(closep) int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "swap", "GPL",
						 program, ARRAY_SIZE(program), NULL);

	return fd >= 0 || fd == -EPERM;
}

bool kernel_can_publish_slots(void)
{
#ifdef __x86_64__
	return true;
#else
	return kernel_has_compare_and_swap();
#endif
}

/* The function came with the check. */
bool kernel_lets_programs_nest(const struct btf *btf)
{
	return !kernel_btf_has_function(btf, "bpf_prog_inc_misses_counter");
}

bool kernel_can_enter(const struct btf *btf, const char *function, unsigned parameters,
		      int *ret_error)
{
	int id = kernel_btf_function(btf, function), error = id < 0 ? id : 0;
	struct gate trial = GATE_NONE;

	if (!error && kernel_btf_parameters(btf, function) != (int)parameters)
		error = -EOPNOTSUPP;
	if (!error)
		error = gate_new("trial", GATE_FENTRY, id, &trial);
	if (!error)
		error = gate_attach(&trial, function);
	gate_close(&trial);
	if (error)
		*ret_error = error;
	return !error;
}

bool kernel_has_ring_buffer(void)
{
	_cleanup_(closep) int fd =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, sysconf(_SC_PAGESIZE), NULL);

	return fd >= 0 || fd == -EPERM; /* what may not be asked is not missing */
}

uint64_t kernel_tick_nanoseconds(void)
{
	struct timespec tick;

	/* KTIME_LOW_RES */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_nsec == 0)
		return 4000000;
	return tick.tv_nsec;
}

bool kernel_charges_memlock(const struct btf *btf)
{
	return kernel_btf_has_struct(btf, "bpf_map_memory");
}

/* libbpf asks for no limit at all and leaves the soft one as it is where it may not have that. */
void kernel_raise_memlock(const struct btf *btf)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (!kernel_charges_memlock(btf) || setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ||
	    getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &limit);
}

static int find_variable(const struct btf *btf, const char *name, unsigned *ret_offset,
			 unsigned *ret_size)
{
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, id) : NULL;
	const struct btf_var_secinfo *variable = section ? btf_var_secinfos(section) : NULL;

	for (unsigned i = 0; section && i < btf_vlen(section); i++, variable++) {
		const struct btf_type *type = btf__type_by_id(btf, variable->type);

		if (strcmp(btf__name_by_offset(btf, type->name_off), name) != 0)
			continue;
		*ret_offset = variable->offset;
		*ret_size = variable->size;
		return 0;
	}
	return -ENOENT;
}

int constant_set(struct bpf_object *object, const char *name, uint64_t value)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	unsigned offset, variable_size;
	size_t size = 0;
	char *data = map ? (char *)bpf_map__initial_value(map, &size) : NULL;
	int error = find_variable(bpf_object__btf(object), name, &offset, &variable_size);

	if (error || !data || offset + variable_size > size)
		return -ENOENT;
	data += offset;
	if (variable_size == sizeof(uint8_t))
		*(uint8_t *)data = value;
	else if (variable_size == sizeof(uint32_t))
		*(uint32_t *)data = value;
	else if (variable_size == sizeof(uint64_t))
		*(uint64_t *)data = value;
	else
		return -ENOENT;
	return 0;
}
