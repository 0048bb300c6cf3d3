/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_client.h"

#include "http/connections.h"

/* Sends `byte` every 20 ms until the connection ends. Returns how long that took, in ms. */
static uint64_t trickle(struct fixture *fixture, int fd, char byte)
{
	uint64_t start = now_ms();

	while (send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
		assert_true(now_ms() < start + WAIT_MS);
		turn_for(fixture, 20);
	}
	close(fd);
	return now_ms() - start;
}

static void trickling_client(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ms;
	int fd;

	server_set_deadlines(fixture->server, 300000, 10000000);
	fd = connect_tcp(fixture);
	send_text(fixture, fd, "GET / HTTP/1.1\r\nLong: ");
	ms = trickle(fixture, fd, 'a');
	assert_in_range(ms, 290, 700);

	/* The request's time does not begin anew with its first line. */
	server_set_deadlines(fixture->server, 400000, 10000000);
	fd = connect_tcp(fixture);
	ms = now_ms();
	turn_for(fixture, 300);
	send_text(fixture, fd, "GET / HTTP/1.1\r\nLong: ");
	trickle(fixture, fd, 'a');
	assert_in_range(now_ms() - ms, 390, 690);
	server_set_deadlines(fixture->server, 300000, 10000000);

	/* The second request of a connection. */
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	turn_for(fixture, 400);
	send_text(fixture, fd, "GET / HTTP/1.1\r\nLong: ");
	ms = trickle(fixture, fd, 'a');
	assert_in_range(ms, 290, 700);

	/* And a body that never ends. */
	fd = connect_tcp(fixture);
	send_text(fixture, fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n");
	ms = trickle(fixture, fd, 'a');
	assert_in_range(ms, 290, 700);
	assert_int_equal(server_counters(fixture->server).cut, 4);
}

static void slow_reader(void **state)
{
	struct fixture *fixture = *state;
	uint64_t start = now_ms();
	static char bytes[1 << 20];
	size_t size = 0;
	ssize_t n;
	int fd;

	server_set_deadlines(fixture->server, 300000, 10000000);
	fd = connect_tcp(fixture);
	send_text(fixture, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	while (server_counters(fixture->server).cut == 0) {
		assert_true(now_ms() < start + WAIT_MS);
		n = recv(fd, bytes, 1000, 0);
		size += n > 0 ? (size_t)n : 0;
		turn_for(fixture, 10);
	}
	assert_in_range(now_ms() - start, 290, 2000);
	assert_in_range(size, 1000, 1000000);
	turn_for(fixture, 20);
	/* Reset, so that the kernel drops the rest as well. */
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		size += (size_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	assert_true(size < BIG);
	close(fd);
}

static void quick_reader_of_much(void **state)
{
	struct fixture *fixture = *state;
	static char bytes[1 << 20];
	uint64_t end = now_ms() + WAIT_MS;
	int fd = connect_tcp(fixture);
	size_t size = 0;
	ssize_t n;

	send_text(fixture, fd, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0 || (n < 0 && errno == EAGAIN)) {
		assert_true(now_ms() < end);
		size += n > 0 ? (size_t)n : 0;
		turn(fixture);
	}
	assert_int_equal(n, 0);
	assert_in_range(size, BIG + 100, BIG + 1000);
	close(fd);
}

static void idle_connection(void **state)
{
	struct fixture *fixture = *state;
	uint64_t start;
	int fd;

	server_set_deadlines(fixture->server, 200000, 600000);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	/* The request's time does not count any more ... */
	turn_for(fixture, 400);
	assert_serves(fixture, fd);
	/* ... and the idle time counts from the last request. */
	turn_for(fixture, 400);
	assert_serves(fixture, fd);
	start = now_ms();
	assert_closed(fixture, fd);
	assert_in_range(now_ms() - start, 590, 1000);
	assert_int_equal(server_counters(fixture->server).cut, 1);
}

static void silent_connection(void **state)
{
	struct fixture *fixture = *state;
	uint64_t start = now_ms();

	server_set_deadlines(fixture->server, 200000, 10000000);
	assert_closed(fixture, connect_tcp(fixture));
	assert_in_range(now_ms() - start, 190, 600);
}

static void sleeps_while_nobody_is_there(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	server_set_deadlines(fixture->server, 100000, 100000);
	assert_int_equal(turn_for(fixture, 250), 0);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
	turn_for(fixture, 50);
	assert_int_equal(turn_for(fixture, 400), 0);
}

static void one_address_has_twenty(void **state)
{
	struct fixture *fixture = *state;
	int fds[SERVER_MAX_CONNECTIONS_PER_ADDRESS], other, late;

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_tcp(fixture);
		assert_serves(fixture, fds[i]);
	}
	assert_closed(fixture, connect_tcp(fixture));
	assert_int_equal(server_counters(fixture->server).refused, 1);
	other = connect_from(fixture, 2);
	assert_serves(fixture, other);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		assert_serves(fixture, fds[i]);

	/* One that ended in the same turn makes room. */
	close(fds[7]);
	fds[7] = connect_tcp(fixture);
	assert_serves(fixture, fds[7]);
	late = connect_tcp(fixture);
	close(fds[8]);
	fds[8] = late;
	assert_serves(fixture, fds[8]);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(other);
}

static void all_have_a_hundred(void **state)
{
	struct fixture *fixture = *state;
	int fds[SERVER_MAX_CONNECTIONS];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_from(fixture, 1 + i / 20);
		assert_serves(fixture, fds[i]);
	}
	assert_closed(fixture, connect_from(fixture, 9));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		assert_serves(fixture, fds[i]);
	close(fds[99]);
	fds[99] = connect_from(fixture, 9);
	assert_serves(fixture, fds[99]);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* By way of an IPv6 socket, a client's address looks different and is the same. */
static void an_address_is_one_on_all_sockets(void **state)
{
	struct fixture *fixture = *state;
	unsigned first = fixture->port, second = free_port();
	int fds[SERVER_MAX_CONNECTIONS_PER_ADDRESS];
	char all[32], *addresses[] = { fixture->address, all };
	char *reason = NULL;

	snprintf(all, sizeof(all), "*:%u", second);
	assert_int_equal(server_listen(fixture->server, addresses, 2, &reason), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fixture->port = i % 2 ? first : second;
		fds[i] = connect_tcp(fixture);
		assert_serves(fixture, fds[i]);
	}
	assert_closed(fixture, connect_tcp(fixture));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* A client's own address of 16 bytes would pass for an IPv4 address. */
static void named_unix_clients_are_one_too(void **state)
{
	struct fixture *fixture = *state;
	int fds[SERVER_MAX_CONNECTIONS_PER_ADDRESS + 1];
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	listen_on(fixture, fixture->path);
	strcpy(to.sun_path, fixture->path);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		struct sockaddr_un from = { .sun_family = AF_UNIX };

		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		snprintf(from.sun_path + 1, 13, "%02u-%05u-cl", i % 100,
			 (unsigned)getpid() % 100000);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&from, 16), 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
		assert_int_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
		if (i < SERVER_MAX_CONNECTIONS_PER_ADDRESS)
			assert_serves(fixture, fds[i]);
		else
			assert_closed(fixture, fds[i]);
	}
	for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS_PER_ADDRESS; i++)
		close(fds[i]);
}

