/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "config_text.h"

static void test_defaults(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	struct complaints complaints = {};

	(void)state;
	assert_int_equal(config_load(NULL, note, &complaints, &config), 0);
	assert_int_equal(complaints.n, 0);
	assert_defaults(config);
	config_free(NULL);
}

static void test_every_key(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	config = GOOD("[daemon]\nlisten = 127.0.0.1:80 /run/x.sock\nlog-level: debug\n"
		      "[collectors]\ndrops = no\nreceive=no\nretransmit =no\nblock= no\n"
		      "[series]\nbudget = 7\nretire-after = 90s\n"
		      "[drops]\nslots = 64\n"
		      "[devices]\ngroup = tun* vlan=eth0.*\n"
		      "[hints]\ndirectory = /srv/hints\n");
	assert_listen(config, "127.0.0.1:80 /run/x.sock");
	assert_int_equal(config->log_level, LOG_DEBUG);
	assert_null(config->btf);
	assert_false(config->drops || config->receive || config->retransmit || config->block);
	assert_int_equal(config->series_budget, 7);
	assert_int_equal(config->retire_after_ns, UINT64_C(90000000000));
	assert_int_equal(config->drops_slots, 64);
	assert_groups(config, "tun*=tun* vlan=eth0.*");
	assert_string_equal(config->hints_directory, "/srv/hints");
	config_free(TAKE_PTR(config));
	config = GOOD("[daemon]\nbtf = /etc/dropscope/vmlinux.btf\n");
	assert_string_equal(config->btf, "/etc/dropscope/vmlinux.btf");
	config_free(TAKE_PTR(config));
	config = GOOD("[daemon]\nbtf =\n");
	assert_null(config->btf);
	BAD("[daemon]\nbtf = vmlinux\n",
	    "2: btf: \"vmlinux\" is not an absolute path; allowed: an absolute path, or nothing");
	BAD("[hints]\ndirectory = hints.d\n",
	    "2: directory: \"hints.d\" is not an absolute path; allowed: an absolute path");
	BAD("[hints]\ndirectory =\n",
	    "2: directory: \"\" is not an absolute path; allowed: an absolute path");
}

/* The four switches have one parser: each must reach its own field. */
static void test_switches(void **state)
{
	static const char *const names[] = { "drops", "receive", "retransmit", "block" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(config_freep) struct config *config = NULL;
		char text[64];

		snprintf(text, sizeof(text), "[collectors]\n%s = no", names[i]);
		config = GOOD(text);
		assert_int_equal(config->drops, i != 0);
		assert_int_equal(config->receive, i != 1);
		assert_int_equal(config->retransmit, i != 2);
		assert_int_equal(config->block, i != 3);
		snprintf(text, sizeof(text), "[collectors]\n%s = yes", names[i]);
		config_free(TAKE_PTR(config));
		config = GOOD(text);
		assert_defaults(config);
	}
	BAD("[collectors]\ndrops = true\nreceive = 1\nretransmit = YES\nblock =",
	    "2: drops: \"true\" is not yes or no; allowed: yes, no",
	    "3: receive: \"1\" is not yes or no; allowed: yes, no",
	    "4: retransmit: \"YES\" is not yes or no; allowed: yes, no",
	    "5: block: \"\" is not yes or no; allowed: yes, no");
}

static void test_log_level(void **state)
{
	(void)state;
	assert_int_equal(config_log_level("error"), LOG_ERR);
	assert_int_equal(config_log_level("warning"), LOG_WARNING);
	assert_int_equal(config_log_level("info"), LOG_INFO);
	assert_int_equal(config_log_level("debug"), LOG_DEBUG);
	assert_int_equal(config_log_level("notice"), -EINVAL);
	assert_int_equal(config_log_level(""), -EINVAL);
	BAD("[daemon]\nlog-level = loud",
	    "2: log-level: \"loud\" is not a level; allowed: error, warning, info, debug");
}

