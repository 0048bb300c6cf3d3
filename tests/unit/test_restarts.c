/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A collector that ends and comes back, in any order with everything else: at random, from fixed
 * seeds, against a reference that only counts events. The maps and the last saved state are what
 * outlives a run. A crash in the middle of slots_retire() is the image of both at that moment.
 */
#include "fake_collector.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>

#include "child.h"
#include "collect/state.h"
#include "model/history_internal.h"

/* The sanitizer's; gcc comes without the header. */
extern int __lsan_do_recoverable_leak_check(void);

#define EPOCH 1795230765678901234ULL
#define SEC 1000000000ULL
#define IDLE (20 * SEC)

enum { NAME, SECOND, PACKETS, BYTES, AGE };
#define RING (1 << 20) /* all of a run; nothing is forgotten */

enum { SEEDS = 4, STEPS = 1200, MAX_HELD = 8, MAX_SUPERSEDED = PROBE_MAX_MAPS, MAX_KNOWN = 200 };

/* Several keys have the same labels; the projections' labels differ. */
static const struct column columns[] = {
	[NAME] = { .name = "name" },
	[SECOND] = { .name = "second", .detail = true },
	[PACKETS] = { .name = "packets", .kind = COLUMN_COUNTER, .metric = "packets" },
	[BYTES] = { .name = "bytes", .kind = COLUMN_COUNTER, .metric = "bytes", .by = "second" },
	[AGE] = { .name = "age", .kind = COLUMN_GAUGE, .metric = "age", .by = "second" },
};

static void describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct fake_slot *slot = data;

	(void)userdata;
	(void)now;
	description_printf(d, NAME, "n%llu", (slot->key.word[0] & ~SLOT_LIVE) / 3);
	description_printf(d, SECOND, "s%llu", slot->key.word[1]);
}

#define COLLECTOR(version, programs)                                                       \
	{                                                                                  \
		.name = "model", .table = "models", .layout = version, .columns = columns, \
		.n_columns = ARRAY_SIZE(columns), .n_slot_values = FAKE_VALUES,            \
		.slot_size = sizeof(struct fake_slot),                                     \
		.first_seen = offsetof(struct fake_slot, first_seen), .writers = programs, \
		.losses = { { "unmatched", offsetof(struct slot_writer, unmatched) } },    \
		.describe = describe,                                                      \
	}

/* Another number of slots, another layout. */
static const struct collector builds[] = { COLLECTOR(1, 1), COLLECTOR(1, 2), COLLECTOR(2, 2) };

/* What a series was exported with. */
struct known {
	char labels[64];
	uint64_t value;
};

struct model {
	const struct collector *collector;
	unsigned budget;
	bool holds;   /* runs of the probe are held up: there is no membarrier() */
	bool layouts; /* builds change */

	/* What outlives a run. */
	struct fake_probe probe;
	struct probe_map superseded[MAX_SUPERSEDED];
	unsigned n_superseded;
	struct buffer saved;
	int ring; /* -1: none yet */

	/* The run. */
	struct collecting c;
	struct kernel kernel;
	uint64_t monotonic;

	/* A crash within slots_retire(): before or after which of its saves. -1: none. */
	int crash_at, point;
	bool crashed;
	char *slots_image, *writers_image;
	struct buffer saved_image;
	char *ring_image;

	/* The reference. */
	uint64_t packets, bytes, map_full;
	struct fake_slot *held[MAX_HELD];
	uint64_t held_until;
	struct known known[TABLE_MAX_PROJECTIONS][MAX_KNOWN];
	unsigned n_known[TABLE_MAX_PROJECTIONS];
	uint64_t other[TABLE_MAX_PROJECTIONS];
	unsigned n_crashes, n_layouts, n_retired;
};

static unsigned below(unsigned n)
{
	return (unsigned)random() % n;
}

static uint64_t now(const struct model *m)
{
	return EPOCH + m->monotonic;
}

static unsigned n_writers(const struct collector *collector)
{
	return probe_cpus() * collector->writers;
}

/* ---- events */

