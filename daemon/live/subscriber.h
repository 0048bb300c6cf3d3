/* SPDX-License-Identifier: BSD-2-Clause */
/* One listener: what it wants, and the lines that it has not read yet. For live.c, feed.c and sums.c. */
#pragma once

#include "../render/buffer.h"
#include "live.h"

struct feed;

/* What the kernel has summed for it so far, of one row and stack. */
struct sum {
	struct live_sum_key key;
	struct live_sum sum;
};

struct subscriber {
	struct live *live;
	struct feed *feed; /* NULL: it has ended */
	unsigned index;	   /* its bit */
	struct live_request request;
	char *patterns[QUERY_MAX_FILTERS]; /* the query's own copies */
	void (*ready)(void *userdata);
	void *userdata;

	struct buffer queue;
	size_t read;	/* of the queue */
	bool hungry;	/* it has read all there was, and waits for ready() */
	bool ending;	/* no more events: what is on its way is the last */
	bool ended;	/* what is in the queue is the last */
	bool unbounded; /* the queue, while a report is written that the reader waits for */

	uint64_t told;		  /* lines or intervals, for `count` */
	uint64_t since, next;	  /* monotonic: when it began, and when its next interval ends */
	uint64_t noticed;	  /* when a notice was written last */
	uint64_t held_back, lost; /* by the kernel, so far */
	uint64_t overflowed;	  /* events that found no room in the queue */
	uint64_t told_held_back, told_lost; /* up to the last notice */
	uint32_t serial;		    /* under which the sums stand */
	struct sum *sums;		    /* at the end of the last interval, sorted */
	unsigned n_sums, n_idle;	    /* of these have not moved in it */
};

/* Copies the request. 0, -ENOMEM. */
int subscriber_new(const struct live_request *request, struct subscriber **ret_subscriber);
void subscriber_free(struct subscriber *subscriber);

/* Appends one line that stands for so many events. False: there is no room, and they are lost. */
bool subscriber_put(struct subscriber *subscriber, const struct buffer *line, uint64_t events);
/* Wakes the reader, if it waits. */
void subscriber_wake(struct subscriber *subscriber);
/* Says what it did not get since the last time, as far as there is something to say. Times are
 * monotonic, and since the epoch. */
void subscriber_notice(struct subscriber *subscriber, uint64_t monotonic, uint64_t now);
