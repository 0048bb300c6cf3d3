/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/link.h"
#include "kernel/protocols.h"
#include "util.h"

static void headers(void **state)
{
	static const struct {
		struct llc_snap llc;
		unsigned expected;
	} cases[] = {
		{ { 0x42, 0x42, 0x03, { 0 }, { 0 } }, LINK_STP },
		/* The rest of a spanning-tree frame is no SNAP header, whatever it holds. */
		{ { 0x42, 0x42, 0x03, { 0, 0, 0x0c }, { 0x20, 0x00 } }, LINK_STP },
		{ { 0x42, 0xaa, 0x03, { 0 }, { 0 } }, LINK_LLC },
		{ { 0xaa, 0x42, 0x03, { 0 }, { 0 } }, LINK_LLC },
		{ { 0xfe, 0xfe, 0x03, { 0 }, { 0 } }, LINK_LLC }, /* IS-IS */
		{ { 0xe0, 0xe0, 0x03, { 0 }, { 0 } }, LINK_LLC }, /* IPX */
		{ { 0, 0, 0, { 0 }, { 0 } }, LINK_LLC },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x01, 0x0b } }, LINK_PVST },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x20, 0x00 } }, LINK_CDP },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x01, 0x11 } }, LINK_UDLD },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x20, 0x04 } }, LINK_DTP },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x20, 0x03 } }, LINK_VTP },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x01, 0x04 } }, LINK_PAGP },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0x0c }, { 0x00, 0x20 } }, LINK_SNAP },
		{ { 0xaa, 0xaa, 0x03, { 0, 0, 0 }, { 0x20, 0x00 } }, LINK_SNAP },
		{ { 0xaa, 0xaa, 0x03, { 0, 1, 0x0c }, { 0x20, 0x00 } }, LINK_SNAP },
		{ { 0xaa, 0xaa, 0x03, { 1, 0, 0x0c }, { 0x20, 0x00 } }, LINK_SNAP },
		/* Cut behind the control byte: the probe leaves the rest zero. */
		{ { 0xaa, 0xaa, 0x03, { 0 }, { 0 } }, LINK_SNAP },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(link_of_llc(&cases[i].llc), cases[i].expected);
}

/* The header that the probes read is the one that is on the wire. */
static void layout(void **state)
{
	static const uint8_t frame[] = { 0xaa, 0xaa, 0x03, 0x00, 0x00, 0x0c, 0x20, 0x00 };

	(void)state;
	assert_int_equal(sizeof(struct llc_snap), sizeof(frame));
	assert_int_equal(link_of_llc((const struct llc_snap *)frame), LINK_CDP);
}

/* Every link protocol has a name of its own, as a packet's kind carries it. */
static void every_protocol_is_named(void **state)
{
	char names[LINK_PROTOCOLS][PROTOCOL_NAME_SIZE];

	(void)state;
	for (uint64_t i = LINK_NONE + 1; i < LINK_PROTOCOLS; i++) {
		protocol_name(0x0004 | i << 24, names[i]);
		for (uint64_t j = LINK_NONE + 1; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	}
	assert_string_equal(names[LINK_STP], "stp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(layout),
		cmocka_unit_test(every_protocol_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
