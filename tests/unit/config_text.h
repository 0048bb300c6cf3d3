/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a configuration from a text, and compares it, or the complaints, with what is expected. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "util.h"

#define ADDRESSES                                                                                 \
	"PORT, IPV4:PORT, localhost:PORT, [IPV6]:PORT, *:PORT with PORT from 1 to 65535, or the " \
	"absolute path of a unix socket in at most 107 bytes"
#define HOURS_NS(n) ((n)*UINT64_C(3600) * UINT64_C(1000000000))

/* What config_load() said, with the file's name taken off. */
struct complaints {
	char text[80][1024];
	unsigned n;
	size_t skip;
};

static inline void note(void *userdata, const char *message)
{
	struct complaints *complaints = userdata;

	assert_true(complaints->n < ARRAY_SIZE(complaints->text));
	assert_true(strlen(message) >= complaints->skip);
	snprintf(complaints->text[complaints->n++], sizeof(complaints->text[0]), "%s",
		 message + complaints->skip);
}

static inline void write_file(const char *bytes, size_t n, char *ret_path, size_t size)
{
	const char *directory = getenv("TMPDIR");
	int fd;

	snprintf(ret_path, size, "%s/test_config.XXXXXX", directory ? directory : "/tmp");
	fd = mkstemp(ret_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static inline int load(const char *bytes, size_t n, struct complaints *ret_complaints,
		       struct config **ret_config)
{
	char path[256];
	int r;

	write_file(bytes, n, path, sizeof(path));
	ret_complaints->n = 0;
	ret_complaints->skip = strlen(path) + strlen(":");
	r = config_load(path, note, ret_complaints, ret_config);
	unlink(path);
	return r;
}

static inline struct config *load_good(const char *bytes, size_t n)
{
	struct config *config = NULL;
	struct complaints complaints;
	int r = load(bytes, n, &complaints, &config);

	for (unsigned i = 0; i < complaints.n; i++)
		print_error("unexpected: %s\n", complaints.text[i]);
	assert_int_equal(complaints.n, 0);
	assert_int_equal(r, 0);
	return config;
}

static inline void load_bad(const char *bytes, size_t n, const char *const *expected)
{
	struct config untouched, *config = &untouched;
	struct complaints complaints;
	unsigned i;

	assert_int_equal(load(bytes, n, &complaints, &config), -EINVAL);
	assert_ptr_equal(config, &untouched);
	for (i = 0; i < complaints.n && expected[i]; i++)
		assert_string_equal(complaints.text[i], expected[i]);
	if (i < complaints.n)
		fail_msg("unexpected: %s", complaints.text[i]);
	if (expected[i])
		fail_msg("missing: %s", expected[i]);
}

#define GOOD(text) load_good(text, strlen(text))
#define BAD_BYTES(text, n, ...) load_bad(text, n, (const char *const[]){ __VA_ARGS__, NULL })
#define BAD(text, ...) BAD_BYTES(text, strlen(text), __VA_ARGS__)

static inline void assert_listen(const struct config *config, const char *joined)
{
	char text[4096] = "";

	for (unsigned i = 0; i < config->n_listen; i++) {
		strcat(text, i > 0 ? " " : "");
		strcat(text, config->listen[i]);
	}
	assert_string_equal(text, joined);
}

static inline void assert_groups(const struct config *config, const char *joined)
{
	char text[4096] = "";
	size_t n = 0;

	for (unsigned i = 0; i < config->n_groups; i++)
		n += snprintf(text + n, sizeof(text) - n, "%s%s=%s", i > 0 ? " " : "",
			      config->groups[i].label, config->groups[i].pattern);
	assert_string_equal(text, joined);
}

static inline void assert_defaults(const struct config *config)
{
	assert_listen(config, "[::]:9435");
	assert_int_equal(config->log_level, LOG_INFO);
	assert_true(config->drops && config->receive && config->retransmit && config->block);
	assert_int_equal(config->series_budget, 1000);
	assert_int_equal(config->retire_after_ns, HOURS_NS(6));
	assert_int_equal(config->drops_slots, 2048);
	assert_string_equal(config->hints_directory, "/etc/dropscope/hints.d");
	assert_groups(config, "veth*=veth* cali*=cali* lxc*=lxc* tap*=tap* br-*=br-????????????");
}
