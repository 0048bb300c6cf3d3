/* SPDX-License-Identifier: BSD-2-Clause */
/* Gates in the running kernel, on a tracepoint that the test runs by itself: a task's renaming. */
#include "child.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kernel/btf.h"
#include "kernel/gate.h"

#define TRACEPOINT "task_rename"
#define FUNCTION "__set_task_comm" /* what hits it */

struct fixture {
	int id;
	enum gate_kind kind;
	int counts; /* a map: [0] and [1] are what the two programs have seen of this thread */
	int programs[2];
	bool refused; /* by this kernel, to attach to a function */
	struct gate gate;
	unsigned descriptors;
};

/* counts[index] += 1, if it is this thread. */
static int load_counter(const struct fixture *f, enum gate_kind kind, int index)
{
	const struct bpf_insn code[] = {
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid },
		{ BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_0, 0, 4, (int)syscall(SYS_gettid) },
		{ BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, f->counts },
		{ .imm = index * 8 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 1 },
		{ BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_1, BPF_REG_2, 0, BPF_ADD },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    .expected_attach_type =
			    kind == GATE_FENTRY ? BPF_TRACE_FENTRY : BPF_TRACE_RAW_TP,
		    .attach_btf_id = (__u32)f->id);

	if (kind == GATE_RAW_TP)
		return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "counter", "GPL", code,
				     ARRAY_SIZE(code), NULL);
	return bpf_prog_load(BPF_PROG_TYPE_TRACING, "counter", "GPL", code, ARRAY_SIZE(code),
			     &options);
}

static int set_up_kind(void **state, enum gate_kind kind)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct btf *btf = NULL;

	assert_non_null(f);
	*f = (struct fixture){
		.kind = kind, .counts = -1, .programs = { -1, -1 }, .gate = GATE_NONE
	};
	*state = f;
	f->descriptors = count_descriptors();
	if (geteuid() != 0 || kernel_btf_load(&btf) < 0)
		return 0;
	f->id = kind == GATE_FENTRY ? kernel_btf_function(btf, FUNCTION)
				    : kernel_btf_tracepoint(btf, TRACEPOINT);
	kernel_btf_freep(&btf);
	f->counts = bpf_map_create(BPF_MAP_TYPE_ARRAY, "counts", 4, 16, 1, NULL);
	for (int i = 0; i < 2 && f->counts >= 0; i++)
		f->programs[i] = load_counter(f, kind, i);
	return 0;
}

static int set_up(void **state)
{
	return set_up_kind(state, GATE_TP_BTF);
}

static int set_up_raw(void **state)
{
	return set_up_kind(state, GATE_RAW_TP);
}

static int set_up_entry(void **state)
{
	struct gate trial = GATE_NONE;
	struct fixture *f;
	int error = set_up_kind(state, GATE_FENTRY);

	f = *state;
	f->refused = geteuid() == 0 && f->id > 0 && f->programs[1] < 0; /* to load, even */
	if (error || f->programs[1] < 0)
		return error;
	assert_int_equal(gate_new("trial", GATE_FENTRY, (unsigned)f->id, &trial), 0);
	f->refused = gate_attach(&trial, FUNCTION) < 0;
	gate_close(&trial);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	gate_close(&f->gate);
	assert_int_equal(f->gate.link_fd, -1);
	for (int i = 0; i < 2; i++)
		closep(&f->programs[i]);
	closep(&f->counts);
	assert_int_equal(count_descriptors(), f->descriptors);
	free(f);
	return 0;
}

static bool skipped(const struct fixture *f)
{
	if (f->programs[1] >= 0 && !f->refused)
		return false;
	if (f->refused)
		print_message("this kernel lets nothing attach to " FUNCTION ": SKIPPED\n");
	else if (f->kind == GATE_FENTRY && f->id < 0)
		print_message("this kernel has no function " FUNCTION ": SKIPPED\n");
	else
		print_message("programs of the kernel need root and its BTF: SKIPPED\n");
	skip();
	return true;
}

static void make(const struct fixture *f, struct gate *ret_gate)
{
	assert_int_equal(gate_new("a_name_that_is_cut", f->kind,
				  f->kind == GATE_RAW_TP ? 0 : (unsigned)f->id, ret_gate),
			 0);
	assert_int_equal(ret_gate->link_fd, -1);
}

static void rename_task(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(prctl(PR_SET_NAME, "test_gate"), 0);
}

