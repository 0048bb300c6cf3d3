/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "block.skel.h"
#include "kernel/btf.h"
#include "kernel/features.h"
#include "kernel/probe.h"

/* By name it is the very constant that the skeleton has, and no other. */
static void constants(void **state)
{
	struct block_bpf *skeleton = block_bpf__open();

	(void)state;
	assert_non_null(skeleton);
	assert_int_equal(constant_set(skeleton->obj, "slots_per_writer", 4096), 0);
	assert_int_equal(constant_set(skeleton->obj, "inflight_mask", 0xffff), 0);
	assert_int_equal(constant_set(skeleton->obj, "may_nest", true), 0);
	assert_int_equal(skeleton->rodata->slots_per_writer, 4096);
	assert_int_equal(skeleton->rodata->inflight_mask, 0xffff);
	assert_true(skeleton->rodata->may_nest);
	assert_false(skeleton->rodata->has_rdonly_cast);
	assert_int_equal(skeleton->rodata->rqf_io_stat, 0);
	assert_int_equal(constant_set(skeleton->obj, "may_nest", false), 0);
	assert_false(skeleton->rodata->may_nest);
	assert_int_equal(constant_set(skeleton->obj, "no_such_constant", 1), -ENOENT);
	assert_int_equal(constant_set(skeleton->obj, "inflight", 1), -ENOENT); /* a map */
	block_bpf__destroy(skeleton);
}

/* The function that counts skipped runs tells. */
static void nesting(void **state)
{
	struct btf *btf = btf__new_empty();
	int proto;

	(void)state;
	assert_non_null(btf);
	assert_true(kernel_lets_programs_nest(btf));
	proto = btf__add_func_proto(btf, 0);
	assert_true(btf__add_func(btf, "bpf_prog_inc_misses_count", BTF_FUNC_STATIC, proto) > 0);
	assert_true(kernel_lets_programs_nest(btf));
	assert_true(btf__add_func(btf, "bpf_prog_inc_misses_counter", BTF_FUNC_STATIC, proto) > 0);
	assert_false(kernel_lets_programs_nest(btf));
	btf__free(btf);
}

static struct btf *old_kernel(void)
{
	struct btf *btf = btf__new_empty();

	expect(btf != NULL);
	expect(!kernel_charges_memlock(btf));
	expect(btf__add_struct(btf, "bpf_map_memory", 16) > 0);
	expect(kernel_charges_memlock(btf));
	return btf;
}

static void set_memlock(rlim_t soft, rlim_t hard)
{
	const struct rlimit limit = { soft, hard };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		_exit(CHILD_CANNOT);
}

static rlim_t memlock(void)
{
	struct rlimit limit;

	expect(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	return limit.rlim_cur;
}

/* Whoever may not raise the hard limit gets that. Where nothing is charged, nothing is changed. */
static void memlock_raised(void *userdata)
{
	struct btf *btf = old_kernel(), *other = btf__new_empty();

	(void)userdata;
	set_memlock(1 << 16, 1 << 20);
	if (geteuid() == 0)
		expect(setuid(65534) == 0);
	kernel_raise_memlock(other);
	expect(memlock() == 1 << 16);
	kernel_raise_memlock(btf);
	expect(memlock() == 1 << 20);
	btf__free(btf);
	btf__free(other);
}
TEST_IN_CHILD(memlock_raised)

/* What is not permitted may be the limit's fault, where there is one. */
static void memlock_advised(void *userdata)
{
	struct btf *btf = old_kernel(), *other = btf__new_empty();
	char *reason = NULL;

	(void)userdata;
	set_memlock(1 << 16, 1 << 16);
	expect(probe_explain_for(btf, -EPERM, "load", &reason) == -EPERM);
	expect(strstr(reason, "CAP_BPF") && strstr(reason, "RLIMIT_MEMLOCK, 65536 bytes"));
	free(reason);
	expect(probe_explain_for(btf, -EINVAL, "load", &reason) == -EINVAL);
	expect(!strstr(reason, "MEMLOCK"));
	free(reason);
	expect(probe_explain_for(other, -EPERM, "load", &reason) == -EPERM);
	expect(!strstr(reason, "MEMLOCK"));
	free(reason);
	expect(probe_explain(-EPERM, "load", &reason) == -EPERM);
	expect(!strstr(reason, "MEMLOCK"));
	free(reason);
	btf__free(btf);
	btf__free(other);
}
TEST_IN_CHILD(memlock_advised)

/* Every kernel that runs the unit tests has it; the others are in tests/kernels. */
static void compare_and_swap(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("loading a BPF program needs root: SKIPPED\n");
		skip();
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
		print_message("no /sys/kernel/btf/vmlinux: SKIPPED\n");
		skip();
	}
	assert_true(kernel_has_compare_and_swap());
	assert_true(kernel_can_publish_slots());
}

