/* SPDX-License-Identifier: BSD-2-Clause */
#include "server.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <microhttpd.h>

#include "connections.h"
#include "gzip.h"
#include "listener.h"

enum {
	USEC = 1000000,
	GZIP_FROM = 1024,    /* bytes: one segment either way below that */
	STREAM_BLOCK = 8192, /* bytes of a stream that MHD asks for at a time */
};

struct server {
	sd_event *event;
	server_handler_t handler;
	void *userdata;
	struct MHD_Daemon *mhd;
	sd_event_source *mhd_ready;
	sd_event_source *mhd_timer;
	struct listeners listeners;
	struct connections connections;
	struct server_counters counters; /* but for `cut` */
};

static_assert((int)LISTENERS_MAX == (int)SERVER_MAX_LISTEN, "a limit said twice");
static_assert((int)CONNECTIONS_MAX == (int)SERVER_MAX_CONNECTIONS, "a limit said twice");

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	struct server *server = userdata;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		*context = connections_add(&server->connections, info->connect_fd);
		((struct connection *)*context)->mhd = mhd;
	} else {
		connections_remove(&server->connections, *context);
	}
}

/* The request line has been read. What this returns is the request's context from now on. */
static void *on_request_line(void *userdata, const char *uri, struct MHD_Connection *mhd)
{
	struct server *server = userdata;
	struct connection *connection =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

	connections_request(&server->connections, connection);
	connection->nul = strstr(uri, "%00") != NULL;
	return connection;
}

static void on_completed(void *userdata, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode how)
{
	struct server *server = userdata;

	(void)mhd;
	(void)how;
	connections_idle(&server->connections, *context);
}

/* Lets MHD work, and asks when it wants to again. Its epoll instance reports edges only: input that
 * it has seen but not yet used up, a pipelined request say, is announced by a timeout of 0. */
static void run_mhd(struct server *server)
{
	MHD_UNSIGNED_LONG_LONG milliseconds;
	uint64_t now = 0;

	(void)MHD_run(server->mhd);
	if (MHD_get_timeout(server->mhd, &milliseconds) != MHD_YES) {
		(void)sd_event_source_set_enabled(server->mhd_timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_now(server->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(server->mhd_timer, now + 1000 * milliseconds);
	(void)sd_event_source_set_enabled(server->mhd_timer, SD_EVENT_ONESHOT);
}

static int on_mhd_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	run_mhd(userdata);
	return 0;
}

static int on_mhd_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	run_mhd(userdata);
	return 0;
}

static void on_accepted(void *userdata, int fd, const struct sockaddr *client, socklen_t size)
{
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)client;
	struct server *server = userdata;
	struct sockaddr_storage address = {};

	/*
	 * MHD counts connections by address, and MHD 0.9 tells an address' family by its size
	 * alone. An IPv4 client is the same one on an IPv6 socket. All clients of a unix socket are
	 * one client, under an address that no other can have: MHD would not count them at all, or
	 * take the first bytes of a client's own path for an IPv4 address.
	 */
	if (client->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr)) {
		struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;

		ipv4->sin_family = AF_INET;
		memcpy(&ipv4->sin_addr, &ipv6->sin6_addr.s6_addr[12], sizeof(ipv4->sin_addr));
		size = sizeof(*ipv4);
	} else if (client->sa_family == AF_INET || client->sa_family == AF_INET6) {
		memcpy(&address, client, size);
	} else {
		address.ss_family = AF_INET6;
		size = sizeof(*ipv6);
	}

	/* Connections that have ended must not count any more. */
	run_mhd(server);
	if (MHD_add_connection(server->mhd, fd, (struct sockaddr *)&address, size) != MHD_YES)
		server->counters.refused++;
}

