/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Drops: what one kernel slot holds. The counters stand in the order of the table's columns. */
#pragma once

#include "slots.h"

/* word[0] location | SLOT_LIVE (kernel text has that bit set anyway)
 * word[1] reason << 32 | ifindex
 * word[2] the network namespace's cookie, which is never used again
 * word[3] kind (packet.h) */
struct drops_slot {
	struct slot_key key;
	__u64 packets;
	__u64 wire_packets;
	__u64 bytes;
	__u32 skip;    /* a bit for each subscriber that does not want this row (live.h) */
	__u32 sampled; /* when its last stack was taken, in ticks */
	/* Written once, when the slot is claimed. */
	__u64 first_seen; /* CLOCK_MONOTONIC, ns */
	char device[16];  /* "" where there was no device to ask */
	__u32 netns;	  /* inode number */
	__u32 pad[9];
};

_Static_assert(sizeof(struct drops_slot) == 128, "a line that is hot and a line that is cold");