/* What cannot be asked is not missing. */
static void no_right_to_ask(void *userdata)
{
	(void)userdata;
	child_refuse(SYS_bpf, EPERM);
	expect(kernel_has_compare_and_swap());
	expect(kernel_has_ring_buffer());
}

static void kernel_without_it(void *userdata)
{
	(void)userdata;
	child_refuse(SYS_bpf, EINVAL);
	expect(!kernel_has_compare_and_swap());
	expect(!kernel_has_ring_buffer());
}

TEST_IN_CHILD(no_right_to_ask)
TEST_IN_CHILD(kernel_without_it)

static void ring_buffer(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("making a ring buffer needs root: SKIPPED\n");
		skip();
	}
	assert_true(kernel_has_ring_buffer());
}

/* 1 / HZ, for 100, 250, 300 and 1000 Hz; the coarse clock advances by it. */
static void tick(void **state)
{
	uint64_t tick = kernel_tick_nanoseconds();
	struct timespec first, next;

	(void)state;
	if (tick != 10000000 && tick != 4000000 && tick != 1000000)
		assert_in_range(tick, 3333333, 3333334);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &first);
	do {
		clock_gettime(CLOCK_MONOTONIC_COARSE, &next);
	} while (next.tv_sec == first.tv_sec && next.tv_nsec == first.tv_nsec);
	assert_in_range((next.tv_sec - first.tv_sec) * 1000000000 + next.tv_nsec - first.tv_nsec,
			tick / 10 * 9, UINT64_MAX);
	assert_int_equal(kernel_tick_nanoseconds(), tick);
}

/* A function must be there, and be the one that is meant, before anything is tried. */
static void entering(void **state)
{
	struct btf *btf = btf__new_empty();
	int proto, error = 0;

	(void)state;
	assert_non_null(btf);
	assert_int_equal(kernel_btf_function(btf, "function"), -ENOENT);
	assert_int_equal(kernel_btf_parameters(btf, "function"), -ENOENT);
	assert_false(kernel_can_enter(btf, "function", 2, &error));
	assert_int_equal(error, -ENOENT);
	proto = btf__add_func_proto(btf, 0);
	assert_int_equal(btf__add_func_param(btf, "sk", 0), 0);
	assert_int_equal(btf__add_func_param(btf, "skb", 0), 0);
	assert_int_equal(btf__add_func_param(btf, "reason", 0), 0);
	assert_true(btf__add_func(btf, "function", BTF_FUNC_STATIC, proto) > 0);
	assert_int_equal(kernel_btf_parameters(btf, "function"), 3);
	assert_false(kernel_can_enter(btf, "function", 2, &error));
	assert_int_equal(error, -EOPNOTSUPP);
	btf__free(btf);
}

/* Where this kernel lets nothing attach to a function, it is said to be so. */
static void entering_here(void **state)
{
	static const char function[] = "tcp_rcv_established";
	unsigned descriptors = count_descriptors();
	struct btf *btf = NULL;
	int error = 0;

	(void)state;
	if (geteuid() != 0 || kernel_btf_load(&btf) < 0) {
		print_message("attaching to a function needs root and the kernel's BTF: SKIPPED\n");
		skip();
	}
	assert_int_equal(kernel_btf_parameters(btf, function), 2);
	if (kernel_can_enter(btf, function, 2, &error)) {
		assert_int_equal(error, 0);
		assert_false(kernel_can_enter(btf, function, 3, &error));
		assert_int_equal(error, -EOPNOTSUPP);
		kernel_btf_freep(&btf);
		assert_int_equal(count_descriptors(), descriptors);
		return;
	}
	kernel_btf_freep(&btf);
	assert_int_equal(count_descriptors(), descriptors);
	assert_true(error < 0);
	print_message("this kernel lets nothing attach to %s (%s): SKIPPED\n", function,
		      strerror(-error));
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants),
		cmocka_unit_test(nesting),
		cmocka_unit_test(memlock_raised_test),
		cmocka_unit_test(memlock_advised_test),
		cmocka_unit_test(compare_and_swap),
		cmocka_unit_test(no_right_to_ask_test),
		cmocka_unit_test(kernel_without_it_test),
		cmocka_unit_test(ring_buffer),
		cmocka_unit_test(tick),
		cmocka_unit_test(entering),
		cmocka_unit_test(entering_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
