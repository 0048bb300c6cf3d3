/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FNV-1a, 64 bits (Fowler, Noll and Vo): a hash for tables, and a checksum against accidents. Not
 * against anybody's will.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* `sum` is HASH_START, or what came before. */
static inline uint64_t hash_bytes(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}
