/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's half of the file-descriptor store: a socket that is told what to keep, and
 * descriptors that it passes on at a start. It changes descriptors from 3 on and the environment:
 * for children only (child.h).
 */
#pragma once

#include "child.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "store.h"

enum { MANAGER_MAX = 32, MANAGER_FIRST = 100 }; /* its own descriptors are beyond those it passes */

struct manager_entry {
	char name[STORE_NAME_SIZE];
	int fd;
};

struct fake_manager {
	int socket;
	struct manager_entry entries[MANAGER_MAX];
	unsigned n;
	unsigned messages; /* since the last start */
};

/* Out of the way of those that are passed on. */
static inline int manager_move(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, MANAGER_FIRST);

	expect(moved >= 0);
	close(fd);
	return moved;
}

/* A name that the kernel picks in the abstract namespace. */
static inline void manager_open(struct fake_manager *m)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	char text[sizeof(address.sun_path) + 1];

	*m = (struct fake_manager){ .n = 0 };
	alarm(30); /* more messages than a socket holds, and nobody listens */
	m->socket = manager_move(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	expect(bind(m->socket, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	expect(getsockname(m->socket, (struct sockaddr *)&address, &size) == 0);
	size -= offsetof(struct sockaddr_un, sun_path);
	memcpy(text, address.sun_path, size);
	text[0] = '@';
	text[size] = '\0';
	expect(setenv("NOTIFY_SOCKET", text, 1) == 0);
}

static inline void manager_keep(struct fake_manager *m, const char *name, int fd)
{
	struct manager_entry *entry = &m->entries[m->n++];

	expect(m->n <= MANAGER_MAX);
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->fd = manager_move(fd);
}

/* One that it has already, under whatever name, it does not keep twice. */
static inline void manager_store(struct fake_manager *m, const char *name, int fd)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, m->entries[i].fd, fd) == 0) {
			close(fd);
			return;
		}
	}
	manager_keep(m, name, fd);
}

static inline void manager_drop(struct fake_manager *m, const char *name)
{
	for (unsigned i = 0; i < m->n;) {
		if (strcmp(m->entries[i].name, name) != 0) {
			i++;
			continue;
		}
		close(m->entries[i].fd);
		m->entries[i] = m->entries[--m->n];
	}
}

/* One message, as it stands, and its descriptor; false: there is none. */
static inline bool manager_next(const struct fake_manager *m, char text[static 512], int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * 2) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec data = { text, 511 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t size = recvmsg(m->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (size < 0)
		return false;
	text[size] = '\0';
	*ret_fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		expect(*ret_fd < 0 && c->cmsg_len == CMSG_LEN(sizeof(int)));
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	}
	return true;
}

/* Does what it has been told. */
static inline void manager_listen(struct fake_manager *m)
{
	char text[512], name[STORE_NAME_SIZE];
	int fd;

	while (manager_next(m, text, &fd)) {
		const char *at = strstr(text, "FDNAME=");

		m->messages++;
		expect(at);
		snprintf(name, sizeof(name), "%s", at + strlen("FDNAME="));
		name[strcspn(name, "\n")] = '\0';
		if (strncmp(text, "FDSTORE=1\n", 10) == 0)
			manager_store(m, name, fd);
		else if (strncmp(text, "FDSTOREREMOVE=1\n", 16) == 0)
			manager_drop(m, name);
	}
}

static inline int manager_find(const struct fake_manager *m, const char *name)
{
	for (unsigned i = 0; i < m->n; i++)
		if (strcmp(m->entries[i].name, name) == 0)
			return m->entries[i].fd;
	return -1;
}

/* What a service finds when it is started: descriptors from 3 on and the environment. */
static inline void manager_start(struct fake_manager *m)
{
	char names[MANAGER_MAX * STORE_NAME_SIZE] = "", number[16];

	manager_listen(m);
	m->messages = 0;
	if (m->n == 0)
		return;
	for (unsigned i = 0; i < m->n; i++) {
		expect(dup3(m->entries[i].fd, 3 + (int)i, O_CLOEXEC) >= 0);
		expect(fcntl(3 + (int)i, F_SETFD, 0) == 0);
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ":" : "",
			 m->entries[i].name);
	}
	snprintf(number, sizeof(number), "%u", m->n);
	expect(setenv("LISTEN_FDS", number, 1) == 0);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	expect(setenv("LISTEN_PID", number, 1) == 0);
	expect(setenv("LISTEN_FDNAMES", names, 1) == 0);
}

/* Whoever starts a probe sends more messages than a socket holds, and nobody listens meanwhile. */
static inline void manager_hold_messages(void)
{
	static const char path[] = "/proc/sys/net/unix/max_dgram_qlen";
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		_exit(CHILD_CANNOT);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "100", 3) != 3)
		_exit(CHILD_CANNOT);
	close(fd);
}

/* A memory file that holds a text. */
static inline int manager_file(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	expect(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static inline bool manager_same(int a, int b)
{
	struct stat of_a, of_b;

	return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
	       of_a.st_ino == of_b.st_ino;
}
