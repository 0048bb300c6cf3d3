/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_text.h"

#define NO_LINE                                                                                   \
	"neither a section nor a key; allowed: [SECTION], KEY = VALUE, comments that begin with " \
	"# or ;"
#define NO_TEXT                                                                                  \
	"not a line of text; allowed: up to 198 bytes, none of them zero, and a list may go on " \
	"in indented lines"
#define SECTIONS "daemon, collectors, series, drops, receive, history, live, devices, hints"

/* inih takes " ;" for a comment, and '#' for a letter. */
static void test_comments(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	config = GOOD("; one\n# two\n  # three\n\t; four\n\n \t\n[daemon] # five\n"
		      "listen = /run/a#b;c /x ; six # seven\n[series] ;\nbudget = 5\t;x\n"
		      "[devices]\ngroup = a ;b\n  c\n;d\n  e ; f\n");
	assert_listen(config, "/run/a#b;c /x");
	assert_int_equal(config->series_budget, 5);
	assert_groups(config, "a=a c=c e=e");
	BAD("[daemon]\nlisten = 1 # two three\nlog-level = info # why\n"
	    "[devices]\ngroup = a #b c",
	    "2: listen: \"#\" is not an address; allowed: " ADDRESSES
	    "; a comment after a value begins with ;",
	    "3: log-level: \"info # why\" is not a level; allowed: error, warning, info, debug; "
	    "a comment after a value begins with ;",
	    "5: group: \"#b\" is not a pattern; allowed: PATTERN or LABEL=PATTERN, in printable "
	    "ASCII; a comment after a value begins with ;");
}

static void test_unknown(void **state)
{
	(void)state;
	BAD("[colectors]\nx = 1\ndrops = maybe\n[Series]\n[zoo]\n[]",
	    "1: [colectors]: unknown (perhaps collectors); allowed: " SECTIONS,
	    "4: [Series]: unknown (perhaps series); allowed: " SECTIONS,
	    "5: [zoo]: unknown; allowed: " SECTIONS, "6: []: unknown; allowed: " SECTIONS);
	BAD("[series]\nretire_after = 6h\n more\nslots = 64\nzoo=1\nBUDGET=1\nretransmit=no",
	    "2: retire_after: unknown in [series] (perhaps retire-after); "
	    "allowed: budget, retire-after",
	    "4: slots: unknown in [series] (it belongs in [drops]); allowed: budget, retire-after",
	    "5: zoo: unknown in [series]; allowed: budget, retire-after",
	    "6: BUDGET: unknown in [series] (perhaps budget); allowed: budget, retire-after",
	    "7: retransmit: unknown in [series] (it belongs in [collectors]); "
	    "allowed: budget, retire-after");
	BAD("listen = 1\n  2\n[daemon]\nliste = 1\n[collectors]\nr = yes",
	    "1: listen: in no section; allowed: keys below a line that reads [SECTION]",
	    "4: liste: unknown in [daemon] (perhaps listen); allowed: listen, log-level, btf",
	    "6: r: unknown in [collectors]; allowed: drops, receive, retransmit, block");
}

static void test_duplicates(void **state)
{
	(void)state;
	BAD("[daemon]\nlisten = 1\n\nlisten = 2\n 0 bad\n[series]\nbudget = 1\n[daemon]\n"
	    "log-level = info\nlisten = 3\n",
	    "4: listen: already on line 2; allowed: once",
	    "10: listen: already on line 2; allowed: once");
	BAD("[series]\nbudget = 0\nbudget = 0",
	    "2: budget: \"0\" is out of range; allowed: a number from 1 to 100000",
	    "3: budget: already on line 2; allowed: once");
}

static void test_syntax(void **state)
{
	(void)state;
	BAD("[daemon]\nlisten\n= 5\n:6\nfoo bar\nnot ;= this", "2: " NO_LINE, "3: " NO_LINE,
	    "4: " NO_LINE, "5: " NO_LINE, "6: " NO_LINE);
	BAD("[drops\nslots = 1\n[series] budget = 0\nbudget = 0\n[::]:9435\n[\r\n",
	    "1: [drops: not a section; allowed: [SECTION] alone on its line",
	    "3: [series] budget = 0: not a section; allowed: [SECTION] alone on its line",
	    "5: [::]:9435: not a section; allowed: [SECTION] alone on its line",
	    "6: [: not a section; allowed: [SECTION] alone on its line");
	/* The keys below a heading that cannot be read belong to no section that is known. */
	BAD("[daemon]\n[drops\nslots = 0\nlisten = 0",
	    "2: [drops: not a section; allowed: [SECTION] alone on its line");
	BAD("what\n[daemon]\n what", "1: " NO_LINE, "3: " NO_LINE);
}

/* An indented key would be read by inih as more of the value above it. */
static void test_indented(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	config = GOOD("  [daemon]\n  listen = 1\n[series]\n\tbudget = 3\n");
	assert_listen(config, "1");
	assert_int_equal(config->series_budget, 3);
	BAD("[devices]\ngroup = a\n  slots=64\n  budget : 5\n b = c\n  drops\n [series]\n [ab]*\n[daemon]\n"
	    "log-level = info\n  debug\n  listen = 1\n",
	    "3: slots: indented, so it continues group; allowed: keys not indented",
	    "4: budget: indented, so it continues group; allowed: keys not indented",
	    "5: group: \"=\" is not a pattern; allowed: PATTERN or LABEL=PATTERN, in printable "
	    "ASCII",
	    "7: [series]: indented, so it continues group; allowed: sections not indented",
	    "11: log-level: continued by an indented line; allowed: one value",
	    "12: listen: indented, so it continues log-level; allowed: keys not indented");
}

