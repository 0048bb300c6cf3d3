/* SPDX-License-Identifier: BSD-2-Clause */
#include "collector.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../kernel/btf.h"
#include "../kernel/features.h"
#include "../log.h"
#include "../store.h"
#include "../util.h"
#include "stacks.h"
#include "state.h"

#define DECLARE(name) extern const struct collector name##_collector;
COLLECTORS(DECLARE)

#define ADDRESS(name) &name##_collector,
const struct collector *const collectors[N_COLLECTORS] = { COLLECTORS(ADDRESS) };

int collecting_missing(const char *tracepoint, char **ret_reason)
{
	if (asprintf(ret_reason, "this kernel has no tracepoint %s", tracepoint) < 0)
		*ret_reason = NULL;
	return -ENOENT;
}

void collecting_lacks(struct collecting *c, const char *what, const char *why, ...)
{
	struct lack *lack = &c->lacks[c->n_lacks];
	va_list arguments;

	if (c->detouring) /* they are known */
		return;
	assert(c->n_lacks < MAX_LACKS);
	lack->what = what;
	va_start(arguments, why);
	vsnprintf(lack->why, sizeof(lack->why), why, arguments);
	va_end(arguments);
	c->n_lacks++;
}

static void on_note(void *userdata, const char *text)
{
	const struct collecting *c = userdata;

	log_warning("%s: %s", c->collector->name, text);
}

/*
 * Streams and samples of stacks come through ring buffers. Without them all is counted the same; what
 * the program would put into one is dead code, and the map an array that nobody looks at.
 */
static void leave_out_rings(struct collecting *c, struct bpf_object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, "stacks");

	c->mute = NULL;
	if (!c->collector->live || kernel_has_ring_buffer())
		return;
	c->mute =
		"this kernel has no BPF ring buffers (Linux 5.8 and later do): nothing can be told of "
		"single events, and no stacks are sampled; counters are whole";
	collecting_lacks(c, "ring_buffer", "%s", c->mute);
	constant_set(object, "stack_ticks", 0);
	if (!map)
		return;
	bpf_map__set_type(map, BPF_MAP_TYPE_ARRAY);
	bpf_map__set_key_size(map, sizeof(uint32_t));
	bpf_map__set_value_size(map, sizeof(uint64_t));
	bpf_map__set_max_entries(map, 1);
}

int collecting_load(struct collecting *c, struct bpf_object_skeleton *skeleton, char **ret_reason)
{
	const struct probe_source source = {
		.name = c->collector->name,
		.layout = c->collector->layout,
		.skeleton = skeleton,
		.kind = c->kernel->gate,
		.btf = c->kernel->btf,
		.store = c->kernel->store,
		.note = on_note,
		.userdata = c,
	};
	const struct btf *btf = source.btf;
	unsigned writers = probe_cpus() * c->collector->writers;
	struct bpf_object *object = *skeleton->obj;
	int error =
		bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "writers"), writers);

	if (!error)
		error = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "slots"),
						 writers * c->slots_per_writer);
	constant_set(object, "slots_per_writer", c->slots_per_writer);
	constant_set(object, "may_nest", c->programs_nest || kernel_lets_programs_nest(btf));
	constant_set(object, "has_rdonly_cast", kernel_btf_has_function(btf, "bpf_rdonly_cast"));
	if (error)
		return error;
	if (c->detouring)
		return detour_open(object, &c->probe, writers, c->detouring, ret_reason);
	detour_leave_out(object);
	leave_out_rings(c, object);
	return probe_start(&source, &c->probe, ret_reason);
}

