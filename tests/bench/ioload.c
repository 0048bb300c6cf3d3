// SPDX-License-Identifier: BSD-2-Clause
/*
 * ioload DEVICE COUNT [DEPTH]: COUNT reads of 4 KiB from a block device, past the page cache, DEPTH
 * (default 1) of them at once. They are scattered so that no two are merged: each is a request of
 * its own. One thread, pinned. Prints the time and how long a read took, on average.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "../system/tool.h"

/* STRIDE: blocks from one read to the next; a prime. */
enum { SIZE = 4096, MAX_DEPTH = 256, STRIDE = 7919 };

struct reader {
	aio_context_t context;
	int fd;
	uint64_t blocks, next;
	struct iocb requests[MAX_DEPTH];
	char *data;
};

static struct iocb *prepare(struct reader *r, int i)
{
	struct iocb *request = &r->requests[i];

	*request = (struct iocb){
		.aio_data = (uint64_t)i,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)r->fd,
		.aio_buf = (uint64_t)(uintptr_t)(r->data + (size_t)i * SIZE),
		.aio_nbytes = SIZE,
		.aio_offset = (int64_t)(r->next % r->blocks * SIZE),
	};
	r->next += STRIDE;
	return request;
}

static void submit(struct reader *r, struct iocb **requests, long n)
{
	while (n > 0) {
		long done = syscall(SYS_io_submit, r->context, n, requests);

		if (done < 0)
			die("io_submit");
		requests += done;
		n -= done;
	}
}

static long wait_for(struct reader *r, struct io_event *events, int depth)
{
	long n = syscall(SYS_io_getevents, r->context, 1, depth, events, NULL);

	if (n < 0)
		die("io_getevents");
	for (long i = 0; i < n; i++)
		if (events[i].res != SIZE)
			die("a read gave %lld", (long long)events[i].res);
	return n;
}

static void read_all(struct reader *r, long count, int depth)
{
	struct iocb *requests[MAX_DEPTH];
	struct io_event events[MAX_DEPTH];
	long started = 0, ended = 0;
	int n = 0;

	for (; n < depth && n < count; n++)
		requests[n] = prepare(r, n);
	while (ended < count) {
		submit(r, requests, n);
		started += n;
		n = (int)wait_for(r, events, depth);
		ended += n;
		if (n > count - started)
			n = (int)(count - started);
		for (int i = 0; i < n; i++)
			requests[i] = prepare(r, (int)events[i].data);
	}
}

int main(int argc, char **argv)
{
	static struct reader reader;
	uint64_t size = 0;
	double seconds;
	long count;
	int depth;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: ioload DEVICE COUNT [DEPTH]\n");
		return 1;
	}
	count = number(argv[2], 1, 100000000);
	depth = argc > 3 ? (int)number(argv[3], 1, MAX_DEPTH) : 1;
	reader.fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (reader.fd < 0 || ioctl(reader.fd, BLKGETSIZE64, &size) < 0)
		die("%s", argv[1]);
	reader.blocks = size / SIZE;
	if (reader.blocks <= MAX_DEPTH)
		die("%s is too small", argv[1]);
	reader.data = aligned_alloc(SIZE, (size_t)SIZE * MAX_DEPTH);
	if (!reader.data || syscall(SYS_io_setup, MAX_DEPTH, &reader.context) < 0)
		die("io_setup");
	pin(nth_cpu(0));
	seconds = seconds_now();
	read_all(&reader, count, depth);
	seconds = seconds_now() - seconds;
	printf("%ld reads, %d at once, %.3f s, %.1f us a read\n", count, depth, seconds,
	       seconds * 1e6 / (double)count);
	return 0;
}
