/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of labels, as the table keeps them: bounded, valid UTF-8. */
#pragma once

#include "table.h"

/* Bytes that labels_fill() will write at most for these strings (NULL is ""). */
size_t labels_size(const char *const *strings, const struct column *columns, unsigned n);

/*
 * Copies n strings to `text` and makes labels[i] point there: cut at TABLE_MAX_LABEL_BYTES between
 * characters, control characters (C1 too) and bytes that are not UTF-8 (RFC 3629) replaced by '?'.
 * Those of borrowed columns are not copied; NULL: all are.
 */
void labels_fill(struct label *labels, const char *const *strings, const struct column *columns,
		 unsigned n, char *text);

/* A label that points to `string` (NULL is ""): valid UTF-8 without control characters, of at most
 * TABLE_MAX_LABEL_BYTES. */
struct label label_borrow(const char *string);

/* The labels that `which` picks (n indices), with their texts in one allocation, or NULL. */
struct label *labels_copy(const struct label *labels, const uint8_t *which, unsigned n);
