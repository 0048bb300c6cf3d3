/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_writer.h"

#include <time.h>

#include "../model/utf8.h"

enum {
	INDENT = 2,
	NANOSECONDS = 1000000000,
	MILLISECOND = 1000000,
	MICROSECOND = 1000,
};

static void line(struct json *json)
{
	static const char spaces[] = "                ";
	size_t size = INDENT * json->depth;

	buffer_char(json->buffer, '\n');
	buffer_bytes(json->buffer, spaces, size < sizeof(spaces) ? size : sizeof(spaces) - 1);
}

void json_item(struct json *json)
{
	if (!json->first)
		buffer_char(json->buffer, ',');
	json->first = false;
	line(json);
}

void json_key(struct json *json, const char *name)
{
	json_item(json);
	buffer_char(json->buffer, '"');
	buffer_string(json->buffer, name);
	buffer_string(json->buffer, "\": ");
}

void json_begin(struct json *json, char bracket)
{
	buffer_char(json->buffer, bracket);
	json->depth++;
	json->first = true;
}

void json_end(struct json *json, char bracket)
{
	json->depth--;
	if (!json->first)
		line(json);
	json->first = false;
	buffer_char(json->buffer, bracket);
}

/* One character, escaped where it must be; returns its bytes. */
static size_t json_character(struct buffer *buffer, const char *at, size_t left)
{
	size_t size = utf8_character(at, left);

	if (size == 0) {
		buffer_string(buffer, "\\ufffd");
		return 1;
	}
	if (*at == '"' || *at == '\\')
		buffer_char(buffer, '\\');
	if (*at == '\n')
		buffer_string(buffer, "\\n");
	else if (*at == '\t')
		buffer_string(buffer, "\\t");
	else if (utf8_is_control(at))
		buffer_printf(buffer, "\\u%04x", (unsigned char)at[size - 1]);
	else
		buffer_bytes(buffer, at, size);
	return size;
}

void json_string(struct buffer *buffer, const char *text, size_t size)
{
	buffer_char(buffer, '"');
	for (size_t i = 0; i < size;)
		i += json_character(buffer, text + i, size - i);
	buffer_char(buffer, '"');
}

static void write_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch, int digits,
		       unsigned fraction)
{
	time_t seconds = (time_t)(nanoseconds_since_epoch / NANOSECONDS);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buffer_printf(buffer, "\"%04d-%02d-%02dT%02d:%02d:%02d.%0*uZ\"", tm.tm_year + 1900,
		      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, digits,
		      fraction);
}

void json_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	write_time(buffer, nanoseconds_since_epoch, 3,
		   (unsigned)(nanoseconds_since_epoch % NANOSECONDS / MILLISECOND));
}

void json_time_exact(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	write_time(buffer, nanoseconds_since_epoch, 6,
		   (unsigned)(nanoseconds_since_epoch % NANOSECONDS / MICROSECOND));
}

void json_time_or_null(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	if (nanoseconds_since_epoch)
		json_time(buffer, nanoseconds_since_epoch);
	else
		buffer_string(buffer, "null");
}

/* A number as JSON writes it: no leading zeros, no plus, no exponent. */
static bool is_number(const char *text)
{
	const char *digits = text + (text[0] == '-');
	size_t n = strspn(digits, "0123456789"), fraction = 0;

	if (n == 0 || (digits[0] == '0' && n > 1))
		return false;
	if (digits[n] == '.') {
		fraction = strspn(digits + n + 1, "0123456789");
		n += fraction ? 1 + fraction : 0;
	}
	return digits[n] == '\0';
}

void json_label(struct buffer *buffer, const struct column *column, const struct label *label)
{
	if (column->number && label->size == 0) {
		buffer_string(buffer, "null");
	} else if (column->number && is_number(label->text)) {
		buffer_bytes(buffer, label->text, label->size);
	} else if (label->plain) {
		buffer_char(buffer, '"');
		buffer_bytes(buffer, label->text, label->size);
		buffer_char(buffer, '"');
	} else {
		json_string(buffer, label->text, label->size);
	}
}

void json_number(struct buffer *buffer, enum unit unit, uint64_t value)
{
	if (unit == UNIT_SECONDS)
		buffer_seconds(buffer, value);
	else
		buffer_u64(buffer, value);
}
