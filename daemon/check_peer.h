/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has an address that is taken. */
#pragma once

#include <stdbool.h>

/*
 * Does a dropscoped answer at this address (config.h's syntax; of all addresses, at the local
 * ones)? It is asked whether it is healthy, and has three seconds to say so.
 */
bool peer_is_dropscoped(const char *text);
