/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cmocka.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "util.h"

/* What the stand-in for sd_journal_sendv(), which takes no userdata, was given. */
static struct {
	char text[4096]; /* the fields, each with a newline after it */
	unsigned calls;
	int result;
} journal;

/* Found by the linker before libsystemd's. */
int sd_journal_sendv(const struct iovec *parts, int n)
{
	size_t used = 0;

	journal.calls++;
	for (int i = 0; i < n; i++)
		used += snprintf(journal.text + used, sizeof(journal.text) - used, "%.*s\n",
				 (int)parts[i].iov_len, (const char *)parts[i].iov_base);
	errno = EBADMSG;
	return journal.result;
}

/* Standard error as a socket that keeps one write(2) from the next. */
struct capture {
	int saved, reader;
};

static void capture_begin(struct capture *capture)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	fflush(stderr);
	capture->saved = dup(STDERR_FILENO);
	assert_true(capture->saved >= 0);
	capture->reader = ends[0];
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
}

/* Each write is shown as "<...>". */
static void capture_end(struct capture *capture, char *ret_writes, size_t size)
{
	size_t used = 0;
	char write[1024];
	ssize_t n;

	ret_writes[0] = '\0';
	assert_int_equal(dup2(capture->saved, STDERR_FILENO), STDERR_FILENO);
	close(capture->saved);
	while ((n = recv(capture->reader, write, sizeof(write), 0)) > 0)
		used += snprintf(ret_writes + used, size - used, "<%.*s>", (int)n, write);
	close(capture->reader);
}

#define ASSERT_WRITES(expected, ...)                          \
	do {                                                  \
		struct capture captured;                      \
		char shown[4096];                             \
                                                              \
		capture_begin(&captured);                     \
		__VA_ARGS__;                                  \
		capture_end(&captured, shown, sizeof(shown)); \
		assert_string_equal(shown, expected);         \
	} while (0)

/* Makes standard error the stream that $JOURNAL_STREAM names, or another one of the same device. */
static void open_journal(struct capture *capture, int device_off, int inode_off, const char *tail)
{
	struct stat status;
	char stream[128];

	capture_begin(capture);
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju%s", (uintmax_t)status.st_dev + device_off,
		 (uintmax_t)status.st_ino + inode_off, tail);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open();
}

static int reset(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_open();
	log_set_level(LOG_INFO);
	memset(&journal, 0, sizeof(journal));
	return 0;
}

/* Runs first, before anybody has set anything. */
static void test_before_open(void **state)
{
	(void)state;
	assert_int_equal(log_level(), LOG_INFO);
	ASSERT_WRITES("<dropscoped: x\n>", log_info("x"));
}

static void test_words(void **state)
{
	(void)state;
	log_set_level(LOG_DEBUG);
	ASSERT_WRITES("<dropscoped: error: a 1\n>", log_error("a %d", 1));
	ASSERT_WRITES("<dropscoped: warning: b\n>", log_warning("b"));
	ASSERT_WRITES("<dropscoped: c\n>", log_notice("c"));
	ASSERT_WRITES("<dropscoped: d\n>", log_info("d"));
	ASSERT_WRITES("<dropscoped: debug: e\n>", log_debug("e"));
	ASSERT_WRITES("<dropscoped: error: f\n>", log_write(LOG_EMERG, NULL, "f"));
	assert_int_equal(journal.calls, 0);
}

static void log_all(void)
{
	log_error("e");
	log_warning("w");
	log_notice("n");
	log_info("i");
	log_debug("d");
}

static void test_level(void **state)
{
	(void)state;
	assert_int_equal(log_level(), LOG_INFO);
	ASSERT_WRITES("<dropscoped: error: e\n><dropscoped: warning: w\n><dropscoped: n\n>"
		      "<dropscoped: i\n>",
		      log_all());
	log_set_level(LOG_ERR);
	assert_int_equal(log_level(), LOG_ERR);
	ASSERT_WRITES("<dropscoped: error: e\n>", log_all());
	log_set_level(LOG_WARNING);
	ASSERT_WRITES("<dropscoped: error: e\n><dropscoped: warning: w\n>", log_all());
}

static void test_one_write_per_line(void **state)
{
	(void)state;
	ASSERT_WRITES("<dropscoped: one\n><dropscoped: two\n><dropscoped: \n><dropscoped: four\n>",
		      log_info("one\ntwo\n\nfour\n"));
	ASSERT_WRITES("<dropscoped: \n>", log_info("%s", ""));
}

static void test_control_characters(void **state)
{
	(void)state;
	ASSERT_WRITES("<dropscoped: ?[31mred\t?? \xC3\xA4\n>",
		      log_info("\x1B[31mred\t\r\x7F \xC3\xA4"));
}

