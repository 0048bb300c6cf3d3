// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The same for kernels that have neither compare-and-swap nor BTF of their own. */
#define RAW_TRACEPOINT
#define INFLIGHT_IN_HASH
#include "block.bpf.c"
