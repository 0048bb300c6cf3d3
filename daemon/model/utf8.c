/* SPDX-License-Identifier: BSD-2-Clause */
#include "utf8.h"

size_t utf8_character(const char *at, size_t left)
{
	unsigned char first = (unsigned char)at[0], second;
	/* By the first byte: the length and what the second byte may be. */
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	size_t size = 0;

	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xf4)
		size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : UTF8_MAX_SIZE;
	if (size == 0 || size > left)
		return 0;
	second = (unsigned char)at[1];
	if (second < low || second > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((unsigned char)at[i] >> 6 != 2)
			return 0;
	return size;
}

bool utf8_is_control(const char *at)
{
	unsigned char first = (unsigned char)at[0];

	return first < ' ' || first == 0x7f || (first == 0xc2 && (unsigned char)at[1] < 0xa0);
}

size_t utf8_size(const char *at)
{
	size_t size = 1;

	while ((unsigned char)at[size] >> 6 == 2)
		size++;
	return size;
}

unsigned utf8_length(const char *text)
{
	unsigned length = 0;

	for (; *text; text += utf8_size(text))
		length++;
	return length;
}
