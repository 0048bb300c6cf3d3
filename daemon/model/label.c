/* SPDX-License-Identifier: BSD-2-Clause */
#include "label.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static size_t bounded(const char *string)
{
	return string ? strnlen(string, TABLE_MAX_LABEL_BYTES) : 0;
}

size_t labels_size(const char *const *strings, const struct column *columns, unsigned n)
{
	size_t size = 0;

	for (unsigned i = 0; i < n; i++)
		size += columns && columns[i].borrowed ? 0 : bounded(strings[i]) + 1;
	return size;
}

static struct label label_fill(const char *string, char *text)
{
	/* So far that the last character to begin before the limit is seen as a whole. */
	size_t left = string ? strnlen(string, TABLE_MAX_LABEL_BYTES + UTF8_MAX_SIZE - 1) : 0;
	size_t room = TABLE_MAX_LABEL_BYTES;
	struct label label = { .text = text, .plain = true };

	for (size_t size; left > 0 && room > 0; string += size, left -= size, room -= size) {
		size = utf8_character(string, left);
		if (size > room)
			break;
		if (size == 0 || utf8_is_control(string)) {
			text[label.size++] = '?';
			size = size ? size : 1;
			continue;
		}
		if (*string == '"' || *string == '\\')
			label.plain = false;
		memcpy(text + label.size, string, size);
		label.size += size;
	}
	text[label.size] = '\0';
	return label;
}

struct label label_borrow(const char *string)
{
	const char *text = string ? string : "";
	size_t size = strlen(text);

	assert(size <= TABLE_MAX_LABEL_BYTES);
	return (struct label){ text, (uint16_t)size, text[strcspn(text, "\"\\")] == '\0' };
}

void labels_fill(struct label *labels, const char *const *strings, const struct column *columns,
		 unsigned n, char *text)
{
	for (unsigned i = 0; i < n; i++) {
		if (columns && columns[i].borrowed) {
			labels[i] = label_borrow(strings[i]);
			continue;
		}
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