int collecting_detour(struct collecting *c, struct detour *ret_detour, char **ret_reason)
{
	int error;

	c->detouring = ret_detour;
	error = c->collector->open(c, ret_reason);
	c->detouring = NULL;
	return error;
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

	loss[LOSS_MAP_FULL].events = slots_lost(c->slots, offsetof(struct slot_writer, map_full));
	loss[LOSS_NESTED].events = slots_lost(c->slots, offsetof(struct slot_writer, nested));
	for (unsigned i = 0; i < c->probe.n_programs; i++)
		if (probe_read(&c->probe.programs[i], &statistics))
			loss[LOSS_NESTED].events += statistics.nested;
	for (unsigned i = LOSS_OWN; i < c->table->n_losses; i++)
		loss[i].events = slots_lost(c->slots, c->collector->losses[i - LOSS_OWN].counter);
	for (unsigned i = 0; i < c->table->n_losses; i++)
		loss[i].events += c->lost[i];
}

uint64_t collecting_revision(const struct collecting *c)
{
	return slots_revision(c->slots) + c->table->admitted;
}

void collecting_save(struct collecting *c)
{
	struct buffer saved = { .data = NULL };
	int error;

	if (!c->snapshot.kept)
		return;
	state_write(c, &saved);
	error = snapshot_save(&c->snapshot, &saved);
	buffer_free(&saved);
	if (!error)
		c->saved = collecting_revision(c);
	else if (!c->save_failed)
		log_error("%s: cannot save the state for the next start: %s", c->collector->name,
			  strerror(-error));
	c->save_failed = error != 0;
}

static void save_changes(struct collecting *c)
{
	if (collecting_revision(c) != c->saved)
		collecting_save(c);
}

static bool on_checkpoint(void *userdata)
{
	struct collecting *c = userdata;

	collecting_save(c);
	return !c->save_failed;
}

/* Detaches, unless the service manager keeps it, and frees what is the collector's own. */
static void collecting_stop(struct collecting *c)
{
	stacks_close(c->stacks);
	c->stacks = NULL;
	slots_free(c->slots);
	c->slots = NULL;
	snapshot_close(&c->snapshot);
	probe_stop(&c->probe);
	if (c->own && c->collector->close)
		c->collector->close(c);
	c->own = NULL;
}

static int slots_start(struct collecting *c)
{
	const struct collector *collector = c->collector;
	const struct slots_source source = {
		.slots_fd = probe_map(&c->probe, "slots"),
		.writers_fd = probe_map(&c->probe, "writers"),
		.n_writers = probe_cpus() * collector->writers,
		.slots_per_writer = c->slots_per_writer,
		.slot_size = collector->slot_size,
		.n_values = collector->n_slot_values,
		.first_seen = collector->first_seen,
		.describe = collector->describe,
		.checkpoint = on_checkpoint,
		.userdata = c,
	};

	return slots_open(&source, c->table, &c->slots);
}

/* The history must know of its last counts. */
static void on_row_ends(void *userdata, struct table *table, struct row *row)
{
	const struct collecting *c = userdata;

	if (c->kernel->history)
		history_end(c->kernel->history, table, row, clock_now());
}

static int table_start(struct collecting *c, uint64_t now)
{
	struct table *table;
	int error = table_new(c->collector->table, c->collector->columns, c->collector->n_columns,
			      c->budget, &table);

	if (error)
		return error;
	table_free(c->table);
	c->table = table;
	table->counting_since = now;
	table->ending = on_row_ends;
	table->userdata = c;
	losses_declare(c);
	return 0;
}

/* A state that cannot be read: the maps' counts are there all the same. */
static int start_without_state(struct collecting *c)
{
	int error;

	slots_free(c->slots);
	c->slots = NULL;
	c->n_not_carried = 0;
	memset(c->lost, 0, sizeof(c->lost));
	error = table_start(c, clock_now());
	if (!error)
		error = slots_start(c);
	return error ? error
		     : state_restore(c, &(struct buffer){ .data = NULL }, clock_now(),
				     clock_monotonic());
}

