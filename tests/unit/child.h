/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests that change what there is no way back from (namespaces, filters of system calls): each in a
 * child. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util.h"

enum { CHILD_FAILED = 1, CHILD_CANNOT = 200 };

/* cmocka's assertions would go on with the parent's tests. */
#define expect(condition)                                                                \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
				#condition);                                             \
			_exit(CHILD_FAILED);                                             \
		}                                                                        \
	} while (0)

/* Of this process; one more is the directory that is read. */
static inline unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!directory)
		abort();
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

/* From here on the system call fails with this error. */
static inline void child_refuse(unsigned call, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(CHILD_CANNOT);
}

/* From here on the directory is empty, and the test's to fill. */
static inline void child_replace(const char *directory)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", directory, "tmpfs", 0, NULL) < 0)
		_exit(CHILD_CANNOT);
}

static inline void in_a_child(void (*test)(void *userdata), void *userdata)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		test(userdata);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_CANNOT) {
		print_message(
			"no mount namespaces or seccomp filters here (root has them): SKIPPED\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* function_test(): the same as a test. */
#define TEST_IN_CHILD(function)                   \
	static void function##_test(void **state) \
	{                                         \
		(void)state;                      \
		in_a_child(function, NULL);       \
	}
