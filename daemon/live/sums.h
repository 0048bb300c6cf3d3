/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel has summed for a listener, read at the end of each of its intervals. */
#pragma once

#include "../kernel/frames.h"
#include "subscriber.h"

/*
 * Calls back for each row (and stack) under its serial that events have come to since the last call,
 * the greatest first, with the increase. `frames`, unless NULL, are about to name their stacks. 0;
 * -ENOMEM, or what the kernel says: then all of it comes with the next.
 */
typedef void (*sums_each_t)(void *userdata, const struct live_sum_key *key,
			    const struct live_sum *sum);
int sums_read(struct subscriber *subscriber, int map, struct frames *frames, sums_each_t each,
	      void *userdata);
/* Lets go of what was summed, and read a last time, under its serial: from now on it has another. */
void sums_renew(struct subscriber *subscriber, int map, uint32_t serial);
/* Forgets what was summed under a serial. */
void sums_forget(int map, uint32_t serial);
