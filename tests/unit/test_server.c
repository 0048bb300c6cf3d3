/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_client.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
