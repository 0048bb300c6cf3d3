/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who runs: a process, or an interrupt that has borrowed one. */
#pragma once

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define THREAD_STACK (16 << 10) /* THREAD_SIZE of x86-64 and arm64 */
#define PF_KTHREAD 0x00200000

/*
 * On x86, an interrupt of user mode is served on the process's own stack, which is empty then; it
 * leaves no system call's number in the registers there. (bpf_task_pt_regs(): since 5.15; before, the
 * registers are at the stack's end.)
 */
static __always_inline bool in_system_call(const struct task_struct *task, __u64 stack)
{
#ifdef __TARGET_ARCH_x86
	const struct pt_regs *regs =
		(void *)(stack + THREAD_STACK - bpf_core_type_size(struct pt_regs));

#ifndef RAW_TRACEPOINT /* the helpers are for kernels with BTF of their own */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (long)((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()))
			       ->orig_ax >= 0;
#endif
	return (long)BPF_CORE_READ(regs, orig_ax) >= 0;
#else
	return true;
#endif
}

/*
 * The process that runs, when the context is its own: else *ret_pid is 0. Interrupts, and softirqs that
 * are served, run on stacks of their own, but for those above and for ksoftirqd; and a tracepoint's
 * arguments lie on the stack of whoever hit it. The preemption count would tell, too, but only kernels
 * that name their variables (CONFIG_KALLSYMS_ALL) let a program find it. *ret_process is written
 * before it is filled: it is where the verifier lets a pointer become a number.
 */
static __noinline int process_here(void *ctx, __u32 *ret_pid, char ret_process[static 16])
{
	const struct task_struct *task = (void *)bpf_get_current_task();
	__u64 stack = (__u64)BPF_CORE_READ(task, stack), at;
	bool thread = BPF_CORE_READ(task, flags) & PF_KTHREAD;

	*(void *volatile *)ret_process = ctx;
	at = *(volatile __u64 *)ret_process;
	*ret_pid = 0;
	if (at - stack >= THREAD_STACK || (!thread && !in_system_call(task, stack)))
		return 0;
	bpf_get_current_comm(ret_process, 16);
	if (thread && *(const __u64 *)ret_process == *(const __u64 *)"ksoftirq")
		return 0;
	*ret_pid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}
