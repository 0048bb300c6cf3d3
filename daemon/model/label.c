/* SPDX-License-Identifier: BSD-2-Clause */
#include "label.h"

#include <stdlib.h>
#include <string.h>

static size_t bounded(const char *string)
{
	return string ? strnlen(string, TABLE_MAX_LABEL_BYTES) : 0;
}

size_t labels_size(const char *const *strings, unsigned n)
{
	size_t size = 0;

	for (unsigned i = 0; i < n; i++)
		size += bounded(strings[i]) + 1;
	return size;
}

/* The length of the UTF-8 character at `at`, of which `left` bytes are there; 0 when it is none. */
static size_t utf8_character(const unsigned char *at, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 :
		      at[0] >> 3 == 30 ? 4 : 0;
	uint32_t code = size > 1 ? at[0] & (0x7f >> size) : at[0];

	if (size == 0 || size > left)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return size;
}

static struct label label_fill(const char *string, char *text)
{
	struct label label = { .text = text, .size = bounded(string), .plain = true };
	const unsigned char *from = (const unsigned char *)string;

	for (size_t i = 0; i < label.size;) {
		size_t size = utf8_character(from + i, label.size - i);

		if (size == 0 || (size == 1 && (from[i] < ' ' || from[i] == 0x7f))) {
			text[i++] = '?';
			continue;
		}
		if (from[i] == '"' || from[i] == '\\')
			label.plain = false;
		memcpy(text + i, from + i, size);
		i += size;
	}
	text[label.size] = '\0';
	return label;
}

void labels_fill(struct label *labels, const char *const *strings, unsigned n, char *text)
{
	for (unsigned i = 0; i < n; i++) {
		labels[i] = label_fill(strings[i], text);
		text += labels[i].size + 1;
	}
}

struct label *labels_copy(const struct label *labels, const uint8_t *which, unsigned n)
{
	size_t size = n * sizeof(struct label) + 1;
	struct label *copy;
	char *text;

	for (unsigned i = 0; i < n; i++)
		size += labels[which[i]].size + 1;
	copy = malloc(size);
	if (!copy)
		return NULL;
	text = (char *)(copy + n);
	for (unsigned i = 0; i < n; i++) {
		copy[i] = labels[which[i]];
		copy[i].text = memcpy(text, labels[which[i]].text, labels[which[i]].size + 1u);
		text += copy[i].size + 1;
	}
	return copy;
}
