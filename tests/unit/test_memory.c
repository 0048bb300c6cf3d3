/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "util.h"

enum { PAGES = 16 };

static size_t page_size;

/* A field of the mapping's entry in /proc/self/smaps, in kB. */
static unsigned long mapping_field(const void *address, const char *field)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/smaps", "re");
	bool found = false;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		size_t size = strlen(field);
		uintptr_t start, end;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			found = start <= (uintptr_t)address && (uintptr_t)address < end;
		else if (found && strncmp(line, field, size) == 0 && line[size] == ':')
			return strtoul(line + size + 1, NULL, 10);
	}
	fail_msg("no %s of %p", field, address);
	return 0;
}

/* A file whose pages hold their numbers. */
static int make_file(void)
{
	char path[] = "/tmp/test_memory.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	for (unsigned i = 0; i < PAGES * page_size / sizeof(unsigned); i++) {
		unsigned number = i / (unsigned)(page_size / sizeof(unsigned));

		assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
	}
	return fd;
}

/* Maps a file and touches every page. */
static unsigned *map_file(int fd, int protection, int flags)
{
	volatile unsigned *pages = mmap(NULL, PAGES * page_size, protection, flags, fd, 0);

	assert_true(pages != MAP_FAILED);
	close(fd);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(pages[i * page_size / sizeof(*pages)], i);
	return (unsigned *)pages;
}

static unsigned page(const unsigned *pages, unsigned i)
{
	return *(const volatile unsigned *)&pages[i * page_size / sizeof(*pages)];
}

static int set_up(void **state)
{
	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* Code and constants that were read are unmapped, and come back when they are read again. */
static void what_was_only_read(void **state)
{
	unsigned *private = map_file(make_file(), PROT_READ, MAP_PRIVATE);
	unsigned *shared = map_file(make_file(), PROT_READ, MAP_SHARED);

	(void)state;
	assert_true(mapping_field(private, "Rss") > 0);
	memory_settle();
	assert_int_equal(mapping_field(private, "Rss"), 0);
	assert_int_equal(mapping_field(shared, "Rss"), 0);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(page(private, i), i);
		assert_int_equal(page(shared, i), i);
	}
	assert_true(mapping_field(private, "Rss") > 0);
	munmap(private, PAGES * page_size);
	munmap(shared, PAGES * page_size);
}

/* As the dynamic linker does with relocations: written to, then made read-only. */
static unsigned *map_relocated(void)
{
	unsigned *pages = map_file(make_file(), PROT_READ | PROT_WRITE, MAP_PRIVATE);

	pages[5 * page_size / sizeof(*pages)] = 4711;
	assert_int_equal(mprotect(pages, PAGES * page_size, PROT_READ), 0);
	return pages;
}

static void what_was_written_to(void **state)
{
	unsigned *pages = map_relocated();

	(void)state;
	assert_true(mapping_field(pages, "Anonymous") > 0);
	memory_settle();
	assert_int_equal(page(pages, 5), 4711);
	assert_int_equal(page(pages, 4), 4);
	munmap(pages, PAGES * page_size);
}

/* The pages that were written to are no less the mapping's own when they are in swap. */
static void what_was_written_to_and_swapped_out(void **state)
{
	unsigned *pages = map_relocated();

	(void)state;
	if (madvise(pages, PAGES * page_size, MADV_PAGEOUT) < 0 ||
	    mapping_field(pages, "Swap") == 0) {
		munmap(pages, PAGES * page_size);
		print_message("no swap space here: SKIPPED\n");
		skip();
	}
	memory_settle();
	assert_int_equal(page(pages, 5), 4711);
	munmap(pages, PAGES * page_size);
}

static void what_can_be_written_to(void **state)
{
	unsigned *pages = map_file(make_file(), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned long before = mapping_field(pages, "Rss");

	(void)state;
	assert_true(before > 0);
	memory_settle();
	assert_int_equal(mapping_field(pages, "Rss"), before);
	munmap(pages, PAGES * page_size);
}

/* Memory of no file, read-only or not: there is nothing that it could come back from. */
static void what_has_no_file(void **state)
{
	size_t size = PAGES * page_size;
	char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(pages != MAP_FAILED && shared != MAP_FAILED);
	memset(pages, 'x', size);
	memset(shared, 'y', size);
	assert_int_equal(mprotect(pages, size, PROT_READ), 0);
	assert_int_equal(mprotect(shared, size, PROT_READ), 0);
	memory_settle();
	for (size_t i = 0; i < size; i++)
		assert_true(pages[i] == 'x' && shared[i] == 'y');
	munmap(pages, size);
	munmap(shared, size);
}

/* All that the program has goes on: code, constants, data, heap. */
static void life_goes_on(void **state)
{
	static const char constants[] = "constants";
	char *heap = strdup("heap"), text[64];

	(void)state;
	assert_non_null(heap);
	memory_prepare();
	for (unsigned i = 0; i < 3; i++)
		memory_settle();
	snprintf(text, sizeof(text), "%s %s %.3f", constants, heap, 2.5);
	assert_string_equal(text, "constants heap 2.500");
	free(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_only_read),
		cmocka_unit_test(what_was_written_to),
		cmocka_unit_test(what_was_written_to_and_swapped_out),
		cmocka_unit_test(what_can_be_written_to),
		cmocka_unit_test(what_has_no_file),
		cmocka_unit_test(life_goes_on),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
