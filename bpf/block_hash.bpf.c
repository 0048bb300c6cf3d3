// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The same for kernels whose BPF has no compare-and-swap. Two objects, because those kernels refuse
 * an instruction that they do not know even where it is never reached. */
#define INFLIGHT_IN_HASH
#include "block.bpf.c"
