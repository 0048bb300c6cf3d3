// SPDX-License-Identifier: BSD-2-Clause
/*
 * TCP on one machine whose packets a test drops on the way.
 *
 *	flow ADDRESS PORT WRITES SIZE		a connection to an own listener: WRITES segments of
 *						SIZE bytes, and then waits until all have arrived
 *	handshakes ADDRESS PORT COUNT MS	COUNT connections to an own listener that never
 *						accepts; all are closed after MS milliseconds
 *
 * Prints "delivered BYTES retransmits N" (the socket's own count) or "established N".
 */
#include <linux/tcp.h>
#include <poll.h>

#include "endpoint.h"

enum { MAX_SOCKETS = 256, SEGMENT = 536, MAX_WRITE = 524, PATIENCE_MS = 20000 };

static int listener(const struct endpoint *at)
{
	int fd = open_socket(at, SOCK_STREAM), on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		die("SO_REUSEADDR");
	if (bind(fd, &at->address.any, at->size) < 0)
		die("bind");
	if (listen(fd, MAX_SOCKETS) < 0)
		die("listen");
	return fd;
}

/* A reset instead of the long goodbye: nothing of this connection is retransmitted afterwards. */
static void close_at_once(int fd)
{
	struct linger now = { .l_onoff = 1 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
		die("SO_LINGER");
	close(fd);
}

static int flow(char **arguments)
{
	static char data[MAX_WRITE];
	struct endpoint at = endpoint(arguments[0], arguments[1]);
	long writes = number(arguments[2], 1, 10000);
	size_t bytes = (size_t)number(arguments[3], 1, MAX_WRITE), delivered = 0;
	int listening = listener(&at), sender = open_socket(&at, SOCK_STREAM), receiver, on = 1;
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int segment = SEGMENT;

	pin(nth_cpu(0));
	/* Every write a segment of its own. */
	if (setsockopt(sender, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		die("TCP_NODELAY");
	/* A retransmission joins segments as long as they fit into one: on loopback all of them
	 * would. */
	if (setsockopt(sender, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) < 0)
		die("TCP_MAXSEG");
	if (connect(sender, &at.address.any, at.size) < 0)
		die("connect");
	receiver = accept(listening, NULL, NULL);
	if (receiver < 0)
		die("accept");
	for (long i = 0; i < writes; i++)
		if (send(sender, data, bytes, 0) != (ssize_t)bytes)
			die("send");
	while (delivered < (size_t)writes * bytes) {
		struct pollfd wait = { .fd = receiver, .events = POLLIN };
		ssize_t n;

		errno = 0;
		if (poll(&wait, 1, PATIENCE_MS) != 1)
			die("only %zu bytes have arrived", delivered);
		n = recv(receiver, data, sizeof(data), 0);
		if (n <= 0)
			die("recv");
		delivered += (size_t)n;
	}
	/* The last ACK has been handled when nothing is left in the sender's queue. */
	for (int i = 0; i < PATIENCE_MS; i++) {
		size = sizeof(info);
		if (getsockopt(sender, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
			die("TCP_INFO");
		if (!info.tcpi_unacked)
			break;
		usleep(1000);
	}
	close_at_once(sender);
	close_at_once(receiver);
	close(listening);
	printf("delivered %zu retransmits %u\n", delivered, info.tcpi_total_retrans);
	return 0;
}

static int handshakes(char **arguments)
{
	struct endpoint at = endpoint(arguments[0], arguments[1]);
	long count = number(arguments[2], 1, MAX_SOCKETS), milliseconds;
	int listening = listener(&at), fds[MAX_SOCKETS];

	milliseconds = number(arguments[3], 1, 60000);
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++) {
		fds[i] = open_socket(&at, SOCK_STREAM);
		if (connect(fds[i], &at.address.any, at.size) < 0)
			die("connect");
	}
	usleep((useconds_t)milliseconds * 1000);
	for (long i = 0; i < count; i++)
		close_at_once(fds[i]);
	close(listening);
	printf("established %ld\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "flow") == 0)
		return flow(argv + 2);
	if (argc == 6 && strcmp(argv[1], "handshakes") == 0)
		return handshakes(argv + 2);
	fprintf(stderr, "usage: see the head of tests/system/tcpflow.c\n");
	return 2;
}
