/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <cmocka.h>

#include "child.h"
#include "kernel/btf.h"
#include "util.h"

#define SECOND 1000000000ULL

/* A subsystem that no kernel has: 65,535 are possible and a handful are taken. */
enum { NO_SUBSYSTEM = 4711 };

static struct btf *make(void)
{
	struct btf *btf = btf__new_empty();

	assert_non_null(btf);
	assert_true(btf__add_int(btf, "int", 4, BTF_INT_SIGNED) > 0);
	return btf;
}

/* As the kernel declares it: a typedef to a pointer to a function of the private data and the
 * arguments. */
static void add_tracepoint(struct btf *btf, const char *name, int arguments)
{
	int proto = btf__add_func_proto(btf, 0);
	char type[64];

	assert_true(proto > 0);
	assert_int_equal(btf__add_func_param(btf, "__data", 1), 0);
	for (int i = 0; i < arguments; i++)
		assert_int_equal(btf__add_func_param(btf, "argument", 1), 0);
	snprintf(type, sizeof(type), "btf_trace_%s", name);
	assert_true(btf__add_typedef(btf, type, btf__add_ptr(btf, proto)) > 0);
}

static void add_reasons(struct btf *btf)
{
	assert_true(btf__add_enum(btf, "skb_drop_reason", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_NOT_DROPPED_YET", 0), 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_CONSUMED", 1), 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_DROP_REASON_NOT_SPECIFIED", 2), 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_DROP_REASON_NO_SOCKET", 3), 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_DROP_REASON_MAX", 80), 0);
	assert_int_equal(btf__add_enum_value(btf, "SKB_DROP_REASON_SUBSYS_MASK", -65536), 0);
}

static void arguments(void **state)
{
	static const char *const names[] = { "none", "one", "two", "kfree_skb", "four" };
	struct btf *btf = make();

	(void)state;
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		add_tracepoint(btf, names[i], i);
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		assert_int_equal(kernel_btf_arguments(btf, names[i]), i);
	btf__free(btf);
}

static void no_such_tracepoint(void **state)
{
	struct btf *btf = make();

	(void)state;
	assert_int_equal(kernel_btf_arguments(btf, "kfree_skb"), -ENOENT);
	add_tracepoint(btf, "kfree_skb", 3);
	assert_int_equal(kernel_btf_arguments(btf, "kfree_skb"), 3);
	assert_int_equal(kernel_btf_arguments(btf, "kfree_skb_"), -ENOENT);
	assert_int_equal(kernel_btf_arguments(btf, "kfree"), -ENOENT);
	assert_int_equal(kernel_btf_arguments(btf, ""), -ENOENT);
	/* A name that is no typedef, and a typedef of no function. */
	assert_true(btf__add_struct(btf, "btf_trace_other", 4) > 0);
	assert_true(btf__add_typedef(btf, "btf_trace_number", 1) > 0);
	assert_int_equal(kernel_btf_arguments(btf, "other"), -ENOENT);
	assert_int_equal(kernel_btf_arguments(btf, "number"), -ENOENT);
	btf__free(btf);
}