static void event(struct model *m)
{
	struct slot_key key = fake_key(1 + below(25), below(4));
	unsigned writer = below(n_writers(m->collector));
	uint64_t bytes = below(1500);

	if (!fake_count(&m->probe, writer, &key, bytes, m->monotonic)) {
		m->map_full++;
		return;
	}
	m->packets++;
	m->bytes += bytes;
}

static void events(struct model *m, unsigned most)
{
	for (unsigned n = below(most + 1); n > 0 && !m->crashed; n--)
		event(m);
}

/* Some runs have found their slots and are held up before they add. */
static void hold(struct model *m)
{
	for (unsigned i = 0; m->holds && i < MAX_HELD && !m->held[0]; i++) {
		struct fake_slot *slot =
			(struct fake_slot *)m->probe.slots.data + below(m->probe.slots.n);

		if (slot->key.word[0] & SLOT_LIVE)
			m->held[i] = slot;
	}
	m->held_until = m->monotonic + SLOTS_GRACE_SECONDS / 2 * SEC;
}

static void release(struct model *m)
{
	for (unsigned i = 0; i < MAX_HELD; i++) {
		if (!m->held[i])
			continue;
		m->held[i]->packets++;
		m->held[i] = NULL;
		m->packets++;
	}
}

static void pass(struct model *m, uint64_t time)
{
	if (m->monotonic + time >= m->held_until)
		release(m);
	m->monotonic += time;
}

/* ---- saving, crashing */

static void save(struct model *m)
{
	struct buffer saved = { .data = NULL };

	state_write(&m->c, &saved);
	expect(!saved.failed);
	buffer_free(&m->saved);
	m->saved = saved;
	m->c.saved = collecting_revision(&m->c);
}

static struct buffer copy(const struct buffer *from)
{
	struct buffer to = { .data = NULL };

	buffer_bytes(&to, from->data, from->size);
	expect(!to.failed);
	return to;
}

static void no_row(void *userdata, const struct row *row, const struct slots_past *past)
{
	(void)userdata;
	(void)row;
	(void)past;
}

/* Of the slots that are about to be freed, some are already, and one is half. */
static void free_some(const struct model *m, char *slots)
{
	const uint32_t *freed;
	unsigned n = slots_save(m->c.slots, no_row, NULL, &freed), done = below(n + 1);

	for (unsigned i = 0; i < n && i <= done; i++) {
		struct fake_slot *slot = (struct fake_slot *)slots + freed[i];

		slot->packets = slot->bytes = slot->first_seen = 0;
		if (i < done)
			slot->key.word[0] = 0;
	}
}

static char *image(const struct fake_map *map)
{
	char *data = malloc((size_t)map->n * map->size);

	expect(data);
	return memcpy(data, map->data, (size_t)map->n * map->size);
}

static void crash_here(struct model *m)
{
	if (m->crashed || m->point++ != m->crash_at)
		return;
	m->crashed = true;
	m->slots_image = image(&m->probe.slots);
	m->writers_image = image(&m->probe.writers);
	m->saved_image = copy(&m->saved);
	m->ring_image = malloc(RING);
	expect(m->ring_image);
	memcpy(m->ring_image, m->kernel.history->map, RING);
	if (m->crash_at == 1)
		free_some(m, m->slots_image);
}

static bool on_checkpoint(void *userdata)
{
	struct model *m = (struct model *)((char *)userdata - offsetof(struct model, c));
	bool first = m->point == 0;

	events(m, 3);
	crash_here(m);
	save(m);
	events(m, first ? 3 : 0);
	crash_here(m);
	return true;
}

static void restore_image(const struct fake_map *map, char *data)
{
	memcpy(map->data, data, (size_t)map->n * map->size);
	free(data);
}

/* ---- the run */

static int open_slots(struct model *m)
{
	const struct slots_source source = {
		.slots_fd = m->probe.slots.fd,
		.writers_fd = m->probe.writers.fd,
		.n_writers = n_writers(m->collector),
		.slots_per_writer = FAKE_SLOTS,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
		.first_seen = offsetof(struct fake_slot, first_seen),
		.describe = describe,
		.checkpoint = on_checkpoint,
		.userdata = &m->c,
	};

	return slots_open(&source, m->c.table, &m->c.slots);
}

