/* SPDX-License-Identifier: BSD-2-Clause */
#include "hints_file.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "../model/utf8.h"
#include "../util.h"

static const char *const dimension_names[DIMENSIONS] = { "reason", "symbol", "protocol" };

static const char *const keys[HINT_KEYS] = { "class", "meaning", "check" };

void hints_fault(struct hints_reading *reading, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_at(reading->complain, reading->userdata, reading->path, reading->line, format,
		    arguments);
	va_end(arguments);
	reading->n_faults++;
}

/* ---- headings */

static bool is_word(const char *text, size_t size, const char *word)
{
	return strlen(word) == size && memcmp(text, word, size) == 0;
}

static int find_dimension(const char *text, size_t size)
{
	for (int i = 0; i < DIMENSIONS; i++)
		if (is_word(text, size, dimension_names[i]))
			return i;
	return -ENOENT;
}

/* 0, or -EINVAL: then it has been told. */
static int check_name(struct hints_reading *reading, const char *text, size_t size)
{
	size_t star = 0;

	while (star < size && text[star] != '*' && text[star] > ' ' && text[star] < 0x7f)
		star++;
	if (size <= HINTS_MAX_NAME && (star == size || (star + 1 == size && text[star] == '*')))
		return 0;
	hints_fault(
		reading,
		"[%.*s]: not a name; allowed: printable ASCII, up to %d bytes, * at the end for "
		"any ending",
		size > 64 ? 64 : (int)size, text, HINTS_MAX_NAME);
	return -EINVAL;
}

/* The words between the brackets. */
static int take_names(struct hints_reading *reading, struct hint *hint, const char *text)
{
	int dimension = -1, other;

	for (size_t size; *text != ']'; text += size, text += strspn(text, HINTS_BLANKS)) {
		size = strcspn(text, HINTS_BLANKS "]");
		other = find_dimension(text, size);
		if (other < 0 && dimension < 0) {
			hints_fault(reading,
				    "[%.*s]: unknown; allowed: reason, symbol, protocol, each with "
				    "names after it",
				    size > 64 ? 64 : (int)size, text);
			return -EINVAL;
		}
		if (other >= 0 && (other == dimension || hint->names[other].text)) {
			hints_fault(reading, "[%s]: there twice; allowed: once, with several names",
				    dimension_names[other]);
			return -EINVAL;
		}
		if (other >= 0 && dimension >= 0 && !hint->names[dimension].text)
			break;
		if (other >= 0) {
			dimension = other;
			continue;
		}
		if (check_name(reading, text, size) < 0)
			return -EINVAL;
		if (!hint->names[dimension].text)
			hint->names[dimension].text = text;
		hint->names[dimension].size = (unsigned)(text + size - hint->names[dimension].text);
	}
	if (dimension >= 0 && hint->names[dimension].text)
		return 0;
	hints_fault(reading,
		    "[%s]: names nothing; allowed: reason, symbol, protocol, each with names "
		    "after it",
		    dimension >= 0 ? dimension_names[dimension] : "");
	return -EINVAL;
}

static struct hint *add_hint(struct hints_reading *reading)
{
	struct hints *hints = reading->hints;

	if (hints->n == HINTS_MAX) {
		hints_fault(reading,
			    "one section too many; allowed: at most %d, of all files together",
			    HINTS_MAX);
		reading->full = true;
		return NULL;
	}
	if (hints->n == hints->capacity) {
		unsigned capacity = hints->capacity ? hints->capacity + 32 : 256;
		struct hint *grown = reallocarray(hints->list, capacity, sizeof(*grown));

		if (!grown) {
			reading->error = -ENOMEM;
			return NULL;
		}
		hints->list = grown;
		hints->capacity = capacity;
	}
	return &hints->list[hints->n];
}