static void test_numbers(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	config = GOOD("[series]\nbudget = 1\n[drops]\nslots = 65536");
	assert_int_equal(config->series_budget, 1);
	assert_int_equal(config->drops_slots, 65536);
	config_free(TAKE_PTR(config));
	config = GOOD("[series]\nbudget = 100000\n[drops]\nslots = 64");
	assert_int_equal(config->series_budget, 100000);
	assert_int_equal(config->drops_slots, 64);

#define BUDGET(value, wrong)             \
	BAD("[series]\nbudget = " value, \
	    "2: budget: \"" value "\" is " wrong "; allowed: a number from 1 to 100000")
	BUDGET("0", "out of range");
	BUDGET("100001", "out of range");
	BUDGET("99999999999999999999", "out of range");
	BUDGET("-1", "not a number");
	BUDGET("+1", "not a number");
	BUDGET("1k", "not a number");
	BUDGET("1 2", "not a number");
	BUDGET("1.5", "not a number");
	BUDGET("", "not a number");

#define SLOTS(value, wrong)            \
	BAD("[drops]\nslots = " value, \
	    "2: slots: \"" value "\" is " wrong "; allowed: a power of two from 64 to 65536")
	SLOTS("32", "out of range");
	SLOTS("63", "out of range");
	SLOTS("65", "not a power of two");
	SLOTS("96", "not a power of two");
	SLOTS("65535", "not a power of two");
	SLOTS("65537", "out of range");
	SLOTS("131072", "out of range");
	SLOTS("many", "not a power of two");
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		unsigned bytes;
	} good[] = {
		{ "[history]\nsize = 0", 0 },
		{ "[history]\nsize = 0M", 0 },
		{ "[history]\nsize = 1M", 1 << 20 },
		{ "[history]\nsize = 1024K", 1 << 20 },
		{ "[history]\nsize = 1048577", (1 << 20) + 1 },
		{ "[history]\nsize = 16M", 16 << 20 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		_cleanup_(config_freep) struct config *config = GOOD(good[i].text);

		assert_int_equal(config->history_size, good[i].bytes);
	}
#define HISTORY(value, wrong)                  \
	BAD("[history]\nsize = " value,        \
	    "2: size: \"" value "\" is " wrong \
	    "; allowed: 0, or a number of bytes, with K or M, from 1M to 16M")
	HISTORY("1", "out of range");
	HISTORY("1048575", "out of range");
	HISTORY("17M", "out of range");
	HISTORY("16385K", "out of range");
	HISTORY("99999999999999999999M", "out of range");
	HISTORY("4G", "not a size");
	HISTORY("4MB", "not a size");
	HISTORY("-4M", "not a size");
	HISTORY("M", "not a size");
	HISTORY("", "not a size");
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} good[] = { { "1s", 1 },     { "90s", 90 },	    { "1m", 60 },
		     { "15m", 900 },  { "1h", 3600 },	    { "8760h", 31536000 },
		     { "1d", 86400 }, { "365d", 31536000 }, { "31536000s", 31536000 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_(config_freep) struct config *config = NULL;
		char text[64];

		snprintf(text, sizeof(text), "[series]\nretire-after = %s", good[i].text);
		config = GOOD(text);
		assert_int_equal(config->retire_after_ns, good[i].seconds * 1000000000);
	}

#define RETIRE(value, wrong)                           \
	BAD("[series]\nretire-after = " value,         \
	    "2: retire-after: \"" value "\" is " wrong \
	    "; allowed: a number with s, m, h or d from 1s to 365d")
	RETIRE("0s", "out of range");
	RETIRE("0d", "out of range");
	RETIRE("366d", "out of range");
	RETIRE("8761h", "out of range");
	RETIRE("525601m", "out of range");
	RETIRE("31536001s", "out of range");
	RETIRE("213503982334602d", "out of range");
	RETIRE("6x", "not a duration");
	RETIRE("6", "not a duration");
	RETIRE("6hh", "not a duration");
	RETIRE("6h30m", "not a duration");
	RETIRE("1.5h", "not a duration");
	RETIRE("-6h", "not a duration");
	RETIRE("h", "not a duration");
	RETIRE("6 h", "not a duration");
	RETIRE("", "not a duration");
}

#define PATH_107                                                                                 \
	"/2345678901234567890123456789012345678901234567890123456789012345678901234567890123456" \
	"789012345678901234567"

/* Asks for a good address and then this one. */
static void assert_no_address(struct config *config, const char *text)
{
	char *addresses[] = { (char *)"9435", (char *)text };
	struct complaints complaints = {};
	char expected[512];

	assert_int_equal(config_set_listen(config, addresses, 2, note, &complaints), -EINVAL);
	assert_int_equal(complaints.n, 1);
	snprintf(expected, sizeof(expected),
		 "listen: \"%s\" is not an address; allowed: " ADDRESSES, text);
	assert_string_equal(complaints.text[0], expected);
	assert_listen(config, "/kept");
}

