/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_manager.h"

#include <signal.h>
#include <sys/resource.h>

#include "snapshot.h"

/* The sanitizer's; gcc comes without the header. */
extern int __lsan_do_recoverable_leak_check(void);

enum { HEADER = 32, SIZE_AT = 16 };

static const char newer[] = "the newer one", before[] = "the one before";

struct fixture {
	struct fake_manager manager;
	struct store *store;
	struct snapshot snapshot;
	struct buffer saved;
	const char *fault;
};

/* A start of the service: with what the manager has. */
static void start(struct fixture *f)
{
	manager_start(&f->manager);
	expect(store_new(&f->store) == 0);
	expect(snapshot_open(f->store, "drops", &f->snapshot, &f->saved, &f->fault) == 0);
	manager_listen(&f->manager);
}

static void stop(struct fixture *f)
{
	buffer_free(&f->saved);
	snapshot_close(&f->snapshot);
	expect(!f->snapshot.kept);
	store_free(f->store);
}

static void restart(struct fixture *f)
{
	stop(f);
	start(f);
}

static void begin(struct fixture *f)
{
	expect(close_range(3, ~0U, 0) == 0);
	*f = (struct fixture){ .store = NULL };
	manager_open(&f->manager);
	start(f);
	expect(f->manager.messages == 2);
}

