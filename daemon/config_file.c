/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_file.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include <ini.h>

#include "util.h"

#define BLANKS " \t\v\f\r"
#define UTF8_MARK "\xEF\xBB\xBF"

static const struct config_key *find_key(const struct config_reading *reading, const char *section,
					 const char *name, size_t length)
{
	for (const struct config_key *key = reading->keys; key < reading->keys + reading->n_keys;
	     key++)
		if ((!section || strcmp(key->section, section) == 0) &&
		    strncmp(key->name, name, length) == 0 && !key->name[length])
			return key;
	return NULL;
}

static const char *find_section(const struct config_reading *reading, const char *name,
				size_t length)
{
	for (const struct config_key *key = reading->keys; key < reading->keys + reading->n_keys;
	     key++)
		if (strncmp(key->section, name, length) == 0 && !key->section[length])
			return key->section;
	return NULL;
}

/* Telling what is wrong */

static void fault(struct config_reading *reading, const char *format, ...) _printf_(2, 3);

static void fault(struct config_reading *reading, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_at(reading->complain, reading->userdata, reading->path, reading->line, format,
		    arguments);
	va_end(arguments);
	reading->n_faults++;
}

void config_file_refuse(struct config_reading *reading, const struct config_key *key,
			const char *text, int error)
{
	/* What other programs take for a comment, and inih does not. */
	const char *hint = strchr(text, '#') ? "; a comment after a value begins with ;" : "";

	if (error == -EINVAL)
		fault(reading, "%s: \"%s\" is not %s; allowed: %s%s", key->name, text, key->kind,
		      key->allowed, hint);
	else if (error == -ERANGE)
		fault(reading, "%s: \"%s\" is out of range; allowed: %s", key->name, text,
		      key->allowed);
	else if (error == -E2BIG)
		fault(reading, "%s: \"%s\" is one too many; allowed: at most %u", key->name, text,
		      (unsigned)key->max);
	else if (error == -EEXIST)
		fault(reading, "%s: \"%s\" is listed twice; allowed: once", key->name, text);
	else
		reading->error = error;
}

/* Names what there is: the sections or, of one section, the keys. Where three letters at the
 * beginning agree, that is the one that was meant. */
static void unknown(struct config_reading *reading, const char *section, const char *written)
{
	const struct config_key *elsewhere =
		section ? find_key(reading, NULL, written, strlen(written)) : NULL;
	const char *last = "";
	char list[256], hint[64] = "";
	size_t used = 0;

	if (elsewhere)
		snprintf(hint, sizeof(hint), " (it belongs in [%s])", elsewhere->section);
	for (const struct config_key *key = reading->keys; key < reading->keys + reading->n_keys;
	     key++) {
		const char *name = section ? key->name : key->section;

		if (strcmp(name, last) == 0 || (section && strcmp(key->section, section) != 0))
			continue;
		used += snprintf(list + used, sizeof(list) - used, "%s%s", *last ? ", " : "", name);
		assert(used < sizeof(list));
		if (!*hint && strncasecmp(written, name, 3) == 0)
			snprintf(hint, sizeof(hint), " (perhaps %s)", name);
		last = name;
	}
	if (section)
		fault(reading, "%s: unknown in [%s]%s; allowed: %s", written, section, hint, list);
	else
		fault(reading, "[%s]: unknown%s; allowed: %s", written, hint, list);
}

/* Taking in what inih has read */

/* A list ends at a comment: inih 55 leaves those of continuation lines in the value. */
static void take_words(struct config_reading *reading, const struct config_key *key,
		       const char *text)
{
	size_t length;

	for (text += strspn(text, BLANKS); *text && *text != ';'; text += strspn(text, BLANKS)) {
		_cleanup_(freep) char *word = NULL;
		int r;

		length = strcspn(text, BLANKS);
		word = strndup(text, length);
		if (!word) {
			reading->error = -ENOMEM;
			return;
		}
		r = key->parse(key, reading->config, word);
		if (r < 0)
			config_file_refuse(reading, key, word, r);
		/* One complaint is enough about a comment's words, or about each one too many. */
		if (r == -E2BIG || word[0] == '#')
			return;
		text += length;
	}
}

void config_file_take(struct config_reading *reading, const struct config_key *key,
		      const char *text)
{
	int r;

	if (key->clear)
		key->clear(reading->config);
	if (key->clear && ((*text && *text != ';') || key->may_be_empty)) {
		take_words(reading, key, text);
		return;
	}
	r = key->parse(key, reading->config, text);
	if (r < 0)
		config_file_refuse(reading, key, text, r);
}

static void take_key(struct config_reading *reading, const char *name, const char *value)
{
	unsigned *seen;

	reading->key = NULL;
	reading->after_key = true;
	if (!reading->in_section) {
		fault(reading, "%s: in no section; allowed: keys below a line that reads [SECTION]",
		      name);
		return;
	}
	/* All keys of an unknown section have had their complaint in its heading. */
	if (!reading->section)
		return;
	reading->key = find_key(reading, reading->section, name, strlen(name));
	if (!reading->key) {
		unknown(reading, reading->section, name);
		return;
	}
	seen = &reading->seen[reading->key - reading->keys];
	if (*seen) {
		fault(reading, "%s: already on line %u; allowed: once", name, *seen);
		reading->key = NULL;
		return;
	}
	*seen = reading->line;
	config_file_take(reading, reading->key, value);
}

