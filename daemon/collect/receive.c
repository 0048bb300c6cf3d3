/* SPDX-License-Identifier: BSD-2-Clause */
/* Received packets: how many, of what, how large. */
#include <bpf/libbpf.h>
#include <errno.h>

#include "../kernel/btf.h"
#include "../kernel/devices.h"
#include "../kernel/protocols.h"
#include "../model/histogram.h"
#include "../util.h"
#include "bpf/receive.h"
#include "collector.h"
#include "receive.skel.h"
#include "receive_raw.skel.h"

enum { DEVICE, FAMILY, PROTOCOL, INTERFACE, IFINDEX, NETNS };

static const struct column columns[] = {
	[DEVICE] = { .name = "device",
		     .brief = true,
		     .help = "network device, or the group it belongs to" },
	[FAMILY] = { .name = "family", .brief = true, .help = "ipv4, ipv6, or none" },
	[PROTOCOL] = { .name = "protocol",
		       .brief = true,
		       .help = "tcp, udp, stp, lldp ..., or the ethertype" },
	[INTERFACE] = { .name = "interface", .detail = true, .help = "network device itself" },
	[IFINDEX] = { .name = "ifindex", .detail = true, .number = true },
	[NETNS] = { .name = "netns",
		    .detail = true,
		    .number = true,
		    .help = "network namespace's inode, as in /proc/PID/ns/net" },
	{ .name = "packets",
	  .kind = COLUMN_COUNTER,
	  .brief = true,
	  .metric = "dropscope_receive_packets",
	  .help = "Packets (socket buffers, after GRO) that devices handed to the protocols." },
	{ .name = "wire_packets",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_receive_wire_packets",
	  .help = "Received packets as on the wire: a merged (GRO) one counts its segments." },
	{ .name = "bytes",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_BYTES,
	  .brief = true,
	  .metric = "dropscope_receive_bytes",
	  .help = "Bytes of received packets, without the link-layer header." },
	{ .name = "packet_size_bytes",
	  .kind = COLUMN_HISTOGRAM,
	  .brief = true,
	  .unit = UNIT_BYTES,
	  .metric = "dropscope_receive_packet_size_bytes",
	  .by = "device",
	  .scale = &histogram_bytes,
	  .help = "Sizes of received packets, after GRO, without the link-layer header." },
};

static unsigned receive_slots(const struct collecting *c, const struct config *config)
{
	(void)c;
	return config->receive_slots;
}

static int receive_open(struct collecting *c, char **ret_reason)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = c->kernel->btf_path);
	struct receive_raw_bpf *raw = NULL;
	struct receive_bpf *skeleton = NULL;
	int error;

	if (kernel_btf_arguments(c->kernel->btf, "netif_receive_skb") < 1)
		return collecting_missing("netif_receive_skb", ret_reason);
	if (c->kernel->gate == GATE_RAW_TP)
		raw = receive_raw_bpf__open_opts(&options);
	else
		skeleton = receive_bpf__open_opts(&options);
	if (!raw && !skeleton)
		return -ENOMEM;
	error = collecting_load(c, raw ? raw->skeleton : skeleton->skeleton, ret_reason);
	receive_bpf__destroy(skeleton);
	receive_raw_bpf__destroy(raw);
	return error;
}

static void receive_describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct collecting *c = userdata;
	const struct receive_slot *slot = data;
	uint32_t ifindex = slot->key.word[0];
	uint64_t kind = slot->key.word[2];
	char name[DEVICE_NAME_SIZE], protocol[PROTOCOL_NAME_SIZE];

	(void)now;
	devices_name(c->kernel->devices, slot->netns, ifindex, slot->device, name);
	description_printf(d, DEVICE, "%s", devices_label(c->kernel->devices, name));
	d->labels[FAMILY] = family_name(kind >> 32 & 0xff);
	protocol_name(kind, protocol);
	description_printf(d, PROTOCOL, "%s", protocol);
	description_printf(d, INTERFACE, "%s", name);
	description_printf(d, IFINDEX, "%u", ifindex);
	description_printf(d, NETNS, "%u", slot->netns);
}

const struct collector receive_collector = {
	.name = "receive",
	.table = "receive",
	.layout = 1,
	.enabled = offsetof(struct config, receive),
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.n_slot_values = 3 + 1 + HISTOGRAM_BYTES_BUCKETS,
	.slot_size = sizeof(struct receive_slot),
	.first_seen = offsetof(struct receive_slot, first_seen),
	.writers = 1,
	.slots = receive_slots,
	.open = receive_open,
	.describe = receive_describe,
};