static void enumerators(void **state)
{
	struct btf *btf = make();

	(void)state;
	assert_true(btf__add_enum(btf, NULL, 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "IN_NO_ENUM_OF_A_NAME", 5), 0);
	assert_true(btf__add_enum(btf, "rqf_flags", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "__RQF_STARTED", 0), 0);
	assert_int_equal(btf__add_enum_value(btf, "__RQF_IO_STAT", 7), 0);
	assert_int_equal(kernel_btf_enumerator(btf, "rqf_flags", "__RQF_IO_STAT"), 7);
	assert_int_equal(kernel_btf_enumerator(btf, "rqf_flags", "__RQF_STARTED"), 0);
	assert_int_equal(kernel_btf_enumerator(btf, "rqf_flags", "__RQF_IO"), -ENOENT);
	assert_int_equal(kernel_btf_enumerator(btf, "no_flags", "__RQF_IO_STAT"), -ENOENT);
	assert_int_equal(kernel_btf_enumerator(btf, NULL, "__RQF_IO_STAT"), 7);
	assert_int_equal(kernel_btf_enumerator(btf, NULL, "__RQF_STARTED"), 0);
	assert_int_equal(kernel_btf_enumerator(btf, NULL, "IN_NO_ENUM_OF_A_NAME"), 5);
	assert_int_equal(kernel_btf_enumerator(btf, NULL, "rqf_flags"), -ENOENT);
	/* With 64-bit values. */
	assert_true(btf__add_enum64(btf, "skb_drop_reason", 8, false) > 0);
	assert_int_equal(btf__add_enum64_value(btf, "SKB_DROP_REASON_TCP_OFOMERGE", 33), 0);
	assert_int_equal(btf__add_enum64_value(btf, "SKB_DROP_REASON_SUBSYS_MASK", 0xffff0000), 0);
	assert_int_equal(
		kernel_btf_enumerator(btf, "skb_drop_reason", "SKB_DROP_REASON_TCP_OFOMERGE"), 33);
	assert_int_equal(kernel_btf_enumerator(btf, NULL, "SKB_DROP_REASON_TCP_OFOMERGE"), 33);
	assert_int_equal(kernel_btf_enumerator(btf, "skb_drop_reason", "SKB_DROP_REASON_TCP"),
			 -ENOENT);
	btf__free(btf);
}

static void functions(void **state)
{
	struct btf *btf = make();
	int proto = btf__add_func_proto(btf, 0);

	(void)state;
	assert_true(btf__add_func(btf, "bpf_rdonly_cast", BTF_FUNC_GLOBAL, proto) > 0);
	assert_true(btf__add_struct(btf, "tcp_sock", 4) > 0);
	assert_true(kernel_btf_has_function(btf, "bpf_rdonly_cast"));
	assert_false(kernel_btf_has_function(btf, "bpf_rdonly"));
	assert_false(kernel_btf_has_function(btf, "tcp_sock"));
	btf__free(btf);
}

static void assert_reason(struct reasons *reasons, uint32_t number, const char *expected)
{
	char name[REASON_NAME_SIZE];

	memset(name, 'x', sizeof(name));
	reasons_name(reasons, number, SECOND, name);
	assert_string_equal(name, expected);
}

static void core_reasons(void **state)
{
	struct btf *btf = make();
	struct reasons *reasons;

	(void)state;
	add_reasons(btf);
	assert_int_equal(reasons_new(btf, &reasons), 0);
	btf__free(btf); /* the names are copies */
	assert_reason(reasons, 0, "SKB_NOT_DROPPED_YET");
	assert_reason(reasons, 1, "SKB_CONSUMED");
	assert_reason(reasons, 2, "NOT_SPECIFIED");
	assert_reason(reasons, 3, "NO_SOCKET");
	assert_reason(reasons, 4, "reason_4");
	assert_reason(reasons, 200, "reason_200");
	assert_reason(reasons, 65535, "reason_65535");
	reasons_free(reasons);
}

/* With a mask that no int holds the compiler makes it an enum of 64-bit values. */
static void wide_reasons(void **state)
{
	struct btf *btf = make();
	struct reasons *reasons;

	(void)state;
	assert_true(btf__add_enum64(btf, "skb_drop_reason", 8, false) > 0);
	assert_int_equal(btf__add_enum64_value(btf, "SKB_NOT_DROPPED_YET", 0), 0);
	assert_int_equal(btf__add_enum64_value(btf, "SKB_DROP_REASON_NO_SOCKET", 3), 0);
	assert_int_equal(btf__add_enum64_value(btf, "SKB_DROP_REASON_SUBSYS_MASK", 0xffff0000), 0);
	assert_int_equal(reasons_new(btf, &reasons), 0);
	btf__free(btf);
	assert_reason(reasons, 0, "SKB_NOT_DROPPED_YET");
	assert_reason(reasons, 3, "NO_SOCKET");
	assert_reason(reasons, 4, "reason_4");
	reasons_free(reasons);
}

static void long_names_are_cut(void **state)
{
	char name[128] = "SKB_DROP_REASON_", expected[REASON_NAME_SIZE];
	struct btf *btf = make();
	struct reasons *reasons;

	(void)state;
	memset(name + strlen(name), 'N', 100);
	memset(expected, 'N', sizeof(expected));
	expected[sizeof(expected) - 1] = '\0';
	assert_true(btf__add_enum(btf, "skb_drop_reason", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, name, 3), 0);
	assert_int_equal(reasons_new(btf, &reasons), 0);
	assert_reason(reasons, 3, expected);
	btf__free(btf);
	reasons_free(reasons);
}

