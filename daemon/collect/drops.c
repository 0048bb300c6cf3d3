/* SPDX-License-Identifier: BSD-2-Clause */
/* Dropped packets: which function freed them, why, on which device. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>

#include "../kernel/btf.h"
#include "../kernel/devices.h"
#include "../kernel/protocols.h"
#include "../kernel/symbols.h"
#include "../util.h"
#include "bpf/drops.h"
#include "collector.h"
#include "drops.skel.h"

enum {
	SYMBOL,
	MODULE,
	REASON,
	FAMILY,
	PROTOCOL,
	DEVICE,
	LOCATION,
	INTERFACE,
	IFINDEX,
	NETNS,
	REASON_NUMBER,
};

static const struct column columns[] = {
	[SYMBOL] = { .name = "symbol", .help = "function that dropped it" },
	[MODULE] = { .name = "module", .help = "kernel module of the function, or kernel" },
	[REASON] = { .name = "reason", .help = "drop reason, as the running kernel calls it" },
	[FAMILY] = { .name = "family", .help = "ipv4, ipv6, unix, netlink ..., or none" },
	[PROTOCOL] = { .name = "protocol", .help = "tcp, udp, stp, lldp ..., or the ethertype" },
	[DEVICE] = { .name = "device", .help = "network device, or the group it belongs to" },
	[LOCATION] = { .name = "location", .detail = true, .help = "symbol+offset/size [module]" },
	[INTERFACE] = { .name = "interface", .detail = true, .help = "network device itself" },
	[IFINDEX] = { .name = "ifindex", .detail = true, .number = true },
	[NETNS] = { .name = "netns",
		    .detail = true,
		    .number = true,
		    .help = "network namespace's inode, as in /proc/PID/ns/net" },
	[REASON_NUMBER] = { .name = "reason_number", .detail = true, .number = true },
	{ .name = "packets",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_drops",
	  .help = "Packets (socket buffers) that the kernel dropped." },
	{ .name = "wire_packets",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_drop_wire_packets",
	  .help = "Dropped packets as on the wire: a merged (GSO) one counts its segments." },
	{ .name = "bytes",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_BYTES,
	  .metric = "dropscope_drop_bytes",
	  .help = "Bytes of dropped packets, from the layer that dropped them upwards." },
};

static unsigned drops_slots(const struct config *config)
{
	return config->drops_slots;
}

static int drops_open(struct collecting *c, char **ret_reason)
{
	int arguments = kernel_btf_arguments(c->kernel->btf, "kfree_skb"), error;
	struct drops_bpf *skeleton;

	if (arguments < 2)
		return collecting_missing("kfree_skb", ret_reason);
	skeleton = drops_bpf__open();
	if (!skeleton)
		return -ENOMEM;
	skeleton->rodata->slots_per_writer = c->slots_per_writer;
	skeleton->rodata->has_reason = arguments >= 3;
	skeleton->rodata->has_rx_sk = arguments >= 4;
	skeleton->rodata->has_rdonly_cast =
		kernel_btf_has_function(c->kernel->btf, "bpf_rdonly_cast");
	error = collecting_load(c, skeleton->obj, ret_reason);
	drops_bpf__destroy(skeleton);
	return error;
}

static void describe_location(struct symbols *symbols, uint64_t address, struct description *d)
{
	struct symbol symbol;

	symbols_resolve(symbols, address, &symbol);
	description_printf(d, SYMBOL, "%s", symbol.name);
	description_printf(d, MODULE, "%s", symbol.module);
	if (symbol.known)
		description_printf(d, LOCATION, "%s+0x%" PRIx64 "/0x%" PRIx64 " [%s]", symbol.raw,
				   symbol.offset, symbol.size, symbol.module);
	else
		description_printf(d, LOCATION, "%s", symbol.raw);
}

static void drops_describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct collecting *c = userdata;
	const struct drops_slot *slot = data;
	uint32_t reason = slot->key.word[1] >> 32, ifindex = slot->key.word[1];
	uint64_t kind = slot->key.word[3];
	char name[DEVICE_NAME_SIZE], protocol[PROTOCOL_NAME_SIZE], text[REASON_NAME_SIZE];

	describe_location(c->kernel->symbols, slot->key.word[0], d);
	reasons_name(c->kernel->reasons, reason, now, text);
	description_printf(d, REASON, "%s", text);
	description_printf(d, REASON_NUMBER, "%u", reason);
	d->labels[FAMILY] = family_name(kind >> 32 & 0xff);
	protocol_name(kind, protocol);
	description_printf(d, PROTOCOL, "%s", protocol);
	devices_name(c->kernel->devices, slot->netns, ifindex, slot->device, name);
	description_printf(d, DEVICE, "%s", devices_label(c->kernel->devices, name));
	description_printf(d, INTERFACE, "%s", name);
	description_printf(d, IFINDEX, "%u", ifindex);
	if (slot->netns)
		description_printf(d, NETNS, "%u", slot->netns);
}

const struct collector drops_collector = {
	.name = "drops",
	.table = "drops",
	.enabled = offsetof(struct config, drops),
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.n_slot_values = 3,
	.slot_size = sizeof(struct drops_slot),
	.first_seen = offsetof(struct drops_slot, first_seen),
	.writers = 1,
	.slots = drops_slots,
	.open = drops_open,
	.describe = drops_describe,
};