static void test_addresses(void **state)
{
	char good[] = "1 65535 127.0.0.1:9435 0.0.0.0:1 localhost:9435 *:9435 [::]:9435 [::1]:1 "
		      "[2001:db8:0:1:2:3:4:5]:65535 [::ffff:192.0.2.255]:1 "
		      "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535 "
		      "/run/dropscope.sock /x:y " PATH_107;
	char bad[] = "0 65536 100000 09435 -1 94x :9435 127.0.0.1 127.0.0.1: 127.0.0.1:0 "
		     "127.0.0.1:65536 127.0.0.1:x 127.1:9435 256.0.0.1:9435 example.com:9435 "
		     "LOCALHOST:9435 **:9435 ::1:9435 [::1] [::1]9435 [::1:9435 ::1]:9435 []:9435 "
		     "[:9435 ]:9435 [127.0.0.1]:9435 [::1%lo]:9435 [::g]:1 / /run/ run/x.sock "
		     "./x.sock @abstract http://localhost:9435 " PATH_107 "9 "
		     "[2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0001]:9435";
	_cleanup_(config_freep) struct config *config = NULL;
	struct complaints complaints = {};
	char *kept = (char *)"/kept", *next;

	(void)state;
	assert_int_equal(strlen(PATH_107), 107);
	assert_int_equal(config_load(NULL, note, &complaints, &config), 0);
	for (char *word = strtok_r(good, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
		assert_int_equal(config_set_listen(config, &word, 1, note, &complaints), 0);
		assert_listen(config, word);
	}
	assert_int_equal(config_set_listen(config, &kept, 1, note, &complaints), 0);
	assert_int_equal(complaints.n, 0);
	for (char *word = strtok_r(bad, " ", &next); word; word = strtok_r(NULL, " ", &next))
		assert_no_address(config, word);
	assert_no_address(config, "");
	assert_no_address(config, "9435 ");
	assert_no_address(config, " 9435");
}

static void test_set_listen_count(void **state)
{
	char numbers[CONFIG_MAX_LISTEN + 2][8], *many[CONFIG_MAX_LISTEN + 2];
	char *twice[] = { "1", "2", "1" };
	_cleanup_(config_freep) struct config *config = NULL;
	struct complaints complaints = {};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "%u", 100 + i);
		many[i] = numbers[i];
	}
	assert_int_equal(config_load(NULL, note, &complaints, &config), 0);
	assert_int_equal(config_set_listen(config, NULL, 0, note, &complaints), -EINVAL);
	assert_int_equal(config_set_listen(config, many, 17, note, &complaints), -EINVAL);
	assert_int_equal(config_set_listen(config, many, 18, note, &complaints), -EINVAL);
	assert_int_equal(config_set_listen(config, twice, 3, note, &complaints), -EINVAL);
	assert_listen(config, "[::]:9435");
	assert_int_equal(complaints.n, 4);
	assert_string_equal(complaints.text[0],
			    "listen: \"\" is not an address; allowed: " ADDRESSES);
	assert_string_equal(complaints.text[1],
			    "listen: \"116\" is one too many; allowed: at most 16");
	assert_string_equal(complaints.text[2], complaints.text[1]);
	assert_string_equal(complaints.text[3], "listen: \"1\" is listed twice; allowed: once");
	assert_int_equal(config_set_listen(config, many, 16, note, &complaints), 0);
	assert_int_equal(config->n_listen, 16);
}

static void test_listen_in_file(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	config = GOOD("[daemon]\nlisten = 1 2 3 4 5 6 7 8 9 10\n\n# more\n 11\t12 ; not 12\n"
		      "\t[::1]:9435 14 15 16\nlog-level = error");
	assert_listen(config, "1 2 3 4 5 6 7 8 9 10 11 12 [::1]:9435 14 15 16");
	assert_int_equal(config->log_level, LOG_ERR);
	BAD("[daemon]\nlisten = 1 2 3 4 5 6 7 8 9 10\n 11 12 13 14 15 16\n 17 18",
	    "4: listen: \"17\" is one too many; allowed: at most 16");
	BAD("[daemon]\nlisten =", "2: listen: \"\" is not an address; allowed: " ADDRESSES);
	BAD("[daemon]\nlisten =; 1", "2: listen: \"; 1\" is not an address; allowed: " ADDRESSES);
	BAD("[daemon]\nlisten = 0 1 1\n 2 eth0",
	    "2: listen: \"0\" is not an address; allowed: " ADDRESSES,
	    "2: listen: \"1\" is listed twice; allowed: once",
	    "3: listen: \"eth0\" is not an address; allowed: " ADDRESSES);
}

