/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the HTTP server share: a server on a real loop and real sockets, and clients in
 * the same thread. While a client waits, turn() turns the loop.
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

#include "http/server.h"

enum {
	WAIT_MS = 5000, /* for what must happen */
	TURN_USEC = 2000,
	BIG = 32 * 1024 * 1024, /* more than the kernel buffers for a connection */
};

/* The one stream of "/stream". */
struct streamed {
	struct buffer queue;
	bool ended; /* what is in the queue is the last */
	struct connection *connection;
	unsigned opened, closed, reads;
};

struct fixture {
	struct streamed stream;
	sd_event *event;
	struct server *server;
	unsigned port;
	char address[32]; /* 127.0.0.1:port */
	char directory[32];
	char path[64];	      /* of a unix socket, in `directory` */
	unsigned descriptors; /* before anything */
};

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

static inline unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static inline ssize_t read_stream(void *userdata, char *to, size_t size)
{
	struct streamed *stream = userdata;

	assert_int_equal(stream->opened, stream->closed + 1);
	stream->reads++;
	if (stream->queue.size == 0)
		return stream->ended ? -EPIPE : 0;
	if (size > stream->queue.size)
		size = stream->queue.size;
	memcpy(to, stream->queue.data, size);
	stream->queue.size -= size;
	memmove(stream->queue.data, stream->queue.data + size, stream->queue.size);
	return (ssize_t)size;
}

static inline void close_stream(void *userdata)
{
	struct streamed *stream = userdata;

	stream->closed++;
}

static inline int handle(void *userdata, const struct request *request, struct reply *reply)
{
	struct fixture *fixture = userdata;

	reply->status = 200;
	reply->content_type = "text/plain";
	if (strcmp(request->path, "/echo") == 0) {
		buffer_printf(&reply->body, "accept=%s\n", request->accept);
		for (unsigned i = 0; i < request->n_parameters; i++)
			buffer_printf(&reply->body, "%s=%s\n", request->parameters[i].name,
				      request->parameters[i].value);
	} else if (strcmp(request->path, "/text") == 0) {
		reply->cacheable = true;
		for (unsigned i = 0; i < 1000; i++)
			buffer_printf(&reply->body, "series{number=\"%u\"} %u\n", i, i * 7);
	} else if (strcmp(request->path, "/big") == 0) {
		if (buffer_reserve(&reply->body, BIG)) {
			memset(reply->body.data, 'x', BIG);
			reply->body.size = BIG;
		}
	} else if (strcmp(request->path, "/stream") == 0 || strcmp(request->path, "/broken") == 0) {
		fixture->stream.opened++;
		fixture->stream.connection = request->connection;
		reply->stream = (struct stream){ read_stream, close_stream, &fixture->stream };
		return strcmp(request->path, "/broken") == 0 ? -EIO : 0;
	} else if (strcmp(request->path, "/who") == 0) {
		buffer_printf(&reply->body, "local=%d head=%d\n", request->local, request->head);
	} else if (strcmp(request->path, "/empty") == 0) {
		reply->status = 200;
	} else if (strcmp(request->path, "/fault") == 0) {
		buffer_string(&reply->body, "half an ans");
		return -EIO;
	} else if (strcmp(request->path, "/no memory") == 0) {
		buffer_string(&reply->body, "half an ans");
		buffer_reserve(&reply->body, SIZE_MAX - 100);
	} else {
		reply->status = 404;
		reply->content_type = "application/json";
		buffer_string(&reply->body, "{\"error\": \"no such path\"}\n");
	}
	return 0;
}

static inline void listen_on(struct fixture *fixture, const char *address)
{
	char *addresses[] = { (char *)address };
	char *reason = NULL;
	int r = server_listen(fixture->server, addresses, 1, &reason);

	if (r < 0)
		fail_msg("%s: %d, %s", address, r, reason);
}

static inline int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->descriptors = count_descriptors();
	assert_int_equal(sd_event_new(&fixture->event), 0);
	assert_int_equal(server_new(fixture->event, handle, fixture, &fixture->server), 0);
	fixture->port = free_port();
	snprintf(fixture->address, sizeof(fixture->address), "127.0.0.1:%u", fixture->port);
	strcpy(fixture->directory, "/tmp/test-server-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->path, sizeof(fixture->path), "%s/http", fixture->directory);
	listen_on(fixture, fixture->address);
	*state = fixture;
	return 0;
}

