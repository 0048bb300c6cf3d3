/* SPDX-License-Identifier: BSD-2-Clause */
#include "buffer.h"

#include <stdarg.h>

enum {
	BUFFER_FIRST = 1024, /* bytes: an answer's smallest allocation */
	U64_DIGITS = 20,     /* 18446744073709551615 */
	NANOSECOND_DIGITS = 9,
	NANOSECONDS = 1000000000,
};

bool buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST;
	char *data;

	if (buffer->failed)
		return false;
	if (more <= buffer->capacity - buffer->size)
		return true;
	if (more > SIZE_MAX / 4 - buffer->size) {
		buffer->failed = true;
		return false;
	}

	while (capacity - buffer->size < more)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void buffer_bytes(struct buffer *buffer, const void *bytes, size_t size)
{
	if (size == 0 || !buffer_reserve(buffer, size))
		return;
	memcpy(buffer->data + buffer->size, bytes, size);
	buffer->size += size;
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	int length;

	if (buffer->failed)
		return;

	va_start(arguments, format);
	length = vsnprintf(buffer->data ? buffer->data + buffer->size : NULL,
			   buffer->capacity - buffer->size, format, arguments);
	va_end(arguments);
	if (length < 0) {
		buffer->failed = true;
		return;
	}

	/* One byte more for the NUL that vsnprintf() writes and the buffer does not count. */
	if ((size_t)length >= buffer->capacity - buffer->size) {
		if (!buffer_reserve(buffer, (size_t)length + 1))
			return;
		va_start(arguments, format);
		vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
		va_end(arguments);
	}
	buffer->size += (size_t)length;
}

/* Writes the decimal digits so that they end before `end`, and returns where they begin. A scrape
 * has a thousand numbers, and printf() takes three times as long over each. */
static char *digits_before(char *end, uint64_t value)
{
	static const char pairs[200] = "00010203040506070809"
				       "10111213141516171819"
				       "20212223242526272829"
				       "30313233343536373839"
				       "40414243444546474849"
				       "50515253545556575859"
				       "60616263646566676869"
				       "70717273747576777879"
				       "80818283848586878889"
				       "90919293949596979899";

	while (value >= 100) {
		end -= 2;
		memcpy(end, pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		end -= 2;
		memcpy(end, pairs + 2 * value, 2);
	} else {
		*--end = (char)('0' + value);
	}
	return end;
}

void buffer_u64(struct buffer *buffer, uint64_t value)
{
	char digits[U64_DIGITS], *end = digits + sizeof(digits);
	char *begin = digits_before(end, value);

	buffer_bytes(buffer, begin, (size_t)(end - begin));
}

void buffer_seconds(struct buffer *buffer, uint64_t nanoseconds)
{
	char digits[NANOSECOND_DIGITS], *end = digits + sizeof(digits), *begin;
	uint64_t fraction = nanoseconds % NANOSECONDS;

	buffer_u64(buffer, nanoseconds / NANOSECONDS);
	if (fraction == 0)
		return;

	begin = digits_before(end, fraction);
	memset(digits, '0', (size_t)(begin - digits));
	while (end[-1] == '0')
		end--;
	buffer_char(buffer, '.');
	buffer_bytes(buffer, digits, (size_t)(end - digits));
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){};
}
