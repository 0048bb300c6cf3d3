/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets: opening them, saying why one cannot be had, accepting on them.
 */
#pragma once

#include <sys/socket.h>
#include <systemd/sd-event.h>

enum { LISTENERS_MAX = 16 };

struct listener;

/* A client: a non-blocking, close-on-exec socket that is now the callee's, and its address. */
typedef void (*listener_accepted_t)(void *userdata, int fd, const struct sockaddr *client,
				    socklen_t size);

/* Zeroed but for the first two at first. The userdata must outlive it. */
struct listeners {
	listener_accepted_t accepted;
	void *userdata;
	struct listener *list[LISTENERS_MAX];
	unsigned n;
};

/*
 * Makes `names` (n of them, at most LISTENERS_MAX, in config.h's syntax; one named twice counts
 * once) the addresses listened on. One that stays is not touched; one that goes is closed only when
 * all the new ones are open, even if they overlap (127.0.0.1:9435, then *:9435). A unix socket that
 * nobody serves any more is replaced, and removed in the end.
 *
 * 0; -EINVAL (not an address), -ENAMETOOLONG, -EADDRINUSE, -EEXIST (a file that is not a socket),
 * or what socket(2) and bind(2) say. Then nothing has changed, and *ret_reason tells why, see
 * address_fault().
 */
int listeners_change(struct listeners *listeners, sd_event *event, char *const *names, unsigned n,
		     char **ret_reason);
/* Takes over a listening stream socket that somebody else has bound, and accepts on it. It
 * goes with the next change of addresses. Its path, if it has one, is left alone. 0, -errno:
 * -E2BIG over LISTENERS_MAX; then the socket is still the caller's. */
int listeners_adopt(struct listeners *listeners, sd_event *event, int fd);
void listeners_close(struct listeners *listeners);
