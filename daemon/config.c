/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>
#include <syslog.h>

#include <ini.h>

#include "util.h"

#define BLANKS " \t\v\f\r"
#define UTF8_MARK "\xEF\xBB\xBF"
#define DAY (24 * 60 * 60)
#define SECOND_NS UINT64_C(1000000000)

struct key {
	const char *section, *name;
	/*
	 * Puts `text` into the configuration: a value, or one word of a list. Returns 0, -EINVAL
	 * (not of this kind), -ERANGE, -E2BIG (the list is full), -EEXIST (listed already), -ENOMEM.
	 */
	int (*parse)(const struct key *key, struct config *config, const char *text);
	/* Empties the list. NULL: the key has one value. */
	void (*clear)(struct config *config);
	/* The field, where one parser serves several. */
	size_t offset;
	/* Of the number, in the unit of the text's smallest suffix; or of how many in the list. */
	uint64_t min, max;
	/* What a value should be, to be read after "is not" and after "allowed:". */
	const char *kind, *allowed;
	/* The default, as a file would say it. */
	const char *fallback;
};

static void *field(const struct key *key, struct config *config)
{
	return (char *)config + key->offset;
}

static bool is_port(const char *text)
{
	size_t length = strspn(text, "0123456789");

	return length >= 1 && length <= 5 && !text[length] && text[0] != '0' && atoi(text) <= 65535;
}

static bool is_address(const char *text)
{
	unsigned char binary[sizeof(struct in6_addr)];
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t length;

	if (text[0] == '/')
		return strlen(text) < sizeof(((struct sockaddr_un *)NULL)->sun_path) &&
		       text[strlen(text) - 1] != '/';
	if (!colon)
		return is_port(text);
	length = colon - text;
	if (length >= sizeof(host) || !is_port(colon + 1))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, binary) == 1;
	}
	return strcmp(host, "*") == 0 || strcmp(host, "localhost") == 0 ||
	       inet_pton(AF_INET, host, binary) == 1;
}

static int parse_address(const struct key *key, struct config *config, const char *text)
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

static int parse_level(const struct key *key, struct config *config, const char *text)
{
	int level = config_log_level(text);

	if (level < 0)
		return level;
	*(int *)field(key, config) = level;
	return 0;
}

static int parse_switch(const struct key *key, struct config *config, const char *text)
{
	bool on = strcmp(text, "yes") == 0;

	if (!on && strcmp(text, "no") != 0)
		return -EINVAL;
	*(bool *)field(key, config) = on;
	return 0;
}

