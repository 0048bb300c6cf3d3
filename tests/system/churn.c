// SPDX-License-Identifier: BSD-2-Clause
/*
 * churn COUNT THREADS EVERY: COUNT network namespaces, one after the other in each of THREADS
 * threads. In each, one UDP packet meets a closed port on its lo; in one out of EVERY (0: none) a
 * device with a name of its own (dsNUMBER) also receives one packet of ethertype 0x88b5, which
 * nothing handles. A namespace's cookie is never used again, so that each is a new key. Prints
 * "namespaces N devices N" and the seconds that it took.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tool.h"

enum { MAX_THREADS = 64 };

struct worker {
	long first, count, every, devices;
	int cpu;
};

static void set_up(int socket_fd, const char *device)
{
	struct ifreq request = { .ifr_flags = IFF_UP };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0)
		die("cannot bring up %s", device);
}

/* A tun device goes with the file that made it: no netlink, no second process. */
static void receive_on_own_device(int socket_fd, long serial)
{
	struct {
		struct tun_pi header;
		char payload[60];
	} packet = { .header = { .proto = htons(0x88b5) } };
	struct ifreq request = { .ifr_flags = IFF_TUN };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "ds%ld", serial);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		die("TUNSETIFF");
	/* The namespace takes the device with it; deleting it here would wait for the kernel. */
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		die("TUNSETPERSIST");
	set_up(socket_fd, request.ifr_name);
	if (write(fd, &packet, sizeof(packet)) != sizeof(packet))
		die("write to %s", request.ifr_name);
	close(fd);
}

static void *churn(void *argument)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct worker *worker = argument;

	pin(worker->cpu);
	for (long i = worker->first; i < worker->first + worker->count; i++) {
		int fd;

		if (unshare(CLONE_NEWNET) < 0)
			die("unshare");
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			die("socket");
		set_up(fd, "lo");
		if (sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) != 1)
			die("sendto");
		if (worker->every && i % worker->every == 0) {
			receive_on_own_device(fd, i);
			worker->devices++;
		}
		close(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker workers[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	double from = seconds_now();
	long count, every, devices = 0;
	int threads;

	if (argc != 4) {
		fprintf(stderr, "usage: churn COUNT THREADS EVERY\n");
		return 2;
	}
	count = number(argv[1], 1, 10000000);
	threads = (int)number(argv[2], 1, MAX_THREADS);
	every = number(argv[3], 0, count);
	for (int i = 0; i < threads; i++) {
		long first = count * i / threads;

		workers[i] = (struct worker){
			.first = first,
			.count = count * (i + 1) / threads - first,
			.every = every,
			.cpu = nth_cpu(i),
		};
		if (pthread_create(&ids[i], NULL, churn, &workers[i]) != 0)
			die("pthread_create");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		devices += workers[i].devices;
	}
	printf("namespaces %ld devices %ld seconds %.1f\n", count, devices, seconds_now() - from);
	return 0;
}
