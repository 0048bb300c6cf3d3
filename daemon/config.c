/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "config_file.h"
#include "http/address.h"
#include "kernel/hints.h"
#include "model/history.h"
#include "util.h"

#define DAY (24 * 60 * 60)
#define SECOND_NS UINT64_C(1000000000)

static void *field(const struct config_key *key, struct config *config)
{
	return (char *)config + key->offset;
}

static bool is_address(const char *text)
{
	_cleanup_(freep) char *reason = NULL;
	struct address address;

	return address_parse(text, &address, &reason) == 0;
}

static int parse_address(const struct config_key *key, struct config *config, const char *text)
{
	if (!is_address(text))
		return -EINVAL;
	for (unsigned i = 0; i < config->n_listen; i++)
		if (strcmp(config->listen[i], text) == 0)
			return -EEXIST;
	if (config->n_listen == key->max)
		return -E2BIG;
	config->listen[config->n_listen] = strdup(text);
	if (!config->listen[config->n_listen])
		return -ENOMEM;
	config->n_listen++;
	return 0;
}

static void clear_listen(struct config *config)
{
	while (config->n_listen > 0)
		free(config->listen[--config->n_listen]);
}

static int parse_level(const struct config_key *key, struct config *config, const char *text)
{
	int level = config_log_level(text);

	if (level < 0)
		return level;
	*(int *)field(key, config) = level;
	return 0;
}

static int parse_switch(const struct config_key *key, struct config *config, const char *text)
{
	bool on = strcmp(text, "yes") == 0;

	if (!on && strcmp(text, "no") != 0)
		return -EINVAL;
	*(bool *)field(key, config) = on;
	return 0;
}

/* A number with one of the letters of `units` after it, or with none if that is "". */
static int read_number(const struct config_key *key, const char *text, const char *units,
		       uint64_t *ret_value)
{
	static const unsigned seconds[] = { ['s'] = 1, ['m'] = 60, ['h'] = 60 * 60, ['d'] = DAY };
	uint64_t value, scale = 1;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	/* What does not fit becomes the largest number that does, which is out of each range. */
	value = strtoull(text, &end, 10);
	if (*units) {
		if (!*end || !strchr(units, *end))
			return -EINVAL;
		scale = seconds[(unsigned char)*end++];
	}
	if (*end)
		return -EINVAL;
	if (value < key->min || value > key->max / scale)
		return -ERANGE;
	*ret_value = value * scale;
	return 0;
}

static int parse_number(const struct config_key *key, struct config *config, const char *text)
{
	uint64_t value;
	int r = read_number(key, text, "", &value);

	if (r < 0)
		return r;
	*(unsigned *)field(key, config) = value;
	return 0;
}

static int parse_power(const struct config_key *key, struct config *config, const char *text)
{
	int r = parse_number(key, config, text);
	unsigned value = *(unsigned *)field(key, config);

	if (r < 0)
		return r;
	return value & (value - 1) ? -EINVAL : 0;
}

/* Bytes, or thousands or millions of them, by 1024; or 0, whatever the least is. */
static int parse_size(const struct config_key *key, struct config *config, const char *text)
{
	unsigned shift = 0;
	uint64_t value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	value = strtoull(text, &end, 10);
	if (*end == 'K' || *end == 'M')
		shift = *end++ == 'K' ? 10 : 20;
	if (*end)
		return -EINVAL;
	if (value > key->max >> shift || (value > 0 && value << shift < key->min))
		return -ERANGE;
	*(unsigned *)field(key, config) = (unsigned)(value << shift);
	return 0;
}

static int parse_duration(const struct config_key *key, struct config *config, const char *text)
{
	uint64_t value;
	int r = read_number(key, text, "smhd", &value);

	if (r < 0)
		return r;
	*(uint64_t *)field(key, config) = value * SECOND_NS;
	return 0;
}

/*
 * Labels must be printable: one byte that is not UTF-8 would fail a whole scrape. A word with '#'
 * in front is a comment's more often than a pattern's; "[#]x" and "LABEL=#x" say that it is one.
 */
static int parse_group(const struct config_key *key, struct config *config, const char *text)
{
	const char *equals = strchr(text, '=');
	const char *pattern = equals ? equals + 1 : text;
	struct config_group *group;

	if (text[0] == '#' || equals == text || !*pattern)
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return -EINVAL;
	for (unsigned i = 0; i < config->n_groups; i++)
		if (strcmp(config->groups[i].pattern, pattern) == 0)
			return -EEXIST;
	if (config->n_groups == key->max)
		return -E2BIG;
	group = &config->groups[config->n_groups++];
	group->label = equals ? strndup(text, equals - text) : strdup(text);
	group->pattern = strdup(pattern);
	return group->label && group->pattern ? 0 : -ENOMEM;
}

static void clear_groups(struct config *config)
{
	while (config->n_groups > 0) {
		struct config_group *group = &config->groups[--config->n_groups];

		free(group->label);
		free(group->pattern);
	}
}

static int parse_path(const struct config_key *key, struct config *config, const char *text)
{
	char **path = field(key, config), *copy;

	if (text[0] != '/')
		return -EINVAL;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*path);
	*path = copy;
	return 0;
}

static int parse_optional_path(const struct config_key *key, struct config *config,
			       const char *text)
{
	char **path = field(key, config);

	if (*text)
		return parse_path(key, config, text);
	free(*path);
	*path = NULL;
	return 0;
}

#define FIELD(member) .offset = offsetof(struct config, member)
#define SWITCH .parse = parse_switch, .kind = "yes or no", .allowed = "yes, no"
#define ON SWITCH, .fallback = "yes"
#define OFF SWITCH, .fallback = "no"