static void log_start(const struct collecting *c)
{
	static const char *const how[] = {
		[PROBE_ADOPTED] = "its program goes on",
		[PROBE_TAKEN_OVER] = "another program has taken over",
		[PROBE_SUPERSEDING] = "counters of another layout have been carried over",
	};

	if (c->probe.start != PROBE_NEW)
		log_info("%s: %s, with %u rows", c->collector->name, how[c->probe.start],
			 c->table->n_rows);
	for (unsigned i = 0; i < c->n_not_carried; i++)
		log_warning("%s: %" PRIu64
			    " of %s were counted by an earlier version and cannot be "
			    "carried over",
			    c->collector->name, c->not_carried[i].value, c->not_carried[i].name);
}

/* Finds out what the history knows of the rows that have been taken up. */
static void recall_history(struct collecting *c)
{
	struct history *history = c->kernel->history;

	if (!history || history_recall(history, c->table, c->mark) || history_fd(history) < 0)
		return;
	log_info("%s: what was counted while dropscoped was away is not in the history",
		 c->collector->name);
}

/* Takes up what earlier runs of the daemon have counted. */
static int collecting_recall(struct collecting *c)
{
	struct buffer saved;
	const char *fault;
	int error =
		snapshot_open(c->kernel->store, c->collector->name, &c->snapshot, &saved, &fault);

	if (error)
		return error;
	if (fault)
		log_warning("%s: the stored state is refused: %s", c->collector->name, fault);
	if (c->probe.start != PROBE_NEW) {
		error = state_restore(c, &saved, clock_now(), clock_monotonic());
		if (error == -EINVAL) {
			log_warning("%s: the stored state is refused: it cannot be read; what had "
				    "ended before, and since when, is not known any more",
				    c->collector->name);
			error = start_without_state(c);
		}
	}
	buffer_free(&saved);
	if (error)
		return error;
	if (c->probe.start != PROBE_NEW)
		recall_history(c);
	log_start(c);
	collecting_save(c);
	if (!c->save_failed) /* or the next start has to carry them over */
		probe_forget_superseded(&c->probe, c->collector->name, c->kernel->store);
	return 0;
}

/* Has the service manager drop all that it keeps: nothing stays attached. */
static void collecting_forget(const struct collecting *c)
{
	char prefix[STORE_NAME_SIZE];

	snprintf(prefix, sizeof(prefix), "%s.", c->collector->name);
	store_remove_prefix(c->kernel->store, prefix);
}

/* Where samples of stacks come from, if the probe takes any. They explain and are no counts: without
 * memory for them all else goes on. */
static void stacks_start(struct collecting *c)
{
	const struct live_source *source = c->collector->live;
	int error;

	if (!c->collector->samples_stacks || c->mute)
		return;
	error = stacks_open(probe_map(&c->probe, "stacks"), c->slots, c->table,
			    source ? source->location : NULL, &c->stacks);
	if (error)
		log_warning("%s: cannot read samples of stacks: %s, ignoring", c->collector->name,
			    strerror(-error));
}

/* Why no probe can be loaded at all, in the place of what the verifier has said of one. */
static int explain_kernel(int error, char **ret_reason)
{
	if (error == -EPERM || error == -EACCES || error == -ENOMEM || kernel_can_publish_slots())
		return error;
	free(*ret_reason);
	*ret_reason =
		strdup("BPF has no atomic exchange on this kernel (Linux 5.12 and later do, on "
		       "arm64 5.18 and later), without which a slot cannot be published in order "
		       "on this architecture");
	return error;
}

/* Loads the probe, or takes up the one that is there, and maps its slots. */
static int collecting_start(struct collecting *c, char **ret_reason)
{
	int error = c->collector->open(c, ret_reason);

	if (error) {
		error = explain_kernel(error, ret_reason);
	} else {
		error = slots_start(c);
		if (error && asprintf(ret_reason, "cannot map the slots: %s", strerror(-error)) < 0)
			*ret_reason = NULL;
	}
	if (!error) {
		error = collecting_recall(c);
		if (error && asprintf(ret_reason, "cannot take up the stored counters: %s",
				      strerror(-error)) < 0)
			*ret_reason = NULL;
	}
	if (error && c->probe.n_maps > 0 && c->probe.start == PROBE_NEW)
		collecting_forget(c); /* what went on before goes on */
	if (error)
		collecting_stop(c);
	else
		stacks_start(c);
	return error;
}

