// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk DEVICE read|write|discard|flush COUNT SIZE: COUNT operations of SIZE bytes on a block
 * device, each a request of its own: O_DIRECT, one at a time, at successive offsets. SIZE means
 * nothing to a flush. Prints "done N".
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "tool.h"

enum { ALIGNMENT = 4096, MAX_SIZE = 1 << 20 };

static void operate(int fd, const char *operation, void *data, uint64_t size, uint64_t offset)
{
	uint64_t range[2] = { offset, size };

	if (strcmp(operation, "read") == 0) {
		if (pread(fd, data, size, (off_t)offset) != (ssize_t)size)
			die("read at %ju", (uintmax_t)offset);
	} else if (strcmp(operation, "write") == 0) {
		if (pwrite(fd, data, size, (off_t)offset) != (ssize_t)size)
			die("write at %ju", (uintmax_t)offset);
	} else if (strcmp(operation, "discard") == 0) {
		if (ioctl(fd, BLKDISCARD, range) < 0)
			die("BLKDISCARD at %ju", (uintmax_t)offset);
	} else if (strcmp(operation, "flush") == 0) {
		if (fsync(fd) < 0)
			die("fsync");
	} else {
		errno = 0;
		die("no operation '%s'", operation);
	}
}

int main(int argc, char **argv)
{
	uint64_t size;
	long count;
	void *data;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: disk DEVICE read|write|discard|flush COUNT SIZE\n");
		return 2;
	}
	count = number(argv[3], 1, 1000000);
	size = (uint64_t)number(argv[4], 512, MAX_SIZE);
	if (posix_memalign(&data, ALIGNMENT, MAX_SIZE) != 0)
		die("posix_memalign");
	memset(data, 0x5a, MAX_SIZE);
	fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die("%s", argv[1]);
	pin(nth_cpu(0));
	for (long i = 0; i < count; i++)
		operate(fd, argv[2], data, size, (uint64_t)i * size);
	close(fd);
	printf("done %ld\n", count);
	return 0;
}
