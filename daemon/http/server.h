/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server: libmicrohttpd driven by the daemon's sd-event loop, on one thread. It knows
 * addresses, limits, deadlines, methods, HEAD and gzip; what a path means is its handler's.
 *
 * The server accepts on its own listening sockets and hands connections to one MHD daemon, so that
 * the limits hold over all addresses together and a socket can come from the service manager.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "../render/buffer.h"

enum server_limits {
	SERVER_MAX_CONNECTIONS = 100,
	SERVER_MAX_CONNECTIONS_PER_ADDRESS = 20,
	SERVER_MAX_HEADER = 16 * 1024, /* bytes: request line, headers, their bookkeeping */
	SERVER_MAX_PARAMETERS = 32,    /* in the query string; more is a 400 */
	SERVER_MAX_BODY = 64 * 1024,   /* bytes of a request's body, read and thrown away */
	SERVER_MAX_LISTEN = 16,	       /* addresses */
	/* From accept, or a later request's first line, until its last byte has been sent. */
	SERVER_REQUEST_SECONDS = 10,
	SERVER_IDLE_SECONDS = 120, /* a kept-alive connection between requests */
	/* A stream whose client reads nothing of what there is; and a client that is silent is asked
	 * whether it is still there. */
	SERVER_STALL_SECONDS = 300,
	SERVER_KEEPALIVE_SECONDS = 15,
};

/* What became of connections: the limits' overflow counters. */
struct server_counters {
	uint64_t requests; /* that reached the handler */
	uint64_t refused;  /* connections over a limit */
	uint64_t cut;	   /* connections past a deadline, idle ones included */
};

struct parameter {
	const char *name;  /* decoded; "reason!" for ?reason!=X */
	const char *value; /* decoded; "" where there was none */
};

/* One client's connection. */
struct connection;

/* One GET or HEAD request. All strings live as long as the handler's call. */
struct request {
	const char *path;
	const struct parameter *parameters;
	unsigned n_parameters;
	const char *accept;	       /* the Accept header, or "" */
	bool head;		       /* only the headers are wanted */
	bool local;		       /* from this machine: a unix socket or a loopback address */
	struct connection *connection; /* for server_resume() */
};

/* An answer that comes as it comes, in chunks that are sent at once. */
struct stream {
	/* Bytes, at most `size`; 0: nothing now, server_resume() will tell when; < 0: that was all. */
	ssize_t (*read)(void *userdata, char *to, size_t size);
	void (*close)(void *userdata); /* the last call, whatever has become of it */
	void *userdata;
};

struct reply {
	unsigned status;	  /* 200, 400, 404, 503 ... */
	const char *content_type; /* a string constant */
	struct buffer body;	  /* the server frees it, whatever the handler returns */
	bool cacheable;		  /* false: Cache-Control: no-store */
	struct stream stream;	  /* in the place of the body where `read` is set */
};

/*
 * Fills *reply, which is zeroed. Returns 0, or -errno for a 500; a body that `failed` is one too.
 */
typedef int (*server_handler_t)(void *userdata, const struct request *request, struct reply *reply);

struct server;

/* No listening sockets yet. The loop and userdata must outlive the server. 0, -errno. */
int server_new(sd_event *event, server_handler_t handler, void *userdata,
	       struct server **ret_server);
/*
 * Makes `addresses` (as in config.h, at most SERVER_MAX_LISTEN, one named twice counts once) the
 * ones listened on: opens the new, closes the gone, leaves the rest and all connections alone. All
 * or nothing: on failure the old set stays, and *ret_reason (the caller's to free, NULL when there
 * was no memory for it) names the address and what would help; for EADDRINUSE that the port is also
 * cloudflare/ebpf_exporter's and how to see the holder. 0, -errno.
 */
int server_listen(struct server *server, char *const *addresses, unsigned n, char **ret_reason);
/* Listens on a socket that somebody else has bound, too; it goes with the next server_listen(). 0,
 * -errno: then the socket is still the caller's. */
int server_adopt(struct server *server, int fd);
struct server_counters server_counters(const struct server *server);
/* Other deadlines than SERVER_REQUEST_SECONDS and SERVER_IDLE_SECONDS, in microseconds: tests have
 * no time for those. */
void server_set_deadlines(struct server *server, uint64_t request_usec, uint64_t idle_usec);
/* There is more to read of the stream that the connection's answer is. */
void server_resume(struct connection *connection);
/* Closes every connection. Not from within the handler. */
void server_free(struct server *server);