static void assert_counts(const struct fixture *f, uint64_t first, uint64_t second)
{
	uint64_t counts[2];
	__u32 zero = 0;

	assert_int_equal(bpf_map_lookup_elem(f->counts, &zero, counts), 0);
	assert_int_equal(counts[0], first);
	assert_int_equal(counts[1], second);
}

static void hands_on(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	make(f, &f->gate);
	rename_task(1);
	assert_int_equal(gate_attach(&f->gate, TRACEPOINT), 0);
	rename_task(2); /* nobody is behind it yet */
	assert_counts(f, 0, 0);
	assert_false(gate_leads_to(&f->gate, f->programs[0]));
	assert_int_equal(gate_set(&f->gate, f->programs[0]), 0);
	assert_true(gate_leads_to(&f->gate, f->programs[0]));
	assert_false(gate_leads_to(&f->gate, f->programs[1]));
	assert_false(gate_leads_to(&f->gate, f->counts));
	assert_false(gate_leads_to(&f->gate, -1));
	rename_task(30);
	assert_counts(f, 30, 0);
	gate_close(&f->gate);
	rename_task(1);
	assert_counts(f, 30, 0);
}

/* Each event is counted by one of them, whenever the other takes over. */
static void taken_over(void **state)
{
	struct fixture *f = *state;
	int gone;

	if (skipped(f))
		return;
	make(f, &f->gate);
	assert_int_equal(gate_set(&f->gate, f->programs[0]), 0);
	assert_int_equal(gate_attach(&f->gate, TRACEPOINT), 0);
	rename_task(7);
	assert_int_equal(gate_set(&f->gate, f->programs[1]), 0);
	rename_task(20);
	assert_true(gate_leads_to(&f->gate, f->programs[1]));
	assert_counts(f, 7, 20);
	/* The gate keeps its program when nobody else does. */
	gone = TAKE_FD(f->programs[1]);
	close(gone);
	rename_task(1);
	assert_counts(f, 7, 21);
	f->programs[1] = load_counter(f, f->kind, 1);
	assert_false(gate_leads_to(&f->gate, f->programs[1]));
	/* What is no program for it is refused, and changes nothing. */
	assert_true(gate_set(&f->gate, f->counts) < 0);
	assert_true(gate_set(&f->gate, -1) < 0);
	rename_task(1);
	assert_counts(f, 7, 22);
}

static void cannot_be_made(void **state)
{
	struct fixture *f = *state;
	struct gate gate = GATE_NONE;

	if (skipped(f))
		return;
	assert_true(gate_new("name", GATE_TP_BTF, 0, &gate) < 0);
	assert_true(gate_new("name", GATE_TP_BTF, UINT32_MAX, &gate) < 0);
	assert_int_equal(gate.map_fd, -1);
	assert_true(gate_attach(&gate, TRACEPOINT) < 0);
	gate_close(&gate);
}

/* The gate's fault with another descriptor in the place of one of its own. */
static void assert_fault_with(const struct fixture *f, int *part, int other, const char *fault)
{
	int own = *part;

	assert_null(gate_fault(&f->gate, TRACEPOINT));
	*part = other;
	assert_non_null(gate_fault(&f->gate, TRACEPOINT));
	assert_string_equal(gate_fault(&f->gate, TRACEPOINT), fault);
	*part = own;
}

static void faults(void **state)
{
	struct fixture *f = *state;
	struct gate *gate = &f->gate, other = GATE_NONE;
	int file = memfd_create("none of it", MFD_CLOEXEC), two;

	if (skipped(f))
		return;
	make(f, gate);
	assert_string_equal(gate_fault(gate, TRACEPOINT), "a part of it is missing");
	assert_int_equal(gate_attach(gate, TRACEPOINT), 0);
	make(f, &other);
	assert_int_equal(gate_attach(&other, TRACEPOINT), 0);
	two = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "two", 4, 4, 2, NULL);
	assert_true(two >= 0);

	assert_fault_with(f, &gate->map_fd, -1, "a part of it is missing");
	assert_fault_with(f, &gate->program_fd, -1, "a part of it is missing");
	assert_fault_with(f, &gate->link_fd, -1, "a part of it is missing");
	assert_fault_with(f, &gate->map_fd, file, "its map is no program array");
	assert_fault_with(f, &gate->map_fd, f->counts, "its map is no program array");
	assert_fault_with(f, &gate->map_fd, gate->program_fd, "its map is no program array");
	assert_fault_with(f, &gate->map_fd, two, "its map is no program array");
	assert_fault_with(f, &gate->map_fd, other.map_fd, "its program uses another map");
	assert_fault_with(f, &gate->program_fd, file, "its program is no tracing program");
	assert_fault_with(f, &gate->program_fd, gate->map_fd, "its program is no tracing program");
	assert_fault_with(f, &gate->program_fd, other.program_fd, "its program uses another map");
	assert_fault_with(f, &gate->program_fd, f->programs[0], "its program uses another map");
	assert_fault_with(f, &gate->link_fd, file, "its link is no link");
	assert_fault_with(f, &gate->link_fd, other.link_fd, "its link is to another program");
	assert_string_equal(gate_fault(gate, "kfree_skb"), "its link is to something else");
	assert_string_equal(gate_fault(gate, TRACEPOINT "_"), "its link is to something else");
	assert_string_equal(gate_fault(gate, "task_renam"), "its link is to something else");
	close(two);
	close(file);
	gate_close(&other);
}