static void take_heading(struct hints_reading *reading, const char *text)
{
	const char *end = strchr(text, ']');
	struct hint hint = { .values = { NULL } };

	reading->in_section = true;
	reading->hint = NULL;
	memset(reading->said, 0, sizeof(reading->said));
	if (!end || end[1 + strspn(end + 1, HINTS_BLANKS)]) {
		hints_fault(reading,
			    "[%.64s: not a section; allowed: [reason NAME], [symbol NAME "
			    "protocol NAME] and the like, alone on their line",
			    text);
		return;
	}
	if (take_names(reading, &hint, text + strspn(text, HINTS_BLANKS)) < 0)
		return;
	reading->hint = add_hint(reading);
	if (!reading->hint)
		return;
	*reading->hint = hint;
	reading->hints->n++;
}

/* ---- keys */

static const char *find_class(const char *name)
{
	for (const char *const *at = hint_classes; *at; at++)
		if (strcmp(*at, name) == 0)
			return *at;
	return NULL;
}

static bool is_printable(const char *text)
{
	for (size_t size; *text; text += size) {
		size = utf8_character(text, strlen(text));
		if (size == 0 || utf8_is_control(text))
			return false;
	}
	return true;
}

/* What the hint is to keep of a value, or NULL: told. */
static const char *check_value(struct hints_reading *reading, const char *key, const char *value)
{
	if (strcmp(key, "class") == 0) {
		const char *class = find_class(value);

		if (!class)
			hints_fault(reading,
				    "class: \"%.64s\" is not a class; allowed: resource, routing, "
				    "malformed, protocol, unknown, policy, benign",
				    value);
		return class;
	}
	if (*value && strlen(value) <= HINTS_MAX_LINE && is_printable(value))
		return value;
	hints_fault(reading,
		    "%s: not a line of text; allowed: 1 to %d bytes of UTF-8 without control "
		    "characters",
		    key, HINTS_MAX_LINE);
	return NULL;
}

static void take_key(struct hints_reading *reading, const char *name, size_t size,
		     const char *value)
{
	unsigned key = 0;

	while (key < HINT_KEYS && !is_word(name, size, keys[key]))
		key++;
	if (!reading->in_section)
		hints_fault(reading,
			    "%.*s: in no section; allowed: keys below a line that reads "
			    "[reason NAME], [symbol NAME] or [protocol NAME]",
			    size > 64 ? 64 : (int)size, name);
	else if (key == HINT_KEYS)
		hints_fault(reading, "%.*s: unknown; allowed: class, meaning, check",
			    size > 64 ? 64 : (int)size, name);
	else if (reading->said[key])
		hints_fault(reading, "%s: already on line %u; allowed: once in a section",
			    keys[key], reading->said[key]);
	else
		value = check_value(reading, keys[key], value);
	if (key == HINT_KEYS)
		return;
	reading->said[key] = reading->line;
	if (reading->hint && reading->n_faults == 0)
		reading->hint->values[key] = value;
}

/* ---- lines */

/* `line` is written to only where it ends in blanks. */
static void take_line(struct hints_reading *reading, char *line)
{
	size_t length = strlen(line), name;

	while (length > 0 && strchr(HINTS_BLANKS, line[length - 1]))
		line[--length] = '\0';
	line += strspn(line, HINTS_BLANKS);
	if (*line == '\0' || *line == '#' || *line == ';')
		return;
	if (*line == '[') {
		take_heading(reading, line + 1);
		return;
	}
	name = strcspn(line, HINTS_BLANKS "=");
	length = name + strspn(line + name, HINTS_BLANKS);
	if (name == 0 || line[length] != '=') {
		hints_fault(reading,
			    "neither a section nor a key; allowed: [reason NAME] and the like, "
			    "KEY = VALUE, comments that begin with # or ;");
		return;
	}
	length++;
	take_key(reading, line, name, line + length + strspn(line + length, HINTS_BLANKS));
}

/* Lines end in NUL. */
void hints_take_text(struct hints_reading *reading, char *text, const char *end)
{
	reading->in_section = false;
	reading->hint = NULL;
	for (reading->line = 1; text < end && !reading->error && !reading->full; reading->line++) {
		char *next = text + strlen(text) + 1;

		take_line(reading, text);
		text = next;
	}
	reading->line = 0;
}
