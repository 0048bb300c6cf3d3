/* SPDX-License-Identifier: BSD-2-Clause */
/* Golden files: tests/unit/golden; GOLDEN_UPDATE=1 writes them anew. Run from the repository's
 * root. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "render/buffer.h"

/* Compares with a file, or writes it when GOLDEN_UPDATE=1. A difference is shown by diff(1). */
static inline void assert_golden(const struct buffer *buffer, const char *path)
{
	const char *update = getenv("GOLDEN_UPDATE");
	char command[256];
	FILE *file;

	assert_false(buffer->failed);
	if (update && strcmp(update, "1") == 0) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(buffer->data, 1, buffer->size, file), buffer->size);
		assert_int_equal(fclose(file), 0);
		return;
	}
	snprintf(command, sizeof(command), "diff -u --label expected %s --label got - >&2", path);
	file = popen(command, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(buffer->data, 1, buffer->size, file), buffer->size);
	if (pclose(file) != 0)
		fail_msg("%s differs; GOLDEN_UPDATE=1 rewrites it", path);
}