static void test_groups(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	char text[400] = "[devices]\ngroup =", *end = text + strlen(text);

	(void)state;
	config = GOOD("[devices]\ngroup =");
	assert_int_equal(config->n_groups, 0);
	config_free(TAKE_PTR(config));
	config = GOOD("[devices]\ngroup = a=b=c eth#1 x;y [#]z sharp=#* a=d\\* v?[0-9]");
	assert_groups(config,
		      "a=b=c eth#1=eth#1 x;y=x;y [#]z=[#]z sharp=#* a=d\\* v?[0-9]=v?[0-9]");

	for (unsigned i = 0; i < 64; i++)
		end += sprintf(end, "%s%u*", i % 32 == 31 ? "\n " : " ", i);
	config_free(TAKE_PTR(config));
	config = GOOD(text);
	assert_int_equal(config->n_groups, 64);
	strcpy(end, " x* y* z*");
	BAD(text, "4: group: \"x*\" is one too many; allowed: at most 64");

#define GROUP(word)                                                                        \
	BAD("[devices]\ngroup = a " word " b", "2: group: \"" word "\" is not a pattern; " \
					       "allowed: PATTERN or LABEL=PATTERN, in "    \
					       "printable ASCII")
	GROUP("=");
	GROUP("=x");
	GROUP("x=");
	GROUP("\xC3\xA4");
	GROUP("\x1B[m");
	GROUP("\x7F");
	BAD("[devices]\ngroup = x* y y=x*", "2: group: \"y=x*\" is listed twice; allowed: once");
}

/* The file that is installed */

static char *read_installed(void)
{
	_cleanup_(fclosep) FILE *file = fopen("config/dropscoped.conf", "re");
	char *text = calloc(1, 1 << 16);

	assert_non_null(text);
	if (!file)
		fail_msg("config/dropscoped.conf: run this in the repository's root");
	assert_in_range(fread(text, 1, (1 << 16) - 1, file), 1, (1 << 16) - 2);
	return text;
}

/* Takes the '#' from "#key = value"; prose has a space after its '#'. How many there were. */
static unsigned uncomment(char *text)
{
	unsigned n = 0;

	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z') {
			memmove(line, line + 1, strlen(line));
			n++;
		}
	}
	return n;
}

static void test_installed_file(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL, *uncommented = NULL;
	_cleanup_(freep) char *text = read_installed();

	(void)state;
	config = GOOD(text);
	assert_defaults(config);
	assert_true(uncomment(text) > 0);
	uncommented = GOOD(text);
	assert_defaults(uncommented);
}

/* Asks config_load() which keys there are, so that a new one cannot be left out of the file. */
static void test_installed_file_is_complete(void **state)
{
	_cleanup_(freep) char *text = read_installed();
	struct complaints sections, names;
	struct config *config = NULL;
	char *next_section, *next_name;
	unsigned n = uncomment(text);

	(void)state;
	assert_int_equal(load("[?]", 3, &sections, &config), -EINVAL);
	for (char *section =
		     strtok_r(strstr(sections.text[0], "allowed: ") + 9, ", ", &next_section);
	     section; section = strtok_r(NULL, ", ", &next_section)) {
		char ask[64], heading[64], key[64];
		char *start, *end;

		snprintf(ask, sizeof(ask), "[%s]\n? = 1", section);
		snprintf(heading, sizeof(heading), "\n[%s]\n", section);
		assert_int_equal(load(ask, strlen(ask), &names, &config), -EINVAL);
		start = strstr(text, heading);
		if (!start)
			fail_msg("config/dropscoped.conf lacks [%s]", section);
		end = strstr(start + 2, "\n[");
		for (char *name =
			     strtok_r(strstr(names.text[0], "allowed: ") + 9, ", ", &next_name);
		     name; name = strtok_r(NULL, ", ", &next_name), n--) {
			const char *found;

			snprintf(key, sizeof(key), "\n%s =", name);
			found = strstr(start, key);
			if (!found || (end && found > end))
				fail_msg("config/dropscoped.conf lacks %s in [%s]", name, section);
		}
	}
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_set_listen_count),
		cmocka_unit_test(test_listen_in_file),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_installed_file),
		cmocka_unit_test(test_installed_file_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
