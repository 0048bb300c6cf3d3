// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A program that does nothing on each tracepoint of interest: what it costs is the cost of
 * being called, and of the clock that the kernel reads around each run while it keeps
 * statistics. Whatever a real program costs above it is its own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "reference.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EMPTY(tracepoint)                                                                          \
	SEC("?tp_btf/" #tracepoint)                                                                \
	int empty_##tracepoint(void *ctx)                                                          \
	{                                                                                          \
		return 0;                                                                          \
	}

EMPTY(kfree_skb)
EMPTY(netif_receive_skb)
EMPTY(tcp_retransmit_skb)
EMPTY(tcp_retransmit_synack)
EMPTY(block_rq_insert)
EMPTY(block_rq_issue)
EMPTY(block_rq_requeue)
EMPTY(block_rq_merge)
EMPTY(block_rq_complete)