int collecting_open(const struct collector *collector, struct kernel *kernel,
		    const struct config *config, uint64_t now, struct collecting *ret_collecting)
{
	struct collecting *c = ret_collecting;
	int error;

	*c = (struct collecting){
		.collector = collector,
		.kernel = kernel,
		.budget = config->series_budget,
	};
	error = table_start(c, now);
	if (error)
		return error;
	c->slots_per_writer = collector->slots(c, config);
	c->disabled = !collector_enabled(collector, config);
	if (c->disabled)
		collecting_forget(c);
	if (c->disabled)
		c->reason = strdup("turned off in the configuration");
	else if (!kernel->btf)
		c->reason = strdup(kernel->no_btf ? kernel->no_btf : "the kernel has no BTF");
	else if (collecting_start(c, &c->reason) == 0)
		return 0;
	if (c->reason)
		return 0;
	c->reason = strdup("out of memory");
	return c->reason ? 0 : -ENOMEM;
}

void collecting_close(struct collecting *c)
{
	collecting_collect(c); /* or the next start would not know the newest keys */
	if (c->slots)
		collecting_save(c);
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
	c->error = slots_collect(c->slots, clock_now(), start);
	save_changes(c);
	table_rate(c->table, start);
	if (c->stacks)
		stacks_collect(c->stacks, clock_now());
	losses_read(c);
	if (c->collector->gauges)
		c->collector->gauges(c, start);
	c->duration = clock_monotonic() - start;
}

bool collecting_answers(const struct collecting *c)
{
	struct probe_statistics statistics;

	for (unsigned i = 0; c->slots && i < c->probe.n_programs; i++)
		if (!probe_read(&c->probe.programs[i], &statistics))
			return false;
	return !c->slots || c->error == 0;
}

static void explain(void *userdata, const char **labels)
{
	const struct collecting *c = userdata;

	c->collector->explain(c->kernel, labels);
}

int collecting_plot(struct collecting *c, const struct query *query, struct plot *ret_plot,
		    struct query_error *ret_error)
{
	struct history_window window = { .now = query->now,
					 .explain = c->collector->explain ? explain : NULL,
					 .userdata = c };

	query_window(query, &window.from, &window.to);
	return plot_run(query, c->kernel->history, c->table, &window, ret_plot, ret_error);
}

int collecting_window(struct collecting *c, uint64_t from, uint64_t to, uint64_t now,
		      struct table **ret_table)
{
	const struct history_window window = { from, to, now,
					       c->collector->explain ? explain : NULL, c };

	return history_table(c->kernel->history, c->table, &window, ret_table);
}

int collecting_share(struct collecting *c, const struct table *window, const struct query *query,
		     struct shares *ret_shares)
{
	uint64_t lost = slots_lost(c->slots, offsetof(struct slot_writer, no_sample));

	return stacks_share(c->stacks, c->kernel->symbols, window, query, lost, ret_shares);
}

int collecting_explain(struct collecting *c)
{
	const char *labels[TABLE_MAX_LABELS];
	int error = 0;

	if (!c->collector->explain)
		return 0;
	for (uint32_t i = 0; i < c->table->n_rows; i++) {
		struct row *row = c->table->rows[i];

		for (unsigned j = 0; j < c->table->n_labels; j++)
			labels[j] = row->labels[j].text;
		c->collector->explain(c->kernel, labels);
		if (table_relabel(c->table, row, labels) < 0)
			error = -ENOMEM;
	}
	if (c->slots)
		collecting_save(c);
	return error;
}

unsigned collecting_retire(struct collecting *c, uint64_t idle)
{
	unsigned ended = 0;

	if (c->slots)
		ended = slots_retire(c->slots, clock_monotonic(), idle > c->hold ? idle : c->hold);
	if (ended > 0) {
		table_admit(c->table);
		save_changes(c); /* slots_retire() has saved what ended; this is who was admitted */
	}
	return ended;
}
