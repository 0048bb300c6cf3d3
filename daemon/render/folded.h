/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares as folded stacks, which flamegraph.pl and speedscope read: one line for each, names of
 * functions from the outermost to the innermost with semicolons between them, a space, a number.
 * What has no stack is its row's first label alone.
 */
#pragma once

#include "../model/shares.h"
#include "buffer.h"

void folded_render(struct buffer *buffer, const struct shares *shares);
