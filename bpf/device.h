/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which device and which network namespace a packet belongs to, as far as its sk_buff can tell. */
#pragma once

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* A namespace's cookie, which is never used again; where the kernel has none as a number (before
 * 5.12), its inode, which may be. */
static __always_inline __u64 net_identity(const struct net *net)
{
	return bpf_core_field_exists(net->net_cookie) ? GET(net, net_cookie) : GET(net, ns.inum);
}

/*
 * skb->dev shares its place with an rb-tree link and with UDP's dev_scratch. It is a device when it
 * is a kernel address (tested first: a load from another address takes a fault, 1 us), and what it
 * points to has an index and an ASCII name. A link leads to another sk_buff, where those places are
 * its padding or its neighbour: a pointer there has upper bytes that no such name has. NULL when it
 * is none.
 */
static __always_inline const struct net_device *packet_device(const struct sk_buff *skb)
{
	const struct net_device *dev = GET(READ_ONLY(skb), dev);
	__u64 name;

	if ((long)dev >= 0 || GET(dev, ifindex) <= 0)
		return NULL;
	name = GET_WORD(dev, name);
	return (name & 0xff) > ' ' && !(name & 0x8080808080808080) ? dev : NULL;
}
