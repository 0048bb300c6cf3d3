/* SPDX-License-Identifier: BSD-2-Clause */
/* Who answers at an address: a child that serves one connection. */
#include "child.h"

#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "check_peer.h"

struct server {
	const char *answer; /* NULL: none, the connection stays open */
	int fd;
	unsigned port;
	pid_t child;
};

static void serve(const struct server *server)
{
	char question[256];
	int client = accept(server->fd, NULL, NULL);

	if (client < 0 || recv(client, question, sizeof(question), 0) <= 0)
		_exit(1);
	if (!server->answer)
		pause();
	_exit(write(client, server->answer, strlen(server->answer)) < 0);
}

static void start(struct server *server)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);

	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->fd >= 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(server->fd, 1), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &size), 0);
	server->port = ntohs(at.sin_port);
	server->child = fork();
	if (server->child == 0)
		serve(server);
}

static void stop(struct server *server)
{
	kill(server->child, SIGTERM);
	waitpid(server->child, NULL, 0);
	close(server->fd);
}

static bool is_dropscoped(const char *host, const char *answer)
{
	struct server server = { .answer = answer };
	char address[64];
	bool is;

	start(&server);
	snprintf(address, sizeof(address), "%s%u", host, server.port);
	is = peer_is_dropscoped(address);
	stop(&server);
	return is;
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

static void healthy(void **state)
{
	(void)state;
	assert_true(is_dropscoped("127.0.0.1:", HEAD "{\"healthy\": true}\n"));
	assert_true(is_dropscoped("localhost:", HEAD "{\"healthy\": true}\n"));
	/* All addresses: IPv6 is asked first, where nobody listens. */
	assert_true(is_dropscoped("", HEAD "{\"healthy\": true}\n"));
	assert_true(is_dropscoped("*:", HEAD "{\"healthy\": true}\n"));
}

static void somebody_else(void **state)
{
	(void)state;
	assert_false(is_dropscoped("127.0.0.1:", HEAD "Prometheus Server is Healthy.\n"));
	assert_false(
		is_dropscoped("127.0.0.1:", "HTTP/1.1 404 Not Found\r\n\r\n{\"healthy\": true}\n"));
	assert_false(is_dropscoped("127.0.0.1:", "SSH-2.0-OpenSSH_9.2\r\n"));
	assert_false(is_dropscoped("127.0.0.1:", ""));
	assert_false(peer_is_dropscoped("127.0.0.1:1"));
	assert_false(peer_is_dropscoped("/nowhere/socket"));
	assert_false(peer_is_dropscoped("no address"));
}

static void silent(void **state)
{
	(void)state;
	assert_false(is_dropscoped("127.0.0.1:", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy),
		cmocka_unit_test(somebody_else),
		cmocka_unit_test(silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
