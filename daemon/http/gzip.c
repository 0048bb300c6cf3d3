/* SPDX-License-Identifier: BSD-2-Clause */
#include "gzip.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <strings.h>
#include <zlib.h>

/*
 * Why not zlib or libdeflate. A whole scrape may cost 0.5 ms of processor time, 0.06 of which write
 * the text. Medians for 158 KB of /metrics (998 lines), caches cold, and the memory for it:
 *
 *	zlib level 1			601 us	18.1 KB		261 KB
 *	zlib level 1, state kept	528 us	18.1 KB		261 KB
 *	zlib level 1, 8 KB window, kept	645 us	18.7 KB		 69 KB
 *	zlib Z_RLE, kept		1.7 ms	102 KB		 53 KB
 *	zlib Z_HUFFMAN_ONLY, kept	3.2 ms	102 KB		 39 KB
 *	libdeflate level 1		336 us	16.8 KB		198 KB
 *	libdeflate level 1, state kept	331 us	16.8 KB		198 KB
 *	this				207 us	21.8 KB		 18 KB
 *
 * They search for matches that make this text little smaller, and count and build a Huffman code for
 * it. Neither pays here, seven to one is enough. The checksum is zlib's, 36 of the 207 us.
 */
enum {
	HASH_BITS = 12,
	WINDOW = 32768, /* bytes: how far back deflate can point */
	MATCH_MIN = 4, /* deflate could 3; a probe compares four bytes at once */
	MATCH_MAX = 258,
	SHORTEST = 3, /* deflate's shortest match */
	SLACK = 8, /* bytes: input is compared and output stored by 64 bits */
	HEADER_SIZE = 10,
	TRAILER_SIZE = 8,
};

/* A Huffman code as it is sent, first bit lowest, together with its extra bits. */
struct code {
	uint16_t bits;
	uint16_t count;
};

struct encoder {
	uint64_t bits; /* not stored yet, lowest first */
	unsigned n_bits;
	uint8_t *out;
	struct code literals[256];
	struct code lengths[MATCH_MAX + 1];
	uint8_t distances[32]; /* codes of five bits */
	uint32_t table[1 << HASH_BITS]; /* hash of four bytes -> where they were last, plus one */
};

static uint32_t load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

/* Position of the highest bit set; value must not be 0. */
static unsigned log2_floor(uint32_t value)
{
	return 31 - (unsigned)__builtin_clz(value);
}

/* Huffman codes are sent from their highest bit on, everything else from its lowest. */
static uint16_t reverse(unsigned value, unsigned count)
{
	unsigned reversed = 0;

	for (; count > 0; count--, value >>= 1)
		reversed = reversed << 1 | (value & 1);
	return (uint16_t)reversed;
}

/* The code of a match's length: RFC 1951, 3.2.5 (the symbols) and 3.2.6 (their codes). */
static struct code length_code(unsigned length)
{
	unsigned x = length - SHORTEST, extra = 0, symbol;
	struct code code;

	if (length == MATCH_MAX) {
		symbol = 285;
	} else if (x < 8) {
		symbol = 257 + x;
	} else {
		extra = log2_floor(x) - 2;
		symbol = 261 + 4 * extra + (x >> extra & 3);
	}

	code.count = symbol < 280 ? 7 : 8;
	code.bits = reverse(symbol < 280 ? symbol - 256 : 0xc0 + symbol - 280, code.count);
	code.bits |= (uint16_t)((x & ((1U << extra) - 1)) << code.count);
	code.count = (uint16_t)(code.count + extra);
	return code;
}

/* Takes a few microseconds: not worth keeping between scrapes. */
static void encoder_init(struct encoder *encoder)
{
	for (unsigned i = 0; i < ARRAY_SIZE(encoder->literals); i++) {
		encoder->literals[i].count = i < 144 ? 8 : 9;
		encoder->literals[i].bits =
			i < 144 ? reverse(0x30 + i, 8) : reverse(0x190 + i - 144, 9);
	}
	for (unsigned i = SHORTEST; i <= MATCH_MAX; i++)
		encoder->lengths[i] = length_code(i);
	for (unsigned i = 0; i < ARRAY_SIZE(encoder->distances); i++)
		encoder->distances[i] = (uint8_t)reverse(i, 5);
}

/* At most 56 bits may wait between two stores; stores eight bytes and counts the whole ones. */
static void store_bits(struct encoder *encoder)
{
	uint64_t bits = htole64(encoder->bits);
	unsigned bytes = encoder->n_bits / 8;

	memcpy(encoder->out, &bits, sizeof(bits));
	encoder->out += bytes;
	encoder->bits >>= 8 * bytes;
	encoder->n_bits %= 8;
}

static void add_bits(struct encoder *encoder, uint64_t bits, unsigned count)
{
	encoder->bits |= bits << encoder->n_bits;
	encoder->n_bits += count;
}

static void add_literals(struct encoder *encoder, const uint8_t *from, const uint8_t *to)
{
	for (; from < to; from++) {
		add_bits(encoder, encoder->literals[*from].bits, encoder->literals[*from].count);
		if (encoder->n_bits > 48)
			store_bits(encoder);
	}
	store_bits(encoder);
}

