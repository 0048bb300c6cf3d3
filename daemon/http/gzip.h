/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip (RFC 1952) for bodies of very repetitive text, quickly and with no memory kept between
 * calls: LZ77 with one hash probe a position, and the fixed Huffman code of deflate (RFC 1951).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "../render/buffer.h"

/* Whether a client that sent this Accept-Encoding (NULL: none) wants gzip: listed itself or under
 * "*", with a q above 0 and not below what it gives "identity" by name (RFC 9110, 12.5.3). */
bool gzip_wanted(const char *accept_encoding);

/* Appends the gzip form of `bytes` to *buffer: at most 9/8 of their size and 32 bytes more. 0;
 * -ENOMEM, and -EFBIG for 1 GB and more: *buffer is then as before, except for `failed`. */
int gzip_compress(const void *bytes, size_t size, struct buffer *buffer);
