/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One collector that is listened to: the programs that tell of its events stand behind its gates,
 * and what they put into the ring and the map of sums goes to its subscribers. For live.c.
 */
#pragma once

#include "subscriber.h"

struct feed {
	struct collecting *c;
	struct detour detour;
	struct live_control *control;
	struct ring_buffer *ring;
	struct subscriber *subscribers[LIVE_SUBSCRIBERS];
	struct frames *frames;	 /* live.c's; while somebody wants stacks */
	void *state;		 /* the collector's, of earlier events */
	uint32_t serial;	 /* the last that was given */
	uint64_t looked;	 /* monotonic: when each row's listeners were looked for last */
	uint64_t left;		 /* monotonic: when the last one went */
	uint64_t now, monotonic; /* of this look at the ring */
	unsigned events;	 /* in it */
	bool more;		 /* there may be more in the ring than the last look has taken */
};

/* Loads the programs and puts them behind the gates. 0, -errno; *ret_reason is the caller's to free. */
int feed_open(struct collecting *c, struct feed **ret_feed, char **ret_reason);
/* Gives the gates back. */
void feed_close(struct feed *feed);

bool feed_is_heard(const struct feed *feed); /* it has subscribers */
/* 0; -EBUSY: there are as many as there can be. */
int feed_add(struct feed *feed, struct subscriber *subscriber);
void feed_remove(struct feed *feed, struct subscriber *subscriber);

/* Hands on what there is, but not for longer than others can wait: then `more` is set. */
void feed_look(struct feed *feed);
/* The configuration has changed. */
void feed_configure(struct feed *feed);