/* A number with one of the letters of `units` after it, or with none if that is "". */
static int read_number(const struct key *key, const char *text, const char *units,
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

static int parse_number(const struct key *key, struct config *config, const char *text)
{
	uint64_t value;
	int r = read_number(key, text, "", &value);

	if (r < 0)
		return r;
	*(unsigned *)field(key, config) = value;
	return 0;
}

static int parse_power(const struct key *key, struct config *config, const char *text)
{
	int r = parse_number(key, config, text);
	unsigned value = *(unsigned *)field(key, config);

	if (r < 0)
		return r;
	return value & (value - 1) ? -EINVAL : 0;
}

static int parse_duration(const struct key *key, struct config *config, const char *text)
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
static int parse_group(const struct key *key, struct config *config, const char *text)
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

#define FIELD(member) .offset = offsetof(struct config, member)
#define SWITCH .parse = parse_switch, .kind = "yes or no", .allowed = "yes, no", .fallback = "yes"

/* The only place that knows the keys. */
static const struct key keys[] = {
	{ "daemon", "listen", parse_address, clear_listen, .max = CONFIG_MAX_LISTEN,
	  .kind = "an address", .fallback = "[::]:9435",
	  .allowed = "PORT, IPV4:PORT, localhost:PORT, [IPV6]:PORT, *:PORT with PORT from 1 to "
		     "65535, or the absolute path of a unix socket in at most 107 bytes" },
	{ "daemon", "log-level", parse_level, FIELD(log_level), .kind = "a level",
	  .fallback = "info", .allowed = "error, warning, info, debug" },
#define COLLECTOR_KEY(collector) { "collectors", #collector, FIELD(collector), SWITCH },
	COLLECTORS(COLLECTOR_KEY)
	{ "series", "budget", parse_number, FIELD(series_budget), .min = 1, .max = 100000,
	  .kind = "a number", .fallback = "1000", .allowed = "a number from 1 to 100000" },
	{ "series", "retire-after", parse_duration, FIELD(retire_after_ns), .min = 1,
	  .max = 365 * DAY, .kind = "a duration", .fallback = "6h",
	  .allowed = "a number with s, m, h or d from 1s to 365d" },
	{ "drops", "slots", parse_power, FIELD(drops_slots), .min = 64, .max = 65536,
	  .kind = "a power of two", .fallback = "2048",
	  .allowed = "a power of two from 64 to 65536" },
	{ "devices", "group", parse_group, clear_groups, .max = CONFIG_MAX_GROUPS,
	  .kind = "a pattern", .fallback = "veth* cali* lxc* tap* br-*=br-????????????",
	  .allowed = "PATTERN or LABEL=PATTERN, in printable ASCII" },
};

static const struct key *find_key(const char *section, const char *name, size_t length)
{
	for (const struct key *key = keys; key < keys + ARRAY_SIZE(keys); key++)
		if ((!section || strcmp(key->section, section) == 0) &&
		    strncmp(key->name, name, length) == 0 && !key->name[length])
			return key;
	return NULL;
}

static const char *find_section(const char *name, size_t length)
{
	for (const struct key *key = keys; key < keys + ARRAY_SIZE(keys); key++)
		if (strncmp(key->section, name, length) == 0 && !key->section[length])
			return key->section;
	return NULL;
}

/* One pass over a file, or over the defaults. */
struct reading {
	struct config *config;
	const char *path; /* NULL: not a file */
	FILE *file;
	unsigned line; /* 0: the file as a whole */
	config_complain_t complain;
	void *userdata;
	unsigned n_faults;
	int error; /* -errno that is no fault of the text: memory, or the disk */
	bool in_section; /* a heading was seen */
	const char *section; /* the one we are in; NULL: not one that is known */
	bool after_key; /* an indented line is a continuation */
	bool continuation; /* this line is one */
	bool awaited; /* inih owes us the value of this line */
	const struct key *key; /* whose value that is; NULL: the key has had its fault */
	unsigned seen[ARRAY_SIZE(keys)]; /* the line of each key; 0: not yet */
};

/* Telling what is wrong */

static void fault(struct reading *reading, const char *format, ...) _printf_(2, 3);

static void fault(struct reading *reading, const char *format, ...)
{
	char message[PATH_MAX + 1024];
	va_list arguments;
	int n = 0;

	if (reading->path && reading->line > 0)
		n = snprintf(message, sizeof(message), "%.*s:%u: ", PATH_MAX, reading->path,
			     reading->line);
	else if (reading->path)
		n = snprintf(message, sizeof(message), "%.*s: ", PATH_MAX, reading->path);
	va_start(arguments, format);
	vsnprintf(message + n, sizeof(message) - n, format, arguments);
	va_end(arguments);
	reading->n_faults++;
	reading->complain(reading->userdata, message);
}

static void refuse(struct reading *reading, const struct key *key, const char *text, int error)
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
static void unknown(struct reading *reading, const char *section, const char *written)
{
	const struct key *elsewhere = section ? find_key(NULL, written, strlen(written)) : NULL;
	const char *last = "";
	char list[256], hint[64] = "";
	size_t used = 0;

	if (elsewhere)
		snprintf(hint, sizeof(hint), " (it belongs in [%s])", elsewhere->section);
	for (const struct key *key = keys; key < keys + ARRAY_SIZE(keys); key++) {
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
static void take_words(struct reading *reading, const struct key *key, const char *text)
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
			refuse(reading, key, word, r);
		/* One complaint is enough about a comment's words, or about each one too many. */
		if (r == -E2BIG || word[0] == '#')
			return;
		text += length;
	}
}

static void take_value(struct reading *reading, const struct key *key, const char *text)
{
	int r;

	if (key->clear)
		key->clear(reading->config);
	/* No group at all is a choice; no address is not, and gets its complaint from the parser. */
	if (key->clear && ((*text && *text != ';') || key->parse == parse_group)) {
		take_words(reading, key, text);
		return;
	}
	r = key->parse(key, reading->config, text);
	if (r < 0)
		refuse(reading, key, text, r);
}

static void take_key(struct reading *reading, const char *name, const char *value)
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
	reading->key = find_key(reading->section, name, strlen(name));
	if (!reading->key) {
		unknown(reading, reading->section, name);
		return;
	}
	seen = &reading->seen[reading->key - keys];
	if (*seen) {
		fault(reading, "%s: already on line %u; allowed: once", name, *seen);
		reading->key = NULL;
		return;
	}
	*seen = reading->line;
	take_value(reading, reading->key, value);
}

