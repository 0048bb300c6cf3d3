/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_client.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void unix_socket(void **state)
{
	struct fixture *fixture = *state;
	int fds[SERVER_MAX_CONNECTIONS_PER_ADDRESS], tcp;
	char *addresses[] = { fixture->address, fixture->path };
	char *reason = NULL;
	struct answer answer = {};

	assert_int_equal(server_listen(fixture->server, addresses, 2, &reason), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_unix(fixture);
		assert_serves(fixture, fds[i]);
	}
	ask(fixture, fds[0], "GET /text HTTP/1.1\r\nHost: x\r\n\r\n", &answer);
	assert_int_equal(answer.status, 200);
	/* All its clients are one. */
	assert_closed(fixture, connect_unix(fixture));
	tcp = connect_tcp(fixture);
	assert_serves(fixture, tcp);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(tcp);
	buffer_free(&answer.body);

	/* Its path goes with it. */
	assert_int_equal(access(fixture->path, F_OK), 0);
	listen_on(fixture, fixture->address);
	assert_int_equal(access(fixture->path, F_OK), -1);
}

static void assert_refused(struct fixture *fixture, const char *address, int error,
			   const char *const *in_reason)
{
	char *addresses[] = { (char *)address }, *reason = NULL;

	assert_int_equal(server_listen(fixture->server, addresses, 1, &reason), error);
	assert_non_null(reason);
	assert_non_null(strstr(reason, address));
	for (; *in_reason; in_reason++)
		if (!strstr(reason, *in_reason))
			fail_msg("\"%s\" is not in: %s", *in_reason, reason);
	free(reason);
}