/* Every test also shows that nothing stays open. */
static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;

	server_free(fixture->server);
	assert_int_equal(fixture->stream.opened, fixture->stream.closed);
	buffer_free(&fixture->stream.queue);
	sd_event_unref(fixture->event);
	unlink(fixture->path);
	assert_int_equal(rmdir(fixture->directory), 0);
	assert_int_equal(count_descriptors(), fixture->descriptors);
	free(fixture);
	return 0;
}

/* Turns the loop for at most TURN_USEC. Returns 1 when something was dispatched. */
static inline int turn(struct fixture *fixture)
{
	int r = sd_event_run(fixture->event, TURN_USEC);

	assert_true(r >= 0);
	return r;
}

static inline unsigned turn_for(struct fixture *fixture, uint64_t ms)
{
	uint64_t end = now_ms() + ms;
	unsigned dispatched = 0;

	while (now_ms() < end)
		dispatched += (unsigned)turn(fixture);
	return dispatched;
}

/* A client on 127.0.0.`host`. Negative when the server closed it at once. */
static inline int connect_from(struct fixture *fixture, unsigned host)
{
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f000000 | host),
	};
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)fixture->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline int connect_tcp(struct fixture *fixture)
{
	return connect_from(fixture, 1);
}

static inline int connect_unix(struct fixture *fixture)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(to.sun_path, fixture->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void send_bytes(struct fixture *fixture, int fd, const void *bytes, size_t size)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (size > 0) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(now_ms() < end);
			turn(fixture);
			continue;
		}
		bytes = (const char *)bytes + sent;
		size -= (size_t)sent;
	}
}

static inline void send_text(struct fixture *fixture, int fd, const char *text)
{
	send_bytes(fixture, fd, text, strlen(text));
}

struct answer {
	unsigned status;
	char head[4096];
	struct buffer body;
};

/* Reads one byte. False at the connection's end. */
static inline bool read_byte(struct fixture *fixture, int fd, char *byte)
{
	uint64_t end = now_ms() + WAIT_MS;

	for (;;) {
		ssize_t n = recv(fd, byte, 1, 0);

		if (n >= 0)
			return n == 1;
		if (errno == ECONNRESET)
			return false;
		assert_int_equal(errno, EAGAIN);
		if (now_ms() > end)
			fail_msg("the server does not answer");
		turn(fixture);
	}
}

static const char *header(const struct answer *answer, const char *name)
{
	static char value[256];
	char start[64];
	const char *line;

	snprintf(start, sizeof(start), "\n%s:", name);
	line = strcasestr(answer->head, start);
	if (!line)
		return NULL;
	line += strlen(start);
	line += strspn(line, " ");
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r"), line);
	return value;
}

static inline void assert_header(const struct answer *answer, const char *name,
				 const char *expected)
{
	const char *value = header(answer, name);

	if (!value)
		fail_msg("no %s in:\n%s", name, answer->head);
	assert_string_equal(value, expected);
}

static inline void read_answer(struct fixture *fixture, int fd, bool head, struct answer *answer)
{
	const char *length;
	size_t n = 0, size;
	char byte;

	buffer_free(&answer->body);
	memset(answer->head, 0, sizeof(answer->head));
	while (!strstr(answer->head, "\r\n\r\n")) {
		assert_true(n < sizeof(answer->head) - 1);
		assert_true(read_byte(fixture, fd, &answer->head[n++]));
	}
	assert_int_equal(sscanf(answer->head, "HTTP/1.%*u %u ", &answer->status), 1);
	length = header(answer, "Content-Length");
	assert_non_null(length);
	size = strtoul(length, NULL, 10);
	while (!head && answer->body.size < size) {
		assert_true(read_byte(fixture, fd, &byte));
		buffer_char(&answer->body, byte);
	}
	buffer_char(&answer->body, '\0');
	answer->body.size--;
}

/* The connection's end, and nothing before it. */
static inline void assert_closed(struct fixture *fixture, int fd)
{
	char byte;

	assert_false(read_byte(fixture, fd, &byte));
	close(fd);
}

static inline void ask(struct fixture *fixture, int fd, const char *request, struct answer *answer)
{
	send_text(fixture, fd, request);
	read_answer(fixture, fd, strncmp(request, "HEAD", 4) == 0, answer);
}

#define get_echo "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"

/* One GET on an open connection must work. */
static inline void assert_serves(struct fixture *fixture, int fd)
{
	struct answer answer = {};

	ask(fixture, fd, get_echo, &answer);
	assert_int_equal(answer.status, 200);
	buffer_free(&answer.body);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
