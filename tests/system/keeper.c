/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper DIRECTORY COMMAND [ARG...]
 *
 * Plays the service manager for one service, as far as its file-descriptor store goes: runs COMMAND
 * with a NOTIFY_SOCKET, keeps the descriptors that it sends (FDSTORE=1, FDNAME, FDSTOREREMOVE=1), and
 * runs it again with them whenever it ends. In DIRECTORY are, each made anew when it changes:
 *
 *	pid	of the running command
 *	ready	how often a command has said READY=1
 *	names	of the descriptors that are kept, sorted, one a line
 *	foreign	if it is there at a start: its descriptor is passed on too, under the name "foreign"
 *	replace	if it is there at a start: it is passed in the place of each descriptor whose name begins
 *		with the one line that it holds
 *
 * SIGTERM ends the command and then the keeper, which drops everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tool.h"

enum { MAX_KEPT = 256, FIRST_FD = 3 };

static struct kept {
	char name[256];
	int fd;
} kept[MAX_KEPT];
static int n_kept, n_ready;
static const char *directory;

static FILE *open_file(const char *name)
{
	static char path[512], temporary[520];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "we");
	if (!file)
		die("%s", temporary);
	return file;
}

static void close_file(FILE *file, const char *name)
{
	char path[512], temporary[520];

	fclose(file);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (rename(temporary, path) < 0)
		die("%s", path);
}

static void write_number(const char *name, int number)
{
	FILE *file = open_file(name);

	fprintf(file, "%d\n", number);
	close_file(file, name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

static void write_names(void)
{
	FILE *file = open_file("names");

	qsort(kept, n_kept, sizeof(kept[0]), by_name);
	for (int i = 0; i < n_kept; i++)
		fprintf(file, "%s\n", kept[i].name);
	close_file(file, "names");
}

static void keep(const char *name, int fd)
{
	for (int i = 0; i < n_kept; i++) {
		if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, kept[i].fd, fd) == 0) {
			close(fd);
			return;
		}
	}
	if (n_kept == MAX_KEPT)
		die("more than %d descriptors", MAX_KEPT);
	snprintf(kept[n_kept].name, sizeof(kept[0].name), "%s", name);
	kept[n_kept++].fd = fd;
}

static void drop(const char *name)
{
	for (int i = n_kept - 1; i >= 0; i--) {
		if (strcmp(kept[i].name, name) != 0)
			continue;
		close(kept[i].fd);
		kept[i] = kept[--n_kept];
	}
}

static void receive(int notify)
{
	char text[4096], control[CMSG_SPACE(16 * sizeof(int))], *name, *end;
	struct iovec data = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t size = recvmsg(notify, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c;

	if (size < 0)
		return;
	text[size] = '\0';
	name = strstr(text, "FDNAME=");
	end = name ? strchr(name, '\n') : NULL;
	if (end && strncmp(text, "READY", 5) != 0)
		*end = '\0';
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		int fd;

		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (c->cmsg_type == SCM_RIGHTS && name && strstr(text, "FDSTORE=1"))
			keep(name + 7, fd);
		else if (c->cmsg_type == SCM_RIGHTS)
			close(fd);
	}
	if (strstr(text, "FDSTOREREMOVE=1") && name)
		drop(name + 7);
	write_names();
	if (strstr(text, "READY=1"))
		write_number("ready", ++n_ready);
}

/* The line that the file `replace` holds, or "". */
static void read_line(const char *name, char *line, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	line[0] = '\0';
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

/* In the child: descriptors from FIRST_FD on, and what sd_listen_fds() wants to see. */
static void pass_on(void)
{
	static char names[MAX_KEPT * 257];
	int moved[MAX_KEPT + 1], n = 0;
	char text[16], replaced[256];
	char path[512];

	read_line("replace", replaced, sizeof(replaced));
	snprintf(path, sizeof(path), "%s/replace", directory);
	for (int i = 0; i < n_kept; i++) {
		int other = -1;

		if (replaced[0] && strncmp(kept[i].name, replaced, strlen(replaced)) == 0)
			other = open(path, O_RDWR);
		moved[n++] = fcntl(other >= 0 ? other : kept[i].fd, F_DUPFD_CLOEXEC, 2 * MAX_KEPT);
		strcat(names, n > 1 ? ":" : "");
		strcat(names, kept[i].name);
	}
	snprintf(path, sizeof(path), "%s/foreign", directory);
	if (access(path, F_OK) == 0) {
		moved[n++] = fcntl(open(path, O_RDWR), F_DUPFD_CLOEXEC, 2 * MAX_KEPT);
		strcat(names, n > 1 ? ":foreign" : "foreign");
	}
	for (int i = 0; i < n; i++)
		if (dup2(moved[i], FIRST_FD + i) < 0)
			die("dup2");
	if (n == 0)
		return;
	snprintf(text, sizeof(text), "%d", n);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static pid_t start(char **command)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		pass_on();
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(command[0], command);
		die("%s", command[0]);
	}
	write_number("pid", pid);
	return pid;
}

static int open_notify(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 1 << 20;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("%s", address.sun_path);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	return fd;
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	struct pollfd polled[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool ending = false;
	sigset_t signals;
	pid_t pid;

	if (argc < 3)
		die("usage: keeper DIRECTORY COMMAND [ARG...]");
	directory = argv[1];
	polled[0].fd = open_notify();
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	polled[1].fd = signalfd(-1, &signals, SFD_CLOEXEC);
	write_names();
	pid = start(argv + 2);
	for (;;) {
		poll(polled, 2, -1);
		/* What the command has said before it ended comes first. */
		while (polled[0].revents && poll(polled, 1, 0) > 0)
			receive(polled[0].fd);
		if (!polled[1].revents || read(polled[1].fd, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGTERM) {
			ending = true;
			kill(pid, SIGTERM);
			continue;
		}
		while (poll(polled, 1, 0) > 0)
			receive(polled[0].fd);
		if (waitpid(pid, NULL, WNOHANG) != pid)
			continue;
		if (ending)
			return 0;
		pid = start(argv + 2);
	}
}
