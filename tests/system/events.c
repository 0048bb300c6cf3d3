// SPDX-License-Identifier: BSD-2-Clause
/*
 * events TRACEFS EVENT: how often a tracepoint (skb/kfree_skb) has run on this machine since the start,
 * counted by perf and not by us: a line with the number for each line that is read from stdin.
 *
 * perf has a recursion guard for each context, so that a softirq within process context is counted here
 * even where a BPF program has to skip it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "tool.h"

enum { MAX_CPUS = 1024 };

static uint64_t tracepoint_id(const char *tracefs, const char *event)
{
	char path[256], text[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/events/%s/id", tracefs, event);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s", path);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 1)
		die("%s", path);
	return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attributes),
	};
	int fds[MAX_CPUS], n_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	char line[64];

	if (argc != 3 || n_cpus > MAX_CPUS) {
		fprintf(stderr, "usage: events TRACEFS EVENT\n");
		return 2;
	}
	attributes.config = tracepoint_id(argv[1], argv[2]);
	for (int cpu = 0; cpu < n_cpus; cpu++) {
		fds[cpu] = (int)syscall(SYS_perf_event_open, &attributes, -1, cpu, -1,
					PERF_FLAG_FD_CLOEXEC);
		if (fds[cpu] < 0)
			die("perf_event_open on CPU %d", cpu);
	}
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t sum = 0, count;

		for (int cpu = 0; cpu < n_cpus; cpu++) {
			if (read(fds[cpu], &count, sizeof(count)) != sizeof(count))
				die("read from perf");
			sum += count;
		}
		printf("%" PRIu64 "\n", sum);
		fflush(stdout);
	}
	return 0;
}