static void test_fields_are_not_shown(void **state)
{
	const char *const fields[] = { "COLLECTOR=drops", NULL };

	(void)state;
	ASSERT_WRITES("<dropscoped: warning: x\n>", log_write(LOG_WARNING, fields, "x"));
}

static void test_errno(void **state)
{
	struct capture capture;
	char writes[256];
	int saved;

	(void)state;
	ASSERT_WRITES("<dropscoped: error: No such file or directory\n>",
		      (errno = ENOENT, log_error("%m")));
	errno = EXDEV;
	log_debug("not shown");
	assert_int_equal(errno, EXDEV);

	/* Neither a write that fails ... */
	saved = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	errno = EXDEV;
	log_error("to nobody");
	assert_int_equal(errno, EXDEV);
	dup2(saved, STDERR_FILENO);
	close(saved);

	/* ... nor the journal's client may change it. */
	open_journal(&capture, 0, 0, "");
	errno = EXDEV;
	log_error("%m");
	saved = errno;
	capture_end(&capture, writes, sizeof(writes));
	assert_int_equal(saved, EXDEV);
	assert_non_null(strstr(journal.text, "MESSAGE=Invalid cross-device link\n"));
}

static void test_journal(void **state)
{
	const char *const fields[] = { "COLLECTOR=drops", "CONFIG_FILE=/etc/x=y", NULL };
	struct capture capture;
	char writes[256];

	(void)state;
	open_journal(&capture, 0, 0, "");
	log_write(LOG_WARNING, fields, "%s\n%d%%", "two\tlines", 5);
	capture_end(&capture, writes, sizeof(writes));
	assert_string_equal(writes, "");
	assert_int_equal(journal.calls, 1);
	assert_string_equal(journal.text, "MESSAGE=two\tlines\n5%\nPRIORITY=4\n"
					  "SYSLOG_IDENTIFIER=dropscoped\nCOLLECTOR=drops\n"
					  "CONFIG_FILE=/etc/x=y\n");
	log_debug("not shown");
	assert_int_equal(journal.calls, 1);
}

static void test_most_fields(void **state)
{
	const char *const fields[] = {
		"A=1", "B=2", "C=3", "D=4", "E=5", "F=6", "G=7", "H=8", NULL
	};
	struct capture capture;
	char writes[256];

	(void)state;
	open_journal(&capture, 0, 0, "");
	log_write(LOG_ERR, fields, "x");
	capture_end(&capture, writes, sizeof(writes));
	assert_string_equal(journal.text, "MESSAGE=x\nPRIORITY=3\nSYSLOG_IDENTIFIER=dropscoped\n"
					  "A=1\nB=2\nC=3\nD=4\nE=5\nF=6\nG=7\nH=8\n");
}

static void test_journal_fails(void **state)
{
	struct capture capture;
	char writes[256];

	(void)state;
	open_journal(&capture, 0, 0, "");
	journal.result = -ENOBUFS;
	log_warning("still said");
	capture_end(&capture, writes, sizeof(writes));
	assert_int_equal(journal.calls, 1);
	assert_string_equal(writes, "<dropscoped: warning: still said\n>");
}

/* The variable is inherited by what somebody starts in a unit with its output elsewhere. */
static void test_not_the_journal(void **state)
{
	static const struct {
		int device_off, inode_off;
		const char *tail;
	} others[] = { { 1, 0, "" }, { 0, 1, "" }, { 0, 0, "x" } };
	static const char *const broken[] = { "", "1", "1:", ":1", "a:b" };
	struct capture capture;
	char writes[256];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		open_journal(&capture, others[i].device_off, others[i].inode_off, others[i].tail);
		log_info("x");
		capture_end(&capture, writes, sizeof(writes));
		assert_string_equal(writes, "<dropscoped: x\n>");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(broken); i++) {
		setenv("JOURNAL_STREAM", broken[i], 1);
		log_open();
		ASSERT_WRITES("<dropscoped: x\n>", log_info("x"));
	}
	assert_int_equal(journal.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_open),
		cmocka_unit_test_setup(test_words, reset),
		cmocka_unit_test_setup(test_level, reset),
		cmocka_unit_test_setup(test_one_write_per_line, reset),
		cmocka_unit_test_setup(test_control_characters, reset),
		cmocka_unit_test_setup(test_fields_are_not_shown, reset),
		cmocka_unit_test_setup(test_errno, reset),
		cmocka_unit_test_setup(test_journal, reset),
		cmocka_unit_test_setup(test_most_fields, reset),
		cmocka_unit_test_setup(test_journal_fails, reset),
		cmocka_unit_test_setup(test_not_the_journal, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
