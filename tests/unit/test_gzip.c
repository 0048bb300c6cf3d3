/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "http/gzip.h"

/* Compresses, and lets zlib say whether that is gzip of the same bytes. Returns the size. */
static size_t round_trip(const uint8_t *bytes, size_t size)
{
	_cleanup_(freep) uint8_t *back = malloc(size + 1);
	struct buffer buffer = {};
	z_stream stream = {};
	size_t compressed;

	assert_non_null(back);
	buffer_string(&buffer, "before");
	assert_int_equal(gzip_compress(bytes, size, &buffer), 0);
	assert_false(buffer.failed);
	assert_memory_equal(buffer.data, "before", 6);
	compressed = buffer.size - 6;
	assert_true(compressed <= size + size / 8 + 32);

	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	stream.next_in = (Bytef *)buffer.data + 6;
	stream.avail_in = (uInt)compressed;
	stream.next_out = back;
	stream.avail_out = (uInt)size + 1;
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	assert_int_equal(stream.total_out, size);
	if (size > 0)
		assert_memory_equal(back, bytes, size);
	inflateEnd(&stream);
	buffer_free(&buffer);
	return compressed;
}

/* xorshift64: tests must not differ from run to run. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void nothing(void **state)
{
	(void)state;
	round_trip((const uint8_t *)"", 0);
}

static void every_small_size(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (size_t size = 1; size < 700; size++) {
		/* Of its exact size, so that the sanitizer sees a byte too many. */
		_cleanup_(freep) uint8_t *bytes = malloc(size);

		assert_non_null(bytes);
		memset(bytes, 'a', size);
		round_trip(bytes, size);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)('a' + next_random(&seed) % 3);
		round_trip(bytes, size);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)next_random(&seed);
		round_trip(bytes, size);
	}
}

static void noise_hardly_grows(void **state)
{
	enum { SIZE = 200000 };
	_cleanup_(freep) uint8_t *bytes = malloc(SIZE);
	uint64_t seed = 4;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(next_random(&seed) | 0x90);
	round_trip(bytes, SIZE);
}

static void metrics_become_a_sixth(void **state)
{
	struct buffer text = {};
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		buffer_printf(&text,
			      "dropscope_drops_total{symbol=\"symbol_%u\",module=\"kernel\","
			      "reason=\"REASON_%u\",family=\"ipv4\",protocol=\"tcp\","
			      "device=\"eth%u\"} %u\n",
			      i, i % 40, i % 3, (unsigned)(next_random(&seed) % 100000));
	assert_true(round_trip((uint8_t *)text.data, text.size) < text.size / 6);
	buffer_free(&text);
}

static void accept_encoding(void **state)
{
	static const char *const wanted[] = {
		"gzip",
		"GZIP",
		" gzip ",
		"deflate, gzip",
		"gzip,deflate",
		"gzip;q=1.0",
		"gzip;q=0.001",
		"gzip ; q=0.5",
		"gzip;Q=1",
		"*",
		"*;q=0.1",
		"br;q=1.0, gzip;q=0.8, *;q=0.1",
		"identity;q=0.5, gzip;q=0.5",
		"identity;q=0, *;q=0.1",
		"deflate;q=0, gzip",
		",,gzip",
		"gzip,",
		"*;q=0, gzip",
	};
	static const char *const unwanted[] = {
		"",
		" ",
		",",
		"gzip;q=0",
		"gzip;q=0.0",
		"gzip;q=0.000",
		"gzip ;q=0",
		"gzip; q=0",
		"*;q=0",
		"identity",
		"deflate, br",
		"gzip;q=0, *",
		"xgzip",
		"gzipped",
		"gzip2;q=1",
		"deflate;q=1",
		"identity, gzip;q=0.5",
		"gzip;q=",
		"gzip;q=x",
		"gzip;q",
	};

	(void)state;
	assert_false(gzip_wanted(NULL));
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!gzip_wanted(wanted[i]))
			fail_msg("\"%s\" asks for gzip", wanted[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(unwanted); i++)
		if (gzip_wanted(unwanted[i]))
			fail_msg("\"%s\" does not ask for gzip", unwanted[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),
		cmocka_unit_test(every_small_size),
		cmocka_unit_test(noise_hardly_grows),
		cmocka_unit_test(metrics_become_a_sixth),
		cmocka_unit_test(accept_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
