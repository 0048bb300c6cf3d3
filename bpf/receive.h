/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Received packets: what one kernel slot holds. The counters stand in the order of the table's
 * columns. */
#pragma once

#include "histogram.h"
#include "slots.h"

/* word[0] ifindex | SLOT_LIVE
 * word[1] the network namespace's cookie
 * word[2] kind (packet.h)
 * word[3] 0 */
struct receive_slot {
	struct slot_key key;
	__u64 packets;
	__u64 wire_packets;
	__u64 bytes;
	__u64 size_sum;
	__u64 size[HISTOGRAM_BYTES_BUCKETS];
	/* Written once, when the slot is claimed. */
	__u64 first_seen; /* CLOCK_MONOTONIC, ns */
	char device[16];
	__u32 netns; /* inode number */
	__u32 pad[5];
};

_Static_assert(sizeof(struct receive_slot) % 64 == 0, "whole cache lines");
