/* SPDX-License-Identifier: BSD-2-Clause */
#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sets {
	uint64_t effective, permitted, inheritable;
};

static uint64_t bit(unsigned capability)
{
	return 1ULL << capability;
}

static int get(struct sets *ret_sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*ret_sets = (struct sets){
		.effective = (uint64_t)data[1].effective << 32 | data[0].effective,
		.permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted,
		.inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable,
	};
	return 0;
}

static int set(const struct sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ sets->effective, sets->permitted, sets->inheritable },
		{ sets->effective >> 32, sets->permitted >> 32, sets->inheritable >> 32 },
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Leaves these of the permitted ones, in force or not. Ambient ones go with the inheritable ones. */
static int change(uint64_t kept, bool in_force)
{
	struct sets sets = { .effective = 0 };
	int error;

	if (geteuid() == 0)
		return 0;
	error = get(&sets);
	if (error)
		return error;
	if (sets.permitted & bit(CAP_BPF))
		kept &= ~bit(CAP_SYS_ADMIN);
	sets = (struct sets){ .permitted = sets.permitted & kept };
	sets.effective = in_force ? sets.permitted : 0;
	return set(&sets);
}

int privileges_keep(bool syslog)
{
	uint64_t kept = bit(CAP_BPF) | bit(CAP_PERFMON) | bit(CAP_SYS_ADMIN);

	return change(syslog ? kept | bit(CAP_SYSLOG) : kept, false);
}

int privileges_use(bool on)
{
	return change(UINT64_MAX, on);
}
