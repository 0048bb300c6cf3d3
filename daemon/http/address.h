/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses to listen on, as the configuration writes them. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../util.h"

/* Where to listen. Plain data, and zeroed behind `size`. */
struct address {
	union {
		struct sockaddr generic;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6; /* the unspecified address: IPv4 as well */
		struct sockaddr_un local;
	};
	socklen_t size;
};

/*
 * Reads what config.h calls an address; PORT and *:PORT are [::]:PORT. 0; -EINVAL, -ENAMETOOLONG
 * (a socket's path). *ret_reason then names the address and what is wrong, see address_fault().
 */
int address_parse(const char *text, struct address *ret_address, char **ret_reason);
bool address_equal(const struct address *a, const struct address *b);
/* 0 for a unix socket. */
unsigned address_port(const struct address *address);

/* Returns `error`, and says why in *ret_reason: the caller's to free, NULL when there was no memory
 * for it. */
int address_fault(int error, char **ret_reason, const char *format, ...) _printf_(3, 4);
