/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP segments that were sent again, by what made TCP do so. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../hash.h"
#include "../kernel/btf.h"
#include "../kernel/features.h"
#include "../kernel/protocols.h"
#include "../model/histogram.h"
#include "../util.h"
#include "bpf/live.h"
#include "bpf/retransmit.h"
#include "collector.h"
#include "retransmit.skel.h"
#include "retransmit_raw.skel.h"

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
	  .help = "Retransmits that failed, or were given up before anything was sent, as for a "
		  "neighbour that does not answer (kernels since 6.18 tell)." },
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

static unsigned retransmit_slots(const struct collecting *c, const struct config *config)
{
	(void)c;
	(void)config;
	return SLOTS_PER_WRITER;
}

static int retransmit_open(struct collecting *c, char **ret_reason)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = c->kernel->btf_path);
	int arguments = kernel_btf_arguments(c->kernel->btf, "tcp_retransmit_skb"), error;
	struct bpf_object_skeleton *of_both;
	struct retransmit_raw_bpf *raw = NULL;
	struct retransmit_bpf *skeleton = NULL;

	if (arguments < 2)
		return collecting_missing("tcp_retransmit_skb", ret_reason);
	if (kernel_btf_arguments(c->kernel->btf, "tcp_retransmit_synack") < 2)
		return collecting_missing("tcp_retransmit_synack", ret_reason);
	if (arguments < 3)
		collecting_lacks(c, "failures",
				 "tcp_retransmit_skb tells of segments that were sent only (Linux "
				 "6.18 and later tell of failures): failures stays 0");
	if (c->kernel->gate == GATE_RAW_TP)
		raw = retransmit_raw_bpf__open_opts(&options);
	else
		skeleton = retransmit_bpf__open_opts(&options);
	if (!raw && !skeleton)
		return -ENOMEM;
	of_both = raw ? raw->skeleton : skeleton->skeleton;
	constant_set(*of_both->obj, "has_error", arguments >= 3);
	constant_set(*of_both->obj, "tick_ns", kernel_tick_nanoseconds());
	error = collecting_load(c, of_both, ret_reason);
	retransmit_bpf__destroy(skeleton);
	retransmit_raw_bpf__destroy(raw);
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

/* ---- single events */

enum {
	TIMEOUT,
	PREVIOUS_TIMEOUT,
	WINDOW,
	PREVIOUS_WINDOW,
	SRTT,
	PACKETS_OUT,
	LOST_OUT,
	ERROR,
};

static const struct column event_columns[] = {
	[TIMEOUT] = { .name = "rto_seconds", .number = true },
	[PREVIOUS_TIMEOUT] = { .name = "previous_rto_seconds", .number = true },
	[WINDOW] = { .name = "cwnd", .number = true },
	[PREVIOUS_WINDOW] = { .name = "previous_cwnd", .number = true },
	[SRTT] = { .name = "srtt_seconds", .number = true },
	[PACKETS_OUT] = { .name = "packets_out", .number = true },
	[LOST_OUT] = { .name = "lost_out", .number = true },
	[ERROR] = { .name = "error" },
};

/* Of the retransmit before on a connection: one place for all with the same remainder, the last one
 * wins. A retransmit whose connection is not there has no previous one. */
enum { REMEMBERED = 4096 };

struct previous {
	struct live_packet connection;
	uint64_t timeout, window;
};

static struct previous *previous_of(const struct live_event *event, void **state)
{
	uint64_t hash = hash_bytes(HASH_START, &event->packet, sizeof(event->packet));

	if (!*state)
		*state = calloc(REMEMBERED, sizeof(struct previous));
	if (!*state)
		return NULL;
	return (struct previous *)*state + hash % REMEMBERED;
}

static void describe_seconds(struct description *d, unsigned label, uint64_t microseconds)
{
	description_printf(d, label, "%" PRIu64 ".%06u", microseconds / 1000000,
			   (unsigned)(microseconds % 1000000));
}

static void describe_previous(const struct live_event *event, void **state, struct description *d)
{
	struct previous *previous = previous_of(event, state);

	if (!previous)
		return;
	if (memcmp(&previous->connection, &event->packet, sizeof(event->packet)) == 0) {
		describe_seconds(d, PREVIOUS_TIMEOUT, previous->timeout / 1000);
		if (previous->window)
			description_printf(d, PREVIOUS_WINDOW, "%" PRIu64, previous->window);
	}
	*previous = (struct previous){
		.connection = event->packet,
		.timeout = event->own[RETRANSMIT_TIMEOUT],
		.window = event->own[RETRANSMIT_WINDOW],
	};
}

static void retransmit_describe_event(struct collecting *c, const struct live_event *event,
				      void **state, struct description *d)
{
	(void)c;
	describe_seconds(d, TIMEOUT, event->own[RETRANSMIT_TIMEOUT] / 1000);
	describe_previous(event, state, d);
	if (event->own[RETRANSMIT_SRTT])
		describe_seconds(d, SRTT, event->own[RETRANSMIT_SRTT]);
	if (event->own[RETRANSMIT_WINDOW]) { /* a socket, not a request */
		description_printf(d, WINDOW, "%" PRIu64, (uint64_t)event->own[RETRANSMIT_WINDOW]);
		description_printf(d, PACKETS_OUT, "%" PRIu64,
				   (uint64_t)event->own[RETRANSMIT_IN_FLIGHT]);
		description_printf(d, LOST_OUT, "%" PRIu64,
				   (uint64_t)event->own[RETRANSMIT_MARKED_LOST]);
	}
	if (event->own[RETRANSMIT_ERROR])
		d->labels[ERROR] = strerrorname_np((int)event->own[RETRANSMIT_ERROR]);
}

static const struct live_source retransmit_live = {
	.n_values = 2,
	.skip = offsetof(struct retransmit_slot, skip),
	.columns = event_columns,
	.n_columns = ARRAY_SIZE(event_columns),
	.describe = retransmit_describe_event,
};

const struct collector retransmit_collector = {
	.name = "retransmit",
	.table = "retransmits",
	.layout = 1,
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
	.live = &retransmit_live,
};
