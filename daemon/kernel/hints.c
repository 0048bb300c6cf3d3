/* SPDX-License-Identifier: BSD-2-Clause */
#include "hints.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "../model/table.h"
#include "../util.h"
#include "hints_file.h"

static_assert((int)HINTS_MAX_LINE <= (int)TABLE_MAX_LABEL_BYTES, "a label holds a line");

/*
 * The order of attention. Resource: the host has lost what it wanted, and can be given more.
 * Routing: what it wanted cannot get there. Malformed: something on the way damages packets.
 * Protocol: refused as the protocol asks, usually one application's affair. Unknown comes before
 * what somebody has asked for (policy) and what harms nobody.
 */
const char *const hint_classes[] = {
	"resource", "routing", "malformed", "protocol", "unknown", "policy", "benign", NULL,
};

/* config/hints.conf with a NUL for each newline, in read-only pages: what hints point to. */
extern const char hints_conf[], hints_conf_end[];

__asm__(".section .rodata\n"
	".global hints_conf, hints_conf_end\n"
	"hints_conf: .incbin \"" BUILD_DIRECTORY "/hints.bin\"\n"
	"hints_conf_end: .byte 0\n"
	".previous\n");

/* The whole file, a NUL in place of each newline and one more at its end. */
static int read_text(const char *path, char **ret_text, size_t *ret_size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *text = malloc(HINTS_MAX_FILE + 1);
	size_t size = 0;
	ssize_t n = 1;
	char *fit;

	if (fd < 0)
		return -errno;
	while (text && n > 0 && size <= HINTS_MAX_FILE) {
		n = read(fd, text + size, HINTS_MAX_FILE + 1 - size);
		size += n > 0 ? (size_t)n : 0;
	}
	if (!text || n < 0)
		return text ? -errno : -ENOMEM;
	if (size > HINTS_MAX_FILE)
		return -EFBIG;
	if (memchr(text, '\0', size))
		return -EILSEQ;
	text[size] = '\0';
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\n')
			text[i] = '\0';
	fit = realloc(text, size + 1);
	*ret_text = fit ? fit : text;
	text = NULL;
	*ret_size = size + 1;
	return 0;
}

static void take_file(struct hints_reading *reading, const char *directory, const char *name)
{
	struct hints *hints = reading->hints;
	char path[PATH_MAX], *text = NULL;
	size_t size = 0;
	int error;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	reading->path = path;
	if (hints->n_texts == HINTS_MAX_FILES) {
		hints_fault(reading, "one file too many; allowed: at most %d", HINTS_MAX_FILES);
		return;
	}
	error = read_text(path, &text, &size);
	if (error == -EFBIG)
		hints_fault(reading, "too long; allowed: at most %d bytes", HINTS_MAX_FILE);
	else if (error == -EILSEQ)
		hints_fault(reading, "holds a zero byte; allowed: lines of text");
	else if (error && error != -ENOMEM)
		hints_fault(reading, "cannot be read: %s", strerror(-error));
	if (error == -ENOMEM)
		reading->error = error;
	if (error)
		return;
	hints->texts[hints->n_texts++] = text;
	hints_take_text(reading, text, text + size);
}

static int is_conf(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return entry->d_name[0] != '.' && size > 5 &&
	       strcmp(entry->d_name + size - 5, ".conf") == 0;
}

static void take_directory(struct hints_reading *reading, const char *directory)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, is_conf, alphasort);

	if (n < 0 && errno == ENOENT)
		return;
	if (n < 0) {
		reading->error = -errno;
		reading->path = directory;
		if (reading->error != -ENOMEM)
			hints_fault(reading, "cannot be read: %s", strerror(-reading->error));
		return;
	}
	for (int i = 0; i < n; i++) {
		if (!reading->error && !reading->full)
			take_file(reading, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

int hints_load(const char *directory, complain_t complain, void *userdata,
	       struct hints **ret_hints)
{
	_cleanup_(hints_freep) struct hints *hints = calloc(1, sizeof(*hints));
	struct hints_reading reading = {
		.hints = hints,
		.complain = complain,
		.userdata = userdata,
		.path = "hints.conf",
	};

	if (!hints)
		return -ENOMEM;
	hints_take_text(&reading, (char *)hints_conf, hints_conf_end);
	if (directory && !reading.error)
		take_directory(&reading, directory);
	if (reading.error)
		return reading.error;
	if (reading.n_faults > 0)
		return -EINVAL;
	*ret_hints = TAKE_PTR(hints);
	return 0;
}

void hints_free(struct hints *hints)
{
	if (!hints)
		return;
	for (unsigned i = 0; i < hints->n_texts; i++)
		free(hints->texts[i]);
	free(hints->list);
	free(hints);
}

void hints_freep(struct hints **hints)
{
	hints_free(*hints);
}

/* ---- looking up */

enum { MISSES = -1, ANY, BEGINNING, WHOLE, DEGREES };

/* How well a name fits one word. */
static int fits(const char *word, size_t size, const char *name)
{
	if (word[size - 1] == '*')
		return strncmp(word, name, size - 1) == 0 ? BEGINNING : MISSES;
	return strlen(name) == size && memcmp(word, name, size) == 0 ? WHOLE : MISSES;
}

static int best_fit(const struct hint *hint, enum dimension dimension, const char *name)
{
	const char *word = hint->names[dimension].text, *end;
	int best = MISSES;

	if (!word)
		return ANY;
	end = word + hint->names[dimension].size;
	for (size_t size; word < end; word += size, word += strspn(word, HINTS_BLANKS)) {
		int fit;

		size = strcspn(word, HINTS_BLANKS "]");
		fit = fits(word, size, name);
		best = fit > best ? fit : best;
	}
	return best;
}

static int hint_fit(const struct hint *hint, const char *const names[DIMENSIONS])
{
	int fit = 0;

	for (int i = DIMENSIONS - 1; i >= 0; i--) {
		int degree = best_fit(hint, (enum dimension)i, names[i]);

		if (degree == MISSES)
			return MISSES;
		fit = DEGREES * fit + degree;
	}
	return fit;
}

void hints_find(const struct hints *hints, const char *symbol, const char *reason,
		const char *protocol, struct explanation *ret_explanation)
{
	/* A kernel that gives no reasons leaves as much to guess as one that names none. */
	const char *const names[DIMENSIONS] = {
		[REASON] = *reason ? reason : "NOT_SPECIFIED",
		[SYMBOL] = symbol,
		[PROTOCOL] = protocol,
	};
	const char *values[HINT_KEYS] = { "unknown", "", "" };
	int best[HINT_KEYS] = { ANY, ANY, ANY };

	for (unsigned i = 0; hints && i < hints->n; i++) {
		int fit = hint_fit(&hints->list[i], names);

		for (unsigned key = 0; key < HINT_KEYS; key++) {
			if (fit < best[key] || !hints->list[i].values[key])
				continue;
			best[key] = fit;
			values[key] = hints->list[i].values[key];
		}
	}
	*ret_explanation = (struct explanation){ values[0], values[1], values[2] };
}
