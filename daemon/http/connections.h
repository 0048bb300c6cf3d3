/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What MHD does not keep about its connections, above all their deadlines. MHD's own timeout starts
 * again at every byte, so a client that trickles its request, or reads its answer byte by byte,
 * would keep a connection for ever. And MHD can miss the end of a client's input.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

enum { CONNECTIONS_MAX = 100 };

struct connections;

struct connection {
	int fd;		/* MHD's; -1 in a slot without connection */
	bool idle;	/* kept alive, and the next request has not begun */
	bool begun;	/* the request's headers are here */
	bool ended;	/* the client sends no more */
	bool nul;	/* the request's address has a %00 */
	size_t body;	/* bytes of the request's body so far */
	bool stream;	/* its answer comes as it comes */
	bool suspended; /* MHD is not to ask for more of it until there is some */
	void *mhd;	/* MHD's connection */
	struct connections *connections;
	uint64_t deadline; /* CLOCK_MONOTONIC, microseconds */
	sd_event_source *hangup;
};

struct connections {
	uint64_t request_usec; /* what each gets for a request, from accept or its first line */
	uint64_t idle_usec;    /* and between requests; both can change at any time */
	/* A stream's client has gone. */
	void (*gone)(struct connection *connection);
	uint64_t cut; /* connections that did not keep to it */

	sd_event *event;
	sd_event_source *timer; /* enabled while there are connections */
	uint64_t next_deadline; /* when it fires; UINT64_MAX while disabled */
	unsigned n;
	struct connection list[CONNECTIONS_MAX];
};

/* Fills *connections but for the first three fields. The loop must outlive it. 0, -errno. */
int connections_open(struct connections *connections, sd_event *event);
/* Accepts a zeroed one. Closes no socket. */
void connections_close(struct connections *connections);

/* A connection whose first request begins now. There must be less than CONNECTIONS_MAX. */
struct connection *connections_add(struct connections *connections, int fd);
/* Before fd is closed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* The first line of a request has been read: the first request's time runs on, another's begins. */
void connections_request(struct connections *connections, struct connection *connection);
/*
 * The answer is a stream: its time is not limited while the client reads what there is, and to
 * `stall_usec` (0: not at all) until it has read on. The end of the client's input is the stream's end.
 */
void connections_stream(struct connections *connections, struct connection *connection,
			uint64_t stall_usec);
/* The answer has been sent. */
void connections_idle(struct connections *connections, struct connection *connection);