/* Many: the list grows. */
static void many_reasons(void **state)
{
	struct btf *btf = make();
	struct reasons *reasons;
	char name[64];

	(void)state;
	assert_true(btf__add_enum(btf, "skb_drop_reason", 4) > 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "SKB_DROP_REASON_N%d", i);
		assert_int_equal(btf__add_enum_value(btf, name, i), 0);
	}
	assert_int_equal(reasons_new(btf, &reasons), 0);
	btf__free(btf);
	assert_reason(reasons, 0, "N0");
	assert_reason(reasons, 128, "N128");
	assert_reason(reasons, 999, "N999");
	reasons_free(reasons);
}

/* A kernel before 5.17, which passes 0, and one without BTF. */
static void no_reasons(void **state)
{
	struct btf *kernels[] = { make(), NULL };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(kernels); i++) {
		struct reasons *reasons;

		assert_int_equal(reasons_new(kernels[i], &reasons), 0);
		btf__free(kernels[i]);
		assert_reason(reasons, 0, "");
		assert_reason(reasons, 7, "reason_7");
		reasons_free(reasons);
	}
	reasons_free(NULL);
}

static void unresolved_subsystem(void **state)
{
	struct btf *btf = make();
	struct reasons *reasons;

	(void)state;
	add_reasons(btf);
	assert_int_equal(reasons_new(btf, &reasons), 0);
	btf__free(btf);
	assert_reason(reasons, NO_SUBSYSTEM << 16 | 7, "subsys_4711:7");
	assert_reason(reasons, NO_SUBSYSTEM << 16, "subsys_4711:0");
	assert_reason(reasons, 0xffffffff, "subsys_65535:65535");
	/* The mask in the enum is no reason of that subsystem. */
	assert_reason(reasons, 0xffff0000, "subsys_65535:0");
	reasons_free(reasons);
}

/* The sanitizer tells of each allocation: the kernel's BTF is one of megabytes. */
extern int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *,
									 size_t),
						     void (*free_hook)(const volatile void *));

static unsigned big_allocations;

static void on_malloc(const volatile void *pointer, size_t size)
{
	(void)pointer;
	big_allocations += size > 1000000;
}

static void on_free(const volatile void *pointer)
{
	(void)pointer;
}

/* Does this question make it read the kernel's BTF? */
static bool looks(struct reasons *reasons, uint32_t number, uint64_t now)
{
	unsigned before = big_allocations;
	char name[REASON_NAME_SIZE];

	reasons_name(reasons, number, now, name);
	return big_allocations > before;
}

static void need_running_kernel(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		print_message("no /sys/kernel/btf/vmlinux here: SKIPPED\n");
		skip();
	}
}

/* Every drop with such a reason asks; megabytes are read at most every ten seconds. */
static void looks_again_only_after_a_while(void **state)
{
	uint32_t number = NO_SUBSYSTEM << 16 | 7;
	struct btf *btf = make();
	struct reasons *reasons;

	(void)state;
	need_running_kernel();
	assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
	add_reasons(btf);
	assert_int_equal(reasons_new(btf, &reasons), 0);
	btf__free(btf);
	assert_false(looks(reasons, 3, 100 * SECOND));
	assert_false(looks(reasons, 200, 100 * SECOND)); /* a core reason is known or not */
	assert_true(looks(reasons, number, 100 * SECOND));
	assert_false(looks(reasons, number, 100 * SECOND));
	assert_false(looks(reasons, number + 1, 101 * SECOND));
	assert_false(looks(reasons, number, 110 * SECOND - 1));
	assert_true(looks(reasons, number, 110 * SECOND));
	assert_false(looks(reasons, number, 119 * SECOND));
	reasons_free(reasons);
}

