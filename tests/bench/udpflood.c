// SPDX-License-Identifier: BSD-2-Clause
/*
 * udpflood COUNT [THREADS [PORT]]: sends exactly COUNT 64-byte UDP packets to a port of 127.0.0.1,
 * from THREADS pinned threads (default 1; COUNT is shared out). To a closed port (the default,
 * 9999) each is one drop, NO_SOCKET. Prints the time that the threads took and ns a packet.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#include "../system/tool.h"

enum { MAX_THREADS = 64, PAYLOAD = 64 };

struct job {
	long count;
	int cpu, port;
};

static void *flood(void *argument)
{
	static const char payload[PAYLOAD];
	const struct job *job = argument;
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)job->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	pin(job->cpu);
	for (long i = 0; i < job->count; i++)
		if (sendto(fd, payload, PAYLOAD, 0, (void *)&to, sizeof(to)) != PAYLOAD)
			die("sendto");
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct job jobs[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	int threads, port;
	double seconds;
	long count;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: udpflood COUNT [THREADS [PORT]]\n");
		return 1;
	}
	count = number(argv[1], 1, 100000000);
	threads = argc > 2 ? (int)number(argv[2], 1, MAX_THREADS) : 1;
	port = argc > 3 ? (int)number(argv[3], 1, 65535) : 9999;
	seconds = seconds_now();
	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){
			.count = count / threads + (i < count % threads),
			.cpu = nth_cpu(i),
			.port = port,
		};
		if (pthread_create(&ids[i], NULL, flood, &jobs[i]) != 0)
			die("pthread_create");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	seconds = seconds_now() - seconds;
	printf("%ld packets, %d threads, %.3f s, %.0f ns a packet\n", count, threads, seconds,
	       seconds * 1e9 / (double)count);
	return 0;
}