/* Each kind leads to programs of its own only, and says what it is. */
static void kinds(void **state)
{
	struct fixture *f = *state;
	int other;

	if (skipped(f))
		return;
	make(f, &f->gate);
	assert_string_equal(gate_attach_name(&f->gate), "raw_tp");
	assert_string_equal(gate_attach_name(&GATE_NONE), "tp_btf");
	assert_true(gate_attach(&f->gate, "no_such_tracepoint") < 0);
	assert_int_equal(f->gate.link_fd, -1);
	assert_int_equal(gate_set(&f->gate, f->programs[0]), 0);
	other = load_counter(f, GATE_TP_BTF, 1);
	assert_true(other >= 0);
	assert_true(gate_set(&f->gate, other) < 0);
	assert_false(gate_leads_to(&f->gate, other));
	assert_true(gate_leads_to(&f->gate, f->programs[0]));
	close(other);
	assert_int_equal(gate_attach(&f->gate, TRACEPOINT), 0);
	assert_null(gate_fault(&f->gate, TRACEPOINT));
	f->gate.kind = GATE_TP_BTF;
	assert_string_equal(gate_fault(&f->gate, TRACEPOINT), "its program is no tracing program");
	f->gate.kind = GATE_RAW_TP;
}

/* One of a function is told from one of a tracepoint, whose programs are of the same type. */
static void entry_faults(void **state)
{
	struct fixture *f = *state;
	struct gate other = GATE_NONE;
	struct btf *btf = NULL;

	if (skipped(f))
		return;
	make(f, &f->gate);
	assert_string_equal(gate_attach_name(&f->gate), "fentry");
	assert_int_equal(gate_attach(&f->gate, FUNCTION), 0);
	assert_null(gate_fault(&f->gate, FUNCTION));
	assert_int_equal(kernel_btf_load(&btf), 0);
	assert_int_equal(gate_new("other", GATE_TP_BTF,
				  (unsigned)kernel_btf_tracepoint(btf, TRACEPOINT), &other),
			 0);
	kernel_btf_freep(&btf);
	assert_int_equal(gate_attach(&other, TRACEPOINT), 0);
	assert_null(gate_fault(&other, TRACEPOINT));
	other.kind = GATE_FENTRY;
	assert_string_equal(gate_fault(&other, FUNCTION), "its link is to something else");
	f->gate.kind = GATE_TP_BTF;
	assert_string_equal(gate_fault(&f->gate, FUNCTION), "its link is to something else");
	f->gate.kind = GATE_RAW_TP;
	assert_string_equal(gate_fault(&f->gate, FUNCTION),
			    "its program is none of a raw tracepoint");
	f->gate.kind = GATE_FENTRY;
	gate_close(&other);
}

/* Shut, it leads nowhere, whoever holds it. */
static void shut(void **state)
{
	struct fixture *f = *state;

	if (skipped(f))
		return;
	make(f, &f->gate);
	assert_int_equal(gate_set(&f->gate, f->programs[0]), 0);
	assert_int_equal(gate_attach(&f->gate, TRACEPOINT), 0);
	rename_task(3);
	gate_shut(&f->gate);
	rename_task(5);
	assert_counts(f, 3, 0);
	gate_shut(&GATE_NONE);
	gate_shut(&(struct gate){ .map_fd = f->counts }); /* no gate's map */
	assert_counts(f, 3, 0);
}

#define raw(function) cmocka_unit_test_setup_teardown(function, set_up_raw, tear_down)
#define entry(function) cmocka_unit_test_setup_teardown(function, set_up_entry, tear_down)
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(hands_on),	 test(taken_over),  test(cannot_be_made), test(faults),
		test(shut),	 raw(hands_on),	    raw(taken_over),	  raw(kinds),
		entry(hands_on), entry(taken_over), entry(entry_faults),  entry(shut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
