/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "util.h"

/*
 * One entry of /proc/self/smaps: a line of address, permissions and path, then lines "Name: N kB".
 */
struct mapping {
	uintptr_t start, end;
	bool file, writable;
};

static bool parse_mapping(const char *line, struct mapping *ret_mapping)
{
	struct mapping mapping;
	char permissions[5];
	int path = 0;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %*u %n", &mapping.start,
		   &mapping.end, permissions, &path) < 3)
		return false;
	mapping.file = path && line[path] == '/';
	mapping.writable = permissions[1] == 'w';
	*ret_mapping = mapping;
	return true;
}

enum {
	KEEP = 64 * 1024 * 1024,
	GIVE_BACK = 64 * 1024, /* larger pieces are mapped, and unmapped when they are freed */
};

void memory_prepare(void)
{
	mallopt(M_MMAP_THRESHOLD, KEEP / 2);
	mallopt(M_TRIM_THRESHOLD, KEEP);
}

void memory_settle(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/smaps", "re");
	struct mapping mapping = { .file = false };
	unsigned long own = 0, pages;
	char line[512];

	mallopt(M_MMAP_THRESHOLD, GIVE_BACK);
	mallopt(M_TRIM_THRESHOLD, GIVE_BACK);
	malloc_trim(0);
	while (file && fgets(line, sizeof(line), file)) {
		if (parse_mapping(line, &mapping)) {
			own = 0;
			continue;
		}
		/* Pages of its own mean that the mapping is not what the file says. */
		if (sscanf(line, "Anonymous: %lu kB", &pages) == 1)
			own += pages;
		/* Comes last of the two. */
		if (sscanf(line, "Swap: %lu kB", &pages) == 1 && pages + own == 0 && mapping.file &&
		    !mapping.writable)
			madvise((void *)mapping.start, mapping.end - mapping.start, MADV_DONTNEED);
	}
}
