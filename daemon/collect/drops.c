/* SPDX-License-Identifier: BSD-2-Clause */
/* Dropped packets: which function freed them, why, on which device. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>

#include "../kernel/btf.h"
#include "../kernel/devices.h"
#include "../kernel/features.h"
#include "../kernel/hints.h"
#include "../kernel/protocols.h"
#include "../kernel/symbols.h"
#include "../log.h"
#include "../util.h"
#include "bpf/drops.h"
#include "bpf/live.h"
#include "collector.h"
#include "drops.skel.h"
#include "drops_raw.skel.h"

enum {
	SYMBOL,
	MODULE,
	REASON,
	CLASS,
	LOCATION,
	FAMILY,
	PROTOCOL,
	DEVICE,
	INTERFACE,
	IFINDEX,
	NETNS,
	REASON_NUMBER,
	MEANING,
	CHECK,
};

static const struct column columns[] = {
	[SYMBOL] = { .name = "symbol", .help = "function that dropped it" },
	[MODULE] = { .name = "module", .help = "kernel module of the function, or kernel" },
	[REASON] = { .name = "reason",
		     .brief = true,
		     .help = "drop reason, as the running kernel calls it" },
	[CLASS] = { .name = "class",
		    .borrowed = true,
		    .brief = true,
		    .order = hint_classes,
		    .help = "what kind of trouble it is: resource, routing ..." },
	[LOCATION] = { .name = "location",
		       .detail = true,
		       .brief = true,
		       .help = "symbol+offset/size [module]" },
	[FAMILY] = { .name = "family", .help = "ipv4, ipv6, unix, netlink ..., or none" },
	[PROTOCOL] = { .name = "protocol",
		       .brief = true,
		       .help = "tcp, udp, stp, lldp ..., or the ethertype" },
	[DEVICE] = { .name = "device",
		     .brief = true,
		     .help = "network device, or the group it belongs to" },
	[INTERFACE] = { .name = "interface", .detail = true, .help = "network device itself" },
	[IFINDEX] = { .name = "ifindex", .detail = true, .number = true },
	[NETNS] = { .name = "netns",
		    .detail = true,
		    .number = true,
		    .help = "network namespace's inode, as in /proc/PID/ns/net" },
	[REASON_NUMBER] = { .name = "reason_number", .detail = true, .number = true },
	[MEANING] = { .name = "meaning",
		      .detail = true,
		      .borrowed = true,
		      .prose = true,
		      .help = "what the kernel has decided" },
	[CHECK] = { .name = "check",
		    .detail = true,
		    .borrowed = true,
		    .prose = true,
		    .help = "where to look next" },
	{ .name = "packets",
	  .kind = COLUMN_COUNTER,
	  .brief = true,
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

static unsigned drops_slots(const struct collecting *c, const struct config *config)
{
	(void)c;
	return config->drops_slots;
}

/* Is there nothing to be had from tcp_drop(), as it hits kfree_skb? Its reasons came with that. */
static bool tcp_drop_is_traced(const struct btf *btf)
{
	return kernel_btf_enumerator(btf, "skb_drop_reason", "SKB_DROP_REASON_TCP_OFOMERGE") >= 0;
}

static unsigned not_specified(const struct btf *btf)
{
	int number = kernel_btf_enumerator(btf, "skb_drop_reason", "SKB_DROP_REASON_NOT_SPECIFIED");

	return number < 0 ? 0 : number;
}

/* Where it does not: can it be entered? Notes why not. */
static bool tcp_drop_is_entered(struct collecting *c)
{
	static const char unseen[] = "tcp_drop() frees packets without a tracepoint (until Linux "
				     "5.18)",
			  so[] = "what TCP drops for its own reasons is not seen";
	int error = 0;

	if (c->detouring) /* which stands in for what there is */
		return probe_has_program(&c->probe, "drops_tcp_drop");
	if (!kernel_btf_has_function(c->kernel->btf, "tcp_drop"))
		collecting_lacks(c, "tcp_drop",
				 "%s, and is inlined in this kernel, so that nothing can attach to "
				 "it: %s",
				 unseen, so);
	else if (c->kernel->gate == GATE_RAW_TP)
		collecting_lacks(
			c, "tcp_drop",
			"%s, and without the kernel's own BTF nothing can attach to it: %s", unseen,
			so);
	else if (kernel_can_enter(c->kernel->btf, "tcp_drop", 2, &error))
		return true;
	else
		collecting_lacks(c, "tcp_drop", "%s, and no program can be attached to it (%s): %s",
				 unseen, strerror(-error), so);
	return false;
}

