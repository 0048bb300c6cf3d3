// SPDX-License-Identifier: BSD-2-Clause
/*
 * enter FUNCTION [live]: the program that counts what tcp_drop() frees, at the entry of another function of two
 * parameters whose second is a packet, for kernels without a tcp_drop() to attach to; beside it the one that
 * counts drops, over the same maps. With "live" they are those that stand in for the two while somebody
 * listens. Each is behind a gate, as in the daemon.
 *
 * Prints "ready", counts until its input ends, and prints
 *
 *	slot LOCATION NETNS PACKETS BYTES	for each slot
 *	nested EVENTS			left out, as they interrupted another
 *	samples STACKS OTHERS		sampled stacks with their slot's location in them, and others
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "../system/tool.h"
#include "bpf/drops.h"
#include "bpf/stacks.h"
#include "daemon/kernel/btf.h"
#include "daemon/kernel/features.h"
#include "daemon/kernel/gate.h"
#include "drops.skel.h"

enum { SLOTS = 64 };

static unsigned cpus;

static struct drops_bpf *load_programs(const char *function, const struct btf *btf, bool live)
{
	struct drops_bpf *skeleton = drops_bpf__open();

	if (!skeleton)
		die("cannot open the programs");
	skeleton->rodata->slots_per_writer = SLOTS;
	skeleton->rodata->may_nest = true;
	skeleton->rodata->has_reason = false;
	skeleton->rodata->has_rx_sk = false;
	skeleton->rodata->has_rdonly_cast = kernel_btf_has_function(btf, "bpf_rdonly_cast");
	skeleton->rodata->stack_ticks = 1;
	bpf_program__set_autoload(skeleton->progs.drops_kfree_skb, !live);
	bpf_program__set_autoload(skeleton->progs.drops_tcp_drop, !live);
	bpf_program__set_autoload(skeleton->progs.drops_kfree_skb_live, live);
	bpf_program__set_autoload(skeleton->progs.drops_tcp_drop_live, live);
	if (bpf_program__set_attach_target(skeleton->progs.drops_tcp_drop, 0, function) ||
	    bpf_program__set_attach_target(skeleton->progs.drops_tcp_drop_live, 0, function))
		die("no function %s", function);
	if (bpf_map__set_max_entries(skeleton->maps.slots, cpus * SLOTS) ||
	    bpf_map__set_max_entries(skeleton->maps.writers, cpus) ||
	    bpf_map__set_max_entries(skeleton->maps.live_scratch, cpus) ||
	    drops_bpf__load(skeleton))
		die("cannot load the programs");
	return skeleton;
}

static void lead_to(const struct bpf_program *program, enum gate_kind kind, int id, const char *target,
		    struct gate *ret_gate)
{
	const char *fault;

	if (gate_new("enter", kind, (unsigned)id, ret_gate) ||
	    gate_set(ret_gate, bpf_program__fd(program)) || gate_attach(ret_gate, target))
		die("cannot attach to %s", target);
	fault = gate_fault(ret_gate, target);
	errno = 0;
	if (fault)
		die("the gate of %s: %s", target, fault);
}

struct samples {
	unsigned good, others;
};

static int on_sample(void *userdata, void *data, size_t size)
{
	const struct stack_sample *sample = data;
	struct samples *samples = userdata;
	bool found = false;

	(void)size;
	for (unsigned i = 0; i < sample->n_frames; i++)
		found = found || sample->frames[i] == sample->key.word[0];
	*(found ? &samples->good : &samples->others) += 1;
	return 0;
}

static void report(const struct drops_bpf *skeleton)
{
	uint64_t nested = 0;
	struct samples samples = { 0, 0 };
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(skeleton->maps.stacks), on_sample, &samples, NULL);

	for (__u32 i = 0; i < cpus * SLOTS; i++) {
		struct drops_slot slot;

		if (bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.slots), &i, &slot))
			die("cannot read the slots");
		if (slot.key.word[0])
			printf("slot %016llx %u %llu %llu\n", slot.key.word[0], slot.netns,
			       slot.packets, slot.bytes);
	}
	for (__u32 i = 0; i < cpus; i++) {
		struct slot_writer writer;

		if (bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.writers), &i, &writer))
			die("cannot read the writers");
		nested += writer.nested;
	}
	if (!ring || ring_buffer__consume(ring) < 0)
		die("cannot read the samples");
	ring_buffer__free(ring);
	printf("nested %lu\nsamples %u %u\n", nested, samples.good, samples.others);
}

int main(int count, char **arguments)
{
	bool live = count == 3 && strcmp(arguments[2], "live") == 0;
	struct gate drops = GATE_NONE, entry = GATE_NONE;
	struct drops_bpf *skeleton;
	const char *function;
	struct btf *btf;
	int error;

	if (count != 2 + live)
		die("usage: enter FUNCTION [live]");
	function = arguments[1];
	cpus = (unsigned)libbpf_num_possible_cpus();
	if (kernel_btf_load(&btf))
		die("the kernel has no BTF");
	kernel_raise_memlock(btf);
	if (!kernel_can_enter(btf, function, 2, &error)) {
		errno = -error;
		die("%s cannot be entered", function);
	}
	skeleton = load_programs(function, btf, live);
	lead_to(live ? skeleton->progs.drops_kfree_skb_live : skeleton->progs.drops_kfree_skb,
		GATE_TP_BTF, kernel_btf_tracepoint(btf, "kfree_skb"), "kfree_skb", &drops);
	lead_to(live ? skeleton->progs.drops_tcp_drop_live : skeleton->progs.drops_tcp_drop,
		GATE_FENTRY, kernel_btf_function(btf, function), function, &entry);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	gate_close(&drops);
	gate_close(&entry);
	report(skeleton);
	drops_bpf__destroy(skeleton);
	kernel_btf_freep(&btf);
	return 0;
}