static void on_row_ends(void *userdata, struct table *table, struct row *row)
{
	struct model *m = userdata;

	history_end(m->kernel.history, table, row, now(m));
}

static void open_history(struct model *m)
{
	const char *fault;

	expect(history_new(RING, m->ring, now(m), &m->kernel.history, &fault) == 0);
	expect(!fault);
	if (m->ring < 0)
		m->ring = fcntl(history_fd(m->kernel.history), F_DUPFD_CLOEXEC, 3);
}

static void start(struct model *m)
{
	struct table *table;

	open_history(m);
	m->c = (struct collecting){
		.collector = m->collector,
		.kernel = &m->kernel,
		.slots_per_writer = FAKE_SLOTS,
	};
	expect(table_new("models", columns, ARRAY_SIZE(columns), m->budget, &table) == 0);
	table->losses[table->n_losses++].cause = "map_full";
	table->losses[table->n_losses++].cause = "nested";
	table->losses[table->n_losses++].cause = "unmatched";
	table->ending = on_row_ends;
	table->userdata = m;
	m->c.table = table;
	memcpy(m->c.probe.superseded, m->superseded, sizeof(m->superseded));
	m->c.probe.n_superseded = m->n_superseded;
	expect(open_slots(m) == 0);
	expect(state_restore(&m->c, &m->saved, now(m), m->monotonic) == 0);
	if (m->saved.size)
		expect(history_recall(m->kernel.history, table, m->c.mark));
}

static void end(struct model *m)
{
	slots_free(m->c.slots);
	table_free(m->c.table);
	history_free(m->kernel.history);
}

static void collect(struct model *m)
{
	expect(slots_collect(m->c.slots, now(m), m->monotonic) == 0);
	if (collecting_revision(&m->c) != m->c.saved)
		save(m);
	for (uint32_t i = 0; i < m->c.table->n_rows; i++)
		m->c.table->rows[i]->values[FAKE_VALUES] = below(9);
	if (below(3))
		history_sample(m->kernel.history, &m->c.table, 1, now(m));
}

static void forget_superseded(struct model *m)
{
	while (m->n_superseded > 0)
		close(m->superseded[--m->n_superseded].fd);
	m->c.probe.n_superseded = 0;
}

/* ---- another build */

static void supersede_map(struct model *m, const char *name, const struct fake_map *map)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	struct probe_map *old = &m->superseded[m->n_superseded++];
	size_t size = (size_t)map->n * map->size, page = (size_t)sysconf(_SC_PAGESIZE);
	char *data;

	expect(m->n_superseded <= MAX_SUPERSEDED);
	old->fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, map->size, map->n, &options);
	if (old->fd < 0)
		_exit(CHILD_CANNOT);
	data = mmap(NULL, (size + page - 1) & ~(page - 1), PROT_READ | PROT_WRITE, MAP_SHARED,
		    old->fd, 0);
	expect(data != MAP_FAILED);
	memcpy(data, map->data, size);
	munmap(data, (size + page - 1) & ~(page - 1));
	snprintf(old->name, sizeof(old->name), "%s.%u-%ux%u", name, m->collector->layout, map->n,
		 map->size);
}

/* Slots that are superseded and not forgotten would be taken up again by their name. */
static bool is_kept(const struct model *m, const struct collector *collector)
{
	struct probe probe = { .n_superseded = m->n_superseded };

	memcpy(probe.superseded, m->superseded, sizeof(m->superseded));
	return probe_superseded(&probe, "slots", collector->layout,
				n_writers(collector) * FAKE_SLOTS, sizeof(struct fake_slot)) >= 0;
}

static void become(struct model *m, const struct collector *collector)
{
	if (collector == m->collector || is_kept(m, collector))
		return;
	supersede_map(m, "slots", &m->probe.slots);
	supersede_map(m, "writers", &m->probe.writers);
	fake_probe_close(&m->probe);
	m->collector = collector;
	fake_probe_open(&m->probe, n_writers(collector));
	memset(m->held, 0, sizeof(m->held));
	m->n_layouts++;
}

/* ---- checking */