static void drops_note(struct collecting *c, int arguments)
{
	if (arguments < 3)
		collecting_lacks(c, "reason",
				 "kfree_skb passes no reason (Linux 5.17 and later do): reason is "
				 "empty, symbols tell where");
	if (arguments < 4)
		collecting_lacks(
			c, "socket",
			"kfree_skb does not pass the socket that a packet was meant for "
			"(Linux 6.11 and later do): without a device its network namespace "
			"may be unknown");
}

/* Samples of one slot are so far apart. */
enum { STACK_NANOSECONDS = 250000000 };

static unsigned stack_ticks(const struct collecting *c)
{
	uint64_t tick = kernel_tick_nanoseconds();

	return c->kernel->config->drops_stacks ? (STACK_NANOSECONDS + tick - 1) / tick : 0;
}

static int drops_open(struct collecting *c, char **ret_reason)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = c->kernel->btf_path);
	int arguments = kernel_btf_arguments(c->kernel->btf, "kfree_skb"), error;
	struct bpf_object_skeleton *of_both;
	struct drops_raw_bpf *raw = NULL;
	struct drops_bpf *skeleton = NULL;

	if (arguments < 2)
		return collecting_missing("kfree_skb", ret_reason);
	drops_note(c, arguments);
	c->programs_nest = !tcp_drop_is_traced(c->kernel->btf) && tcp_drop_is_entered(c);
	if (c->kernel->gate == GATE_RAW_TP)
		raw = drops_raw_bpf__open_opts(&options);
	else
		skeleton = drops_bpf__open_opts(&options);
	if (!raw && !skeleton)
		return -ENOMEM;
	of_both = raw ? raw->skeleton : skeleton->skeleton;
	constant_set(*of_both->obj, "not_specified", not_specified(c->kernel->btf));
	if (skeleton && !c->detouring)
		bpf_program__set_autoload(skeleton->progs.drops_tcp_drop, c->programs_nest);
	constant_set(*of_both->obj, "has_reason", arguments >= 3);
	constant_set(*of_both->obj, "has_rx_sk", arguments >= 4);
	constant_set(*of_both->obj, "stack_ticks", stack_ticks(c));
	error = collecting_load(c, of_both, ret_reason);
	if (!error && c->programs_nest && !c->detouring)
		log_info(
			"drops: tcp_drop() frees packets without a tracepoint in this kernel: what "
			"TCP drops for its own reasons is counted at its entry (fentry)");
	drops_bpf__destroy(skeleton);
	drops_raw_bpf__destroy(raw);
	return error;
}

static void describe_location(struct symbols *symbols, uint64_t address, struct description *d)
{
	char text[SYMBOL_TEXT_SIZE];
	struct symbol symbol;

	symbols_resolve(symbols, address, &symbol);
	symbol_print(&symbol, text);
	description_printf(d, SYMBOL, "%s", symbol.name);
	description_printf(d, MODULE, "%s", symbol.module);
	description_printf(d, LOCATION, "%s", text);
}

static void drops_explain(const struct kernel *kernel, const char **labels)
{
	struct explanation explanation;

	hints_find(kernel->hints, labels[SYMBOL], labels[REASON], labels[PROTOCOL], &explanation);
	labels[CLASS] = explanation.class;
	labels[MEANING] = explanation.meaning;
	labels[CHECK] = explanation.check;
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
	drops_explain(c->kernel, d->labels);
}

enum { SOCKET_STATE };

static const struct column event_columns[] = {
	[SOCKET_STATE] = { .name = "socket_state" },
};

static void drops_describe_event(struct collecting *c, const struct live_event *event, void **state,
				 struct description *d)
{
	(void)c;
	(void)state;
	if (event->socket_state)
		d->labels[SOCKET_STATE] = tcp_state_name(event->socket_state);
}

static uint64_t drops_location(const struct slot_key *key)
{
	return key->word[0];
}

static const struct live_source drops_live = {
	.n_values = 3,
	.skip = offsetof(struct drops_slot, skip),
	.columns = event_columns,
	.n_columns = ARRAY_SIZE(event_columns),
	.describe = drops_describe_event,
	.location = drops_location,
};

const struct collector drops_collector = {
	.name = "drops",
	.table = "drops",
	.layout = 1,
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
	.explain = drops_explain,
	.live = &drops_live,
	.samples_stacks = true,
};
