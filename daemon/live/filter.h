/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters over packets, as a listener writes them, made into the terms that the kernel works through
 * (bpf/live.h):
 *
 *	proto=NAME		tcp, udp, icmp, arp, stp ... (protocols.h), a number of an IP protocol,
 *				0x88b5 for an ethertype, or all
 *	addr=ADDRESS		source or destination: IPv4 or IPv6, or a network, ADDRESS/PREFIX
 *	saddr=, daddr=		the source alone, the destination alone
 *	port=PORT, sport=, dport=	the same with ports
 *
 * Several values, separated by commas or in further parameters of the name, mean "one of them";
 * parameters of different names must all hold. A packet without addresses or ports meets no filter
 * over them.
 */
#pragma once

#include <stdbool.h>

#include "../model/query_parameters.h"
#include "bpf/live.h"

/* Is it the name of one of these? */
bool filter_is(const char *name);
/* Does it look at addresses? */
bool filter_is_address(const char *name);
/* Their names, for a refusal. */
void filter_allow(struct query_error *error);

/* Takes one parameter into filter->terms. 0, or -EINVAL with *ret_error filled. */
int filter_take(struct live_subscriber *filter, const char *name, const char *value,
		struct query_error *ret_error);

/* "10.9.1.2", "2001:db8::1", or "" for none. */
enum { FILTER_ADDRESS_SIZE = 48 };
void filter_print_address(const struct live_address *address,
			  char text[static FILTER_ADDRESS_SIZE]);