/* The only place that knows the keys. */
static const struct config_key keys[] = {
	{ "daemon", "listen", parse_address, clear_listen, .max = CONFIG_MAX_LISTEN,
	  .kind = "an address", .fallback = "[::]:9435",
	  .allowed = "PORT, IPV4:PORT, localhost:PORT, [IPV6]:PORT, *:PORT with PORT from 1 to "
		     "65535, or the absolute path of a unix socket in at most 107 bytes" },
	{ "daemon", "log-level", parse_level, FIELD(log_level), .kind = "a level",
	  .fallback = "info", .allowed = "error, warning, info, debug" },
	{ "daemon", "btf", parse_optional_path, FIELD(btf), .kind = "an absolute path",
	  .fallback = "", .allowed = "an absolute path, or nothing" },
#define COLLECTOR_KEY(collector) { "collectors", #collector, FIELD(collector), ON },
	COLLECTORS(COLLECTOR_KEY) /* a switch for each */
	{ "series", "budget", parse_number, FIELD(series_budget), .min = 1, .max = 100000,
	  .kind = "a number", .fallback = "1000", .allowed = "a number from 1 to 100000" },
	{ "series", "retire-after", parse_duration, FIELD(retire_after_ns), .min = 1,
	  .max = 365 * DAY, .kind = "a duration", .fallback = "6h",
	  .allowed = "a number with s, m, h or d from 1s to 365d" },
	{ "drops", "slots", parse_power, FIELD(drops_slots), .min = 64, .max = 65536,
	  .kind = "a power of two", .fallback = "2048",
	  .allowed = "a power of two from 64 to 65536" },
	{ "drops", "stacks", FIELD(drops_stacks), ON },
	{ "receive", "slots", parse_power, FIELD(receive_slots), .min = 64, .max = 65536,
	  .kind = "a power of two", .fallback = "512",
	  .allowed = "a power of two from 64 to 65536" },
	{ "history", "size", parse_size, FIELD(history_size), .min = HISTORY_MIN_SIZE,
	  .max = HISTORY_MAX_SIZE, .kind = "a size", .fallback = "4M",
	  .allowed = "0, or a number of bytes, with K or M, from 1M to 16M" },
	{ "live", "rate", parse_number, FIELD(live_rate), .min = 1, .max = 1000000,
	  .kind = "a number", .fallback = "10000", .allowed = "a number from 1 to 1000000" },
	{ "live", "remote-addresses", FIELD(live_remote_addresses), OFF },
	{ "devices", "group", parse_group, clear_groups, .may_be_empty = true,
	  .max = CONFIG_MAX_GROUPS, .kind = "a pattern",
	  .fallback = "veth* cali* lxc* tap* br-*=br-????????????",
	  .allowed = "PATTERN or LABEL=PATTERN, in printable ASCII" },
	{ "hints", "directory", parse_path, FIELD(hints_directory), .kind = "an absolute path",
	  .fallback = "/etc/dropscope/hints.d", .allowed = "an absolute path" },
};

static_assert(ARRAY_SIZE(keys) <= CONFIG_MAX_KEYS, "each key has a place in a reading");

int config_load(const char *path, complain_t complain, void *userdata,
		struct config **ret_config)
{
	_cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
	struct config_reading reading = {
		.keys = keys,
		.n_keys = ARRAY_SIZE(keys),
		.config = config,
		.path = path,
		.complain = complain,
		.userdata = userdata,
	};

	if (!config)
		return -ENOMEM;
	for (const struct config_key *key = keys; key < keys + ARRAY_SIZE(keys); key++)
		config_file_take(&reading, key, key->fallback);
	assert(reading.n_faults == 0);
	if (path && !reading.error)
		config_file_read(&reading);
	if (reading.error)
		return reading.error;
	if (reading.n_faults > 0)
		return -EINVAL;
	*ret_config = TAKE_PTR(config);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	clear_listen(config);
	clear_groups(config);
	hints_free(config->hints);
	free(config->hints_directory);
	free(config->btf);
	free(config);
}

void config_freep(struct config **config)
{
	config_free(*config);
}

int config_set_listen(struct config *config, char *const *addresses, unsigned n,
		      complain_t complain, void *userdata)
{
	const struct config_key *key = &keys[0];
	struct config fresh = {};
	struct config_reading reading = { .config = &fresh,
					  .complain = complain,
					  .userdata = userdata };

	assert(key->parse == parse_address);
	if (n == 0)
		config_file_refuse(&reading, key, "", -EINVAL);
	for (unsigned i = 0; i < n && i <= CONFIG_MAX_LISTEN; i++) {
		int r = key->parse(key, &fresh, addresses[i]);

		if (r < 0)
			config_file_refuse(&reading, key, addresses[i], r);
	}
	if (reading.error || reading.n_faults > 0) {
		clear_listen(&fresh);
		return reading.error ? reading.error : -EINVAL;
	}
	clear_listen(config);
	memcpy(config->listen, fresh.listen, sizeof(fresh.listen));
	config->n_listen = fresh.n_listen;
	return 0;
}

int config_log_level(const char *name)
{
	static const struct {
		const char *name;
		int priority;
	} levels[] = {
		{ "error", LOG_ERR },
		{ "warning", LOG_WARNING },
		{ "info", LOG_INFO },
		{ "debug", LOG_DEBUG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (strcmp(levels[i].name, name) == 0)
			return levels[i].priority;
	return -EINVAL;
}
