/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_client.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <zlib.h>

static void get(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /echo HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data, "accept=a/b\n");
	assert_header(&answer, "Content-Type", "text/plain");
	assert_header(&answer, "Content-Length", "11");
	assert_header(&answer, "Cache-Control", "no-store");
	assert_header(&answer, "X-Content-Type-Options", "nosniff");
	assert_header(&answer, "Vary", "Accept, Accept-Encoding");
	assert_null(header(&answer, "Content-Encoding"));
	assert_null(header(&answer, "Connection"));
	buffer_free(&answer.body);
	close(fd);
}

static void head_has_the_headers_of_get(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);
	char head[sizeof(answer.head)];

	ask(fixture, fd, "GET /text HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", &answer);
	strcpy(head, strchr(answer.head, '\n'));
	assert_header(&answer, "Content-Encoding", "gzip");
	ask(fixture, fd, "HEAD /text HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
	    &answer);
	assert_int_equal(answer.status, 200);
	/* But for the time. */
	memset(strstr(head, "Date: "), ' ', 40);
	memset(strstr(answer.head, "Date: "), ' ', 40);
	assert_string_equal(strchr(answer.head, '\n'), head);
	/* No body: the next answer follows at once. */
	assert_serves(fixture, fd);
	buffer_free(&answer.body);
	close(fd);
}

static void cacheable_and_empty(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_null(header(&answer, "Cache-Control"));
	ask(fixture, fd, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_header(&answer, "Content-Length", "0");
	assert_serves(fixture, fd);
	buffer_free(&answer.body);
	close(fd);
}

static void other_methods(void **state)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello=world",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n0\r\n\r\n",
		"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"get /echo HTTP/1.1\r\nHost: x\r\n\r\n",
		"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		ask(fixture, fd, requests[i], &answer);
		assert_int_equal(answer.status, 405);
		assert_header(&answer, "Allow", "GET, HEAD");
		assert_header(&answer, "Content-Type", "application/json");
		assert_non_null(strstr(answer.body.data, "\"parameter\": \"method\""));
		assert_non_null(strstr(answer.body.data, "\"allowed\": [\"GET\", \"HEAD\"]"));
		/* The body is gone, and the connection still good. */
		assert_serves(fixture, fd);
	}
	assert_int_equal(server_counters(fixture->server).requests, ARRAY_SIZE(requests));
	buffer_free(&answer.body);
	close(fd);
}

static void a_body_is_not_waited_for(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd,
	    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
	    "Expect: 100-continue\r\n\r\n",
	    &answer);
	assert_int_equal(answer.status, 405);
	assert_closed(fixture, fd);
	buffer_free(&answer.body);
}