static void test_long_lines(void **state)
{
	_cleanup_(config_freep) struct config *config = NULL;
	char text[2000];

	(void)state;
	/* The last digit must arrive: 198 bytes with and without CRLF. */
	snprintf(text, sizeof(text), "[series]\r\nbudget =%*d\r\n[drops]\nslots =%*d\n", 190, 77,
		 191, 64);
	config = GOOD(text);
	assert_int_equal(config->series_budget, 77);
	assert_int_equal(config->drops_slots, 64);
	config_free(TAKE_PTR(config));

	/* What follows a comment's 198th byte is still the comment. */
	snprintf(text, sizeof(text), "[series]\n#%*s\nbudget = 5\n;%*s", 300, "budget = 7", 197,
		 "budget = 7");
	config = GOOD(text);
	assert_int_equal(config->series_budget, 5);

	snprintf(text, sizeof(text), "[daemon]\nlisten =%*d\n 0\n\t[::1]\nlog-level = x\n", 191,
		 64);
	BAD(text, "2: " NO_TEXT,
	    "5: log-level: \"x\" is not a level; allowed: error, warning, info, debug");
	snprintf(text, sizeof(text), "[daemon]\nlisten = 1\n%*d\n 0\n[%*d]\n%*d", 199, 2, 300, 1,
		 5000 / 10, 1);
	BAD(text, "3: " NO_TEXT, "4: listen: \"0\" is not an address; allowed: " ADDRESSES,
	    "5: " NO_TEXT, "6: " NO_TEXT);
}

static void test_bytes(void **state)
{
	static const char zero[] = "[daemon]\nlisten = 1\0 2\n 3\n\0\nlog-level = \0info";
	_cleanup_(config_freep) struct config *config = NULL;

	(void)state;
	BAD_BYTES(zero, sizeof(zero) - 1, "2: " NO_TEXT, "4: " NO_TEXT, "5: " NO_TEXT);

	config = GOOD("\xEF\xBB\xBF[series]\r\nbudget = 5\r\n\r\n[devices]\r\ngroup = a\r\n b\r\n");
	assert_int_equal(config->series_budget, 5);
	assert_groups(config, "a=a b=b");
	config_free(TAKE_PTR(config));
	config = GOOD("\xEF\xBB\xBF# comment\n[series]\nbudget = 6");
	assert_int_equal(config->series_budget, 6);
	BAD("\xEF\xBB\xBF[serie]\r\nx\r\n[series]\r\nbudget = x\r\n",
	    "1: [serie]: unknown (perhaps series); allowed: " SECTIONS, "2: " NO_LINE,
	    "4: budget: \"x\" is not a number; allowed: a number from 1 to 100000");
	BAD("[series]\n\xEF\xBB\xBF[drops]", "2: " NO_LINE);
}

static void test_empty_file(void **state)
{
	static const char *const empty[] = {
		"", "\n", "\r\n\r\n", "\xEF\xBB\xBF", "[daemon]", "#"
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(empty); i++) {
		_cleanup_(config_freep) struct config *config = GOOD(empty[i]);

		assert_defaults(config);
	}
}

static void test_unreadable(void **state)
{
	struct config untouched, *config = &untouched;
	struct complaints complaints = {};
	char deep[PATH_MAX + 100];

	(void)state;
	memset(deep, 'x', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(config_load("/nonexistent/x.conf", note, &complaints, &config), -ENOENT);
	assert_int_equal(config_load("tests", note, &complaints, &config), -EISDIR);
	assert_int_equal(config_load(deep, note, &complaints, &config), -ENAMETOOLONG);
	assert_ptr_equal(config, &untouched);
	assert_int_equal(complaints.n, 3);
	assert_string_equal(complaints.text[0],
			    "/nonexistent/x.conf: cannot be read: No such file or directory");
	assert_string_equal(complaints.text[1], "tests: cannot be read: Is a directory");
}

/* The name and the line, as an editor can jump to them. */
static void test_where(void **state)
{
	struct complaints complaints = {};
	char path[256], expected[512];
	struct config *config = NULL;

	(void)state;
	write_file("[series]\n\nretire-after = 6x\n", 28, path, sizeof(path));
	assert_int_equal(config_load(path, note, &complaints, &config), -EINVAL);
	unlink(path);
	snprintf(
		expected, sizeof(expected),
		"%s:3: retire-after: \"6x\" is not a duration; allowed: a number with s, m, h or d "
		"from 1s to 365d",
		path);
	assert_int_equal(complaints.n, 1);
	assert_string_equal(complaints.text[0], expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comments),   cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_duplicates), cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_indented),   cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_bytes),	   cmocka_unit_test(test_empty_file),
		cmocka_unit_test(test_unreadable), cmocka_unit_test(test_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
