// SPDX-License-Identifier: BSD-2-Clause
/*
 * retransmit COUNT [PERCENT]: sends data over TCP connections on 127.0.0.1 until COUNT segments
 * have been sent again. The receiving sockets have a filter that drops PERCENT (default 5) of the
 * segments at random, so that loss is found by all the means that TCP has: duplicate ACKs, loss
 * probes, timeouts. One thread, pinned. Prints how many there were, and the time.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../system/tool.h"

enum { CONNECTIONS = 32, SEGMENT = 1400, PATIENCE_SECONDS = 20, LOOK_EVERY = 64 };

struct connection {
	int sender, receiver;
};

static void set_option(int fd, int level, int option, int value, const char *name)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		die("%s", name);
}

static void drop_at_random(int fd, long percent)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(UINT32_MAX / 100 * percent), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER");
}

static struct connection connection_open(int listener, const struct sockaddr_in *at, long percent)
{
	struct connection c = { .sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	if (c.sender < 0)
		die("socket");
	/* Segments of their own instead of large ones that are lost as one. */
	set_option(c.sender, IPPROTO_TCP, TCP_MAXSEG, SEGMENT, "TCP_MAXSEG");
	set_option(c.sender, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	if (connect(c.sender, (const void *)at, sizeof(*at)) < 0)
		die("connect");
	c.receiver = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c.receiver < 0 || fcntl(c.sender, F_SETFL, O_NONBLOCK) < 0)
		die("accept");
	drop_at_random(c.receiver, percent);
	return c;
}

/* A reset: nothing is sent again after the end. */
static void connection_close(struct connection *c)
{
	struct linger at_once = { .l_onoff = 1 };

	setsockopt(c->sender, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(c->sender);
	close(c->receiver);
}

static void move_data(const struct connection *c)
{
	static char data[1 << 16];

	while (recv(c->receiver, data, sizeof(data), 0) > 0)
		;
	while (send(c->sender, data, SEGMENT, 0) > 0)
		;
}

static long retransmits(const struct connection *connections)
{
	long sum = 0;

	for (int i = 0; i < CONNECTIONS; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof(info);

		if (getsockopt(connections[i].sender, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
			die("TCP_INFO");
		sum += info.tcpi_total_retrans;
	}
	return sum;
}

static void usage(void)
{
	fprintf(stderr, "usage: retransmit COUNT [PERCENT]\n");
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct connection connections[CONNECTIONS];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(at);
	double start = seconds_now();
	long count, percent, sent = 0;

	if (argc < 2 || argc > 3)
		usage();
	count = number(argv[1], 1, 10000000);
	percent = argc > 2 ? number(argv[2], 1, 50) : 5;
	if (listener < 0 || bind(listener, (void *)&at, sizeof(at)) < 0 ||
	    listen(listener, CONNECTIONS) < 0 || getsockname(listener, (void *)&at, &size) < 0)
		die("cannot listen on 127.0.0.1");
	pin(nth_cpu(0));
	for (int i = 0; i < CONNECTIONS; i++)
		connections[i] = connection_open(listener, &at, percent);
	for (int turn = 0; sent < count; turn++) {
		for (int i = 0; i < CONNECTIONS; i++)
			move_data(&connections[i]);
		if (turn % LOOK_EVERY == 0)
			sent = retransmits(connections);
		errno = 0;
		if (seconds_now() - start > PATIENCE_SECONDS)
			die("only %ld retransmits in %d s", sent, PATIENCE_SECONDS);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		connection_close(&connections[i]);
	printf("%ld retransmits, %.3f s\n", sent, seconds_now() - start);
	return 0;
}
