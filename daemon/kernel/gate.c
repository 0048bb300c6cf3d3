/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "../util.h"

static const char license[] = "Dual BSD/GPL";

static const struct {
	const char *name;
	unsigned program_type, attach_type; /* the latter of BPF_PROG_TYPE_TRACING only */
} kinds[] = {
	[GATE_TP_BTF] = { "tp_btf", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP },
	[GATE_RAW_TP] = { "raw_tp", BPF_PROG_TYPE_RAW_TRACEPOINT, 0 },
	[GATE_FENTRY] = { "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY },
};

const char *gate_attach_name(const struct gate *gate)
{
	return kinds[gate->kind].name;
}

/* bpf_tail_call(ctx, map, 0): the constant index lets the kernel patch a direct jump. What goes on
 * behind it runs only while the map is empty. */
static int load(const char *name, enum gate_kind kind, unsigned btf_id, int map_fd)
{
	const struct bpf_insn code[] = {
		{ BPF_LD | BPF_DW | BPF_IMM, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, map_fd },
		{ .imm = 0 }, /* the upper half of the map */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options);

	if (kind != GATE_RAW_TP) {
		options.expected_attach_type = kinds[kind].attach_type;
		options.attach_btf_id = btf_id;
	}
	return bpf_prog_load(kinds[kind].program_type, name, license, code, ARRAY_SIZE(code),
			     &options);
}

int gate_new(const char *name, enum gate_kind kind, unsigned btf_id, struct gate *ret_gate)
{
	struct gate gate = GATE_NONE;
	char shown[BPF_OBJ_NAME_LEN];
	int error = 0;

	gate.kind = kind;
	snprintf(shown, sizeof(shown), "%s", name);
	gate.map_fd = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, shown, sizeof(__u32), sizeof(__u32),
				     1, NULL);
	if (gate.map_fd < 0)
		return gate.map_fd;
	gate.program_fd = load(shown, kind, btf_id, gate.map_fd);
	if (gate.program_fd < 0) {
		error = gate.program_fd;
		gate_close(&gate);
		return error;
	}
	*ret_gate = gate;
	return 0;
}

/* The kernel takes a name only from a program that does not have it in its type. */
int gate_attach(struct gate *gate, const char *target)
{
	int fd = bpf_raw_tracepoint_open(gate->kind == GATE_RAW_TP ? target : NULL,
					 gate->program_fd);

	if (fd < 0)
		return fd;
	gate->link_fd = fd;
	return 0;
}

int gate_set(const struct gate *gate, int program_fd)
{
	__u32 index = 0;

	return bpf_map_update_elem(gate->map_fd, &index, &program_fd, BPF_ANY);
}

static int map_id(int fd, __u32 *ret_id)
{
	struct bpf_map_info info = { .type = 0 };
	__u32 size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	if (info.type != BPF_MAP_TYPE_PROG_ARRAY || info.max_entries != 1)
		return -EINVAL;
	*ret_id = info.id;
	return 0;
}

/* The number of a program of this kind, and that of the first map it uses (0: none). */
static int program_ids(int fd, enum gate_kind kind, __u32 *ret_id, __u32 *ret_map)
{
	__u32 map = 0;
	struct bpf_prog_info info = { .map_ids = (uintptr_t)&map, .nr_map_ids = 1 };
	__u32 size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	if (info.type != kinds[kind].program_type)
		return -EINVAL;
	*ret_id = info.id;
	*ret_map = map;
	return 0;
}

static const char *link_fault(int fd, enum gate_kind kind, const char *target, __u32 program)
{
	char name[128] = "";
	struct bpf_link_info info = { .type = 0 };
	__u32 size = sizeof(info);
	bool fits;

	if (kind != GATE_FENTRY) {
		info.raw_tracepoint.tp_name = (uintptr_t)name;
		info.raw_tracepoint.tp_name_len = sizeof(name);
	}
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return "its link is no link";
	if (kind == GATE_FENTRY)
		fits = info.type == BPF_LINK_TYPE_TRACING &&
		       info.tracing.attach_type == kinds[kind].attach_type;
	else
		fits = info.type == BPF_LINK_TYPE_RAW_TRACEPOINT && strcmp(name, target) == 0;
	if (!fits)
		return "its link is to something else";
	return info.prog_id == program ? NULL : "its link is to another program";
}

const char *gate_fault(const struct gate *gate, const char *target)
{
	__u32 map, program, used;

	if (gate->map_fd < 0 || gate->program_fd < 0 || gate->link_fd < 0)
		return "a part of it is missing";
	if (map_id(gate->map_fd, &map))
		return "its map is no program array";
	if (program_ids(gate->program_fd, gate->kind, &program, &used))
		return gate->kind == GATE_RAW_TP ? "its program is none of a raw tracepoint"
						 : "its program is no tracing program";
	if (used != map)
		return "its program uses another map";
	return link_fault(gate->link_fd, gate->kind, target, program);
}

bool gate_leads_to(const struct gate *gate, int program_fd)
{
	__u32 index = 0, current, program, used;

	return bpf_map_lookup_elem(gate->map_fd, &index, &current) == 0 &&
	       program_ids(program_fd, gate->kind, &program, &used) == 0 && program == current;
}

void gate_shut(const struct gate *gate)
{
	__u32 index = 0, id;

	if (gate->map_fd >= 0 && map_id(gate->map_fd, &id) == 0)
		bpf_map_delete_elem(gate->map_fd, &index);
}

void gate_close(struct gate *gate)
{
	closep(&gate->link_fd);
	closep(&gate->program_fd);
	closep(&gate->map_fd);
	*gate = GATE_NONE;
}
