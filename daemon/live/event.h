/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines: an event, or a sum, as a listener gets it. */
#pragma once

#include "../kernel/frames.h"
#include "../render/buffer.h"
#include "live.h"

/* What an event tells beyond its row, described once for all who listen. */
struct event_texts {
	struct description common, own;
};

/* `own_state` is where the collector keeps what it wants to know of earlier events. */
void event_describe(struct collecting *c, const struct live_event *event, void **own_state,
		    struct event_texts *ret_texts);
/* One line. frames: NULL, or the stack is shown. Times are since the epoch. */
void event_line(struct buffer *line, struct collecting *c, const struct row *row, uint64_t time,
		const struct live_event *event, const struct event_texts *texts, bool addresses,
		struct frames *frames);
/* A line of a sum: the counters' increase in so many nanoseconds. */
void event_sum_line(struct buffer *line, struct collecting *c, const struct row *row, uint64_t time,
		    uint64_t interval, const struct live_sum_key *key, const struct live_sum *sum,
		    struct frames *frames);