static void a_unix_path_that_is_taken(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *missing = "/tmp/test-server-is-not-there/http";
	char lengthy[200] = "/";

	strcpy(address.sun_path, fixture->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_refused(fixture, fixture->path, -EADDRINUSE,
		       (const char *const[]){ "another dropscoped", "ss -lxp", NULL });

	/* Nobody answers any more. */
	close(fd);
	assert_int_equal(access(fixture->path, F_OK), 0);
	listen_on(fixture, fixture->path);
	fd = connect_unix(fixture);
	assert_serves(fixture, fd);
	close(fd);

	/* A path that is another's by now stays. */
	assert_int_equal(unlink(fixture->path), 0);
	fd = open(fixture->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	listen_on(fixture, fixture->address);
	assert_int_equal(access(fixture->path, F_OK), 0);
	assert_refused(fixture, fixture->path, -EEXIST,
		       (const char *const[]){ "not a socket", NULL });
	assert_int_equal(access(fixture->path, F_OK), 0);

	memset(lengthy + 1, 'a', 150);
	assert_refused(fixture, lengthy, -ENAMETOOLONG, (const char *const[]){ "107", NULL });
	assert_refused(fixture, missing, -ENOENT, (const char *const[]){ "directory", NULL });
}

static void addresses_that_are_none(void **state)
{
	static const char *const wrong[] = {
		"",	      "0",	     "65536",
		"-1",	      "9435x",	     "x:9435",
		"1.2.3:9435", "1.2.3.4",     "1.2.3.4:",
		":9435",      "[::1]",	     "[::1:9435",
		"::1:9435",   "[]:9435",     "[x]:9435",
		"*:",	      "*",	     "relative/path",
		"000009435",  "localhost",   "localhost:http",
		" 9435",      "[::1]x:9435", "09435",
		"/run/",
	};
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_refused(fixture, wrong[i], -EINVAL,
			       (const char *const[]){ "not an address", NULL });
	assert_refused(fixture, "192.0.2.77:9435", -EADDRNOTAVAIL,
		       (const char *const[]){ "no interface", NULL });
}

static void address_in_use(void **state)
{
	struct fixture *fixture = *state;
	char *addresses[] = { fixture->address }, *reason = NULL, how[64], all[32];
	struct server *other = NULL;
	int fd;

	snprintf(how, sizeof(how), "ss -ltnp 'sport = :%u'", fixture->port);
	snprintf(all, sizeof(all), "*:%u", fixture->port);
	assert_int_equal(server_new(fixture->event, handle, NULL, &other), 0);
	assert_int_equal(server_listen(other, addresses, 1, &reason), -EADDRINUSE);
	assert_non_null(strstr(reason, fixture->address));
	assert_non_null(strstr(reason, "9435"));
	assert_non_null(strstr(reason, "cloudflare/ebpf_exporter"));
	assert_non_null(strstr(reason, "another dropscoped"));
	assert_non_null(strstr(reason, how));
	free(reason);
	addresses[0] = all;
	assert_int_equal(server_listen(other, addresses, 1, &reason), -EADDRINUSE);
	assert_non_null(strstr(reason, how));
	free(reason);
	server_free(other);

	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
}

static void all_or_nothing(void **state)
{
	struct fixture *fixture = *state;
	char fresh[32], taken[32], *addresses[] = { fresh, fixture->path, taken }, *reason = NULL;
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	unsigned descriptors;

	assert_int_equal(bind(holder, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(holder, 1), 0);
	assert_int_equal(getsockname(holder, (struct sockaddr *)&address, &size), 0);
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", ntohs(address.sin_port));
	snprintf(fresh, sizeof(fresh), "127.0.0.1:%u", free_port());
	descriptors = count_descriptors();

	assert_int_equal(server_listen(fixture->server, addresses, 3, &reason), -EADDRINUSE);
	assert_non_null(strstr(reason, taken));
	free(reason);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(access(fixture->path, F_OK), -1);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
	close(holder);
}

static void replaces_addresses(void **state)
{
	struct fixture *fixture = *state;
	unsigned first = fixture->port, second = free_port();
	char other[32], again[32], *addresses[] = { other, fixture->address, again },
				   *reason = NULL;
	int old = connect_tcp(fixture), fd, stays;

	assert_serves(fixture, old);
	snprintf(other, sizeof(other), "127.0.0.1:%u", second);
	snprintf(again, sizeof(again), "localhost:%u", first);
	assert_int_equal(server_listen(fixture->server, addresses, 3, &reason), 0);
	fixture->port = second;
	stays = connect_tcp(fixture);
	assert_serves(fixture, stays);

	/* The first goes, its connection does not, and the second is not touched. */
	fd = connect_tcp(fixture);
	assert_int_equal(server_listen(fixture->server, addresses, 1, &reason), 0);
	assert_serves(fixture, fd);
	assert_serves(fixture, stays);
	assert_serves(fixture, old);
	close(fd);
	close(stays);
	close(old);

	assert_int_equal(server_listen(fixture->server, addresses, 0, &reason), 0);
}

/* The new address holds the old one: both must be open for a moment, and nobody else's help. */
static void widens_and_narrows(void **state)
{
	struct fixture *fixture = *state;
	char all[32], *one[] = { all }, *reason = NULL;
	struct server *other = NULL;
	int old = connect_tcp(fixture), fd;

	assert_serves(fixture, old);
	snprintf(all, sizeof(all), "*:%u", fixture->port);
	listen_on(fixture, all);
	assert_serves(fixture, old);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
	listen_on(fixture, fixture->address);
	assert_serves(fixture, old);
	fd = connect_tcp(fixture);
	assert_serves(fixture, fd);
	close(fd);
	close(old);

	/* And a second server finds the port taken afterwards. */
	assert_int_equal(server_new(fixture->event, handle, NULL, &other), 0);
	assert_int_equal(server_listen(other, one, 1, &reason), -EADDRINUSE);
	free(reason);
	server_free(other);
}

static void all_addresses(void **state)
{
	static const char *const forms[] = { "%u", "*:%u", "[::]:%u" };
	struct fixture *fixture = *state;
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)fixture->port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	char address[32];

	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		int fd, sixth = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

		snprintf(address, sizeof(address), forms[i], fixture->port);
		listen_on(fixture, address);
		fd = connect_tcp(fixture);
		assert_serves(fixture, fd);
		close(fd);
		if (sixth >= 0 && connect(sixth, (struct sockaddr *)&to, sizeof(to)) == 0) {
			assert_int_equal(fcntl(sixth, F_SETFL, O_NONBLOCK), 0);
			assert_serves(fixture, sixth);
		} else {
			print_message("no IPv6 here: SKIPPED that half of the test\n");
		}
		if (sixth >= 0)
			close(sixth);
	}
}

/* From here on, this process has no IPv6. */
static void forbid_ipv6(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

static void all_addresses_without_ipv6(void **state)
{
	struct fixture *fixture = *state;
	char all[32], sixth[32], *addresses[] = { all }, *reason = NULL;
	int status;
	pid_t child;

	snprintf(all, sizeof(all), "*:%u", free_port());
	snprintf(sixth, sizeof(sixth), "[::1]:%u", free_port());
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct server *server = NULL;
		sd_event *event = NULL;
		int fd = -1;

		/* No assertions: they would jump back into the parent's tests. */
		forbid_ipv6();
		fixture->port = (unsigned)atoi(all + 2);
		if (sd_event_new(&event) < 0 || server_new(event, handle, NULL, &server) < 0)
			_exit(1);
		if (server_listen(server, addresses, 1, &reason) < 0)
			_exit(2);
		fd = connect_tcp(fixture);
		if (fd < 0 || sd_event_run(event, 1000000) != 1)
			_exit(3);
		addresses[0] = sixth;
		_exit(server_listen(server, addresses, 1, &reason) == -EAFNOSUPPORT ? 0 : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no seccomp filters here: SKIPPED\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void no_descriptors_left(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit before, none;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)fixture->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	unsigned dispatched;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dispatched = turn_for(fixture, 300);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	/* Tried once, and then not at every turn. */
	assert_in_range(dispatched, 1, 3);
	assert_serves(fixture, fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(unix_socket),
		test(a_unix_path_that_is_taken),
		test(addresses_that_are_none),
		test(address_in_use),
		test(all_or_nothing),
		test(replaces_addresses),
		test(widens_and_narrows),
		test(all_addresses),
		test(all_addresses_without_ipv6),
		test(no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
