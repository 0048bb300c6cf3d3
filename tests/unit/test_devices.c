/* SPDX-License-Identifier: BSD-2-Clause */
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "kernel/devices.h"
#include "util.h"

#define OTHER_NETNS 4026999999

static struct config config = {
	.groups = {
		{ .label = "br-*", .pattern = "br-????????????" },
		{ .label = "veth*", .pattern = "veth*" },
		{ .label = "late", .pattern = "veth1*" },
		{ .label = "odd", .pattern = "[xy]*.[0-9]" },
	},
	.n_groups = 4,
};

static int set_up(void **state)
{
	struct devices *devices;

	assert_int_equal(devices_new(&config, &devices), 0);
	*state = devices;
	return 0;
}

static int tear_down(void **state)
{
	devices_free(*state);
	return 0;
}

static uint32_t own_netns(void)
{
	struct stat own;

	assert_int_equal(stat("/proc/self/ns/net", &own), 0);
	return (uint32_t)own.st_ino;
}

static void assert_name(struct devices *devices, uint32_t netns, uint32_t ifindex, const char *name,
			const char *expected)
{
	char buffer[DEVICE_NAME_SIZE];
	const char *got;

	memset(buffer, 'x', sizeof(buffer));
	got = devices_name(devices, netns, ifindex, name, buffer);
	assert_string_equal(got, expected);
	/* The answer is the caller's own copy: it outlives the next question. */
	assert_ptr_equal(got, buffer);
}

static void no_device(void **state)
{
	assert_name(*state, own_netns(), 0, "", "none");
	assert_name(*state, 0, 0, "", "none");
	assert_name(*state, 0, 0, "eth0", "none");
	/* Nothing was remembered for "no device". */
	assert_name(*state, 0, 0, "", "none");
}

static void seen_names_are_remembered(void **state)
{
	assert_name(*state, OTHER_NETNS, 7, "", "unknown");
	assert_name(*state, OTHER_NETNS, 7, "eth0", "eth0");
	assert_name(*state, OTHER_NETNS, 7, "", "eth0");
	/* For that namespace and index only. */
	assert_name(*state, OTHER_NETNS + 1, 7, "", "unknown");
	assert_name(*state, OTHER_NETNS, 8, "", "unknown");
	assert_name(*state, 0, 7, "", "unknown");
	/* A renamed device, or a new one with an old index. */
	assert_name(*state, OTHER_NETNS, 7, "wan", "wan");
	assert_name(*state, OTHER_NETNS, 7, "", "wan");
}

static void own_namespace_is_asked(void **state)
{
	unsigned loopback = if_nametoindex("lo");

	if (loopback == 0) {
		print_message("no device lo here: SKIPPED\n");
		skip();
	}
	assert_name(*state, own_netns(), loopback, "", "lo");
	assert_name(*state, OTHER_NETNS, loopback, "", "unknown");
	assert_name(*state, own_netns(), INT32_MAX, "", "unknown");
	/* What the probe saw counts more than what the kernel says now. */
	assert_name(*state, own_netns(), loopback, "seen", "seen");
	assert_name(*state, own_netns(), loopback, "", "seen");
}

static void long_names_are_cut(void **state)
{
	assert_name(*state, OTHER_NETNS, 7, "fifteen-letters", "fifteen-letters");
	assert_name(*state, OTHER_NETNS, 7, "", "fifteen-letters");
	assert_name(*state, OTHER_NETNS, 7, "sixteen-letters.", "sixteen-letters");
}

/* More devices than are remembered: a name may be forgotten, but is never another's. */
static void never_anothers_name(void **state)
{
	char name[DEVICE_NAME_SIZE], buffer[DEVICE_NAME_SIZE];
	unsigned remembered = 0;

	for (unsigned i = 1; i <= 4 * DEVICES_REMEMBERED; i++) {
		snprintf(name, sizeof(name), "veth%u", i);
		assert_name(*state, OTHER_NETNS + i % 3, i, name, name);
	}
	for (unsigned i = 1; i <= 4 * DEVICES_REMEMBERED; i++) {
		const char *got = devices_name(*state, OTHER_NETNS + i % 3, i, "", buffer);

		snprintf(name, sizeof(name), "veth%u", i);
		if (strcmp(got, "unknown") == 0)
			continue;
		assert_string_equal(got, name);
		remembered++;
	}
	assert_in_range(remembered, DEVICES_REMEMBERED / 2, DEVICES_REMEMBERED);
}

/* Every namespace has a device 1 and, mostly, a device 2. */
static void never_another_namespaces(void **state)
{
	char name[DEVICE_NAME_SIZE], buffer[DEVICE_NAME_SIZE];

	for (unsigned i = 0; i < 4 * DEVICES_REMEMBERED; i++) {
		snprintf(name, sizeof(name), "eth%u", i);
		assert_name(*state, OTHER_NETNS + i, 2, name, name);
	}
	for (unsigned i = 0; i < 4 * DEVICES_REMEMBERED; i++) {
		const char *got = devices_name(*state, OTHER_NETNS + i, 2, "", buffer);

		snprintf(name, sizeof(name), "eth%u", i);
		assert_true(strcmp(got, name) == 0 || strcmp(got, "unknown") == 0);
	}
}

static void groups(void **state)
{
	static const struct {
		const char *name, *label;
	} cases[] = {
		{ "eth0", "eth0" },
		{ "none", "none" },
		{ "", "" },
		{ "veth", "veth*" },
		{ "veth9a8b7c6", "veth*" },
		{ "veth1", "veth*" }, /* the first that matches, not the best */
		{ "aveth1", "aveth1" },
		{ "br-0123456789ab", "br-*" },
		{ "br-lan", "br-lan" },
		{ "x1.5", "odd" },
		{ "z1.5", "z1.5" },
		{ "veth*", "veth*" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(devices_label(*state, cases[i].name), cases[i].label);
}

static void another_configuration(void **state)
{
	static struct config second = { .groups = { { .label = "eth*", .pattern = "eth*" } },
					.n_groups = 1 };
	static const struct config none = { .n_groups = 0 };

	assert_name(*state, OTHER_NETNS, 7, "veth0", "veth0");
	devices_configure(*state, &second);
	assert_string_equal(devices_label(*state, "eth0"), "eth*");
	assert_string_equal(devices_label(*state, "veth0"), "veth0");
	assert_name(*state, OTHER_NETNS, 7, "", "veth0");
	devices_configure(*state, &none);
	assert_string_equal(devices_label(*state, "eth0"), "eth0");
}

static void nothing_to_free(void **state)
{
	(void)state;
	devices_free(NULL);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(no_device),
		test(seen_names_are_remembered),
		test(own_namespace_is_asked),
		test(long_names_are_cut),
		test(never_anothers_name),
		test(never_another_namespaces),
		test(groups),
		test(another_configuration),
		cmocka_unit_test(nothing_to_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
