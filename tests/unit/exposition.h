/* SPDX-License-Identifier: BSD-2-Clause */
/* A strict reader of what /metrics says: text 0.0.4 and OpenMetrics 1.0.0, as far as dropscope
 * writes them. */
#pragma once

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "render/buffer.h"

enum { EXPOSITION_NAME = 128 };

struct exposition {
	bool openmetrics;
	char family[EXPOSITION_NAME]; /* of the last TYPE line */
	char type[16];
	char **series; /* "name{labels}" of every sample */
	size_t n_series;
	char **families;
	size_t n_families;
	double bucket;	 /* of the histogram series that is being read */
	char *bucket_of; /* its labels without le; NULL: none */
};

static inline void exposition_add(char ***list, size_t *n, const char *text, size_t size)
{
	*list = reallocarray(*list, *n + 1, sizeof(**list));
	assert_non_null(*list);
	(*list)[*n] = strndup(text, size);
	assert_non_null((*list)[*n]);
	(*n)++;
}

static inline int exposition_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts a list, complains of what is in it twice, and frees it. */
static inline void exposition_unique(char **list, size_t n, const char *what)
{
	if (n == 0)
		return;
	qsort(list, n, sizeof(*list), exposition_compare);
	for (size_t i = 1; i < n; i++)
		if (strcmp(list[i - 1], list[i]) == 0)
			fail_msg("%s twice: %s", what, list[i]);
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static inline size_t exposition_name(const char *line)
{
	size_t size = 0;

	while (isalnum((unsigned char)line[size]) || line[size] == '_' || line[size] == ':')
		size++;
	if (size == 0 || isdigit((unsigned char)line[0]) || size >= EXPOSITION_NAME)
		fail_msg("no name: %s", line);
	return size;
}

/* Behind the closing brace. */
static inline const char *exposition_labels(const char *at, const char *line)
{
	for (;; at++) {
		at += exposition_name(at);
		if (at[0] != '=' || at[1] != '"')
			fail_msg("no =\": %s", line);
		for (at += 2; *at && *at != '"'; at++)
			if (*at == '\\' && !strchr("\\\"n", *++at))
				fail_msg("no escape: %s", line);
		if (*at++ != '"' || (*at != ',' && *at != '}'))
			fail_msg("no end of a label: %s", line);
		if (*at == '}')
			return at + 1;
	}
}

/* The suffix that the sample's name has behind its family's, or NULL when it is of another family.
 * */
static inline const char *exposition_suffix(const struct exposition *e, const char *name)
{
	size_t size = strlen(e->family);

	return strncmp(name, e->family, size) == 0 ? name + size : NULL;
}

static inline bool exposition_belongs(const struct exposition *e, const char *suffix)
{
	if (strcmp(e->type, "counter") == 0)
		return strcmp(suffix, e->openmetrics ? "_total" : "") == 0;
	if (strcmp(e->type, "histogram") == 0)
		return strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_sum") == 0 ||
		       strcmp(suffix, "_count") == 0;
	return strcmp(suffix, "") == 0;
}

/* Buckets never fall, +Inf comes last and is the count. */
static inline void exposition_histogram(struct exposition *e, const char *suffix,
					const char *labels, size_t size, double value)
{
	const char *le = memmem(labels, size, "le=\"", 4);
	size_t common = le ? (size_t)(le - labels) : size;

	if (strcmp(suffix, "_bucket") == 0) {
		assert_non_null(le);
		if (e->bucket_of && strncmp(e->bucket_of, labels, common) == 0)
			assert_true(value >= e->bucket);
		free(e->bucket_of);
		e->bucket_of = strndup(labels, common);
		e->bucket = value;
		if (!strpbrk(le, ".+"))
			fail_msg("le is no float: %s", labels);
		return;
	}
	assert_null(le);
	assert_non_null(e->bucket_of);
	if (strcmp(suffix, "_count") == 0) {
		assert_true(value == e->bucket);
		free(e->bucket_of);
		e->bucket_of = NULL;
	}
}

static inline void exposition_sample(struct exposition *e, const char *line)
{
	size_t size = exposition_name(line);
	const char *at = line + size, *labels = at, *suffix;
	char name[EXPOSITION_NAME];
	double value;
	char *end;

	snprintf(name, sizeof(name), "%.*s", (int)size, line);
	if (*at == '{')
		at = exposition_labels(at + 1, line);
	exposition_add(&e->series, &e->n_series, line, (size_t)(at - line));
	value = strtod(at, &end);
	if (*at != ' ' || isspace((unsigned char)at[1]) || *end || end == at)
		fail_msg("no value: %s", line);
	suffix = exposition_suffix(e, name);
	if (!suffix || !exposition_belongs(e, suffix))
		fail_msg("not of %s %s: %s", e->type, e->family, line);
	if (strcmp(e->type, "histogram") == 0)
		exposition_histogram(e, suffix, labels, (size_t)(at - labels), value);
}

static inline void exposition_line(struct exposition *e, const char *line)
{
	char help[EXPOSITION_NAME];

	if (strncmp(line, "# HELP ", 7) == 0) {
		size_t size = exposition_name(line + 7);

		exposition_add(&e->families, &e->n_families, line + 7, size);
		if (line[7 + size] != ' ' || !line[8 + size])
			fail_msg("no help: %s", line);
		return;
	}
	if (strncmp(line, "# TYPE ", 7) == 0) {
		assert_true(e->n_families > 0);
		snprintf(help, sizeof(help), "%s", e->families[e->n_families - 1]);
		assert_int_equal(sscanf(line, "# TYPE %127s %15s", e->family, e->type), 2);
		assert_string_equal(help, e->family);
		if (strcmp(e->type, "counter") == 0) {
			const char *total = strstr(e->family, "_total");

			assert_true(e->openmetrics ? !total : total && strlen(total) == 6);
		}
		return;
	}
	/* A unit is the end of its family's name. */
	if (e->openmetrics && strncmp(line, "# UNIT ", 7) == 0) {
		char unit[16];

		assert_int_equal(sscanf(line, "# UNIT %127s %15s", help, unit), 2);
		assert_string_equal(help, e->family);
		assert_true(strlen(help) > strlen(unit));
		assert_string_equal(help + strlen(help) - strlen(unit), unit);
		return;
	}
	if (line[0] == '#')
		fail_msg("neither HELP nor TYPE: %s", line);
	exposition_sample(e, line);
}

/* Fails the test unless the text is one valid exposition in which no series is there twice. Returns
 * how many samples there are. */
static inline size_t assert_exposition(const struct buffer *buffer, bool openmetrics)
{
	static const char eof[] = "# EOF\n";
	struct exposition e = { .openmetrics = openmetrics };
	size_t size = buffer->size, n;

	assert_false(buffer->failed);
	if (openmetrics) {
		assert_true(size >= sizeof(eof) - 1);
		size -= sizeof(eof) - 1;
		assert_memory_equal(buffer->data + size, eof, sizeof(eof) - 1);
	}
	for (size_t i = 0; i < size;) {
		const char *end = memchr(buffer->data + i, '\n', size - i);
		char *line;

		assert_non_null(end);
		line = strndup(buffer->data + i, (size_t)(end - buffer->data) - i);
		assert_non_null(line);
		exposition_line(&e, line);
		free(line);
		i = (size_t)(end - buffer->data) + 1;
	}
	free(e.bucket_of);
	n = e.n_series;
	exposition_unique(e.families, e.n_families, "family");
	exposition_unique(e.series, e.n_series, "series");
	return n;
}

/* promtool's opinion of text 0.0.4, lint included; a test that needs it skips, loudly, where it is
 * not. */
static inline void assert_promtool(const struct buffer *buffer)
{
	FILE *file;

	if (system("command -v promtool >/dev/null") != 0) {
		print_message("no promtool here: SKIPPED\n");
		skip();
	}
	file = popen("promtool check metrics >&2", "w");
	assert_non_null(file);
	assert_int_equal(fwrite(buffer->data, 1, buffer->size, file), buffer->size);
	assert_int_equal(pclose(file), 0);
}
