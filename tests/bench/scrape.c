// SPDX-License-Identifier: BSD-2-Clause
/*
 * scrape requests PORT COUNT identity|gzip [PID] COUNT times GET /metrics over one connection to
 *							127.0.0.1
 * scrape start PORT COMMAND [ARG...] starts COMMAND, which is to listen on PORT, asks for
 *							/metrics until it answers, and ends it
 *
 * `requests` prints "p50_us N p99_us N max_us N bytes N samples N cpu_us N": the time from a
 * request to the last byte of its answer, the size of the last body and the samples in it (0 when
 * it is compressed), and the CPU time a request of process PID (0 without one). `start` prints "ms
 * N" from exec to the end of the first answer. Exit status: 0, or 1 with the reason on standard
 * error.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../system/tool.h"

enum { MAX_ANSWER = 64 << 20, TRY_EVERY_US = 200, PATIENCE_SECONDS = 15 };

static const char identity[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char gzip[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
			   "Accept-Encoding: gzip\r\n\r\n";

static char answer[MAX_ANSWER + 1];

/* A connection, or -1 when nobody listens. */
static int connect_to(long port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	if (connect(fd, (void *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* How long an answer is, headers and all, once its headers are there; before that, 0. */
static size_t answer_size(const char **ret_body)
{
	const char *end = strstr(answer, "\r\n\r\n"), *length;

	if (!end)
		return 0;
	length = strcasestr(answer, "\r\nContent-Length:");
	errno = 0;
	if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !length || length > end)
		die("expected 200 and a Content-Length, got %.*s", (int)strcspn(answer, "\r"),
		    answer);
	*ret_body = end + 4;
	return (size_t)(end + 4 - answer) + strtoul(length + 17, NULL, 10);
}

/* One request; sets where its body begins. Returns the body's size. */
static size_t get(int fd, const char *request, const char **ret_body)
{
	size_t size = strlen(request), wanted = 0, got = 0;

	if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
	while (!wanted || got < wanted) {
		ssize_t n = recv(fd, answer + got, MAX_ANSWER - got, 0);

		if (n <= 0)
			die("the connection has ended in an answer");
		got += (size_t)n;
		answer[got] = '\0';
		if (!wanted)
			wanted = answer_size(ret_body);
	}
	return got - (size_t)(*ret_body - answer);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* CPU time of a process of one thread, to the nanosecond while it sleeps. */
static double cpu_seconds(long pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *file;

	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%ld/schedstat", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &ns) != 1)
		die("%s", path);
	fclose(file);
	return (double)ns / 1e9;
}

static long samples(const char *body)
{
	long lines = 0;

	for (const char *line = body; *line; line += strcspn(line, "\n"), line += *line == '\n')
		lines += *line != '#';
	return lines;
}

static int requests(int argc, char **argv)
{
	long port = number(argv[0], 1, 65535), count = number(argv[1], 1, 1000000);
	long pid = argc > 3 ? number(argv[3], 1, 1 << 30) : 0;
	bool compressed = strcmp(argv[2], "gzip") == 0;
	double *us = calloc((size_t)count, sizeof(*us)), cpu;
	const char *body = "";
	size_t bytes = 0;
	int fd = connect_to(port);

	if (!us || fd < 0)
		die("cannot connect to port %ld", port);
	get(fd, compressed ? gzip : identity, &body); /* warm-up */
	cpu = cpu_seconds(pid);
	for (long i = 0; i < count; i++) {
		double start = seconds_now();

		bytes = get(fd, compressed ? gzip : identity, &body);
		us[i] = (seconds_now() - start) * 1e6;
	}
	usleep(20000); /* until the server sleeps: then its time is booked */
	cpu = cpu_seconds(pid) - cpu;
	qsort(us, (size_t)count, sizeof(*us), by_value);
	printf("p50_us %.0f p99_us %.0f max_us %.0f bytes %zu samples %ld cpu_us %.0f\n",
	       us[count / 2], us[count * 99 / 100], us[count - 1], bytes,
	       compressed ? 0 : samples(body), cpu * 1e6 / (double)count);
	free(us);
	close(fd);
	return 0;
}

static int start(char **argv)
{
	long port = number(argv[0], 1, 65535);
	double from = seconds_now();
	const char *body;
	pid_t pid;
	int fd;

	fd = connect_to(port);
	errno = 0;
	if (fd >= 0)
		die("somebody listens on port %ld already", port);
	from = seconds_now();
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execvp(argv[1], argv + 1);
		die("%s", argv[1]);
	}
	while ((fd = connect_to(port)) < 0) {
		errno = 0;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			die("%s has ended", argv[1]);
		if (seconds_now() - from > PATIENCE_SECONDS) {
			kill(pid, SIGKILL);
			die("%s does not listen", argv[1]);
		}
		usleep(TRY_EVERY_US);
	}
	get(fd, identity, &body);
	printf("ms %.1f\n", (seconds_now() - from) * 1e3);
	close(fd);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "requests") == 0)
		return requests(argc - 2, argv + 2);
	if (argc >= 4 && strcmp(argv[1], "start") == 0)
		return start(argv + 2);
	fprintf(stderr, "usage: scrape requests PORT COUNT identity|gzip [PID]\n"
			"       scrape start PORT COMMAND [ARG...]\n");
	return 1;
}