static void add_match(struct encoder *encoder, size_t length, uint32_t distance)
{
	uint32_t d = distance - 1, symbol = d;
	unsigned extra = 0;
	uint64_t bits;

	if (d >= 4) {
		extra = log2_floor(d) - 1;
		symbol = 2 * (extra + 1) + (d >> extra & 1);
	}
	bits = encoder->distances[symbol] | (uint64_t)(d & ((1U << extra) - 1)) << 5;

	while (length > 0) {
		size_t part = length > MATCH_MAX ? MATCH_MAX : length;

		/* What is left over must be a match too. */
		if (length > MATCH_MAX && length < MATCH_MAX + SHORTEST)
			part = length - SHORTEST;
		add_bits(encoder, encoder->lengths[part].bits, encoder->lengths[part].count);
		add_bits(encoder, bits, 5 + extra);
		store_bits(encoder);
		length -= part;
	}
}

/* How many bytes are equal, up to `limit`, behind which eight more can be read. */
static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *limit)
{
	const uint8_t *start = a;

	while (a < limit) {
		uint64_t difference = load64(a) ^ load64(b);

		if (difference)
			return (size_t)(a - start) + (unsigned)__builtin_ctzll(difference) / 8;
		a += 8;
		b += 8;
	}
	return (size_t)(a - start);
}

/* One final block. The search is that of LZ4 (lz4.org): the last place with the same hash or none,
 * and nothing inside a match is remembered. */
static void deflate_text(struct encoder *encoder, const uint8_t *in, size_t size)
{
	const uint8_t *end = in + size, *at = in, *literals = in;
	const uint8_t *limit = size > 2 * SLACK ? end - 2 * SLACK : in;

	add_bits(encoder, 1, 1); /* the final block ... */
	add_bits(encoder, 1, 2); /* ... with the fixed code */
	while (at < limit) {
		uint32_t four = load32(at), hash = four * 2654435761U >> (32 - HASH_BITS);
		uint32_t here = (uint32_t)(at - in) + 1, last = encoder->table[hash];
		uint32_t distance = here - last;
		size_t length;

		encoder->table[hash] = here;
		if (last == 0 || distance > WINDOW || load32(at - distance) != four) {
			at++;
			continue;
		}
		length = MATCH_MIN;
		length += match_length(at + length, at + length - distance, limit);
		add_literals(encoder, literals, at);
		add_match(encoder, length, distance);
		at += length;
		literals = at;
	}
	add_literals(encoder, literals, end);
	add_bits(encoder, 0, 7); /* the end of the block, */
	add_bits(encoder, 0, 7); /* and the byte filled up */
	store_bits(encoder);
}

int gzip_compress(const void *bytes, size_t size, struct buffer *buffer)
{
	/* Deflate, no name, no time, "fastest", and the system not said. */
	static const uint8_t header[HEADER_SIZE] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255 };
	_cleanup_(freep) struct encoder *encoder = NULL;
	uint32_t trailer[2];
	uint8_t *start;

	if (size >= 1U << 30)
		return -EFBIG;
	encoder = calloc(1, sizeof(*encoder));
	if (!encoder)
		return -ENOMEM;
	/* A literal takes nine bits at most, and a match less than its bytes as literals. */
	if (!buffer_reserve(buffer, HEADER_SIZE + size + size / 8 + 2 * SLACK + TRAILER_SIZE))
		return -ENOMEM;

	buffer_bytes(buffer, header, sizeof(header));
	start = (uint8_t *)buffer->data + buffer->size;
	encoder->out = start;
	encoder_init(encoder);
	deflate_text(encoder, bytes, size);
	buffer->size += (size_t)(encoder->out - start);
	assert(buffer->size + SLACK <= buffer->capacity);

	trailer[0] = htole32((uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)size));
	trailer[1] = htole32((uint32_t)size);
	buffer_bytes(buffer, trailer, sizeof(trailer));
	return 0;
}

/* A qvalue in thousandths: 1000 without one, 0 for what is not one. */
static unsigned parse_quality(const char *text, const char *end)
{
	unsigned value, digit = 100;

	while (text < end && *text != 'q' && *text != 'Q')
		text++;
	if (text == end)
		return 1000;
	if (end - text < 3 || text[1] != '=' || text[2] < '0' || text[2] > '1')
		return 0;

	value = text[2] == '1' ? 1000 : 0;
	for (text += 4; text < end && *text >= '0' && *text <= '9'; text++, digit /= 10)
		value += digit * (unsigned)(*text - '0');
	return value > 1000 ? 1000 : value;
}

bool gzip_wanted(const char *accept_encoding)
{
	int gzip = -1, any = -1, identity = -1;

	for (const char *item = accept_encoding; item && *item;) {
		const char *end, *separator;
		size_t name;

		item += strspn(item, " \t,");
		end = item + strcspn(item, ",");
		name = strcspn(item, " \t;,");
		separator = item + strcspn(item, ";,");
		if (name == 4 && strncasecmp(item, "gzip", 4) == 0)
			gzip = (int)parse_quality(separator, end);
		else if (name == 8 && strncasecmp(item, "identity", 8) == 0)
			identity = (int)parse_quality(separator, end);
		else if (name == 1 && *item == '*')
			any = (int)parse_quality(separator, end);
		item = end;
	}
	if (gzip < 0)
		gzip = any;
	return gzip > 0 && gzip >= identity;
}
