/* SPDX-License-Identifier: BSD-2-Clause */
#include "record.h"

#include <string.h>

void record_number(struct buffer *buffer, uint64_t number)
{
	while (number >= 0x80) {
		buffer_char(buffer, (char)(number | 0x80));
		number >>= 7;
	}
	buffer_char(buffer, (char)number);
}

void record_text(struct buffer *buffer, const char *text)
{
	size_t size = strlen(text);

	record_number(buffer, size);
	buffer_bytes(buffer, text, size + 1);
}

void record_numbers(struct buffer *buffer, const uint64_t *numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		record_number(buffer, numbers[i]);
}

uint64_t record_take_number(struct record *record)
{
	uint64_t number = 0;

	for (unsigned shift = 0; shift < 64 && record->at < record->end; shift += 7) {
		unsigned char byte = *record->at++;

		if (shift == 63 && byte > 1)
			break;
		number |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return number;
	}
	record->failed = true;
	record->at = record->end;
	return 0;
}

uint64_t record_take_count(struct record *record, uint64_t most)
{
	uint64_t count = record_take_number(record);

	if (count <= most)
		return count;
	record->failed = true;
	record->at = record->end;
	return 0;
}

const char *record_take_text(struct record *record)
{
	uint64_t size = record_take_number(record);
	const char *text = (const char *)record->at;

	if (record->failed || size >= (uint64_t)(record->end - record->at) ||
	    memchr(text, '\0', size + 1) != text + size) {
		record->failed = true;
		record->at = record->end;
		return "";
	}
	record->at += size + 1;
	return text;
}

void record_take_numbers(struct record *record, uint64_t *ret_numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ret_numbers[i] = record_take_number(record);
}
