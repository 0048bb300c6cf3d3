/* SPDX-License-Identifier: BSD-2-Clause */
/* gzip (RFC 1952) for answers: who wants it, and how. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "../render/buffer.h"

/* Whether a client that sent this Accept-Encoding (NULL: none) wants gzip: listed itself or under
 * "*", with a q above 0 and not below what it gives "identity" by name (RFC 9110, 12.5.3). */
bool gzip_wanted(const char *accept_encoding);

/* Appends the gzip form of `bytes` to *buffer. 0; -ENOMEM: *buffer is then as before, except for
 * `failed`. */
int gzip_compress(const void *bytes, size_t size, struct buffer *buffer);
