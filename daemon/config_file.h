/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads texts into a configuration, from a file or not, and tells each fault and where it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"

enum { CONFIG_MAX_KEYS = 32 };

struct config_key {
	const char *section, *name;
	/*
	 * Puts `text` into the configuration: a value, or one word of a list. Returns 0, -EINVAL
	 * (not of this kind), -ERANGE, -E2BIG (the list is full), -EEXIST (listed already),
	 * -ENOMEM.
	 */
	int (*parse)(const struct config_key *key, struct config *config, const char *text);
	/* Empties the list. NULL: the key has one value. */
	void (*clear)(struct config *config);
	/* An empty list is a choice; otherwise it gets its complaint from the parser. */
	bool may_be_empty;
	/* The field, where one parser serves several. */
	size_t offset;
	/* Of the number, in the unit of the text's smallest suffix; or of how many in the list. */
	uint64_t min, max;
	/* What a value should be, to be read after "is not" and after "allowed:". */
	const char *kind, *allowed;
	/* The default, as a file would say it. */
	const char *fallback;
};

/* One pass over a file, or over texts that are in none. The caller sets keys to userdata, and all
 * else to zero; it reads n_faults and error. */
struct config_reading {
	const struct config_key *keys;
	unsigned n_keys; /* at most CONFIG_MAX_KEYS */
	struct config *config;
	const char *path; /* NULL: not a file */
	complain_t complain;
	void *userdata;
	unsigned n_faults;
	int error; /* -errno that is no fault of the text: memory, or the disk */
	FILE *file;
	unsigned line;			/* 0: the file as a whole */
	bool in_section;		/* a heading was seen */
	const char *section;		/* the one we are in; NULL: not one that is known */
	bool after_key;			/* an indented line is a continuation */
	bool continuation;		/* this line is one */
	bool awaited;			/* inih owes us the value of this line */
	const struct config_key *key;	/* whose value that is; NULL: the key has had its fault */
	unsigned seen[CONFIG_MAX_KEYS]; /* the line of each key; 0: not yet */
};

/* Gives the key the value that `text` says. */
void config_file_take(struct config_reading *reading, const struct config_key *key,
		      const char *text);
/* Reads the whole file. */
void config_file_read(struct config_reading *reading);

/* Counts and tells the fault that the key's parser found in `text`. */
void config_file_refuse(struct config_reading *reading, const struct config_key *key,
			const char *text, int error);