static uint64_t not_carried(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->c.n_not_carried; i++)
		if (strcmp(m->c.not_carried[i].name, name) == 0)
			return m->c.not_carried[i].value;
	return 0;
}

static uint64_t sum_rows(const struct model *m, unsigned value)
{
	uint64_t sum = m->c.table->retired[value];

	for (uint32_t i = 0; i < m->c.table->n_rows; i++)
		sum += m->c.table->rows[i]->values[value];
	return sum;
}

/* rows + retired rows = series + other + retired series */
static void check_projection(const struct model *m, const struct projection *p)
{
	uint64_t sum = p->other.values[0] + p->retired[0];

	for (uint32_t i = 0; i < p->n_series; i++)
		sum += p->series[i]->values[0];
	expect(sum == sum_rows(m, p->first_value));
}

/* The past has what was counted. What another layout could not carry may be there, or not. */
static void check_history(const struct model *m)
{
	const struct history_window all = { .to = now(m), .now = now(m) };
	uint64_t sum = 0;
	struct table *past;

	expect(m->kernel.history->oldest == 1);
	expect(history_table(m->kernel.history, m->c.table, &all, &past) == 0);
	for (uint32_t i = 0; i < past->n_rows; i++)
		sum += past->rows[i]->values[0];
	expect(sum >= sum_rows(m, 0));
	expect(sum <= m->packets);
	table_free(past);
}

static void check(struct model *m)
{
	const struct table *table = m->c.table;

	table_sum(m->c.table);
	expect(sum_rows(m, 0) + not_carried(m, "packets") == m->packets);
	expect(sum_rows(m, 1) + not_carried(m, "bytes") == m->bytes);
	expect(table->retired[FAKE_VALUES] == 0);
	expect(not_carried(m, "age") == 0);
	for (unsigned i = 0; i < table->n_projections; i++)
		check_projection(m, &table->projections[i]);
	expect(slots_lost(m->c.slots, offsetof(struct slot_writer, map_full)) +
		       m->c.lost[LOSS_MAP_FULL] ==
	       m->map_full);
	check_history(m);
}

static const struct known *known_find(const struct model *m, unsigned projection,
				      const char *labels)
{
	for (unsigned i = 0; i < m->n_known[projection]; i++)
		if (strcmp(m->known[projection][i].labels, labels) == 0)
			return &m->known[projection][i];
	return NULL;
}

/* What a scrape shows: no counter of a living series has fallen, nor has that of `other`. */
static void export(struct model *m)
{
	for (unsigned i = 0; i < m->c.table->n_projections; i++) {
		const struct projection *p = &m->c.table->projections[i];
		struct known next[MAX_KNOWN];

		expect(p->n_series <= MAX_KNOWN);
		for (uint32_t j = 0; j < p->n_series; j++) {
			const char *labels = p->series[j]->labels[0].text;
			const struct known *known = known_find(m, i, labels);

			snprintf(next[j].labels, sizeof(next[j].labels), "%s", labels);
			next[j].value = p->series[j]->values[0];
			expect(!known || next[j].value >= known->value);
		}
		expect(p->other.values[0] >= m->other[i]);
		m->other[i] = p->other.values[0];
		memcpy(m->known[i], next, p->n_series * sizeof(*next));
		m->n_known[i] = p->n_series;
	}
}

/* Series may have ended and begun again unseen. */
static void forget_exported(struct model *m)
{
	memset(m->n_known, 0, sizeof(m->n_known));
}

/* ---- steps */

/* Comes back, perhaps as another build, and perhaps not for long. */
static void come_back(struct model *m)
{
	events(m, 5);
	pass(m, below(3) * SEC);
	if (below(4) == 0)
		m->budget = 1 + below(12);
	if (m->layouts && below(3) == 0)
		become(m, &builds[below(ARRAY_SIZE(builds))]);
	start(m);
	check(m);
	while (below(4) == 0) { /* a crash before anything is saved */
		end(m);
		events(m, 5);
		start(m);
		check(m);
	}
	save(m);
	if (below(4)) /* otherwise a crash, before what is superseded is forgotten, may come */
		forget_superseded(m);
	check(m);
}

