/* SPDX-License-Identifier: BSD-2-Clause */
/* What the numbers in a packet's kind (bpf/packet.h) are called. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_NAME_SIZE = 24 };

/*
 * The protocol that a reader would name: that above IP ("udp"), or the link-layer one ("stp",
 * "lldp"), "0x88b5" for an ethertype without a name here, "none" for packets that never had one
 * (unix sockets), "unknown" where the IP header could not be read.
 */
void protocol_name(uint64_t kind, char name[static PROTOCOL_NAME_SIZE]);

/* Which bits of a kind must be which. */
struct protocol_bits {
	uint64_t kind, mask;
};

enum { PROTOCOL_MAX_BITS = 8 };

/*
 * The other way round: what the kinds of a protocol's packets have in common, by any of the names
 * above, an IP protocol's number or an ethertype in hexadecimal ("0x88b5"). Some names stand for
 * several: one of them must fit. How many, or -EINVAL.
 */
int protocol_parse(const char *name, struct protocol_bits ret_bits[static PROTOCOL_MAX_BITS]);

/* "ipv4", "ipv6", "unix", ...; "none" for a packet of no socket family. */
const char *family_name(unsigned family);

/* "ESTABLISHED" ...; a request that waits for its handshake is SYN_RECV, too. */
const char *tcp_state_name(unsigned state);
