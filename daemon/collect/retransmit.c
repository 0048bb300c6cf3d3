/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP segments that were sent again, by what made TCP do so. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <time.h>

#include "../kernel/btf.h"
#include "../kernel/protocols.h"
#include "../model/histogram.h"
#include "../util.h"
#include "bpf/retransmit.h"
#include "collector.h"
#include "retransmit.skel.h"

enum { CAUSE, STATE, FAMILY };

static const struct column columns[] = {
	[CAUSE] = { .name = "cause",
		    .help = "rto, fast, tlp, syn, synack, loss_recovery, "
			    "zero_window_probe, other" },
	[STATE] = { .name = "state", .help = "TCP state of the socket" },
	[FAMILY] = { .name = "family", .help = "ipv4, ipv6" },
	{ .name = "retransmits",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_tcp_retransmits",
	  .help = "TCP segments sent again." },
	{ .name = "failures",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_tcp_retransmit_failures",
	  .help = "Retransmits that could not be sent (kernels since 6.18 tell)." },
	{ .name = "timeout_seconds",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_tcp_retransmit_timeout_seconds",
	  .by = "cause",
	  .scale = &histogram_seconds,
	  .help = "Retransmission timeout (RTO) in force when a segment was sent again." },
};

static const char *const causes[RETRANSMIT_CAUSES] = {
	[RETRANSMIT_OTHER] = "other",
	[RETRANSMIT_RTO] = "rto",
	[RETRANSMIT_FAST] = "fast",
	[RETRANSMIT_TLP] = "tlp",
	[RETRANSMIT_SYN] = "syn",
	[RETRANSMIT_SYNACK] = "synack",
	[RETRANSMIT_LOSS_RECOVERY] = "loss_recovery",
	[RETRANSMIT_ZERO_WINDOW_PROBE] = "zero_window_probe",
};

enum { SLOTS_PER_WRITER = 32 }; /* causes, states and families that occur together */

static unsigned retransmit_slots(const struct config *config)
{
	(void)config;
	return SLOTS_PER_WRITER;
}

/* The kernel's tick is the resolution of its coarse clocks (KTIME_LOW_RES). */
static uint64_t tick_nanoseconds(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_nsec == 0)
		return 4000000;
	return tick.tv_nsec;
}

static int retransmit_open(struct collecting *c, char **ret_reason)
{
	int arguments = kernel_btf_arguments(c->kernel->btf, "tcp_retransmit_skb"), error;
	struct retransmit_bpf *skeleton;

	if (arguments < 2)
		return collecting_missing("tcp_retransmit_skb", ret_reason);
	if (kernel_btf_arguments(c->kernel->btf, "tcp_retransmit_synack") < 2)
		return collecting_missing("tcp_retransmit_synack", ret_reason);
	skeleton = retransmit_bpf__open();
	if (!skeleton)
		return -ENOMEM;
	skeleton->rodata->slots_per_writer = c->slots_per_writer;
	skeleton->rodata->has_error = arguments >= 3;
	skeleton->rodata->tick_ns = tick_nanoseconds();
	skeleton->rodata->has_rdonly_cast =
		kernel_btf_has_function(c->kernel->btf, "bpf_rdonly_cast");
	error = collecting_load(c, skeleton->obj, ret_reason);
	retransmit_bpf__destroy(skeleton);
	return error;
}

static void retransmit_describe(void *userdata, const void *data, uint64_t now,
				struct description *d)
{
	const struct retransmit_slot *slot = data;
	unsigned cause = slot->key.word[0] & 0xff;

	(void)userdata;
	(void)now;
	d->labels[CAUSE] = causes[cause < RETRANSMIT_CAUSES ? cause : RETRANSMIT_OTHER];
	d->labels[STATE] = tcp_state_name(slot->key.word[0] >> 8 & 0xff);
	d->labels[FAMILY] = family_name(slot->key.word[0] >> 16 & 0xff);
}

const struct collector retransmit_collector = {
	.name = "retransmit",
	.table = "retransmits",
	.enabled = offsetof(struct config, retransmit),
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.n_slot_values = 2 + 1 + HISTOGRAM_SECONDS_BUCKETS,
	.slot_size = sizeof(struct retransmit_slot),
	.first_seen = offsetof(struct retransmit_slot, first_seen),
	.writers = RETRANSMIT_WRITERS,
	.slots = retransmit_slots,
	.open = retransmit_open,
	.describe = retransmit_describe,
};