static void slow_unix_reader(void **state)
{
	struct fixture *fixture = *state;
	uint64_t start = now_ms();
	char bytes[1024];
	ssize_t n;
	int fd;

	listen_on(fixture, fixture->path);
	server_set_deadlines(fixture->server, 300000, 10000000);
	fd = connect_unix(fixture);
	send_text(fixture, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_for(fixture, 500);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0 || (n < 0 && errno == EAGAIN)) {
		assert_true(now_ms() < start + WAIT_MS);
		if (n < 0)
			turn(fixture);
	}
	close(fd);
	assert_int_equal(server_counters(fixture->server).cut, 1);
}

static void a_thousand_requests(void **state)
{
	struct fixture *fixture = *state;
	unsigned descriptors = count_descriptors();
	struct answer answer = {};

	for (unsigned i = 0; i < 1000; i++) {
		int fd = connect_tcp(fixture);

		ask(fixture, fd, get_echo, &answer);
		assert_int_equal(answer.status, 200);
		close(fd);
	}
	turn_for(fixture, 20);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(server_counters(fixture->server).requests, 1000);
	assert_int_equal(server_counters(fixture->server).refused, 0);
	assert_int_equal(server_counters(fixture->server).cut, 0);
	buffer_free(&answer.body);
}

/* `printf ... | nc -N`: the request and the end of input come together. */
static void client_that_sends_no_more(void **state)
{
	static const char *const requests[] = {
		get_echo, "", "GET /ech", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhell"
	};
	struct fixture *fixture = *state;
	struct answer answer = {};

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = connect_tcp(fixture);

		send_text(fixture, fd, requests[i]);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		if (i == 0) {
			read_answer(fixture, fd, false, &answer);
			assert_int_equal(answer.status, 200);
		}
		assert_closed(fixture, fd);
	}
	buffer_free(&answer.body);
}

/* It gets all of its answer nevertheless, and that of a second request. */
static void reader_of_much_that_sends_no_more(void **state)
{
	struct fixture *fixture = *state;
	static char bytes[1 << 20];
	uint64_t end = now_ms() + WAIT_MS;
	int fd = connect_tcp(fixture);
	size_t size = 0;
	ssize_t n;

	send_text(fixture, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_for(fixture, 50);
	send_text(fixture, fd, get_echo);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	turn_for(fixture, 50);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0 || (n < 0 && errno == EAGAIN)) {
		assert_true(now_ms() < end);
		size += n > 0 ? (size_t)n : 0;
		turn(fixture);
	}
	assert_int_equal(n, 0);
	assert_in_range(size, BIG + 300, BIG + 1000);
	close(fd);
}