/* inih takes an indented line for more of the value above. For lists that is welcome; but a key
 * or section that somebody indented for its looks must not vanish in the value of another. */
static void take_continuation(struct reading *reading, const char *text)
{
	size_t length = strcspn(text, "=:" BLANKS);
	char after = text[length + strspn(text + length, BLANKS)];
	const struct key *key = find_key(NULL, text, length);
	const char *section =
		text[0] == '[' ? find_section(text + 1, strcspn(text + 1, "]")) : NULL;

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
	struct reading *reading = userdata;

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

static void take_heading(struct reading *reading, char *name)
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
	reading->section = find_section(name, length);
	if (!reading->section)
		unknown(reading, NULL, name);
	*end = ']';
}

/* Feeding inih */

/* inih says only where its first fault was: a line that it made nothing of is found by this. */
static void settle_line(struct reading *reading)
{
	if (reading->awaited)
		fault(reading, "neither a section nor a key; allowed: [SECTION], KEY = VALUE, "
			       "comments that begin with # or ;");
	reading->awaited = false;
}

/* Reads a whole line, and keeps what fits. Whether there was one. */
static bool get_line(struct reading *reading, char *line, size_t room, bool *ret_fits)
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
	struct reading *reading = userdata;
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

static void read_file(struct reading *reading)
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

/* What the rest of the daemon calls */

int config_load(const char *path, config_complain_t complain, void *userdata,
		struct config **ret_config)
{
	_cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
	struct reading reading = {
		.config = config,
		.path = path,
		.complain = complain,
		.userdata = userdata,
	};

	if (!config)
		return -ENOMEM;
	for (const struct key *key = keys; key < keys + ARRAY_SIZE(keys); key++)
		take_value(&reading, key, key->fallback);
	assert(reading.n_faults == 0);
	if (path && !reading.error)
		read_file(&reading);
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
	free(config);
}

void config_freep(struct config **config)
{
	config_free(*config);
}

int config_set_listen(struct config *config, char *const *addresses, unsigned n,
		      config_complain_t complain, void *userdata)
{
	const struct key *key = &keys[0];
	struct config fresh = {};
	struct reading reading = { .config = &fresh, .complain = complain, .userdata = userdata };

	assert(key->parse == parse_address);
	if (n == 0)
		refuse(&reading, key, "", -EINVAL);
	for (unsigned i = 0; i < n && i <= CONFIG_MAX_LISTEN; i++) {
		int r = key->parse(key, &fresh, addresses[i]);

		if (r < 0)
			refuse(&reading, key, addresses[i], r);
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
