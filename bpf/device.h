/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which device and which network namespace a packet belongs to, as far as its sk_buff can tell. */
#pragma once

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/*
 * skb->dev shares its place with an rb-tree link and with UDP's dev_scratch. It is a device when it
 * is a kernel address (tested first: a load from another address takes a fault, 1 us) and what it
 * points to has an index, a namespace and a name that starts like a name; where the namespace is
 * known from a socket, it must be that one. NULL when it is none.
 */
static __always_inline const struct net_device *packet_device(const struct sk_buff *skb,
							      const struct net *net)
{
	const struct net_device *dev = skb->dev;
	const struct net *dev_net;

	if ((long)dev >= 0 || dev->ifindex <= 0)
		return NULL;
	dev_net = dev->nd_net.net;
	if (net)
		return dev_net == net ? dev : NULL;
	return (long)dev_net < 0 && dev->name[0] > ' ' && dev->name[0] < 0x7f ? dev : NULL;
}
