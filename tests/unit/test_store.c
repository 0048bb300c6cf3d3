/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_manager.h"

/* The sanitizer's; gcc comes without the header. */
extern int __lsan_do_recoverable_leak_check(void);

/* cmocka's report may have opened some: a child begins with the first three. */
static void begin(struct fake_manager *m)
{
	expect(close_range(3, ~0U, 0) == 0);
	manager_open(m);
}

static void expect_message(struct fake_manager *m, const char *expected, int same_as)
{
	char text[512];
	int fd;

	expect(manager_next(m, text, &fd));
	expect(strcmp(text, expected) == 0);
	expect((fd >= 0) == (same_as >= 0));
	if (fd < 0)
		return;
	expect(manager_same(fd, same_as));
	close(fd);
}

static void expect_silence(struct fake_manager *m)
{
	char text[512];
	int fd;

	expect(!manager_next(m, text, &fd));
}

static int make_socket(int type, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	expect(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	expect(!listens || listen(fd, 1) == 0);
	return fd;
}

static void takes(void *userdata)
{
	struct fake_manager m;
	const char *rest;
	struct store *store;
	unsigned before;
	int fd;

	(void)userdata;
	begin(&m);
	manager_keep(&m, "drops.map.slots.1-64x128", manager_file("slots"));
	manager_keep(&m, "drops.map", manager_file("map"));
	manager_keep(&m, "twice", manager_file("first"));
	manager_keep(&m, "twice", manager_file("second"));
	manager_keep(&m, "left", manager_file("left"));
	before = count_descriptors();
	manager_start(&m);
	expect(store_new(&store) == 0);
	/* Out of the environment: whatever is started from here is not meant. */
	expect(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	expect(store_is_kept(store));
	expect(fcntl(3, F_GETFD) & FD_CLOEXEC);

	expect(store_take(store, "drops") == -ENOENT);
	expect(store_take(store, "") == -ENOENT);
	expect(store_peek(store, "drops.map.slots.") == 3);
	fd = store_take(store, "drops.map");
	expect(manager_same(fd, manager_find(&m, "drops.map")));
	close(fd);
	expect(store_take(store, "drops.map") == -ENOENT);
	expect(store_take_prefix(store, "drops.map.slots.x", &rest) == -ENOENT);
	fd = store_take_prefix(store, "drops.map.slots.", &rest);
	expect(fd == 3 && strcmp(rest, "1-64x128") == 0);
	close(fd);
	expect(store_peek(store, "drops.map.slots.") == -ENOENT);
	expect(store_take_prefix(store, "drops.", &rest) == -ENOENT);
	fd = store_take(store, "twice");
	expect(manager_same(fd, m.entries[2].fd));
	close(fd);
	fd = store_take(store, "twice");
	expect(manager_same(fd, m.entries[3].fd));
	close(fd);
	expect(store_take(store, "twice") == -ENOENT);
	/* What nobody has taken is closed, and nothing of all this was the manager's to know. */
	store_free(store);
	expect(count_descriptors() == before);
	expect_silence(&m);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

static void sockets(void *userdata)
{
	struct fake_manager m;
	struct store *store;
	const char *rest;
	int fd;

	(void)userdata;
	begin(&m);
	manager_keep(&m, "a file", manager_file("text"));
	manager_keep(&m, "not listening", make_socket(SOCK_STREAM, false));
	manager_keep(&m, "dropscoped.socket", make_socket(SOCK_STREAM, true));
	manager_keep(&m, "datagrams", make_socket(SOCK_DGRAM, false));
	manager_keep(&m, "dropscoped.socket", make_socket(SOCK_STREAM, true));
	manager_start(&m);
	expect(store_new(&store) == 0);
	/* In the manager's order. */
	expect(store_take_socket(store) == 5);
	expect(store_take_socket(store) == 7);
	expect(store_take_socket(store) == -ENOENT);
	fd = store_take_prefix(store, "", &rest);
	expect(fd == 3 && strcmp(rest, "a file") == 0);
	store_free(store);
}

static void puts_and_removes(void *userdata)
{
	int map = manager_file("map"), moved;
	struct fake_manager m;
	struct store *store;

	(void)userdata;
	moved = fcntl(map, F_DUPFD_CLOEXEC, MANAGER_FIRST);
	expect(close_range(3, MANAGER_FIRST - 1, 0) == 0);
	manager_open(&m);
	manager_keep(&m, "a.1", manager_file("1"));
	manager_keep(&m, "a.2", manager_file("2"));
	manager_keep(&m, "b", manager_file("b"));
	manager_start(&m);
	expect(store_new(&store) == 0);
	expect(store_put(store, "a.new", moved) == 0);
	expect_message(&m, "FDSTORE=1\nFDPOLL=0\nFDNAME=a.new", moved);
	expect(fcntl(moved, F_GETFD) >= 0); /* it stays the caller's */
	expect(store_take(store, "a.new") == -ENOENT);

	expect(store_remove(store, "a") == 0);
	expect_silence(&m);
	expect(store_remove(store, "b") == 0);
	expect_message(&m, "FDSTOREREMOVE=1\nFDNAME=b", -1);
	expect(store_take(store, "b") == -ENOENT);
	expect(fcntl(5, F_GETFD) < 0); /* closed here, too */
	expect(store_remove(store, "b") == 0);
	expect_silence(&m);

	/* What was put here and what came from there, taken or not, each once. */
	expect(store_put(store, "a.new", moved) == 0);
	expect_message(&m, "FDSTORE=1\nFDPOLL=0\nFDNAME=a.new", moved);
	close(store_take(store, "a.1"));
	expect(store_remove_prefix(store, "a.") == 0);
	manager_listen(&m);
	expect(m.messages == 3);
	expect(manager_find(&m, "a.1") < 0 && manager_find(&m, "a.2") < 0);
	expect(store_remove_prefix(store, "") == 0);
	expect_silence(&m);
	store_free(store);
	expect(fcntl(moved, F_GETFD) >= 0);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

/* As long as a name may be, and more of them than there was room for. */
static void names(void *userdata)
{
	char longest[STORE_NAME_SIZE], name[STORE_NAME_SIZE];
	struct fake_manager m;
	struct store *store;
	int file;

	(void)userdata;
	begin(&m);
	manager_start(&m);
	expect(store_new(&store) == 0);
	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	file = manager_file("longest");
	expect(store_put(store, longest, file) == 0);
	close(file);
	manager_listen(&m);
	expect(manager_find(&m, longest) >= 0);
	for (unsigned i = 0; i < MANAGER_MAX - 1; i++) {
		snprintf(name, sizeof(name), "%c%u", 'a' + i / 8, i);
		file = manager_file(name);
		expect(store_put(store, name, file) == 0);
		close(file);
		manager_listen(&m);
	}
	expect(m.n == MANAGER_MAX);
	for (char prefix[] = "a"; prefix[0] < 'a' + MANAGER_MAX / 8; prefix[0]++) {
		expect(store_remove_prefix(store, prefix) == 0);
		manager_listen(&m);
	}
	expect(m.n == 1 && store_remove_prefix(store, "") == 0);
	manager_listen(&m);
	expect(m.n == 0);
	store_free(store);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

/* Nothing comes and nothing goes. */
static void by_hand(void *userdata)
{
	struct fake_manager m;
	struct store *store;
	const char *rest;
	int file;

	(void)userdata;
	begin(&m);
	file = manager_file("text");
	unsetenv("NOTIFY_SOCKET");
	expect(store_new(&store) == 0);
	expect(!store_is_kept(store));
	expect(store_put(store, "name", file) == 0);
	expect(store_remove(store, "name") == 0);
	expect(store_remove_prefix(store, "") == 0);
	expect_silence(&m);
	expect(store_take(store, "name") == -ENOENT);
	expect(store_take_prefix(store, "", &rest) == -ENOENT);
	expect(store_take_socket(store) == -ENOENT);
	store_free(store);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

/* Descriptors for another process are none of ours. */
static void for_another(void *userdata)
{
	struct fake_manager m;
	struct store *store;

	(void)userdata;
	begin(&m);
	manager_keep(&m, "name", manager_file("text"));
	manager_start(&m);
	expect(setenv("LISTEN_PID", "1", 1) == 0);
	expect(store_new(&store) == 0);
	expect(store_take(store, "name") == -ENOENT);
	store_free(store);
	expect(fcntl(3, F_GETFD) >= 0);
}

static void gone(void *userdata)
{
	struct fake_manager m;
	struct store *store;

	(void)userdata;
	begin(&m);
	expect(store_new(&store) == 0);
	close(m.socket);
	expect(store_put(store, "name", 0) == -ECONNREFUSED);
	expect(store_remove(store, "name") == -ECONNREFUSED);
	store_free(store);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

static void none(void **state)
{
	struct store *nothing = NULL;
	const char *rest;

	(void)state;
	assert_false(store_is_kept(NULL));
	assert_int_equal(store_take(NULL, "name"), -ENOENT);
	assert_int_equal(store_take_prefix(NULL, "", &rest), -ENOENT);
	assert_int_equal(store_take_socket(NULL), -ENOENT);
	assert_int_equal(store_peek(NULL, ""), -ENOENT);
	assert_int_equal(store_put(NULL, "name", 0), 0);
	assert_int_equal(store_remove(NULL, "name"), 0);
	assert_int_equal(store_remove_prefix(NULL, ""), 0);
	store_free(NULL);
	store_freep(&nothing);
}

TEST_IN_CHILD(takes)
TEST_IN_CHILD(sockets)
TEST_IN_CHILD(puts_and_removes)
TEST_IN_CHILD(names)
TEST_IN_CHILD(by_hand)
TEST_IN_CHILD(for_another)
TEST_IN_CHILD(gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_test),
		cmocka_unit_test(sockets_test),
		cmocka_unit_test(puts_and_removes_test),
		cmocka_unit_test(names_test),
		cmocka_unit_test(by_hand_test),
		cmocka_unit_test(for_another_test),
		cmocka_unit_test(gone_test),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
