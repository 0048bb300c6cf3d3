// SPDX-License-Identifier: BSD-2-Clause
/*
 * Packets in exact numbers, for the system tests. Every thread is pinned, so that on loopback each
 * packet is received, and dropped, on the CPU and in the context that sent it.
 *
 *	udp ADDRESS PORT COUNT SIZE [THREADS [SOURCE]]	COUNT datagrams of SIZE bytes, from the port
 *						SOURCE
 *	segments ADDRESS PORT COUNT SIZE N	COUNT sends of N * SIZE bytes, UDP_SEGMENT = SIZE
 *	unread ADDRESS PORT COUNT SIZE BUFFER	to an own socket with SO_RCVBUF = BUFFER, read
 *						only afterwards; prints how many found room
 *	interrupted ADDRESS BLOCKED CLOSED N	see interrupted()
 *	connect ADDRESS PORT COUNT		COUNT connections, one after the other
 *	syn ADDRESS PORT COUNT RETRIES		COUNT connections at once with TCP_SYNCNT =
 *						RETRIES, until all have failed
 *	icmp ADDRESS COUNT SIZE [bad]		COUNT echo requests of SIZE bytes after the header;
 *						bad: with a wrong checksum
 *	unix COUNT				COUNT messages to a unix socket closed unread
 *
 * Prints one line: "sent N" and what else is known.
 */
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "endpoint.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { MAX_THREADS = 64, MAX_SOCKETS = 256, MAX_DATAGRAM = 65507 };

struct flood {
	const struct endpoint *to, *from; /* from: NULL for any */
	long count, sent;
	size_t bytes;
	int cpu;
};

/* Not connected: an ICMP error must not turn into an error of the next send. */
static void send_exactly(int fd, const struct endpoint *to, const void *data, size_t bytes)
{
	ssize_t sent = sendto(fd, data, bytes, 0, &to->address.any, to->size);

	/* EPERM is a packet that the OUTPUT hook dropped: it has been sent as far as it could. */
	if (sent != (ssize_t)bytes && !(sent < 0 && errno == EPERM))
		die("sendto");
}

static void *flood_thread(void *argument)
{
	static const char payload[MAX_DATAGRAM];
	struct flood *flood = argument;
	int fd = open_socket(flood->to, SOCK_DGRAM);

	if (flood->from && bind(fd, &flood->from->address.any, flood->from->size) < 0)
		die("bind");
	pin(flood->cpu);
	for (; flood->sent < flood->count; flood->sent++)
		send_exactly(fd, flood->to, payload, flood->bytes);
	close(fd);
	return NULL;
}

static int udp(char **arguments, int n)
{
	struct endpoint to = endpoint(arguments[0], arguments[1]), from;
	long count = number(arguments[2], 1, 1000000000), sent = 0;
	size_t bytes = (size_t)number(arguments[3], 0, MAX_DATAGRAM);
	int threads = n > 4 ? (int)number(arguments[4], 1, MAX_THREADS) : 1;
	struct flood floods[MAX_THREADS];
	pthread_t ids[MAX_THREADS];

	if (n > 5)
		from = endpoint(to.address.any.sa_family == AF_INET ? "0.0.0.0" : "::",
				arguments[5]);
	for (int i = 0; i < threads; i++) {
		floods[i] = (struct flood){
			.to = &to,
			.from = n > 5 ? &from : NULL,
			.bytes = bytes,
			.cpu = nth_cpu(i),
			.count = count / threads + (i < count % threads),
		};
		if (pthread_create(&ids[i], NULL, flood_thread, &floods[i]) != 0)
			die("pthread_create");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		sent += floods[i].sent;
	}
	printf("sent %ld\n", sent);
	return 0;
}

static int segments(char **arguments, int n)
{
	static const char payload[MAX_DATAGRAM];
	struct endpoint to = endpoint(arguments[0], arguments[1]);
	long count = number(arguments[2], 1, 1000000);
	int size = (int)number(arguments[3], 1, 60000);
	size_t bytes = (size_t)size * (size_t)number(arguments[4], 1, 64);
	int fd = open_socket(&to, SOCK_DGRAM);

	(void)n;
	if (bytes > sizeof(payload)) {
		errno = 0;
		die("%zu bytes do not fit into one send", bytes);
	}
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
		die("UDP_SEGMENT");
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++)
		send_exactly(fd, &to, payload, bytes);
	printf("sent %ld\n", count);
	return 0;
}

static int unread(char **arguments, int n)
{
	struct endpoint to = endpoint(arguments[0], arguments[1]);
	long count = number(arguments[2], 1, 10000000), received = 0;
	size_t bytes = (size_t)number(arguments[3], 0, MAX_DATAGRAM);
	int buffer = (int)number(arguments[4], 1, 1 << 20), reader = open_socket(&to, SOCK_DGRAM);
	struct flood flood = { .to = &to, .bytes = bytes, .count = count, .cpu = nth_cpu(0) };
	static char data[MAX_DATAGRAM];

	(void)n;
	if (setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) < 0)
		die("SO_RCVBUF");
	if (bind(reader, &to.address.any, to.size) < 0)
		die("bind");
	flood_thread(&flood);
	while (recv(reader, data, sizeof(data), MSG_DONTWAIT) >= 0)
		received++;
	if (errno != EAGAIN)
		die("recv");
	close(reader);
	printf("sent %ld received %ld\n", count, received);
	return 0;
}