static void a_big_body_ends_the_connection(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_tcp(fixture);
	uint64_t end = now_ms() + WAIT_MS;
	char body[4096] = "";
	size_t sent = 0;

	send_text(fixture, fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n");
	for (;;) {
		ssize_t n = send(fd, body, sizeof(body), MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN)
			break;
		assert_true(now_ms() < end);
		turn(fixture);
	}
	assert_true(errno == EPIPE || errno == ECONNRESET);
	/* What the kernel holds comes on top. */
	assert_in_range(sent, SERVER_MAX_BODY, SERVER_MAX_BODY + 20000000);
	close(fd);
}

static void get_with_a_body(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", &answer);
	assert_int_equal(answer.status, 200);
	assert_serves(fixture, fd);
	buffer_free(&answer.body);
	close(fd);
}

static void handler_decides(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 404);
	assert_string_equal(answer.body.data, "{\"error\": \"no such path\"}\n");
	assert_null(header(&answer, "Vary"));
	ask(fixture, fd, "GET /fault HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 500);
	assert_header(&answer, "Content-Type", "application/json");
	assert_non_null(strstr(answer.body.data, "\"error\""));
	assert_null(strstr(answer.body.data, "half"));
	ask(fixture, fd, "GET /no%20memory HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 500);
	assert_null(strstr(answer.body.data, "half"));
	buffer_free(&answer.body);
	close(fd);
}

static void keep_alive(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	assert_serves(fixture, fd);
	turn_for(fixture, 20);
	assert_serves(fixture, fd);
	ask(fixture, fd, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_closed(fixture, fd);

	fd = connect_tcp(fixture);
	ask(fixture, fd, "GET /echo HTTP/1.0\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_closed(fixture, fd);
	buffer_free(&answer.body);
}

static void pipelined(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);
	char requests[4096] = "", expected[16];

	for (unsigned i = 0; i < 50; i++)
		sprintf(requests + strlen(requests), "GET /echo?n=%u HTTP/1.1\r\nHost: x\r\n\r\n",
			i);
	send_text(fixture, fd, requests);
	for (unsigned i = 0; i < 50; i++) {
		read_answer(fixture, fd, false, &answer);
		sprintf(expected, "n=%u\n", i);
		assert_string_equal(answer.body.data + strlen("accept=\n"), expected);
	}
	buffer_free(&answer.body);
	close(fd);
}

static void parameters_are_decoded(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd,
	    "GET /%65cho?a=%2Fb%2f&c+d=e+f%2Bg&reason!=X&stack&empty=&&x=1=2&a=again&%C3%A9=%F0 "
	    "HTTP/1.1\r\nHost: x\r\n\r\n",
	    &answer);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data,
			    "accept=\na=/b/\nc d=e f+g\nreason!=X\nstack=\nempty=\n"
			    "x=1=2\na=again\n\xc3\xa9=\xf0\n");
	ask(fixture, fd, "GET /echo? HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_string_equal(answer.body.data, "accept=\n");
	buffer_free(&answer.body);
	close(fd);
}

static void nul_is_refused(void **state)
{
	static const char *const requests[] = {
		"GET /echo%00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /echo?a%00b=1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /echo?a=1%00 HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		ask(fixture, fd, requests[i], &answer);
		assert_int_equal(answer.status, 400);
		assert_serves(fixture, fd);
	}
	buffer_free(&answer.body);
	close(fd);
}

static void ask_with_parameters(struct fixture *fixture, int fd, unsigned n, struct answer *answer)
{
	char request[2048] = "GET /echo?";

	for (unsigned i = 0; i < n; i++)
		sprintf(request + strlen(request), "%sp%u=%u", i ? "&" : "", i, i);
	strcat(request, " HTTP/1.1\r\nHost: x\r\n\r\n");
	ask(fixture, fd, request, answer);
}

static void too_many_parameters(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask_with_parameters(fixture, fd, 32, &answer);
	assert_int_equal(answer.status, 200);
	assert_non_null(strstr(answer.body.data, "\np31=31\n"));
	ask_with_parameters(fixture, fd, 33, &answer);
	assert_int_equal(answer.status, 400);
	assert_header(&answer, "Content-Type", "application/json");
	assert_non_null(strstr(answer.body.data, "\"parameter\": null"));
	assert_non_null(strstr(answer.body.data, "at most 32"));
	assert_serves(fixture, fd);
	buffer_free(&answer.body);
	close(fd);
}

/* Sends what does not fit, and reads the status or, as more was sent than was read, a reset. */
static void assert_too_large(struct fixture *fixture, const char *before, const char *repeated,
			     unsigned status)
{
	struct buffer request = {};
	char line[64] = "";
	int fd = connect_tcp(fixture);
	unsigned got = 0;

	buffer_string(&request, before);
	while (request.size < SERVER_MAX_HEADER + 2000)
		buffer_string(&request, repeated);
	/* All but what does not fit is read first, so that the answer is not lost in a reset. */
	for (size_t i = 0; i < request.size && recv(fd, line, 1, MSG_PEEK) < 0; i += 512) {
		size_t left = request.size - i;

		if (send(fd, request.data + i, left < 512 ? left : 512, MSG_NOSIGNAL) < 0)
			break;
		turn_for(fixture, 1);
	}
	for (unsigned i = 0; i < 15 && read_byte(fixture, fd, &line[i]); i++)
		;
	assert_int_equal(sscanf(line, "HTTP/1.%*u %u", &got), 1);
	assert_int_equal(got, status);
	while (read_byte(fixture, fd, line))
		;
	close(fd);
	buffer_free(&request);
}

static void too_large(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	assert_too_large(fixture, "GET /", "aaaaaaaaaaaaaaaa", 414);
	assert_too_large(fixture, "GET / HTTP/1.1\r\nHost: x\r\nLong: ", "aaaaaaaaaaaaaaaa", 431);
	assert_too_large(fixture, "GET / HTTP/1.1\r\nHost: x\r\n", "Name: some value\r\n", 431);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
}

static void fits_just_about(void **state)
{
	struct fixture *fixture = *state;
	struct buffer request = {};
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	buffer_string(&request, "GET /echo HTTP/1.1\r\nHost: x\r\nLong: ");
	while (request.size < SERVER_MAX_HEADER / 2)
		buffer_char(&request, 'a');
	buffer_string(&request, "\r\n\r\n");
	send_bytes(fixture, fd, request.data, request.size);
	read_answer(fixture, fd, false, &answer);
	assert_int_equal(answer.status, 200);
	buffer_free(&request);
	buffer_free(&answer.body);
	close(fd);
}

static void gzip(void **state)
{
	struct fixture *fixture = *state;
	struct answer plain = {}, packed = {};
	char back[100000];
	z_stream stream = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n", &plain);
	assert_null(header(&plain, "Content-Encoding"));
	ask(fixture, fd, "GET /text HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip\r\n\r\n",
	    &packed);
	assert_header(&packed, "Content-Encoding", "gzip");
	assert_header(&packed, "Vary", "Accept, Accept-Encoding");
	assert_true(packed.body.size < plain.body.size / 3);

	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	stream.next_in = (Bytef *)packed.body.data;
	stream.avail_in = (uInt)packed.body.size;
	stream.next_out = (Bytef *)back;
	stream.avail_out = sizeof(back);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.total_out, plain.body.size);
	assert_memory_equal(back, plain.body.data, plain.body.size);
	inflateEnd(&stream);

	ask(fixture, fd, "GET /text HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0, *\r\n\r\n",
	    &packed);
	assert_null(header(&packed, "Content-Encoding"));
	assert_int_equal(packed.body.size, plain.body.size);
	/* Not worth it. */
	ask(fixture, fd, "GET /echo HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", &packed);
	assert_null(header(&packed, "Content-Encoding"));
	buffer_free(&plain.body);
	buffer_free(&packed.body);
	close(fd);
}

/* ---- streams */

#define get_stream "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"

static void read_head(struct fixture *fixture, int fd, struct answer *answer)
{
	size_t n = 0;

	memset(answer->head, 0, sizeof(answer->head));
	while (!strstr(answer->head, "\r\n\r\n")) {
		assert_true(n < sizeof(answer->head) - 1);
		assert_true(read_byte(fixture, fd, &answer->head[n++]));
	}
	assert_int_equal(sscanf(answer->head, "HTTP/1.%*u %u ", &answer->status), 1);
}

/* A client whose answer is the stream, as far as its first read. */
static int begin_stream(struct fixture *fixture, int fd)
{
	struct answer answer = {};

	send_text(fixture, fd, get_stream);
	read_head(fixture, fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_header(&answer, "Transfer-Encoding", "chunked");
	assert_null(header(&answer, "Content-Length"));
	assert_header(&answer, "Content-Type", "text/plain");
	assert_header(&answer, "Cache-Control", "no-store");
	assert_int_equal(fixture->stream.opened, fixture->stream.closed + 1);
	return fd;
}

static void add_text(struct fixture *fixture, const char *text)
{
	buffer_string(&fixture->stream.queue, text);
}

static void resume(struct fixture *fixture)
{
	server_resume(fixture->stream.connection);
}

static void assert_bytes(struct fixture *fixture, int fd, const char *expected)
{
	char byte;

	for (; *expected; expected++) {
		assert_true(read_byte(fixture, fd, &byte));
		assert_int_equal(byte, *expected);
	}
}

/* For a while there is nothing to read. */
static void assert_silent(struct fixture *fixture, int fd)
{
	char byte;

	turn_for(fixture, 30);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void until_closed(struct fixture *fixture)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (fixture->stream.closed < fixture->stream.opened) {
		assert_true(now_ms() < end);
		turn(fixture);
	}
}

static void chunks_as_they_come(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_tcp(fixture);
	unsigned reads;

	add_text(fixture, "one\n");
	begin_stream(fixture, fd);
	assert_bytes(fixture, fd, "4\r\none\n\r\n");
	assert_silent(fixture, fd);
	/* Nobody asks for more until somebody says that there is. */
	reads = fixture->stream.reads;
	add_text(fixture, "two\n");
	assert_silent(fixture, fd);
	assert_int_equal(fixture->stream.reads, reads);
	resume(fixture);
	assert_int_equal(fixture->stream.reads, reads); /* not from within */
	assert_bytes(fixture, fd, "4\r\ntwo\n\r\n");
	assert_silent(fixture, fd);
	/* Not for nothing, either. */
	resume(fixture);
	assert_silent(fixture, fd);
	add_text(fixture, "three, and four\n");
	resume(fixture);
	resume(fixture);
	assert_bytes(fixture, fd, "10\r\nthree, and four\n\r\n");
	assert_silent(fixture, fd);
	add_text(fixture, "last\n");
	fixture->stream.ended = true;
	resume(fixture);
	assert_bytes(fixture, fd, "5\r\nlast\n\r\n0\r\n\r\n");
	until_closed(fixture);
	assert_int_equal(fixture->stream.opened, 1);
	/* The connection is as good as before. */
	assert_serves(fixture, fd);
	fixture->stream.ended = false;
	begin_stream(fixture, fd);
	add_text(fixture, "again\n");
	resume(fixture);
	assert_bytes(fixture, fd, "6\r\nagain\n\r\n");
	close(fd);
	until_closed(fixture);
	assert_int_equal(fixture->stream.opened, 2);
}

static void a_stream_that_begins_empty(void **state)
{
	struct fixture *fixture = *state;
	int fd = begin_stream(fixture, connect_tcp(fixture));

	assert_silent(fixture, fd);
	add_text(fixture, "one\n");
	resume(fixture);
	assert_bytes(fixture, fd, "4\r\none\n\r\n");
	fixture->stream.ended = true;
	resume(fixture);
	assert_bytes(fixture, fd, "0\r\n\r\n");
	close(fd);
	until_closed(fixture);
}

static void an_empty_stream(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_tcp(fixture);

	fixture->stream.ended = true;
	begin_stream(fixture, fd);
	assert_bytes(fixture, fd, "0\r\n\r\n");
	until_closed(fixture);
	assert_serves(fixture, fd);
	close(fd);
}

/* The rest of the stream, until its last chunk. */
static void read_chunks(struct fixture *fixture, int fd, struct buffer *ret_body)
{
	size_t size;

	do {
		char line[16] = "", byte;
		size_t n = 0;

		while (!strchr(line, '\n')) {
			assert_true(n < sizeof(line) - 1);
			assert_true(read_byte(fixture, fd, &line[n++]));
		}
		assert_int_equal(sscanf(line, "%zx\r\n", &size), 1);
		for (size_t i = 0; i < size; i++) {
			assert_true(read_byte(fixture, fd, &byte));
			buffer_char(ret_body, byte);
		}
		assert_bytes(fixture, fd, "\r\n");
	} while (size > 0);
}

static void a_lot_at_once(void **state)
{
	struct fixture *fixture = *state;
	int fd = begin_stream(fixture, connect_tcp(fixture));
	struct buffer expected = {}, got = {};

	for (unsigned i = 0; expected.size < 1000000; i++)
		buffer_printf(&expected, "line %u\n", i);
	buffer_bytes(&fixture->stream.queue, expected.data, expected.size);
	fixture->stream.ended = true;
	resume(fixture);
	read_chunks(fixture, fd, &got);
	assert_int_equal(got.size, expected.size);
	assert_memory_equal(got.data, expected.data, got.size);
	buffer_free(&expected);
	buffer_free(&got);
	close(fd);
	until_closed(fixture);
}

/* A client that packs no answers: a stream comes as it is. */
static void a_stream_is_not_packed(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	add_text(fixture, "one\n");
	send_text(fixture, fd, "GET /stream HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
	read_head(fixture, fd, &answer);
	assert_null(header(&answer, "Content-Encoding"));
	assert_bytes(fixture, fd, "4\r\none\n\r\n");
	close(fd);
	until_closed(fixture);
}

/* To HTTP/1.0, up to the connection's end. */
static void a_stream_without_chunks(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	add_text(fixture, "one\n");
	send_text(fixture, fd, "GET /stream HTTP/1.0\r\n\r\n");
	read_head(fixture, fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_null(header(&answer, "Transfer-Encoding"));
	assert_bytes(fixture, fd, "one\n");
	assert_silent(fixture, fd);
	add_text(fixture, "two\n");
	fixture->stream.ended = true;
	resume(fixture);
	assert_bytes(fixture, fd, "two\n");
	assert_closed(fixture, fd);
	until_closed(fixture);
}

static void the_head_of_a_stream(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	add_text(fixture, "one\n");
	ask(fixture, fd, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_header(&answer, "Content-Type", "text/plain");
	assert_int_equal(fixture->stream.closed, 1);
	buffer_free(&answer.body);
	assert_silent(fixture, fd); /* not even a last chunk */
	assert_int_equal(fixture->stream.opened, 1);
	assert_int_equal(fixture->stream.reads, 0);
	assert_serves(fixture, fd);
	close(fd);
}

/* What a handler has begun before it failed. */
static void a_stream_that_fails(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	ask(fixture, fd, "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 500);
	assert_int_equal(fixture->stream.opened, 1);
	assert_int_equal(fixture->stream.closed, 1);
	assert_int_equal(fixture->stream.reads, 0);
	assert_serves(fixture, fd);
	buffer_free(&answer.body);
	close(fd);
}

/* While there is nothing for it, MHD does not look at a client. */
static void a_client_that_goes(void **state)
{
	struct fixture *fixture = *state;
	int fd = begin_stream(fixture, connect_tcp(fixture));

	assert_silent(fixture, fd);
	close(fd);
	until_closed(fixture);
	assert_int_equal(fixture->stream.closed, 1);
	/* One that has not read what there was. */
	fd = begin_stream(fixture, connect_tcp(fixture));
	if (buffer_reserve(&fixture->stream.queue, BIG)) {
		memset(fixture->stream.queue.data, 'x', BIG);
		fixture->stream.queue.size = BIG;
	}
	resume(fixture);
	turn_for(fixture, 20);
	assert_int_equal(fixture->stream.closed, 1);
	close(fd);
	until_closed(fixture);
	assert_int_equal(fixture->stream.closed, 2);
	assert_int_equal(server_counters(fixture->server).cut, 0);
}

/* Whoever sends no more does not want more, as far as one can tell. */
static void a_client_that_has_said_all(void **state)
{
	struct fixture *fixture = *state;
	int fd = begin_stream(fixture, connect_tcp(fixture));
	char byte;

	assert_silent(fixture, fd);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	until_closed(fixture);
	while (read_byte(fixture, fd, &byte))
		;
	close(fd);
}

/* While it is served, and while it waits. */
static void streams_have_time(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	server_set_deadlines(fixture->server, 200000, 200000);
	fd = begin_stream(fixture, connect_tcp(fixture));
	for (unsigned i = 0; i < 8; i++) {
		turn_for(fixture, 60);
		add_text(fixture, "x");
		resume(fixture);
		assert_bytes(fixture, fd, "1\r\nx\r\n");
	}
	turn_for(fixture, 400);
	assert_int_equal(fixture->stream.closed, 0);
	assert_int_equal(server_counters(fixture->server).cut, 0);
	/* Afterwards the connection is one like any other. */
	fixture->stream.ended = true;
	resume(fixture);
	assert_bytes(fixture, fd, "0\r\n\r\n");
	turn_for(fixture, 600);
	assert_closed(fixture, fd);
	assert_int_equal(server_counters(fixture->server).cut, 1);
}

static void a_request_behind_a_stream(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer = {};
	int fd = connect_tcp(fixture);

	send_text(fixture, fd, get_stream get_echo);
	read_head(fixture, fd, &answer);
	assert_silent(fixture, fd);
	add_text(fixture, "one\n");
	fixture->stream.ended = true;
	resume(fixture);
	assert_bytes(fixture, fd, "4\r\none\n\r\n0\r\n\r\n");
	read_answer(fixture, fd, false, &answer);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data, "accept=\n");
	buffer_free(&answer.body);
	close(fd);
	until_closed(fixture);
}

/* It ends with the server, whether it waits or not. */
static void the_server_goes(void **state)
{
	struct fixture *fixture = *state;
	int fd = begin_stream(fixture, connect_tcp(fixture));
	char byte;

	assert_silent(fixture, fd);
	server_free(fixture->server);
	assert_int_equal(fixture->stream.closed, 1);
	assert_int_equal(server_new(fixture->event, handle, fixture, &fixture->server), 0);
	while (read_byte(fixture, fd, &byte))
		;
	close(fd);

	listen_on(fixture, fixture->address);
	fd = begin_stream(fixture, connect_tcp(fixture));
	add_text(fixture, "one\n");
	resume(fixture);
	server_free(fixture->server);
	fixture->server = NULL;
	assert_int_equal(fixture->stream.closed, 2);
	close(fd);
}

/* ---- who asks */

static void assert_who(struct fixture *fixture, int fd, const char *expected)
{
	struct answer answer = {};

	ask(fixture, fd, "GET /who HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data, expected);
	buffer_free(&answer.body);
	close(fd);
}

static int connect_to(const void *address, socklen_t size)
{
	const struct sockaddr *to = address;
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, to, size), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void from_here(void **state)
{
	struct fixture *fixture = *state;

	assert_who(fixture, connect_tcp(fixture), "local=1 head=0\n");
	assert_who(fixture, connect_from(fixture, 0x00fffffe), "local=1 head=0\n");
	listen_on(fixture, fixture->path);
	assert_who(fixture, connect_unix(fixture), "local=1 head=0\n");
}

static void from_here_by_ipv6(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)fixture->port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[32];

	if (fd < 0 || bind(fd,
			   (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6,
								      .sin6_addr = to.sin6_addr },
			   sizeof(to)) < 0) {
		print_message("no IPv6 here: SKIPPED\n");
		closep(&fd);
		skip();
		return;
	}
	close(fd);
	snprintf(address, sizeof(address), "[::]:%u", fixture->port);
	listen_on(fixture, address);
	assert_who(fixture, connect_to(&to, sizeof(to)), "local=1 head=0\n");
	/* IPv4 on an IPv6 socket, where it takes that, too. */
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
		assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		assert_who(fixture, fd, "local=1 head=0\n");
	} else {
		close(fd);
	}
}

/* By an address that others have, too: what comes from it may be anybody's. */
static void from_elsewhere(void **state)
{
	struct fixture *fixture = *state;
	struct ifaddrs *all, *one;
	char address[32];

	assert_int_equal(getifaddrs(&all), 0);
	for (one = all; one; one = one->ifa_next)
		if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET &&
		    !(one->ifa_flags & IFF_LOOPBACK) && one->ifa_flags & IFF_UP)
			break;
	if (one) {
		struct sockaddr_in to = *(struct sockaddr_in *)one->ifa_addr;

		to.sin_port = htons((uint16_t)fixture->port);
		snprintf(address, sizeof(address), "0.0.0.0:%u", fixture->port);
		listen_on(fixture, address);
		assert_who(fixture, connect_to(&to, sizeof(to)), "local=0 head=0\n");
	}
	freeifaddrs(all);
	if (!one) {
		print_message("no address but 127.0.0.1 here: SKIPPED\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(get),
		test(head_has_the_headers_of_get),
		test(cacheable_and_empty),
		test(other_methods),
		test(a_body_is_not_waited_for),
		test(a_big_body_ends_the_connection),
		test(get_with_a_body),
		test(handler_decides),
		test(keep_alive),
		test(pipelined),
		test(parameters_are_decoded),
		test(nul_is_refused),
		test(too_many_parameters),
		test(too_large),
		test(fits_just_about),
		test(gzip),
		test(chunks_as_they_come),
		test(a_stream_that_begins_empty),
		test(an_empty_stream),
		test(a_lot_at_once),
		test(a_stream_is_not_packed),
		test(a_stream_without_chunks),
		test(the_head_of_a_stream),
		test(a_stream_that_fails),
		test(a_client_that_goes),
		test(a_client_that_has_said_all),
		test(streams_have_time),
		test(a_request_behind_a_stream),
		test(the_server_goes),
		test(from_here),
		test(from_here_by_ipv6),
		test(from_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
