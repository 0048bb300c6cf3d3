/* SPDX-License-Identifier: BSD-2-Clause */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

int address_fault(int error, char **ret_reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(ret_reason, format, arguments) < 0)
		*ret_reason = NULL;
	va_end(arguments);
	return error;
}

static bool parse_port(const char *text, in_port_t *ret_port)
{
	unsigned port = 0;

	if (!*text || *text == '0' || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = 10 * port + (unsigned)(*text - '0');
	}
	if (port < 1 || port > UINT16_MAX)
		return false;
	*ret_port = htons((uint16_t)port);
	return true;
}

/* host is not terminated: it is `length` bytes long. */
static bool parse_host(const char *host, size_t length, in_port_t port, struct address *address)
{
	char copy[INET6_ADDRSTRLEN + 2] = "";

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, host, length);

	if (length > 2 && copy[0] == '[' && copy[length - 1] == ']') {
		copy[length - 1] = '\0';
		address->size = sizeof(address->ipv6);
		address->ipv6.sin6_family = AF_INET6;
		address->ipv6.sin6_port = port;
		return inet_pton(AF_INET6, copy + 1, &address->ipv6.sin6_addr) == 1;
	}

	address->size = sizeof(address->ipv4);
	address->ipv4.sin_family = AF_INET;
	address->ipv4.sin_port = port;
	return inet_pton(AF_INET, strcmp(copy, "localhost") == 0 ? "127.0.0.1" : copy,
			 &address->ipv4.sin_addr) == 1;
}

static int parse_path(const char *path, struct address *address, char **ret_reason)
{
	size_t length = strlen(path);

	if (length >= sizeof(address->local.sun_path))
		return address_fault(-ENAMETOOLONG, ret_reason,
				     "%s: a unix socket's path has at most %zu bytes", path,
				     sizeof(address->local.sun_path) - 1);
	address->size = sizeof(address->local);
	address->local.sun_family = AF_UNIX;
	memcpy(address->local.sun_path, path, length);
	return 0;
}

int address_parse(const char *text, struct address *ret_address, char **ret_reason)
{
	const char *colon = strrchr(text, ':'), *host = text;
	struct address address = {};
	size_t length = 0;
	in_port_t port;
	int r;

	if (*text == '/' && text[strlen(text) - 1] != '/') {
		r = parse_path(text, &address, ret_reason);
		if (r < 0)
			return r;
		*ret_address = address;
		return 0;
	}

	if (colon)
		length = (size_t)(colon - text);
	if (!colon || (length == 1 && *text == '*')) {
		host = "[::]";
		length = strlen(host);
	}
	if (!parse_port(colon ? colon + 1 : text, &port) ||
	    !parse_host(host, length, port, &address))
		return address_fault(
			-EINVAL, ret_reason,
			"%s: not an address: PORT, HOST:PORT, [IPV6]:PORT, *:PORT, or the "
			"absolute path of a unix socket",
			text);
	*ret_address = address;
	return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->size == b->size && memcmp(&a->generic, &b->generic, a->size) == 0;
}

unsigned address_port(const struct address *address)
{
	if (address->generic.sa_family == AF_INET)
		return ntohs(address->ipv4.sin_port);
	if (address->generic.sa_family == AF_INET6)
		return ntohs(address->ipv6.sin6_port);
	return 0;
}
