/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: defaults, the file (INI, read with inih), and what each key allows. One static
 * table of {section, key, parser, field, allowed, default} is the only place that knows the keys.
 *
 *	[daemon]	listen		addresses, separated by spaces; see below
 *			log-level	error, warning, info, debug
 *			btf		an absolute path: BTF of this kernel, if it has none of its
 *					own; may be empty
 *	[collectors]	drops, receive, retransmit, block	yes or no
 *	[series]	budget		1 to 100000: label sets per metric before `other`
 *			retire-after	a duration from 1s to 365d ("90s", "15m", "6h", "7d")
 *	[drops]		slots		a power of two, 64 to 65536: kernel slots per CPU
 *			stacks		yes or no: take samples of stacks
 *	[receive]	slots		the same
 *	[devices]	group		patterns, separated by spaces: PATTERN or LABEL=PATTERN (fnmatch(3));
 *					may be empty
 *	[history]	size		0, or bytes with K or M, 1M to 16M: the ring of the past
 *	[live]		rate		1 to 1000000: events per second that streams of a table get
 *			remote-addresses	yes or no: show packets' addresses to other machines
 *	[hints]		directory	an absolute path: where a site has hints of its own
 *
 * An address is PORT, HOST:PORT, [IPV6]:PORT, *:PORT (all addresses) or a unix socket's absolute
 * path; HOST is a numeric IPv4 address or "localhost". PORT alone, *:PORT and [::]:PORT all mean
 * every address, IPv4 and IPv6; the default is [::]:9435.
 *
 * The file: # or ; begins a comment line, " ;" a comment after a value, where # is an ordinary
 * character. A line has at most 198 bytes (inih's buffer has 200 as Debian builds it; comment lines
 * may be longer), and a list goes on in indented lines below. Line ends may be CRLF, and a UTF-8
 * byte order mark is skipped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collect/list.h"
#include "complaint.h"

enum config_limits {
	CONFIG_MAX_LISTEN = 16,
	CONFIG_MAX_GROUPS = 64,
};

struct hints;

struct config_group {
	char *label;   /* what the metric shows, e.g. "br-*" */
	char *pattern; /* what a device's name must match, e.g. "br-????????????" */
};

struct config {
	char *listen[CONFIG_MAX_LISTEN];
	unsigned n_listen;
	int log_level; /* syslog priority: LOG_ERR .. LOG_DEBUG */
	char *btf;     /* a file; NULL: none */
#define COLLECTOR_SWITCH(collector) bool collector;
	COLLECTORS(COLLECTOR_SWITCH) /* drops, receive, ...: is it on? */
	unsigned series_budget;
	uint64_t retire_after_ns;
	unsigned drops_slots, receive_slots;
	unsigned history_size;	    /* bytes; 0: none */
	unsigned live_rate;	    /* events per second and table that the kernel tells of */
	bool live_remote_addresses; /* packets' addresses are shown to clients elsewhere, too */
	bool drops_stacks;	    /* samples are taken */
	struct config_group groups[CONFIG_MAX_GROUPS];
	unsigned n_groups;
	char *hints_directory;
	struct hints *hints; /* what the directory says; NULL until manager_load_config() */
};

/*
 * Builds a configuration from the defaults and then, unless path is NULL, from the file.
 * Every fault of the file is reported, not only the first. Returns 0; -EINVAL when there was any
 * fault; -errno when the file cannot be read (reported too); -ENOMEM. *ret_config is the caller's,
 * to be freed with config_free(), and is untouched on failure.
 */
int config_load(const char *path, complain_t complain, void *userdata, struct config **ret_config);
void config_free(struct config *config);
void config_freep(struct config **config);

/* Replaces the addresses by `addresses` (n of them, 1 to CONFIG_MAX_LISTEN). 0; -EINVAL when one is
 * not an address or is there twice (complain is told which, and what an address looks like) or when
 * there are none or too many; -ENOMEM. The configuration is untouched on failure. */
int config_set_listen(struct config *config, char *const *addresses, unsigned n,
		      complain_t complain, void *userdata);

/* The syslog priority that a name stands for, or -EINVAL. */
int config_log_level(const char *name);