static void running_kernel(void **state)
{
	char name[REASON_NAME_SIZE];
	struct reasons *reasons;
	struct btf *btf;
	int no_socket;

	(void)state;
	need_running_kernel();
	assert_int_equal(kernel_btf_load(&btf), 0);
	assert_in_range(kernel_btf_arguments(btf, "kfree_skb"), 2, 4);
	assert_in_range(kernel_btf_arguments(btf, "netif_receive_skb"), 1, 1);
	assert_in_range(kernel_btf_arguments(btf, "tcp_retransmit_skb"), 2, 3);
	assert_in_range(kernel_btf_arguments(btf, "block_rq_issue"), 1, 2);
	assert_int_equal(kernel_btf_arguments(btf, "no_such_tracepoint"), -ENOENT);
	assert_true(kernel_btf_has_function(btf, "tcp_v4_rcv"));
	assert_false(kernel_btf_has_function(btf, "no_such_function"));
	assert_int_equal(reasons_new(btf, &reasons), 0);
	no_socket = kernel_btf_enumerator(btf, "skb_drop_reason", "SKB_DROP_REASON_NO_SOCKET");
	if (no_socket > 0) {
		reasons_name(reasons, (uint32_t)no_socket, SECOND, name);
		assert_string_equal(name, "NO_SOCKET");
	}
	kernel_btf_freep(&btf);
	reasons_free(reasons);
}

static void expect_name(struct reasons *reasons, uint32_t number, uint64_t now,
			const char *expected, unsigned line)
{
	char name[REASON_NAME_SIZE];

	reasons_name(reasons, number, now, name);
	if (strcmp(name, expected) == 0)
		return;
	fprintf(stderr, "line %u: \"%s\" instead of \"%s\"\n", line, name, expected);
	_exit(CHILD_FAILED);
}

static void write_to(const struct btf *btf, const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "w");
	const void *data;
	__u32 size;

	data = btf__raw_data(btf, &size);
	expect(file && data && fwrite(data, 1, size, file) == size);
}

static void write_btf(const struct btf *btf, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", name);
	write_to(btf, path);
}

/* A kernel of our own, seen by this process alone: core reasons and those of one subsystem. */
static struct btf *replace_kernel(void)
{
	struct btf *btf = make();

	child_replace("/sys/kernel/btf");
	add_reasons(btf);
	expect(btf__add_enum(btf, "qdisc_drop_reason", 4) > 0);
	expect(btf__add_enum_value(btf, "__QDISC_DROP_REASON", 3 << 16) == 0);
	expect(btf__add_enum_value(btf, "SKB_DROP_REASON_QDISC_OVERLIMIT", 3 << 16 | 1) == 0);
	expect(btf__add_enum_value(btf, "QDISC_DROP_CONGESTED", 3 << 16 | 2) == 0);
	expect(btf__add_enum(btf, "skb_drop_reason_subsys", 4) > 0);
	expect(btf__add_enum_value(btf, "SUBSYS_LOOKS_LIKE_A_REASON", 3 << 16 | 9) == 0);
	write_btf(btf, "vmlinux");
	return btf;
}

/* Its module openvswitch, whose enum has 64-bit values. */
static void load_module(struct btf *base)
{
	struct btf *btf = btf__new_empty_split(base);

	expect(btf != NULL);
	expect(btf__add_enum64(btf, "ovs_drop_reason", 8, false) > 0);
	expect(btf__add_enum64_value(btf, "__OVS_DROP_REASON", 2 << 16) == 0);
	expect(btf__add_enum64_value(btf, "OVS_DROP_LAST_ACTION", 2 << 16 | 1) == 0);
	write_btf(btf, "openvswitch");
	btf__free(btf);
}

static void subsystem_of_the_kernel(void *userdata)
{
	struct btf *btf = replace_kernel();
	struct reasons *reasons;

	(void)userdata;
	expect(reasons_new(btf, &reasons) == 0);
	expect_name(reasons, 3 << 16 | 1, SECOND, "QDISC_OVERLIMIT", __LINE__);
	expect_name(reasons, 3 << 16 | 2, SECOND, "QDISC_DROP_CONGESTED", __LINE__);
	expect_name(reasons, 3 << 16 | 9, SECOND, "subsys_3:9", __LINE__);
	expect_name(reasons, 3, SECOND, "NO_SOCKET", __LINE__);
}

