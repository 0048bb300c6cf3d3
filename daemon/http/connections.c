/* SPDX-License-Identifier: BSD-2-Clause */
#include "connections.h"

#include <assert.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

enum { ACCURACY_USEC = 100000 };

static uint64_t now_usec(const struct connections *connections)
{
	uint64_t now = 0;

	(void)sd_event_now(connections->event, CLOCK_MONOTONIC, &now);
	return now;
}

/* One timer serves all connections: it is armed for the earliest deadline, and looks at each when
 * it fires. A deadline that moves away is noticed only then, so that a request costs no call. Its
 * functions cannot fail on a source that exists. */
static void arm(struct connections *connections, uint64_t usec)
{
	connections->next_deadline = usec;
	if (usec != UINT64_MAX)
		(void)sd_event_source_set_time(connections->timer, usec);
	(void)sd_event_source_set_enabled(connections->timer,
					  usec == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void set_deadline(struct connections *connections, struct connection *connection,
			 uint64_t usec)
{
	connection->deadline = now_usec(connections) + usec;
	if (connection->deadline < connections->next_deadline)
		arm(connections, connection->deadline);
}

/* MHD sees the hang-up and closes the socket. What the client has not taken of its answer goes now:
 * otherwise the kernel would keep offering it for minutes. */
static void cut(struct connections *connections, struct connection *connection)
{
	static const struct linger discard = { .l_onoff = 1, .l_linger = 0 };
	int unsent = 0;

	if (ioctl(connection->fd, SIOCOUTQ, &unsent) == 0 && unsent > 0)
		(void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &discard, sizeof(discard));
	(void)shutdown(connection->fd, SHUT_RDWR);
	connection->deadline = UINT64_MAX;
	connections->cut++;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct connections *connections = userdata;
	uint64_t now = now_usec(connections), next = UINT64_MAX;

	(void)source;
	(void)usec;
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &connections->list[i];

		if (connection->fd < 0)
			continue;
		if (connection->deadline <= now)
			cut(connections, connection);
		if (connection->deadline < next)
			next = connection->deadline;
	}
	arm(connections, next);
	return 0;
}

/*
 * The client will send no more. MHD (0.9.75, 1.0.1) asks for edges without EPOLLRDHUP, and takes a
 * short read for the end of what is there: when the last bytes and the end arrive together, it
 * never sees the end, and the connection would stay until its deadline. Ending it here too is
 * another edge. It must come after MHD has read, hence the priority and the one at an answer's end.
 */
static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connection *connection = userdata;

	(void)source;
	(void)events;
	connection->ended = true;
	(void)shutdown(fd, SHUT_RD);
	if (connection->stream)
		connection->connections->gone(connection);
	return 0;
}

/* Without memory for it there is still the deadline. */
static void watch_hangup(struct connections *connections, struct connection *connection)
{
	if (sd_event_add_io(connections->event, &connection->hangup, connection->fd, EPOLLRDHUP,
			    on_hangup, connection) < 0)
		return;
	if (sd_event_source_set_priority(connection->hangup, SD_EVENT_PRIORITY_NORMAL + 1) < 0 ||
	    sd_event_source_set_enabled(connection->hangup, SD_EVENT_ONESHOT) < 0)
		connection->hangup = sd_event_source_unref(connection->hangup);
}

int connections_open(struct connections *connections, sd_event *event)
{
	int r;

	connections->event = event;
	connections->next_deadline = UINT64_MAX;
	connections->cut = 0;
	connections->n = 0;
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		connections->list[i].fd = -1;

	r = sd_event_add_time(event, &connections->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
			      on_deadline, connections);
	return r < 0 ? r : sd_event_source_set_enabled(connections->timer, SD_EVENT_OFF);
}

void connections_close(struct connections *connections)
{
	connections->timer = sd_event_source_unref(connections->timer);
}

struct connection *connections_add(struct connections *connections, int fd)
{
	struct connection *connection = connections->list;

	assert(connections->n < CONNECTIONS_MAX);
	while (connection->fd >= 0)
		connection++;
	*connection = (struct connection){ .fd = fd, .connections = connections };
	connections->n++;
	watch_hangup(connections, connection);
	set_deadline(connections, connection, connections->request_usec);
	return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
	connection->hangup = sd_event_source_unref(connection->hangup);
	connection->fd = -1;
	connections->n--;
	if (connections->n == 0)
		arm(connections, UINT64_MAX);
}

void connections_request(struct connections *connections, struct connection *connection)
{
	if (connection->idle)
		set_deadline(connections, connection, connections->request_usec);
	connection->idle = false;
	connection->begun = false;
	connection->nul = false;
	connection->body = 0;
}

void connections_stream(struct connections *connections, struct connection *connection,
			uint64_t stall_usec)
{
	connection->stream = true;
	if (stall_usec)
		set_deadline(connections, connection, stall_usec);
	else
		connection->deadline = UINT64_MAX;
}

void connections_idle(struct connections *connections, struct connection *connection)
{
	connection->idle = true;
	connection->stream = false;
	if (connection->ended)
		(void)shutdown(connection->fd, SHUT_RD);
	set_deadline(connections, connection, connections->idle_usec);
}
