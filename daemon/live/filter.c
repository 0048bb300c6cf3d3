/* SPDX-License-Identifier: BSD-2-Clause */
#include "filter.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../kernel/protocols.h"
#include "../util.h"

enum { MAX_VALUE = 64 /* bytes of one address, port or protocol */ };

static const char address_allowed[] = "an IPv4 or IPv6 address, or ADDRESS/PREFIX";
static const char port_allowed[] = "1 to 65535";
static const char protocol_allowed[] =
	"all, tcp, udp, icmp, icmpv6, sctp, arp, stp, lldp ..., an IP protocol's number, or an "
	"ethertype (0x88b5)";

struct parameter {
	const char *name;
	unsigned group;
	int (*take)(struct live_subscriber *filter, const struct parameter *parameter,
		    const char *value);
	bool source, destination;
	const char *what, *allowed;
};

/* 0; -E2BIG: no room for another. */
static int add(struct live_subscriber *filter, const struct parameter *parameter,
	       enum live_words word, const __u64 value[2], const __u64 mask[2])
{
	struct live_term *term = &filter->terms[filter->n_terms];

	if (filter->n_terms == LIVE_TERMS)
		return -E2BIG;
	*term = (struct live_term){
		.value = { value[0] & mask[0], value[1] & mask[1] },
		.mask = { mask[0], mask[1] },
		.word = word,
		.group = parameter->group,
	};
	filter->n_terms++;
	filter->groups |= parameter->group;
	if (word != LIVE_KIND)
		filter->looks |= LIVE_ADDRESSES;
	else if (mask[1])
		filter->looks |= LIVE_PORTS;
	return 0;
}

/* The family, too: as IPv6, IPv4 is a part of ::/0. */
static int add_side(struct live_subscriber *filter, const struct parameter *parameter,
		    enum live_words word, unsigned family, const struct live_address *address,
		    const struct live_address *mask)
{
	int error = add(filter, parameter, word, address->halves, mask->halves);

	if (error)
		return error;
	filter->terms[filter->n_terms - 1].family = family;
	filter->terms[filter->n_terms - 1].family_mask = 0xff;
	return 0;
}

static int add_sides(struct live_subscriber *filter, const struct parameter *parameter,
		     unsigned family, const struct live_address *address,
		     const struct live_address *mask)
{
	int error = 0;

	if (parameter->source)
		error = add_side(filter, parameter, LIVE_SOURCE, family, address, mask);
	if (parameter->destination && !error)
		error = add_side(filter, parameter, LIVE_DESTINATION, family, address, mask);
	return error;
}

/* Both families as one: IPv4 is ::ffff:0:0/96, and may be written so. */
static bool is_ipv4(const struct live_address *address)
{
	return !address->halves[0] && address->words[2] == htonl(0xffff);
}

/* *ret_bits: of an address as it is written. */
static int parse_address(const char *text, struct live_address *ret_address, unsigned *ret_bits)
{
	struct live_address address = { .halves = { 0, 0 } };

	if (inet_pton(AF_INET, text, &address.words[3]) == 1) {
		address.words[2] = htonl(0xffff);
		*ret_bits = 32;
	} else if (inet_pton(AF_INET6, text, address.bytes) == 1) {
		*ret_bits = 128;
	} else {
		return -EINVAL;
	}
	*ret_address = address;
	return 0;
}

