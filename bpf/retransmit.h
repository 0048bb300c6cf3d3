/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TCP retransmits: what one kernel slot holds. The counters stand in the order of the table's
 * columns. */
#pragma once

#include "histogram.h"
#include "slots.h"

enum retransmit_cause {
	RETRANSMIT_OTHER,
	RETRANSMIT_RTO,
	RETRANSMIT_FAST,
	RETRANSMIT_TLP,
	RETRANSMIT_SYN,
	RETRANSMIT_SYNACK,
	RETRANSMIT_LOSS_RECOVERY,
	RETRANSMIT_ZERO_WINDOW_PROBE,
	RETRANSMIT_CAUSES,
};

#define RETRANSMIT_WRITERS 2 /* programs that claim slots */

/* word[0] cause | state << 8 | family << 16 | SLOT_LIVE; the others 0 */
struct retransmit_slot {
	struct slot_key key;
	__u64 retransmits;
	__u64 failures;
	__u64 timeout_sum;
	__u64 timeout[HISTOGRAM_SECONDS_BUCKETS];
	__u64 first_seen; /* CLOCK_MONOTONIC, ns */
	__u32 skip;	  /* a bit for each subscriber that does not want this row (live.h) */
	__u32 pad[11];
};

/* What one event tells beyond its row, in live_event.own. */
enum retransmit_own {
	RETRANSMIT_TIMEOUT, /* the RTO, ns */
	RETRANSMIT_WINDOW,  /* congestion window, packets */
	RETRANSMIT_SRTT,    /* us; 0: not measured yet */
	RETRANSMIT_ERROR,   /* why it could not be sent, as a positive errno; 0: it was */
	RETRANSMIT_IN_FLIGHT,
	RETRANSMIT_MARKED_LOST,
};

_Static_assert(sizeof(struct retransmit_slot) % 64 == 0, "whole cache lines");
