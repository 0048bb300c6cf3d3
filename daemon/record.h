/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and texts one after another, as bytes: what is written in an order is taken in the same
 * order. Numbers are LEB128: seven bits a byte, the lowest first, so that a zero is one byte. The
 * taker trusts nothing: what does not fit sets `failed`, and from there on everything is 0 or "".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/buffer.h"

void record_number(struct buffer *buffer, uint64_t number);
void record_text(struct buffer *buffer, const char *text);
/* The numbers only: how many there are is the taker's to know. */
void record_numbers(struct buffer *buffer, const uint64_t *numbers, unsigned n);

struct record {
	const unsigned char *at, *end;
	bool failed;
};

uint64_t record_take_number(struct record *record);
/* One that is to be at most `most`. */
uint64_t record_take_count(struct record *record, uint64_t most);
/* Lives as long as the bytes. */
const char *record_take_text(struct record *record);
void record_take_numbers(struct record *record, uint64_t *ret_numbers, unsigned n);
