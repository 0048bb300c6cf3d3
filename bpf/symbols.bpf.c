// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Names for return addresses, from the kernel's own tables: a program that user space runs by hand.
 * It spares the daemon the reading of /proc/kallsyms (40 ms, 4 MB) and CAP_SYSLOG. */
#include <linux/bpf.h>
#include <stdbool.h>

#include "symbols.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 address;
char name[SYMBOLS_TEXT];

/* %pB: the symbol that the call before a return address is in, as backtraces print it. */
SEC("syscall")
int resolve(void *ctx)
{
	BPF_SNPRINTF(name, sizeof(name), "%pB", (void *)address);
	return 0;
}