static void subsystem_of_a_module(void *userdata)
{
	struct btf *btf = replace_kernel();
	struct reasons *reasons;

	(void)userdata;
	load_module(btf);
	expect(reasons_new(btf, &reasons) == 0);
	expect_name(reasons, 2 << 16 | 1, SECOND, "OVS_DROP_LAST_ACTION", __LINE__);
	expect_name(reasons, 2 << 16 | 2, SECOND, "subsys_2:2", __LINE__);
}

/* Not there yet at the first look. */
static void module_that_comes_later(void *userdata)
{
	struct btf *btf = replace_kernel();
	struct reasons *reasons;

	(void)userdata;
	expect(reasons_new(btf, &reasons) == 0);
	expect_name(reasons, 2 << 16 | 1, 100 * SECOND, "subsys_2:1", __LINE__);
	load_module(btf);
	expect_name(reasons, 2 << 16 | 1, 109 * SECOND, "subsys_2:1", __LINE__);
	expect_name(reasons, 2 << 16 | 1, 110 * SECOND, "OVS_DROP_LAST_ACTION", __LINE__);
}

/* A row is described once: a second subsystem must not have to wait because the first was looked
 * for. */
static void two_subsystems_at_a_time(void *userdata)
{
	struct btf *btf = replace_kernel();
	struct reasons *reasons;

	(void)userdata;
	load_module(btf);
	expect(reasons_new(btf, &reasons) == 0);
	expect_name(reasons, 3 << 16 | 2, 100 * SECOND, "QDISC_DROP_CONGESTED", __LINE__);
	expect_name(reasons, 2 << 16 | 1, 101 * SECOND, "OVS_DROP_LAST_ACTION", __LINE__);
}

/* In the place of the kernel's own: whole, with its subsystems; not what has been cut down. */
static void a_file(void *userdata)
{
	struct btf *btf = replace_kernel(), *loaded = NULL;
	struct reasons *reasons;
	char path[64];

	(void)userdata;
	snprintf(path, sizeof(path), "/tmp/dropscope-test-btf.%d", (int)getpid());
	expect(kernel_btf_load_from(path, &loaded) == -ENOENT && !loaded);
	write_to(btf, path);
	expect(kernel_btf_load_from(path, &loaded) == -ENODATA && !loaded);
	add_tracepoint(btf, "kfree_skb", 3);
	write_to(btf, path);
	expect(unlink("/sys/kernel/btf/vmlinux") == 0);
	expect(kernel_btf_load_from(path, &loaded) == 0);
	expect(kernel_btf_arguments(loaded, "kfree_skb") == 3);
	expect(reasons_new(loaded, &reasons) == 0);
	expect_name(reasons, 3 << 16 | 1, 100 * SECOND, "subsys_3:1", __LINE__);
	reasons_look_in(reasons, path);
	expect_name(reasons, 3 << 16 | 1, 110 * SECOND, "QDISC_OVERLIMIT", __LINE__);
	expect(truncate(path, 40) == 0);
	btf__free(loaded);
	loaded = NULL;
	expect(kernel_btf_load_from(path, &loaded) < 0 && !loaded);
	unlink(path);
}
TEST_IN_CHILD(a_file)

static void subsystem_in_kernel(void **state)
{
	(void)state;
	in_a_child(subsystem_of_the_kernel, NULL);
}

static void subsystem_in_module(void **state)
{
	(void)state;
	in_a_child(subsystem_of_a_module, NULL);
}

static void subsystem_in_later_module(void **state)
{
	(void)state;
	in_a_child(module_that_comes_later, NULL);
}

static void subsystems_together(void **state)
{
	(void)state;
	in_a_child(two_subsystems_at_a_time, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(no_such_tracepoint),
		cmocka_unit_test(enumerators),
		cmocka_unit_test(functions),
		cmocka_unit_test(core_reasons),
		cmocka_unit_test(wide_reasons),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(many_reasons),
		cmocka_unit_test(no_reasons),
		cmocka_unit_test(unresolved_subsystem),
		cmocka_unit_test(looks_again_only_after_a_while),
		cmocka_unit_test(running_kernel),
		cmocka_unit_test(a_file_test),
		cmocka_unit_test(subsystem_in_kernel),
		cmocka_unit_test(subsystem_in_module),
		cmocka_unit_test(subsystem_in_later_module),
		cmocka_unit_test(subsystems_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
