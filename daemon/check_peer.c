/* SPDX-License-Identifier: BSD-2-Clause */
#include "check_peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "http/address.h"
#include "util.h"

enum { PATIENCE_MS = 3000, ANSWER_SIZE = 4096 };

static const char question[] = "GET /-/healthy HTTP/1.1\r\n"
			       "Host: localhost\r\n"
			       "Connection: close\r\n\r\n";

static long milliseconds(void)
{
	return (long)(clock_monotonic() / 1000000);
}

static bool wait_for(int fd, short events, long until)
{
	struct pollfd wait = { .fd = fd, .events = events };
	long left = until - milliseconds();

	return left > 0 && poll(&wait, 1, (int)left) == 1;
}

/* Connected, or -errno. */
static int reach(const struct address *address, long until)
{
	_cleanup_(closep) int fd =
		socket(address->generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(int);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, &address->generic, address->size) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		if (!wait_for(fd, POLLOUT, until))
			return -ETIMEDOUT;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			return -errno;
	}
	return error ? -error : TAKE_FD(fd);
}

/* What is said until the connection is closed, or there is no room or time. */
static void listen_to(int fd, long until, char answer[static ANSWER_SIZE])
{
	size_t used = 0;

	while (used < ANSWER_SIZE - 1 && wait_for(fd, POLLIN, until)) {
		ssize_t n = recv(fd, answer + used, ANSWER_SIZE - 1 - used, 0);

		if (n <= 0)
			break;
		used += n;
	}
	answer[used] = '\0';
}

static bool ask(const struct address *address)
{
	long until = milliseconds() + PATIENCE_MS;
	_cleanup_(closep) int fd = reach(address, until);
	char answer[ANSWER_SIZE];

	if (fd < 0 || send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		return false;
	listen_to(fd, until, answer);
	return strncmp(answer, "HTTP/1.1 200 ", 13) == 0 &&
	       strstr(answer, "\r\n\r\n{\"healthy\": true}\n");
}

bool peer_is_dropscoped(const char *text)
{
	_cleanup_(freep) char *reason = NULL;
	struct address address, ipv4;

	if (address_parse(text, &address, &reason) < 0)
		return false;
	if (address.generic.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_UNSPECIFIED(&address.ipv6.sin6_addr))
		return ask(&address);
	ipv4 = (struct address){
		.ipv4 = { .sin_family = AF_INET,
			  .sin_port = address.ipv6.sin6_port,
			  .sin_addr = { htonl(INADDR_LOOPBACK) } },
		.size = sizeof(ipv4.ipv4),
	};
	address.ipv6.sin6_addr = in6addr_loopback;
	return ask(&address) || ask(&ipv4);
}
