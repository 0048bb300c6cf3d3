// SPDX-License-Identifier: BSD-2-Clause
/*
 * frames DEVICE COUNT KIND [TYPES [THREADS]]: Ethernet frames through a packet socket, from pinned
 * threads. KIND is stp, pvst, cdp, lldp, lacp, eapol, ptp, qinq-udp (192.0.2.1 to port 9 of 192.0.2.2
 * behind two VLAN tags), hopopts-udp (2001:db8::1 to port 9 behind an extension header), or an
 * ethertype such as 0x88b5; with
 * TYPES, COUNT frames of each of TYPES ethertypes from KIND on, in turn. THREADS share the COUNT.
 * Every frame has 60 bytes (hopopts-udp 84), the least that Ethernet carries: the receiving end drops 46 of them,
 * the header being pulled. Prints "sent N".
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tool.h"

enum { FRAME_BYTES = 60, LONG_FRAME_BYTES = 84, MAX_THREADS = 64 };

/* What follows the destination and the source: an ethertype, or a length and an LLC header. */
static const struct kind {
	const char *name;
	uint8_t destination[ETH_ALEN];
	uint8_t rest[64];
	uint8_t rest_bytes;
} kinds[] = {
	{ "stp", { 0x01, 0x80, 0xc2, 0, 0, 0 }, { 0, 38, 0x42, 0x42, 0x03 }, 5 },
	{ "pvst",
	  { 0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd },
	  { 0, 46, 0xaa, 0xaa, 0x03, 0, 0, 0x0c, 0x01, 0x0b },
	  10 },
	{ "cdp",
	  { 0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc },
	  { 0, 46, 0xaa, 0xaa, 0x03, 0, 0, 0x0c, 0x20, 0x00 },
	  10 },
	{ "lldp", { 0x01, 0x80, 0xc2, 0, 0, 0x0e }, { 0x88, 0xcc }, 2 },
	{ "lacp", { 0x01, 0x80, 0xc2, 0, 0, 0x02 }, { 0x88, 0x09, 0x01, 0x01 }, 4 },
	{ "eapol", { 0x01, 0x80, 0xc2, 0, 0, 0x03 }, { 0x88, 0x8e }, 2 },
	{ "ptp", { 0x01, 0x1b, 0x19, 0, 0, 0 }, { 0x88, 0xf7 }, 2 },
	{ "qinq-udp",
	  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  { 0x88, 0xa8, 0, 7, 0x81, 0,	 0,   8, /* two tags */
	    0x08, 0,	0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
	    0x30, 0x39, 0, 9, 0, 16, 0, 0 },
	  38 },
	{ "hopopts-udp",
	  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  { 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 0, 64, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	    0, 0, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	    17, 0, 1, 4, 0, 0, 0, 0, /* hop by hop: padding */
	    0x30, 0x39, 0, 9, 0, 16, 0, 0 },
	  58 },
};

struct sender {
	int device, cpu;
	long count; /* of each type */
	int types;
	size_t bytes;
	uint8_t frame[LONG_FRAME_BYTES];
};

static void *send_frames(void *argument)
{
	struct sender *sender = argument;
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = sender->device,
		.sll_halen = ETH_ALEN,
	};
	struct ether_header *header = (struct ether_header *)sender->frame;
	uint16_t first = ntohs(header->ether_type);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("a packet socket");
	pin(sender->cpu);
	for (long i = 0; i < sender->count; i++)
		for (int type = 0; type < sender->types; type++) {
			header->ether_type = htons((uint16_t)(first + type));
			if (sendto(fd, sender->frame, sender->bytes, 0, (void *)&to, sizeof(to)) !=
			    (ssize_t)sender->bytes)
				die("sendto");
		}
	close(fd);
	return NULL;
}

/* Returns how long it is. */
static size_t fill_frame(uint8_t *frame, const char *name)
{
	static const uint8_t source[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 1 };
	const struct kind *kind = NULL;

	memcpy(frame + ETH_ALEN, source, ETH_ALEN);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	if (kind) {
		memcpy(frame, kind->destination, ETH_ALEN);
		memcpy(frame + 2 * ETH_ALEN, kind->rest, kind->rest_bytes);
	} else {
		uint16_t type = htons((uint16_t)number(name, 0x600, 0xffff));

		memset(frame, 0xff, ETH_ALEN);
		memcpy(frame + 2 * ETH_ALEN, &type, sizeof(type));
	}
	return kind && kind->rest_bytes > FRAME_BYTES - 2 * ETH_ALEN ? LONG_FRAME_BYTES : FRAME_BYTES;
}

int main(int argc, char **argv)
{
	struct sender senders[MAX_THREADS] = { 0 };
	pthread_t ids[MAX_THREADS];
	int threads, types, device;
	long count;

	if (argc < 4) {
		fprintf(stderr, "usage: frames DEVICE COUNT KIND [TYPES [THREADS]]\n");
		return 2;
	}
	device = (int)if_nametoindex(argv[1]);
	if (!device)
		die("no device %s", argv[1]);
	count = number(argv[2], 1, 100000000);
	types = argc > 4 ? (int)number(argv[4], 1, 0x6000) : 1;
	threads = argc > 5 ? (int)number(argv[5], 1, MAX_THREADS) : 1;
	for (int i = 0; i < threads; i++) {
		senders[i] = (struct sender){
			.device = device,
			.cpu = nth_cpu(i),
			.types = types,
			.count = count / threads + (i < count % threads),
		};
		senders[i].bytes = fill_frame(senders[i].frame, argv[3]);
	}
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, send_frames, &senders[i]) != 0)
			die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("sent %ld\n", count * types);
	return 0;
}