static int parse_number(const char *text, unsigned long most, int base, unsigned *ret_number)
{
	unsigned long number;
	char *end;

	if (!*text ||
	    strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789") != strlen(text))
		return -EINVAL;
	errno = 0;
	number = strtoul(text, &end, base);
	if (errno || number > most)
		return -EINVAL;
	*ret_number = (unsigned)number;
	return 0;
}

static int take_address(struct live_subscriber *filter, const struct parameter *parameter,
			const char *value)
{
	struct live_address address, mask = { .halves = { 0, 0 } };
	char text[MAX_VALUE];
	unsigned width, bits;
	char *slash;

	snprintf(text, sizeof(text), "%s", value);
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	if (parse_address(text, &address, &width) < 0)
		return -EINVAL;
	bits = width;
	if (slash && parse_number(slash, width, 10, &bits) < 0)
		return -EINVAL;
	/* Of IPv4 the bits before it, too: a packet without addresses has none of them. */
	bits += 128 - width;
	for (unsigned i = 0; i < bits; i++)
		mask.bytes[i / 8] |= 0x80 >> i % 8;
	return add_sides(filter, parameter, is_ipv4(&address) && bits >= 96 ? AF_INET : AF_INET6,
			 &address, &mask);
}

static int take_port(struct live_subscriber *filter, const struct parameter *parameter,
		     const char *value)
{
	int error = 0;
	unsigned port;

	if (parse_number(value, 65535, 10, &port) < 0 || port == 0)
		return -EINVAL;
	for (int source = 1; source >= 0 && !error; source--) {
		const __u64 wanted[] = { 0, source ? PORTS(port, 0) : PORTS(0, port) };
		const __u64 mask[] = { 0, source ? PORTS(0xffff, 0) : PORTS(0, 0xffff) };

		if (source ? parameter->source : parameter->destination)
			error = add(filter, parameter, LIVE_KIND, wanted, mask);
	}
	return error;
}

static int take_protocol(struct live_subscriber *filter, const struct parameter *parameter,
			 const char *value)
{
	/* "all" is one bit pattern, too: none. */
	struct protocol_bits bits[PROTOCOL_MAX_BITS] = { { 0, 0 } };
	int n = strcmp(value, "all") == 0 ? 1 : protocol_parse(value, bits), error = 0;

	for (int i = 0; i < n && !error; i++) {
		const __u64 kind[2] = { bits[i].kind, 0 }, mask[2] = { bits[i].mask, 0 };

		error = add(filter, parameter, LIVE_KIND, kind, mask);
	}
	return n < 0 ? n : error;
}

static const struct parameter parameters[] = {
	{ "proto", 1, take_protocol, false, false, "a protocol", protocol_allowed },
	{ "addr", 2, take_address, true, true, "an address", address_allowed },
	{ "saddr", 4, take_address, true, false, "an address", address_allowed },
	{ "daddr", 8, take_address, false, true, "an address", address_allowed },
	{ "port", 16, take_port, true, true, "a port", port_allowed },
	{ "sport", 32, take_port, true, false, "a port", port_allowed },
	{ "dport", 64, take_port, false, true, "a port", port_allowed },
};

static const struct parameter *find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++)
		if (strcmp(parameters[i].name, name) == 0)
			return &parameters[i];
	return NULL;
}

bool filter_is(const char *name)
{
	return find(name) != NULL;
}

bool filter_is_address(const char *name)
{
	const struct parameter *parameter = find(name);

	return parameter && parameter->take == take_address;
}

void filter_allow(struct query_error *error)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++)
		error->allowed[error->n_allowed++] = parameters[i].name;
}

/* One of the values between the commas. */
static int take_item(struct live_subscriber *filter, const struct parameter *parameter,
		     const char *item, size_t size, struct query_error *ret_error)
{
	char text[MAX_VALUE], message[160], most[64];
	int error = -EINVAL;

	if (size > 0 && size < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", (int)size, item);
		error = parameter->take(filter, parameter, text);
	}
	if (error == -E2BIG) {
		snprintf(most, sizeof(most), "at most %u, an addr or a port counts twice",
			 LIVE_TERMS);
		return query_refuse(ret_error, parameter->name, "too many values", most);
	}
	if (!error)
		return 0;
	snprintf(message, sizeof(message), "not %s: \"%.*s\"", parameter->what,
		 size > 64 ? 64 : (int)size, item);
	return query_refuse(ret_error, parameter->name, message, parameter->allowed);
}

int filter_take(struct live_subscriber *filter, const char *name, const char *value,
		struct query_error *ret_error)
{
	const struct parameter *parameter = find(name);
	int error;

	for (const char *item = value;; item++) {
		size_t size = strcspn(item, ",");

		error = take_item(filter, parameter, item, size, ret_error);
		item += size;
		if (error || !*item)
			return error;
	}
}

void filter_print_address(const struct live_address *address, char text[static FILTER_ADDRESS_SIZE])
{
	text[0] = '\0';
	if (!address->halves[0] && !address->halves[1])
		return;
	if (is_ipv4(address))
		inet_ntop(AF_INET, &address->words[3], text, FILTER_ADDRESS_SIZE);
	else
		inet_ntop(AF_INET6, address->bytes, text, FILTER_ADDRESS_SIZE);
}