static void stop_and_start(struct model *m, bool clean)
{
	if (clean) {
		collect(m);
		save(m);
	}
	end(m);
	m->n_crashes += !clean;
	come_back(m);
	export(m);
}

static void retire(struct model *m)
{
	collect(m);
	m->point = 0;
	m->crash_at = below(2) ? (int)below(4) : -1;
	m->n_retired += slots_retire(m->c.slots, m->monotonic, IDLE);
	if (!m->crashed) {
		table_sum(m->c.table);
		export(m); /* a series that has ended may begin again from now on */
		table_admit(m->c.table);
		save(m);
		return;
	}
	end(m);
	restore_image(&m->probe.slots, m->slots_image);
	restore_image(&m->probe.writers, m->writers_image);
	buffer_free(&m->saved);
	m->saved = m->saved_image;
	expect(pwrite(m->ring, m->ring_image, RING, 0) == RING);
	free(m->ring_image);
	m->crashed = false;
	m->n_crashes++;
	forget_exported(m);
	come_back(m);
}

static void set_budget(struct model *m)
{
	m->budget = 1 + below(12);
	table_set_budget(m->c.table, m->budget);
	table_admit(m->c.table);
}

static void step(struct model *m)
{
	switch (below(16)) {
	case 0:
		stop_and_start(m, true);
		break;
	case 1:
		stop_and_start(m, false);
		break;
	case 2 ... 3:
		retire(m);
		break;
	case 4:
		set_budget(m);
		break;
	case 5:
		hold(m);
		break;
	case 6:
		pass(m, below(40) * SEC);
		break;
	default:
		events(m, 4);
	}
	pass(m, below(2) * SEC);
	collect(m);
	check(m);
	export(m);
}

static void end_all(struct model *m)
{
	release(m);
	m->point = 0;
	m->crash_at = -1;
	m->crashed = true; /* no more events */
	collect(m);
	/* One call marks and a later one ends; a key that is there twice ends one after the other. */
	for (unsigned i = 0; i < 4; i++) {
		slots_retire(m->c.slots, m->monotonic, 0);
		m->monotonic += SLOTS_GRACE_SECONDS * SEC;
	}
	check(m);
	expect(m->c.table->n_rows == 0);
	for (unsigned i = 0; i < m->probe.slots.n; i++)
		expect(((struct fake_slot *)m->probe.slots.data)[i].key.word[0] == 0);
	expect(m->n_crashes > 50 && m->n_retired > 50);
	expect(!m->layouts || m->n_layouts > 20);
}

static void run(unsigned seed, bool holds, bool layouts)
{
	struct model m = {
		.collector = &builds[0],
		.budget = 1 + seed,
		.holds = holds,
		.layouts = layouts,
		.monotonic = 5000 * SEC,
		.crash_at = -1,
		.ring = -1,
	};

	srandom(seed);
	fake_probe_open(&m.probe, n_writers(m.collector));
	start(&m);
	save(&m);
	for (unsigned i = 0; i < STEPS; i++)
		step(&m);
	end_all(&m);
	end(&m);
	forget_superseded(&m);
	buffer_free(&m.saved);
	close(m.ring);
	fake_probe_close(&m.probe);
}

static void all_runs(bool holds, bool layouts)
{
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		run(seed, holds, layouts);
	expect(__lsan_do_recoverable_leak_check() == 0);
}

static void same_layout(void *userdata)
{
	(void)userdata;
	all_runs(false, false);
}

static void same_layout_no_membarrier(void *userdata)
{
	(void)userdata;
	child_refuse(SYS_membarrier, EINVAL);
	all_runs(true, false);
}

static void other_layouts(void *userdata)
{
	(void)userdata;
	all_runs(false, true);
}

TEST_IN_CHILD(same_layout)
TEST_IN_CHILD(same_layout_no_membarrier)

static void other_layouts_test(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("maps of the kernel need root: SKIPPED\n");
		skip();
	}
	in_a_child(other_layouts, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_layout_test),
		cmocka_unit_test(same_layout_no_membarrier_test),
		cmocka_unit_test(other_layouts_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
