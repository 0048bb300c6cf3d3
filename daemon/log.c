/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Without this, every entry would carry the place in this file as its CODE_LINE. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

enum { MAX_FIELDS = 8 };

/* The one exception to "no mutable globals": see log.h. */
static struct {
	int level;
	bool journal;
} state = { .level = LOG_INFO };

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat status;
	char after;

	if (!stream || sscanf(stream, "%ju:%ju%c", &device, &inode, &after) != 2)
		return false;
	/* The variable is inherited: it says nothing once somebody has redirected the stream. */
	if (fstat(STDERR_FILENO, &status) < 0)
		return false;
	return status.st_dev == device && status.st_ino == inode;
}

void log_open(void)
{
	state.journal = stderr_is_journal();
}

void log_set_level(int priority)
{
	state.level = priority;
}

int log_level(void)
{
	return state.level;
}

static struct iovec part(const char *text)
{
	return (struct iovec){ (char *)text, strlen(text) };
}

static int write_journal(int priority, const char *const *fields, const char *text)
{
	_cleanup_(freep) char *message = NULL;
	struct iovec parts[3 + MAX_FIELDS];
	char level[32];
	int n = 0;

	if (asprintf(&message, "MESSAGE=%s", text) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	snprintf(level, sizeof(level), "PRIORITY=%d", priority);
	parts[n++] = part(message);
	parts[n++] = part(level);
	parts[n++] = part("SYSLOG_IDENTIFIER=dropscoped");
	for (; fields && *fields; fields++) {
		assert(n < (int)ARRAY_SIZE(parts));
		parts[n++] = part(*fields);
	}
	return sd_journal_sendv(parts, n);
}

static const char *prefix(int priority)
{
	if (priority <= LOG_ERR)
		return "dropscoped: error: ";
	if (priority == LOG_WARNING)
		return "dropscoped: warning: ";
	if (priority >= LOG_DEBUG)
		return "dropscoped: debug: ";
	return "dropscoped: ";
}

/* Names that traffic or a user chose must not be able to steer a terminal. */
static void hide_control_characters(char *text)
{
	for (; *text; text++) {
		unsigned char c = *text;

		if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
			*text = '?';
	}
}

/*
 * Each line goes out in one system call, so that lines of several writers to one file or pipe do
 * not mix. What cannot be written is lost: there is nowhere left to say so.
 */
static void write_plain(int priority, char *text)
{
	const char *start = prefix(priority);

	hide_control_characters(text);
	do {
		size_t length = strcspn(text, "\n");
		struct iovec parts[] = { part(start), { text, length }, part("\n") };
		ssize_t r;

		do
			r = writev(STDERR_FILENO, parts, ARRAY_SIZE(parts));
		while (r < 0 && errno == EINTR);

		text += length;
		if (*text == '\n')
			text++;
	} while (*text);
}

void log_write(int priority, const char *const *fields, const char *format, ...)
{
	char no_memory[] = "a message was lost: no memory to format it";
	char *message = NULL, *text;
	int saved = errno;
	va_list arguments;

	if (priority > state.level)
		return;

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	text = message ? message : no_memory;

	if (!state.journal || write_journal(priority, fields, text) < 0)
		write_plain(priority, text);

	/* Older C libraries let free() change errno, so that this comes last. */
	free(message);
	errno = saved;
}