static void end(struct fixture *f)
{
	stop(f);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

static int save(struct fixture *f, const char *text)
{
	struct buffer saved = { .data = (char *)text, .size = strlen(text) };

	return snapshot_save(&f->snapshot, &saved);
}

static bool holds(const struct fixture *f, const char *text)
{
	return f->saved.size == strlen(text) && memcmp(f->saved.data, text, strlen(text)) == 0;
}

/* The manager's copy of one of the two files. */
static int file(const struct fixture *f, unsigned i)
{
	int fd = manager_find(&f->manager, i ? "drops.state.1" : "drops.state.0");

	expect(fd >= 0);
	return fd;
}

/* `newer`, as number 3, is in the second file and `before` in the first. */
static void begin_saved(struct fixture *f)
{
	begin(f);
	expect(save(f, newer) == 0 && save(f, before) == 0 && save(f, newer) == 0);
}

static void alternates(void *userdata)
{
	struct stat status[2];
	struct fixture f;
	char text[32];

	(void)userdata;
	begin(&f);
	expect(f.manager.n == 2 && !f.fault && f.saved.size == 0);
	restart(&f); /* nothing was saved yet: nothing is wrong */
	expect(f.manager.messages == 0 && !f.fault && f.saved.size == 0);
	for (unsigned i = 1; i < 19; i++) {
		snprintf(text, sizeof(text), "%u", i * i * i);
		expect(save(&f, text) == 0);
		if (i % 3)
			continue;
		restart(&f);
		expect(f.manager.messages == 0 && f.manager.n == 2);
		expect(!f.fault && holds(&f, text) && f.snapshot.sequence == i);
	}
	/* The two are of different times: 17 and 18. */
	expect(fstat(file(&f, 0), &status[0]) == 0 && fstat(file(&f, 1), &status[1]) == 0);
	expect(status[0].st_size == HEADER + 4 && status[1].st_size == HEADER + 4);
	expect(ftruncate(file(&f, 0), 0) == 0);
	restart(&f);
	expect(!f.fault && holds(&f, "4913") && f.snapshot.sequence == 17);
	/* A large one and then an empty one. */
	expect(save(&f, "a text that is longer than all before it") == 0);
	expect(save(&f, "") == 0);
	restart(&f);
	expect(!f.fault && f.saved.size == 0 && f.snapshot.sequence == 19);
	end(&f);
}

/* A write that ends anywhere leaves the one before; nothing is wrong with a header that is missing,
 * as it comes last. */
static void cut_short(void *userdata)
{
	static const char zeros[HEADER];
	char whole[HEADER + sizeof(newer) - 1];
	struct fixture f;

	(void)userdata;
	begin_saved(&f);
	expect(pread(file(&f, 1), whole, sizeof(whole), 0) == sizeof(whole));
	for (size_t i = 0; i <= sizeof(newer) - 1; i++) {
		expect(ftruncate(file(&f, 1), 0) == 0);
		expect(pwrite(file(&f, 1), whole + HEADER, i, HEADER) == (ssize_t)i);
		restart(&f);
		expect(!f.fault && holds(&f, before) && f.snapshot.sequence == 2);
		expect(f.manager.messages == 0);
	}
	expect(pwrite(file(&f, 1), zeros, HEADER, 0) == HEADER);
	restart(&f);
	expect(!f.fault && holds(&f, before));
	/* The next one goes where that was, and not over the one that is whole. */
	expect(save(&f, "another") == 0);
	restart(&f);
	expect(holds(&f, "another") && f.snapshot.sequence == 3);
	end(&f);
}

/* The second file is damaged: the first counts, this is said, and another is in its place. */
static void expect_refused(struct fixture *f, const char *fault)
{
	struct stat old, new;

	expect(fstat(file(f, 1), &old) == 0);
	restart(f);
	expect(f->fault && strcmp(f->fault, fault) == 0);
	expect(holds(f, before) && f->snapshot.sequence == 2);
	expect(f->manager.messages == 2 && f->manager.n == 2);
	expect(fstat(file(f, 1), &new) == 0 && new.st_ino != old.st_ino);
	expect(save(f, newer) == 0);
	restart(f);
	expect(!f->fault && holds(f, newer) && f->snapshot.sequence == 3);
}

static void damaged(void *userdata)
{
	static const uint64_t sizes[] = { 0, 12, 14, 1 << 20, SNAPSHOT_MAX_SIZE };
	static const uint64_t too_large[] = { SNAPSHOT_MAX_SIZE + 1, INT64_MAX, UINT64_MAX };
	struct fixture f;
	char byte;

	(void)userdata;
	begin_saved(&f);
	/* Every byte counts. */
	for (int i = 0; i < HEADER + 13; i++) {
		if (i >= SIZE_AT && i < SIZE_AT + 8)
			continue;
		expect(pread(file(&f, 1), &byte, 1, i) == 1);
		byte ^= 0x10;
		expect(pwrite(file(&f, 1), &byte, 1, i) == 1);
		expect_refused(&f, i < 8 ? "it was not written by dropscoped" : "it is damaged");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		expect(pwrite(file(&f, 1), &sizes[i], 8, SIZE_AT) == 8);
		expect_refused(&f, "it is damaged");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(too_large); i++) {
		expect(pwrite(file(&f, 1), &too_large[i], 8, SIZE_AT) == 8);
		expect_refused(&f, "it is too large");
	}
	for (int i = 1; i < HEADER + 13; i++) {
		expect(ftruncate(file(&f, 1), i) == 0);
		expect_refused(&f,
			       i < HEADER ? "it was not written by dropscoped" : "it is damaged");
	}
	end(&f);
}

/* The older one is refused: the newer one counts, and what replaces the other is written next. */
static void older_damaged(void *userdata)
{
	struct fixture f;

	(void)userdata;
	begin(&f);
	expect(save(&f, "1") == 0 && save(&f, "2") == 0);
	expect(pwrite(file(&f, 1), "x", 1, HEADER) == 1);
	restart(&f);
	expect(f.fault && holds(&f, "2") && f.snapshot.sequence == 2);
	expect(save(&f, "3") == 0);
	restart(&f);
	expect(!f.fault && holds(&f, "3"));
	/* Both: as if nothing had ever been saved. */
	expect(pwrite(file(&f, 0), "x", 1, HEADER) == 1);
	expect(pwrite(file(&f, 1), "x", 1, HEADER) == 1);
	restart(&f);
	expect(f.fault && f.saved.size == 0 && f.snapshot.sequence == 0);
	expect(save(&f, "1") == 0);
	restart(&f);
	expect(!f.fault && holds(&f, "1"));
	end(&f);
}

static void no_file(void *userdata)
{
	struct fixture f;
	int ends[2];

	(void)userdata;
	begin(&f);
	expect(save(&f, "1") == 0);
	manager_drop(&f.manager, "drops.state.0");
	expect(pipe2(ends, O_CLOEXEC) == 0);
	close(ends[1]);
	manager_keep(&f.manager, "drops.state.0", ends[0]);
	restart(&f);
	expect(f.fault && strcmp(f.fault, "it is no file") == 0);
	expect(holds(&f, "1") && f.manager.n == 2);
	/* One is missing altogether. */
	manager_drop(&f.manager, "drops.state.0");
	restart(&f);
	expect(!f.fault && holds(&f, "1") && f.manager.messages == 1 && f.manager.n == 2);
	end(&f);
}

/* What cannot be written leaves what was. */
static void no_room(void *userdata)
{
	struct rlimit limit = { .rlim_cur = HEADER + 20, .rlim_max = HEADER + 20 };
	struct buffer large = { .size = SNAPSHOT_MAX_SIZE + 1 }, failed = { .failed = true };
	struct fixture f;

	(void)userdata;
	begin(&f);
	expect(save(&f, "1") == 0 && save(&f, "2") == 0);
	large.data = calloc(1, large.size);
	expect(large.data);
	expect(snapshot_save(&f.snapshot, &large) == -E2BIG);
	expect(snapshot_save(&f.snapshot, &failed) == -ENOMEM);
	free(large.data);
	/* Only a part finds room: what the kernel said of something else is not the reason. */
	expect(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
	errno = EAGAIN;
	expect(save(&f, "what does not fit into twenty bytes") == -ENOSPC);
	restart(&f);
	expect(!f.fault && holds(&f, "2") && f.snapshot.sequence == 2);
	expect(save(&f, "this does") == 0);
	restart(&f);
	expect(!f.fault && holds(&f, "this does") && f.snapshot.sequence == 3);
	end(&f);
}

static void by_hand(void *userdata)
{
	struct snapshot snapshot = { .sequence = 7 };
	struct buffer saved = { .size = 7 };
	const char *fault = "";
	struct store *store;

	(void)userdata;
	unsetenv("NOTIFY_SOCKET");
	expect(store_new(&store) == 0);
	expect(snapshot_open(store, "drops", &snapshot, &saved, &fault) == 0);
	expect(!fault && !saved.data && saved.size == 0 && !snapshot.kept);
	expect(snapshot_save(&snapshot, &saved) == 0);
	snapshot_close(&snapshot);
	expect(snapshot_open(NULL, "drops", &snapshot, &saved, &fault) == 0);
	snapshot_close(&snapshot);
	store_free(store);
	snapshot_close(&(struct snapshot){ .kept = false });
	expect(__lsan_do_recoverable_leak_check() == 0);
}

TEST_IN_CHILD(alternates)
TEST_IN_CHILD(cut_short)
TEST_IN_CHILD(damaged)
TEST_IN_CHILD(older_damaged)
TEST_IN_CHILD(no_file)
TEST_IN_CHILD(no_room)
TEST_IN_CHILD(by_hand)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alternates_test), cmocka_unit_test(cut_short_test),
		cmocka_unit_test(damaged_test),	   cmocka_unit_test(older_damaged_test),
		cmocka_unit_test(no_file_test),	   cmocka_unit_test(no_room_test),
		cmocka_unit_test(by_hand_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