/* Whether the client is on this machine. */
static bool is_local(int fd)
{
	union {
		struct sockaddr generic;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
		struct sockaddr_storage storage;
	} client = { .storage = { .ss_family = AF_UNSPEC } };
	const struct in6_addr *address = &client.ipv6.sin6_addr;
	socklen_t size = sizeof(client);

	if (getpeername(fd, &client.generic, &size) < 0)
		return false;
	switch (client.generic.sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(client.ipv4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(address) ||
		       (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == IN_LOOPBACKNET);
	default:
		return false;
	}
}

/* A stream that nobody will read. */
static void drop_stream(struct reply *reply)
{
	if (reply->stream.read)
		reply->stream.close(reply->stream.userdata);
	reply->stream = (struct stream){ .read = NULL };
}

/* Replaces whatever the reply was. */
static void reply_error(struct reply *reply, unsigned status, const char *json)
{
	drop_stream(reply);
	buffer_free(&reply->body);
	*reply = (struct reply){ .status = status, .content_type = "application/json" };
	buffer_string(&reply->body, json);
}

static int add_headers(struct MHD_Response *response, const struct reply *reply, bool gzipped)
{
	const struct {
		bool wanted;
		const char *name, *value;
	} headers[] = {
		{ true, "Content-Type", reply->content_type },
		{ true, "X-Content-Type-Options", "nosniff" },
		{ !reply->cacheable, "Cache-Control", "no-store" },
		{ reply->status < 300, "Vary", "Accept, Accept-Encoding" },
		{ gzipped, "Content-Encoding", "gzip" },
		{ reply->status == MHD_HTTP_METHOD_NOT_ALLOWED, "Allow", "GET, HEAD" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(headers); i++)
		if (headers[i].wanted &&
		    MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
			return -ENOMEM;
	return 0;
}

/* True when the body is gzip now; one that could not be made is sent as it is. */
static bool compress_body(struct MHD_Connection *mhd, struct reply *reply)
{
	struct buffer small = {};

	if (reply->body.size < GZIP_FROM ||
	    !gzip_wanted(MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Accept-Encoding")))
		return false;
	if (gzip_compress(reply->body.data, reply->body.size, &small) < 0) {
		buffer_free(&small);
		return false;
	}
	buffer_free(&reply->body);
	reply->body = small;
	return true;
}

/* ---- streams */

/* A stream while MHD has it. */
struct streaming {
	struct stream stream;
	struct connection *connection;
};

static ssize_t on_stream_read(void *userdata, uint64_t position, char *to, size_t size)
{
	struct streaming *streaming = userdata;
	struct connection *connection = streaming->connection;
	ssize_t n;

	(void)position;
	if (connection->ended)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = streaming->stream.read(streaming->stream.userdata, to, size);
	if (n < 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	connections_stream(connection->connections, connection,
			   n > 0 ? (uint64_t)SERVER_STALL_SECONDS * USEC : 0);
	/* MHD would ask again and again. */
	if (n == 0) {
		connection->suspended = true;
		MHD_suspend_connection(connection->mhd);
	}
	return n;
}

static void on_stream_free(void *userdata)
{
	struct streaming *streaming = userdata;

	streaming->stream.close(streaming->stream.userdata);
	free(streaming);
}

static void resume(struct connection *connection)
{
	connection->suspended = false;
	MHD_resume_connection(connection->mhd);
}

void server_resume(struct connection *connection)
{
	struct server *server = (struct server *)((char *)connection->connections -
						  offsetof(struct server, connections));

	if (!connection->suspended)
		return;
	resume(connection);
	/* Not here: the caller may be in the middle of something that a client's end undoes. */
	(void)sd_event_source_set_time(server->mhd_timer, 0);
	(void)sd_event_source_set_enabled(server->mhd_timer, SD_EVENT_ONESHOT);
}

/* A client that has lost its power sends nothing, not even an end. */
static void ask_now_and_then(int fd)
{
	static const int on = 1, seconds = SERVER_KEEPALIVE_SECONDS, times = 3;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
}

/* Takes the stream over. */
static struct MHD_Response *stream_response(struct connection *connection,
					    const struct stream *stream)
{
	struct streaming *streaming = calloc(1, sizeof(*streaming));
	struct MHD_Response *response = NULL;

	if (streaming) {
		*streaming = (struct streaming){ *stream, connection };
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
							     on_stream_read, streaming,
							     on_stream_free);
	}
	if (!response) {
		stream->close(stream->userdata);
		free(streaming);
		return NULL;
	}
	ask_now_and_then(connection->fd);
	connections_stream(connection->connections, connection, 0);
	return response;
}

/* ---- requests */

/* Takes the body over. */
static struct MHD_Response *body_response(struct reply *reply)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(reply->body.size, reply->body.data,
						MHD_RESPMEM_MUST_FREE);

	if (!response)
		buffer_free(&reply->body);
	reply->body = (struct buffer){};
	return response;
}

/* Takes the body or the stream over. MHD_NO closes the connection. */
static enum MHD_Result send_reply(struct connection *connection, struct reply *reply)
{
	struct MHD_Connection *mhd = connection->mhd;
	struct MHD_Response *response;
	enum MHD_Result result = MHD_NO;
	bool gzipped = false;

	if (reply->body.failed)
		reply_error(reply, MHD_HTTP_INTERNAL_SERVER_ERROR,
			    "{\"error\": \"out of memory\"}\n");
	if (!reply->stream.read)
		gzipped = compress_body(mhd, reply);
	response = reply->stream.read ? stream_response(connection, &reply->stream)
				      : body_response(reply);
	if (!response)
		return MHD_NO;
	if (add_headers(response, reply, gzipped) == 0)
		result = MHD_queue_response(mhd, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

struct parameters {
	struct parameter list[SERVER_MAX_PARAMETERS];
	unsigned n;
	bool too_many;
};

static enum MHD_Result add_parameter(void *userdata, enum MHD_ValueKind kind, const char *name,
				     const char *value)
{
	struct parameters *parameters = userdata;

	(void)kind;
	/* "?" and "&&" say nothing. */
	if (!*name && !value)
		return MHD_YES;
	if (parameters->n == SERVER_MAX_PARAMETERS) {
		parameters->too_many = true;
		return MHD_NO;
	}
	parameters->list[parameters->n++] = (struct parameter){ name, value ? value : "" };
	return MHD_YES;
}

static void fill_reply(struct server *server, struct connection *connection, const char *path,
		       const char *method, struct reply *reply)
{
	struct MHD_Connection *mhd = connection->mhd;
	const char *accept = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Accept");
	struct parameters parameters = {};
	struct request request = {
		.path = path,
		.parameters = parameters.list,
		.accept = accept ? accept : "",
		.head = strcmp(method, "HEAD") == 0,
		.local = is_local(connection->fd),
		.connection = connection,
	};

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		reply_error(reply, MHD_HTTP_METHOD_NOT_ALLOWED,
			    "{\"error\": \"only GET and HEAD are answered\", "
			    "\"parameter\": \"method\", \"allowed\": [\"GET\", \"HEAD\"]}\n");
		return;
	}
	if (connection->nul) {
		reply_error(reply, MHD_HTTP_BAD_REQUEST,
			    "{\"error\": \"%00 cannot be part of a path, a name or a value\", "
			    "\"parameter\": null, \"allowed\": []}\n");
		return;
	}
	MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, add_parameter, &parameters);
	if (parameters.too_many) {
		static_assert(SERVER_MAX_PARAMETERS == 32, "the text says 32");
		reply_error(reply, MHD_HTTP_BAD_REQUEST,
			    "{\"error\": \"too many parameters\", \"parameter\": null, "
			    "\"allowed\": [\"at most 32 parameters\"]}\n");
		return;
	}

	request.n_parameters = parameters.n;
	server->counters.requests++;
	if (server->handler(server->userdata, &request, reply) < 0)
		reply_error(reply, MHD_HTTP_INTERNAL_SERVER_ERROR,
			    "{\"error\": \"the answer could not be made\"}\n");
	/* MHD (0.9.75) would send the last chunk of it. */
	if (request.head)
		drop_stream(reply);
}

/* MHD calls this when the headers are there, for each piece of a body, and at the request's end. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *mhd, const char *path,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **context)
{
	struct connection *connection = *context;
	struct reply reply = {};

	(void)version;
	(void)upload;
	/* An answer before the request's end makes MHD close the connection. That is right for a
	 * client which waits for leave to send a body ("Expect: 100-continue"): nobody wants it. */
	if (!connection->begun) {
		connection->begun = true;
		if (!MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Expect"))
			return MHD_YES;
	}
	if (*upload_size > 0) {
		connection->body += *upload_size;
		*upload_size = 0;
		return connection->body <= SERVER_MAX_BODY ? MHD_YES : MHD_NO;
	}

	fill_reply(userdata, connection, path, method, &reply);
	return send_reply(connection, &reply);
}

static int start_mhd(struct server *server)
{
	const union MHD_DaemonInfo *info;
	const struct MHD_OptionItem options[] = {
		{ MHD_OPTION_CONNECTION_LIMIT, SERVER_MAX_CONNECTIONS, NULL },
		{ MHD_OPTION_PER_IP_CONNECTION_LIMIT, SERVER_MAX_CONNECTIONS_PER_ADDRESS, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, SERVER_MAX_HEADER, NULL },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, server },
		{ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_request_line, server },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server },
		{ MHD_OPTION_END, 0, NULL },
	};

	server->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
					       MHD_ALLOW_SUSPEND_RESUME,
				       0, NULL, NULL, on_request, server, MHD_OPTION_ARRAY, options,
				       MHD_OPTION_END);
	if (!server->mhd)
		return errno > 0 ? -errno : -ENOMEM;
	info = MHD_get_daemon_info(server->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EOPNOTSUPP;
	return sd_event_add_io(server->event, &server->mhd_ready, info->epoll_fd, EPOLLIN,
			       on_mhd_ready, server);
}

static void server_freep(struct server **server)
{
	server_free(*server);
}

int server_new(sd_event *event, server_handler_t handler, void *userdata,
	       struct server **ret_server)
{
	_cleanup_(server_freep) struct server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->event = event;
	server->handler = handler;
	server->userdata = userdata;
	server->listeners.accepted = on_accepted;
	server->listeners.userdata = server;
	server->connections.request_usec = (uint64_t)SERVER_REQUEST_SECONDS * USEC;
	server->connections.idle_usec = (uint64_t)SERVER_IDLE_SECONDS * USEC;
	server->connections.gone = server_resume;

	r = connections_open(&server->connections, event);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &server->mhd_timer, CLOCK_MONOTONIC, 0, 1, on_mhd_timer,
			      server);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(server->mhd_timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = start_mhd(server);
	if (r < 0)
		return r;
	*ret_server = TAKE_PTR(server);
	return 0;
}

struct server_counters server_counters(const struct server *server)
{
	struct server_counters counters = server->counters;

	counters.cut = server->connections.cut;
	return counters;
}

void server_set_deadlines(struct server *server, uint64_t request_usec, uint64_t idle_usec)
{
	server->connections.request_usec = request_usec;
	server->connections.idle_usec = idle_usec;
}

int server_listen(struct server *server, char *const *addresses, unsigned n, char **ret_reason)
{
	return listeners_change(&server->listeners, server->event, addresses, n, ret_reason);
}

int server_adopt(struct server *server, int fd)
{
	return listeners_adopt(&server->listeners, server->event, fd);
}

void server_free(struct server *server)
{
	if (!server)
		return;
	listeners_close(&server->listeners);
	/* MHD cannot end what is suspended. */
	for (unsigned i = 0; i < CONNECTIONS_MAX && server->mhd; i++)
		if (server->connections.list[i].suspended)
			resume(&server->connections.list[i]);
	/* MHD closes its epoll descriptor, and reports the end of every connection. */
	sd_event_source_unref(server->mhd_ready);
	if (server->mhd)
		MHD_stop_daemon(server->mhd);
	sd_event_source_unref(server->mhd_timer);
	connections_close(&server->connections);
	free(server);
}
