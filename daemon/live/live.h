/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live streams: single events of a collector as they happen, or their sums every so often, for whoever
 * listens. While somebody does, programs that tell of events stand behind the probe's gates
 * (kernel/detour.h); what a listener's filter matches comes through a ring buffer, which is looked at
 * every LIVE_DRAIN_USEC.
 *
 * Each listener has its own filter, rate and queue. What it does not get is counted, and said in its
 * stream: {"time":...,"held_back":N,"lost":N}, at most once a second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "../collect/collector.h"
#include "../model/query.h"
#include "bpf/live.h"

enum {
	LIVE_DRAIN_USEC = 10000,
	LIVE_QUEUE_SIZE = 1024 * 1024, /* bytes of lines that a listener has not read yet */
};

/* How long the programs stay when the last listener has gone. */
#define LIVE_LINGER_NANOSECONDS 5000000000ULL

struct live;
struct subscriber;

/* What a listener asks for. Strings live as long as the call of live_subscribe(). */
struct live_request {
	struct query query;	       /* filters over labels */
	struct live_subscriber filter; /* terms over packets */
	bool stack;
	bool local;	   /* addresses of packets may be shown, whatever the configuration says */
	bool by_address;   /* its filter looks at them */
	uint64_t count;	   /* events, or intervals; 0: no end */
	uint64_t duration; /* nanoseconds; 0: no end */
	uint64_t interval; /* nanoseconds; 0: events */
};

/* The kernel must outlive it. 0, -ENOMEM. */
int live_new(sd_event *event, struct kernel *kernel, struct live **ret_live);
/* There must be no listeners any more. */
void live_free(struct live *live);

/*
 * A new listener. `ready` is called whenever there is something to read after there was not; not from
 * within. 0; -EBUSY: LIVE_SUBSCRIBERS of them are there already; -errno: what the kernel says.
 * *ret_reason (the caller's to free) then says it in words.
 */
int live_subscribe(struct live *live, struct collecting *c, const struct live_request *request,
		   void (*ready)(void *userdata), void *userdata,
		   struct subscriber **ret_subscriber, char **ret_reason);
/* Bytes of whole or of parts of lines; 0: nothing yet; -EPIPE: that was all. */
ssize_t subscriber_read(struct subscriber *subscriber, char *to, size_t size);
/* Lets go of it; some time after the last one of a collector, of all that listening needs. */
void live_unsubscribe(struct subscriber *subscriber);

/* The configuration has changed: another rate, or who may see addresses. */
void live_configure(struct live *live);
/* The collector is about to be closed: its streams end. */
void live_end(struct live *live, const struct collecting *c);
