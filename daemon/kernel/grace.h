/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for probes: what a run of a program has found in a map it may still add to after user space has
 * taken it out of its way. A run is an RCU reader, so membarrier(2) GLOBAL, which is synchronize_rcu(),
 * outlasts it. Kernels with nohz_full refuse that.
 */
#pragma once

#include <stdbool.h>

bool grace_available(void);
/* No run of a probe that began before this call goes on after it. Takes some tens of milliseconds. False:
 * refused. */
bool grace_wait(void);