/* Clients that go away at every point of a request. */
static void clients_that_leave(void **state)
{
	static const char request[] =
		"GET /text?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	struct fixture *fixture = *state;
	unsigned descriptors = count_descriptors();
	int fd;

	for (size_t i = 0; i < sizeof(request); i++) {
		fd = connect_tcp(fixture);
		send_bytes(fixture, fd, request, i);
		if (i % 2)
			turn_for(fixture, 3);
		close(fd);
		turn(fixture);
	}
	fd = connect_tcp(fixture);
	send_text(fixture, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_for(fixture, 20);
	close(fd);
	turn_for(fixture, 50);
	assert_int_equal(count_descriptors(), descriptors);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
}

/* server_free() must not need quiet: connections idle, in a request and in an answer. */
static void freed_while_busy(void **state)
{
	struct fixture *fixture = *state;
	int fds[3];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_tcp(fixture);
	assert_serves(fixture, fds[0]);
	send_text(fixture, fds[1], "GET /ec");
	send_text(fixture, fds[2], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_for(fixture, 30);
	server_free(fixture->server);
	fixture->server = NULL;
	turn_for(fixture, 30);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	server_free(NULL);
}

/* ---- streams, without a server: it has no time for their deadlines */

static unsigned gone;

static void on_gone(struct connection *connection)
{
	assert_true(connection->stream);
	assert_true(connection->ended);
	gone++;
}

/* One connection, whose client is the pair's other end. */
static struct connection *open_pair(struct fixture *fixture, struct connections *connections,
				    int pair[2])
{
	*connections = (struct connections){
		.request_usec = 100000,
		.idle_usec = 100000,
		.gone = on_gone,
	};
	gone = 0;
	assert_int_equal(connections_open(connections, fixture->event), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	return connections_add(connections, pair[0]);
}

static void close_pair(struct connections *connections, struct connection *connection, int pair[2])
{
	connections_remove(connections, connection);
	connections_close(connections);
	close(pair[0]);
	close(pair[1]);
}

static void streams_that_stall(void **state)
{
	struct fixture *fixture = *state;
	struct connections connections;
	struct connection *connection;
	int pair[2];

	connection = open_pair(fixture, &connections, pair);
	/* Nothing for it: it may wait for ever. */
	connections_request(&connections, connection);
	connections_stream(&connections, connection, 0);
	turn_for(fixture, 400);
	assert_int_equal(connections.cut, 0);
	/* It reads what there is, again and again. */
	for (unsigned i = 0; i < 4; i++) {
		connections_stream(&connections, connection, 400000);
		turn_for(fixture, 150);
	}
	assert_int_equal(connections.cut, 0);
	connections_stream(&connections, connection, 0);
	turn_for(fixture, 600);
	assert_int_equal(connections.cut, 0);
	/* It does not. */
	connections_stream(&connections, connection, 100000);
	turn_for(fixture, 400);
	assert_int_equal(connections.cut, 1);
	close_pair(&connections, connection, pair);
}

static void streams_that_have_ended(void **state)
{
	struct fixture *fixture = *state;
	struct connections connections;
	struct connection *connection;
	int pair[2];

	connection = open_pair(fixture, &connections, pair);
	connections_stream(&connections, connection, 0);
	connections_idle(&connections, connection);
	assert_false(connection->stream);
	turn_for(fixture, 400);
	assert_int_equal(connections.cut, 1);
	close_pair(&connections, connection, pair);
}

/* Once; and of whoever reads no stream, nobody has to be told. */
static void streams_whose_client_goes(void **state)
{
	struct fixture *fixture = *state;
	struct connections connections;
	struct connection *connection;
	int pair[2];

	connection = open_pair(fixture, &connections, pair);
	connections_stream(&connections, connection, 0);
	turn_for(fixture, 20);
	assert_int_equal(gone, 0);
	shutdown(pair[1], SHUT_WR);
	turn_for(fixture, 20);
	assert_int_equal(gone, 1);
	close_pair(&connections, connection, pair);

	connection = open_pair(fixture, &connections, pair);
	shutdown(pair[1], SHUT_WR);
	turn_for(fixture, 20);
	assert_int_equal(gone, 0);
	assert_true(connection->ended);
	close_pair(&connections, connection, pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(trickling_client),
		test(slow_reader),
		test(quick_reader_of_much),
		test(idle_connection),
		test(silent_connection),
		test(sleeps_while_nobody_is_there),
		test(one_address_has_twenty),
		test(all_have_a_hundred),
		test(an_address_is_one_on_all_sockets),
		test(named_unix_clients_are_one_too),
		test(slow_unix_reader),
		test(a_thousand_requests),
		test(client_that_sends_no_more),
		test(reader_of_much_that_sends_no_more),
		test(clients_that_leave),
		test(freed_while_busy),
		test(streams_that_stall),
		test(streams_that_have_ended),
		test(streams_whose_client_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