/* inih takes an indented line for more of the value above. For lists that is welcome; but a key
 * or section that somebody indented for its looks must not vanish in the value of another. */
static void take_continuation(struct config_reading *reading, const char *text)
{
	size_t length = strcspn(text, "=:" BLANKS);
	char after = text[length + strspn(text + length, BLANKS)];
	const struct config_key *key = find_key(reading, NULL, text, length);
	const char *section =
		text[0] == '[' ? find_section(reading, text + 1, strcspn(text + 1, "]")) : NULL;

	if (section)
		fault(reading, "[%s]: indented, so it continues %s; allowed: sections not indented",
		      section, reading->key->name);
	else if (key && (after == '=' || after == ':'))
		fault(reading, "%s: indented, so it continues %s; allowed: keys not indented",
		      key->name, reading->key->name);
	else if (!reading->key->clear)
		fault(reading, "%s: continued by an indented line; allowed: one value",
		      reading->key->name);
	else
		take_words(reading, reading->key, text);
}

static int take(void *userdata, const char *section, const char *name, const char *value)
{
	struct config_reading *reading = userdata;

	(void)section; /* inih cuts it at 49 bytes, and keeps the last good one after a bad one */
	/* "= value" names no key: it stays a line that nothing was made of. */
	if (!reading->continuation && !*name)
		return 1;
	reading->awaited = false;
	if (reading->continuation)
		take_continuation(reading, value);
	else
		take_key(reading, name, value);
	return 1;
}

static void take_heading(struct config_reading *reading, char *name)
{
	size_t length = strcspn(name, "]");
	char *end = name + length;

	reading->in_section = true;
	reading->section = NULL;
	reading->key = NULL;
	reading->after_key = false;
	/* strchr() finds the end of the string, too: nothing may follow, or a comment. */
	if (!*end || !strchr(";#", end[1 + strspn(end + 1, BLANKS)])) {
		fault(reading, "[%s: not a section; allowed: [SECTION] alone on its line", name);
		return;
	}
	*end = '\0';
	reading->section = find_section(reading, name, length);
	if (!reading->section)
		unknown(reading, NULL, name);
	*end = ']';
}

/* Feeding inih */

/* inih says only where its first fault was: a line that it made nothing of is found by this. */
static void settle_line(struct config_reading *reading)
{
	if (reading->awaited)
		fault(reading, "neither a section nor a key; allowed: [SECTION], KEY = VALUE, "
			       "comments that begin with # or ;");
	reading->awaited = false;
}

/* Reads a whole line, and keeps what fits. Whether there was one. */
static bool get_line(struct config_reading *reading, char *line, size_t room, bool *ret_fits)
{
	bool fits = true, any = false;
	size_t n = 0;
	int c;

	while ((c = getc_unlocked(reading->file)) != EOF && c != '\n') {
		any = true;
		if (c != '\0' && n < room)
			line[n++] = c;
		else if (c != '\r')
			fits = false;
	}
	while (fits && n > 0 && strchr(BLANKS, line[n - 1]))
		n--;
	line[n] = '\0';
	if (c == EOF && ferror(reading->file))
		reading->error = -errno;
	if (reading->error || (c == EOF && !any))
		return false;
	reading->line++;
	*ret_fits = fits;
	return true;
}

/*
 * In place of fgets(): counts lines, and keeps from inih those that it would cut in two (its buffer
 * has 200 bytes, fixed when it was built) and those that have had their fault here.
 */
static char *read_line(char *line, int size, void *userdata)
{
	struct config_reading *reading = userdata;
	int room = size - 2;
	bool fits;
	char *start;

	settle_line(reading);
	if (reading->error || !get_line(reading, line, room, &fits))
		return NULL;
	if (reading->line == 1 && strncmp(line, UTF8_MARK, strlen(UTF8_MARK)) == 0)
		memset(line, ' ', strlen(UTF8_MARK));
	start = line + strspn(line, BLANKS);
	if (*start == '#' || *start == ';' || (!*start && fits))
		return line;

	reading->continuation = reading->after_key && start > line;
	if (!fits)
		fault(reading,
		      "not a line of text; allowed: up to %d bytes, none of them zero, and "
		      "a list may go on in indented lines",
		      room);
	if (!fits && !reading->continuation) {
		reading->key = NULL;
		reading->after_key = true;
	}
	if (!fits || (reading->continuation && !reading->key))
		*line = '\0';
	else if (!reading->continuation && *start == '[')
		take_heading(reading, start + 1);
	else
		reading->awaited = true;
	return line;
}

void config_file_read(struct config_reading *reading)
{
	_cleanup_(fclosep) FILE *file = fopen(reading->path, "re");

	reading->file = file;
	if (!file)
		reading->error = -errno;
	else if (ini_parse_stream(read_line, reading, take, reading) == -2)
		reading->error = -ENOMEM;
	/* The last line, should inih be built to stop at its first fault. */
	settle_line(reading);
	if (reading->error && reading->error != -ENOMEM)
		fault(reading, "cannot be read: %s", strerror(-reading->error));
}
