/* SPDX-License-Identifier: BSD-2-Clause */
/* An IPv4 or IPv6 address with a port, from the command line. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tool.h"

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t size;
};

static inline struct endpoint endpoint(const char *address, const char *port)
{
	struct endpoint at = { .size = sizeof(at.address.v4) };
	in_port_t number_of_port = htons((uint16_t)number(port, 1, 65535));

	if (inet_pton(AF_INET, address, &at.address.v4.sin_addr) == 1) {
		at.address.v4.sin_family = AF_INET;
		at.address.v4.sin_port = number_of_port;
		return at;
	}
	if (inet_pton(AF_INET6, address, &at.address.v6.sin6_addr) != 1) {
		errno = 0;
		die("'%s' is not an address", address);
	}
	at.size = sizeof(at.address.v6);
	at.address.v6.sin6_family = AF_INET6;
	at.address.v6.sin6_port = number_of_port;
	return at;
}

/* type: SOCK_DGRAM, SOCK_STREAM, with flags. */
static inline int open_socket(const struct endpoint *at, int type)
{
	int fd = socket(at->address.any.sa_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}