/*
 * Two kinds of drops on one CPU, the second interrupting the first: the first CPU sends to BLOCKED,
 * which a rule of the OUTPUT hook drops in process context with softirqs enabled, for as long as
 * the second CPU sends its N packets to CLOSED, of which receive packet steering (the test sets it)
 * makes inter-processor interrupts and softirqs on the first.
 */
struct interrupted {
	struct flood blocked, closed;
	atomic_bool started, done;
};

static void *blocked_thread(void *argument)
{
	static const char payload[MAX_DATAGRAM];
	struct interrupted *both = argument;
	struct flood *flood = &both->blocked;
	int fd = open_socket(flood->to, SOCK_DGRAM);

	pin(flood->cpu);
	while (!atomic_load(&both->done)) {
		send_exactly(fd, flood->to, payload, flood->bytes);
		flood->sent++;
		atomic_store(&both->started, true);
	}
	close(fd);
	return NULL;
}

static int interrupted(char **arguments, int n)
{
	struct endpoint blocked = endpoint(arguments[0], arguments[1]);
	struct endpoint closed = endpoint(arguments[0], arguments[2]);
	struct interrupted both = {
		.blocked = { .to = &blocked, .bytes = 64, .cpu = nth_cpu(0) },
		.closed = { .to = &closed,
			    .bytes = 64,
			    .cpu = nth_cpu(1),
			    .count = number(arguments[3], 1, 100000000) },
	};
	pthread_t interrupter, victim;

	(void)n;
	if (pthread_create(&victim, NULL, blocked_thread, &both) != 0)
		die("pthread_create");
	while (!atomic_load(&both.started))
		sched_yield();
	if (pthread_create(&interrupter, NULL, flood_thread, &both.closed) != 0)
		die("pthread_create");
	pthread_join(interrupter, NULL);
	/* What is still in the other CPU's backlog is dropped while that CPU is busy too. */
	usleep(50000);
	atomic_store(&both.done, true);
	pthread_join(victim, NULL);
	printf("sent %ld blocked %ld closed %ld\n", both.blocked.sent + both.closed.sent,
	       both.blocked.sent, both.closed.sent);
	return 0;
}

static int connect_each(char **arguments, int n)
{
	struct endpoint to = endpoint(arguments[0], arguments[1]);
	long count = number(arguments[2], 1, 1000000), refused = 0;

	(void)n;
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++) {
		int fd = open_socket(&to, SOCK_STREAM);

		if (connect(fd, &to.address.any, to.size) < 0) {
			if (errno != ECONNREFUSED)
				die("connect");
			refused++;
		}
		close(fd);
	}
	printf("sent %ld refused %ld\n", count, refused);
	return 0;
}

static int syn(char **arguments, int n)
{
	struct endpoint to = endpoint(arguments[0], arguments[1]);
	long count = number(arguments[2], 1, MAX_SOCKETS), timed_out = 0;
	int retries = (int)number(arguments[3], 1, 127);
	int fds[MAX_SOCKETS];

	(void)n;
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++) {
		fds[i] = open_socket(&to, SOCK_STREAM | SOCK_NONBLOCK);
		if (setsockopt(fds[i], IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof(retries)) < 0)
			die("TCP_SYNCNT");
		if (connect(fds[i], &to.address.any, to.size) < 0 && errno != EINPROGRESS)
			die("connect");
	}
	for (long i = 0; i < count; i++) {
		struct pollfd wait = { .fd = fds[i], .events = POLLOUT };
		socklen_t size = sizeof(int);
		int error = 0;

		if (poll(&wait, 1, 60000) != 1)
			die("a connection has not failed after a minute");
		if (getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			die("SO_ERROR");
		timed_out += error == ETIMEDOUT;
		close(fds[i]);
	}
	printf("sent %ld timed_out %ld\n", count, timed_out);
	return 0;
}

/* Messages that are thrown away with the socket: no headers, no device. */
static int unix_unread(char **arguments, int n)
{
	long count = number(arguments[0], 1, 250);
	int ends[2];

	(void)n;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair");
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++)
		if (send(ends[0], "x", 1, MSG_DONTWAIT) != 1)
			die("send");
	close(ends[1]);
	close(ends[0]);
	printf("sent %ld\n", count);
	return 0;
}

static uint16_t internet_checksum(const void *data, size_t bytes)
{
	const uint8_t *byte = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum += (uint32_t)byte[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static int icmp(char **arguments, int n)
{
	struct endpoint to = endpoint(arguments[0], "1");
	long count = number(arguments[1], 1, 1000000);
	size_t bytes = sizeof(struct icmphdr) + (size_t)number(arguments[2], 0, 1400);
	bool bad = n > 3 && strcmp(arguments[3], "bad") == 0;
	union {
		struct icmphdr header;
		char bytes[1500];
	} packet = { .header = { .type = ICMP_ECHO } };
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0)
		die("a raw socket");
	to.address.v4.sin_port = 0;
	packet.header.checksum = internet_checksum(&packet, bytes);
	if (bad)
		packet.header.checksum ^= 0x5555;
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++)
		send_exactly(fd, &to, &packet, bytes);
	close(fd);
	printf("sent %ld\n", count);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **arguments, int n);
	int arguments; /* at least */
} commands[] = {
	{ "udp", udp, 4 },
	{ "segments", segments, 5 },
	{ "unread", unread, 5 },
	{ "interrupted", interrupted, 4 },
	{ "connect", connect_each, 3 },
	{ "syn", syn, 4 },
	{ "icmp", icmp, 3 },
	{ "unix", unix_unread, 1 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].arguments)
			return commands[i].run(argv + 2, argc - 2);
	fprintf(stderr, "usage: see the head of tests/system/traffic.c\n");
	return 2;
}
