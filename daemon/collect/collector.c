/* SPDX-License-Identifier: BSD-2-Clause */
#include "collector.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "../util.h"

#define DECLARE(name) extern const struct collector name##_collector;
COLLECTORS(DECLARE)

#define ADDRESS(name) &name##_collector,
const struct collector *const collectors[N_COLLECTORS] = { COLLECTORS(ADDRESS) };

static uint64_t clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

uint64_t clock_now(void)
{
	return clock_read(CLOCK_REALTIME);
}

uint64_t clock_monotonic(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int collecting_missing(const char *tracepoint, char **ret_reason)
{
	if (asprintf(ret_reason, "this kernel has no tracepoint %s", tracepoint) < 0)
		*ret_reason = NULL;
	return -ENOENT;
}

int collecting_load(struct collecting *c, struct bpf_object *object, char **ret_reason)
{
	unsigned writers = probe_cpus() * c->collector->writers;
	int error =
		bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "writers"), writers);

	if (!error)
		error = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "slots"),
						 writers * c->slots_per_writer);
	return error ? error : probe_start(object, &c->probe, ret_reason);
}

bool collector_enabled(const struct collector *collector, const struct config *config)
{
	return *(const bool *)((const char *)config + collector->enabled);
}

/* The losses in the table's order: first those that every collector has. */
static void losses_declare(struct collecting *c)
{
	struct table *table = c->table;

	table->losses[table->n_losses++].cause = "map_full";
	table->losses[table->n_losses++].cause = "nested";
	for (unsigned i = 0; i < TABLE_MAX_LOSSES - 2 && c->collector->losses[i].cause; i++)
		table->losses[table->n_losses++].cause = c->collector->losses[i].cause;
}

static void losses_read(struct collecting *c)
{
	struct loss *loss = c->table->losses;
	struct probe_statistics statistics;

	loss[0].events = slots_lost(c->slots, offsetof(struct slot_writer, map_full));
	loss[1].events = 0;
	for (unsigned i = 0; i < c->probe.n_programs; i++) {
		probe_read(&c->probe.programs[i], &statistics);
		loss[1].events += statistics.nested;
	}
	for (unsigned i = 2; i < c->table->n_losses; i++)
		loss[i].events = slots_lost(c->slots, c->collector->losses[i - 2].counter);
}

/* Nothing stays attached, and nothing of the collector's own. */
static void collecting_stop(struct collecting *c)
{
	slots_free(c->slots);
	c->slots = NULL;
	probe_stop(&c->probe);
	if (c->own && c->collector->close)
		c->collector->close(c);
	c->own = NULL;
}

/* Loads the probe and maps its slots. */
static int collecting_start(struct collecting *c, char **ret_reason)
{
	const struct collector *collector = c->collector;
	struct slots_source source = {
		.n_writers = probe_cpus() * collector->writers,
		.slots_per_writer = c->slots_per_writer,
		.slot_size = collector->slot_size,
		.n_values = collector->n_slot_values,
		.first_seen = collector->first_seen,
		.describe = collector->describe,
		.userdata = c,
	};
	int error = collector->open(c, ret_reason);

	if (!error) {
		source.slots_fd = probe_map(&c->probe, "slots");
		source.writers_fd = probe_map(&c->probe, "writers");
		error = slots_open(&source, c->table, &c->slots);
		if (error && asprintf(ret_reason, "cannot map the slots: %s", strerror(-error)) < 0)
			*ret_reason = NULL;
	}
	if (error)
		collecting_stop(c);
	return error;
}

int collecting_open(const struct collector *collector, struct kernel *kernel,
		    const struct config *config, uint64_t now, struct collecting *ret_collecting)
{
	struct collecting *c = ret_collecting;
	int error;

	*c = (struct collecting){ .collector = collector, .kernel = kernel };
	error = table_new(collector->table, collector->columns, collector->n_columns,
			  config->series_budget, &c->table);
	if (error)
		return error;
	c->table->counting_since = now;
	c->slots_per_writer = collector->slots(config);
	losses_declare(c);
	c->disabled = !collector_enabled(collector, config);
	if (c->disabled)
		c->reason = strdup("turned off in the configuration");
	else if (!kernel->btf)
		c->reason =
			strdup("the kernel has no BTF (/sys/kernel/btf/vmlinux), which probes need "
			       "to find its structures: use one built with CONFIG_DEBUG_INFO_BTF");
	else if (collecting_start(c, &c->reason) == 0)
		return 0;
	if (c->reason)
		return 0;
	c->reason = strdup("out of memory");
	return c->reason ? 0 : -ENOMEM;
}

void collecting_close(struct collecting *c)
{
	collecting_stop(c);
	table_free(c->table);
	free(c->reason);
	*c = (struct collecting){ .collector = c->collector };
}

void collecting_collect(struct collecting *c)
{
	uint64_t start = clock_monotonic();

	if (!c->slots)
		return;
	slots_collect(c->slots, clock_now(), start);
	losses_read(c);
	if (c->collector->gauges)
		c->collector->gauges(c, start);
	c->duration = clock_monotonic() - start;
}

unsigned collecting_retire(struct collecting *c, uint64_t idle)
{
	unsigned ended = c->slots ? slots_retire(c->slots, clock_monotonic(), idle) : 0;

	if (ended > 0)
		table_admit(c->table);
	return ended;
}
