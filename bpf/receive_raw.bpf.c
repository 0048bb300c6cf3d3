// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The same as raw tracepoints, for kernels without BTF of their own. */
#define RAW_TRACEPOINT
#include "receive.bpf.c"
