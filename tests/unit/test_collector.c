/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_collector.h"

#include <ctype.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "drops.skel.h"
#include "fake_manager.h"

#define NOW 1795230765678901234ULL

static const struct collector collector = FAKE_COLLECTOR("fake", receive);

struct fixture {
	struct fake fake;
	struct config config;
	struct collecting c;
	unsigned descriptors;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fake_start(&fixture->fake);
	fixture->config.receive = true;
	fixture->config.series_budget = 10;
	fixture->descriptors = count_descriptors();
	*state = fixture;
	return 0;
}

/* Every test also shows that closing leaves nothing open. */
static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	collecting_close(&fixture->c);
	assert_int_equal(fixture->fake.closed, fixture->fake.opened);
	assert_int_equal(count_descriptors(), fixture->descriptors);
	fake_stop(&fixture->fake);
	free(fixture);
	return 0;
}

static void open_it(struct fixture *fixture)
{
	assert_int_equal(collecting_open(&collector, &fixture->fake.kernel, &fixture->config, NOW,
					 &fixture->c),
			 0);
	assert_non_null(fixture->c.table);
	assert_string_equal(fixture->c.table->name, "fakes");
	assert_int_equal(fixture->c.table->counting_since, NOW);
	assert_int_equal(fixture->c.table->budget, 10);
	assert_ptr_equal(fixture->c.collector, &collector);
}

/* Down, with this reason; whatever is called then does nothing. */
static void assert_down(struct fixture *fixture, const char *reason)
{
	struct collecting *c = &fixture->c;

	assert_null(c->slots);
	assert_non_null(c->reason);
	assert_string_equal(c->reason, reason);
	assert_int_equal(c->probe.n_maps, 0);
	assert_int_equal(c->probe.n_programs, 0);
	assert_int_equal(fixture->fake.closed, fixture->fake.opened);
	assert_int_equal(count_descriptors(), fixture->descriptors);
	collecting_collect(c);
	collecting_retire(c, 0);
	assert_int_equal(c->table->n_rows, 0);
	assert_int_equal(c->duration, 0);
	assert_int_equal(fixture->fake.gauged, 0);
	/* The losses are known all the same: a series that appears later would have no past. */
	assert_int_equal(c->table->n_losses, 4);
}

static void works(void **state)
{
	struct fixture *fixture = *state;
	struct collecting *c = &fixture->c;
	unsigned last = probe_cpus() * 2 - 1;

	open_it(fixture);
	assert_non_null(c->slots);
	assert_null(c->reason);
	assert_false(c->disabled);
	assert_int_equal(fixture->fake.opened, 1);
	fake_event(&fixture->fake, 0, 7, 100);
	fake_event(&fixture->fake, last, 7, 20);
	fake_event(&fixture->fake, last, 8, 3);
	assert_int_equal(c->table->n_rows, 0);
	collecting_collect(c);
	assert_int_equal(c->table->n_rows, 2);
	assert_string_equal(c->table->rows[0]->labels[FAKE_KEY].text, "k7");
	assert_int_equal(c->table->rows[0]->values[0], 2);
	assert_int_equal(c->table->rows[0]->values[1], 120);
	assert_int_equal(c->table->rows[1]->values[1], 3);
	/* Gauges come after the counters, with the same time. */
	assert_int_equal(c->table->rows[0]->values[FAKE_VALUES], 42);
	assert_true(fixture->fake.gauged > 0 && fixture->fake.gauged <= clock_monotonic());
	assert_in_range(c->duration, 1, 60000000000);
	assert_true(c->table->rows[0]->last_seen > NOW / 2);
}

static void turned_off(void **state)
{
	struct fixture *fixture = *state;

	fixture->config.receive = false;
	fixture->config.drops = true;
	open_it(fixture);
	assert_down(fixture, "turned off in the configuration");
	assert_true(fixture->c.disabled);
	assert_int_equal(fixture->fake.opened, 0);
}

static void no_btf(void **state)
{
	static char why[] = "no BTF: use a kernel that has it";
	struct fixture *fixture = *state;
	struct btf *btf = TAKE_PTR(fixture->fake.kernel.btf);

	fixture->fake.kernel.no_btf = why;
	open_it(fixture);
	assert_down(fixture, why);
	assert_false(fixture->c.disabled);
	assert_int_equal(fixture->fake.opened, 0);
	/* Turned off is the better reason. */
	collecting_close(&fixture->c);
	fixture->config.receive = false;
	open_it(fixture);
	assert_down(fixture, "turned off in the configuration");
	fixture->fake.kernel.btf = btf;
}

static void fails_with_a_reason(void **state)
{
	struct fixture *fixture = *state;

	fixture->fake.error = -EPERM;
	fixture->fake.reason = "needs CAP_BPF";
	open_it(fixture);
	assert_int_equal(fixture->fake.opened, 1);
	assert_down(fixture, "needs CAP_BPF");
	assert_false(fixture->c.disabled);
}

/* There is always a reason: what asprintf() could not say was for want of memory. */
static void fails_without_a_reason(void **state)
{
	struct fixture *fixture = *state;

	fixture->fake.error = -ENOMEM;
	open_it(fixture);
	assert_down(fixture, "out of memory");
}

static void maps_that_cannot_be_mapped(void **state)
{
	struct fixture *fixture = *state;

	fixture->fake.bad_maps = true;
	open_it(fixture);
	assert_int_equal(fixture->fake.opened, 1);
	assert_down(fixture, "cannot map the slots: No such device");
}

/* Once more after a failure, as a reload does. */
static void opened_again(void **state)
{
	struct fixture *fixture = *state;

	fixture->fake.error = -EPERM;
	fixture->fake.reason = "needs CAP_BPF";
	open_it(fixture);
	collecting_close(&fixture->c);
	collecting_close(&fixture->c); /* closing what is closed is nothing */
	assert_ptr_equal(fixture->c.collector, &collector);
	fixture->fake.error = 0;
	open_it(fixture);
	assert_non_null(fixture->c.slots);
	fake_event(&fixture->fake, 0, 7, 100);
	collecting_collect(&fixture->c);
	assert_int_equal(fixture->c.table->n_rows, 1);
}

static void assert_loss(const struct table *table, unsigned i, const char *cause, uint64_t events)
{
	assert_string_equal(table->losses[i].cause, cause);
	assert_int_equal(table->losses[i].events, events);
}

static void losses(void **state)
{
	struct fixture *fixture = *state;
	const struct table *table;

	open_it(fixture);
	table = fixture->c.table;
	assert_int_equal(table->n_losses, 4);
	assert_loss(table, 0, "map_full", 0);
	assert_loss(table, 1, "nested", 0);
	assert_loss(table, 2, "unmatched", 0);
	assert_loss(table, 3, "inflight_full", 0);
	fake_writer(&fixture->fake.probe, 0)->map_full = 1;
	fake_writer(&fixture->fake.probe, 1)->map_full = 20;
	fake_writer(&fixture->fake.probe, 0)->unmatched = 300;
	fake_writer(&fixture->fake.probe, 1)->inflight_full = 4000;
	assert_loss(table, 0, "map_full", 0);
	collecting_collect(&fixture->c);
	assert_loss(table, 0, "map_full", 21);
	assert_loss(table, 1, "nested", 0);
	assert_loss(table, 2, "unmatched", 300);
	assert_loss(table, 3, "inflight_full", 4000);
	/* They are sums as they stand, not added up with each look. */
	collecting_collect(&fixture->c);
	assert_loss(table, 0, "map_full", 21);
}

/* Rows end, and those that waited for their room are let in. */
static void retiring(void **state)
{
	struct fixture *fixture = *state;
	struct collecting *c = &fixture->c;

	open_it(fixture);
	table_set_budget(c->table, 1);
	fake_event(&fixture->fake, 0, 7, 100);
	collecting_collect(c);
	usleep(20000);
	fake_event(&fixture->fake, 0, 8, 5);
	collecting_collect(c);
	collecting_retire(c, 3600000000000);
	assert_int_equal(c->table->n_rows, 2);
	assert_null(c->table->rows[1]->series[0]);
	/* On a slow machine the second row may have stood still for as long as the first. */
	collecting_retire(c, 19000000);
	assert_in_range(c->table->n_rows, 0, 1);
	assert_int_equal(c->table->retired[1] + (c->table->n_rows ? 5 : 0), 105);
	if (c->table->n_rows)
		assert_non_null(c->table->rows[0]->series[0]);
	collecting_retire(c, 0);
	assert_int_equal(c->table->n_rows, 0);
	assert_int_equal(c->table->retired[0], 2);
	assert_int_equal(c->table->retired[1], 105);
}

static const char *const names[] = { "old", "new" };

/* Key 7 is called after what the test says, the others are as they are. */
static void explain(const struct kernel *kernel, const char **labels)
{
	if (strcmp(labels[FAKE_KEY], "k7") == 0)
		labels[FAKE_SECOND] = names[kernel->hints != NULL];
}

/* Rows that were there before follow the hints, and count in a series of their own from then on. */
static void explaining(void **state)
{
	static const struct column columns[] = {
		[FAKE_KEY] = { .name = "key" },
		[FAKE_SECOND] = { .name = "second", .borrowed = true },
		[FAKE_PACKETS] = { .name = "packets", .kind = COLUMN_COUNTER },
		[FAKE_BYTES] = { .name = "bytes", .kind = COLUMN_COUNTER },
		[FAKE_AGE] = { .name = "age", .kind = COLUMN_GAUGE },
	};
	struct fixture *fixture = *state;
	struct collecting *c = &fixture->c;
	static struct collector explained; /* the teardown closes it */
	const struct row *row;

	explained = collector;
	explained.columns = columns;
	explained.describe = fake_describe_key;
	assert_int_equal(
		collecting_open(&explained, &fixture->fake.kernel, &fixture->config, NOW, c), 0);
	fake_event(&fixture->fake, 0, 7, 100);
	collecting_collect(c);
	row = c->table->rows[0];
	assert_string_equal(row->labels[FAKE_SECOND].text, "");
	assert_int_equal(collecting_explain(c), 0); /* it has nothing to explain */
	assert_string_equal(row->labels[FAKE_SECOND].text, "");

	explained.explain = explain;
	assert_int_equal(collecting_explain(c), 0);
	assert_string_equal(row->labels[FAKE_SECOND].text, "old");
	fixture->fake.kernel.hints = (const struct hints *)names;
	assert_int_equal(collecting_explain(c), 0);
	assert_string_equal(row->labels[FAKE_SECOND].text, "new");
	fake_event(&fixture->fake, 0, 7, 5);
	collecting_collect(c);
	table_sum(c->table);
	assert_int_equal(row->values[1], 105);
	assert_int_equal(row->series[0]->values[1], 5);
	assert_int_equal(c->table->projections[0].retired[1], 100);
}

/* ---- under a service manager that keeps descriptors */

/* A start with what the manager has; the maps are as they are. */
static void start_kept(struct fixture *fixture, struct fake_manager *m)
{
	manager_start(m);
	expect(store_new(&fixture->fake.kernel.store) == 0);
	expect(collecting_open(&collector, &fixture->fake.kernel, &fixture->config, NOW,
			       &fixture->c) == 0);
	manager_listen(m);
}

/* The daemon's end, or its crash. */
static void end_kept(struct fixture *fixture, bool crash)
{
	if (crash)
		snapshot_close(&fixture->c.snapshot); /* nothing more is saved */
	collecting_close(&fixture->c);
	store_free(TAKE_PTR(fixture->fake.kernel.store));
}

static void begin_kept(struct fixture *fixture, struct fake_manager *m)
{
	struct fake_probe *probe = &fixture->fake.probe;

	probe->slots.fd = manager_move(probe->slots.fd);
	probe->writers.fd = manager_move(probe->writers.fd);
	expect(close_range(3, MANAGER_FIRST - 1, 0) == 0);
	manager_open(m);
	start_kept(fixture, m);
	expect(fixture->c.slots && fixture->c.snapshot.kept);
	expect(m->n == 2);
	fixture->fake.start = PROBE_ADOPTED;
}

static void event_kept(struct fixture *fixture, uint64_t number)
{
	struct slot_key key = fake_key(number, 1);

	expect(fake_count(&fixture->fake.probe, 0, &key, 100, clock_monotonic()));
}

/* That of a number: rows that come back are in the order of their slots. */
static const struct row *row_of(const struct collecting *c, uint64_t number)
{
	char key[32];

	snprintf(key, sizeof(key), "k%ju", (uintmax_t)number);
	for (unsigned i = 0; i < c->table->n_rows; i++)
		if (strcmp(c->table->rows[i]->labels[0].text, key) == 0)
			return c->table->rows[i];
	expect(!"a row of this number");
	return NULL;
}

static void comes_back(void *userdata)
{
	struct fixture *fixture = userdata;
	struct collecting *c = &fixture->c;
	struct fake_manager m;
	uint64_t seen;

	begin_kept(fixture, &m);
	event_kept(fixture, 7);
	collecting_collect(c);
	event_kept(fixture, 8);
	collecting_collect(c);
	seen = row_of(c, 7)->first_seen;
	end_kept(fixture, true);
	event_kept(fixture, 7);
	fixture->config.series_budget = 1; /* what lives stays */
	start_kept(fixture, &m);
	expect(c->table->counting_since == NOW && c->table->n_rows == 2);
	expect(row_of(c, 7)->first_seen == seen && row_of(c, 7)->values[0] == 2);
	expect(c->table->projections[0].n_series == 2);
	/* A row is given a series: this is saved when the next look finds it. */
	event_kept(fixture, 9);
	collecting_collect(c);
	expect(!row_of(c, 9)->series[0]);
	table_set_budget(c->table, 3);
	table_admit(c->table);
	event_kept(fixture, 9);
	collecting_collect(c);
	end_kept(fixture, true);
	start_kept(fixture, &m);
	expect(row_of(c, 9)->series[0]);
	table_sum(c->table);
	expect(row_of(c, 9)->series[0]->values[0] == 1);
	expect(c->table->projections[0].other.values[0] == 1);
	/* Ended in good order, with keys that nobody had looked at. */
	event_kept(fixture, 10);
	end_kept(fixture, false);
	start_kept(fixture, &m);
	expect(c->table->n_rows == 4 && m.n == 2);
	end_kept(fixture, false);
}

/* It is whole and says nothing: the maps' counts are there all the same. */
static void state_unread(void *userdata)
{
	static char nonsense[] = "nonsense";
	const struct buffer saved = { .data = nonsense, .size = sizeof(nonsense) };
	struct fixture *fixture = userdata;
	struct collecting *c = &fixture->c;
	struct fake_manager m;

	begin_kept(fixture, &m);
	event_kept(fixture, 7);
	collecting_collect(c);
	collecting_retire(c, 0);
	event_kept(fixture, 8);
	collecting_collect(c);
	expect(snapshot_save(&c->snapshot, &saved) == 0);
	end_kept(fixture, true);
	start_kept(fixture, &m);
	expect(c->slots && !c->reason);
	expect(c->table->n_rows == 1 && c->table->retired[0] == 0);
	expect(c->table->rows[0]->values[0] == 1);
	expect(c->table->counting_since > NOW);
	/* It is well from there on. */
	event_kept(fixture, 8);
	end_kept(fixture, true);
	start_kept(fixture, &m);
	expect(c->table->n_rows == 1 && c->table->rows[0]->values[0] == 2);
	end_kept(fixture, false);
}

/* One that is turned off leaves nothing behind, and begins anew when it is turned on. */
static void forgotten(void *userdata)
{
	struct fixture *fixture = userdata;
	struct fake_manager m;

	begin_kept(fixture, &m);
	manager_keep(&m, "fake.map.slots.9", manager_file("old"));
	manager_keep(&m, "fakes.other", manager_file("another's"));
	end_kept(fixture, false);
	fixture->config.receive = false;
	start_kept(fixture, &m);
	expect(!fixture->c.slots && fixture->c.disabled);
	expect(m.n == 1 && manager_find(&m, "fakes.other") >= 0);
	end_kept(fixture, false);
}

/* One that is down leaves what was there to the next start, and nothing that is new. */
static void down(void *userdata)
{
	struct fixture *fixture = userdata;
	struct fake_manager m;

	begin_kept(fixture, &m);
	event_kept(fixture, 7);
	end_kept(fixture, false);
	fixture->fake.bad_maps = true;
	start_kept(fixture, &m);
	expect(!fixture->c.slots && !fixture->c.disabled && m.n == 2);
	end_kept(fixture, false);
	fixture->fake.start = PROBE_NEW;
	start_kept(fixture, &m);
	expect(!fixture->c.slots && m.n == 0);
	end_kept(fixture, false);
}

static void comes_back_test(void **state)
{
	in_a_child(comes_back, *state);
}

static void state_unread_test(void **state)
{
	in_a_child(state_unread, *state);
}

static void forgotten_test(void **state)
{
	in_a_child(forgotten, *state);
}

static void down_test(void **state)
{
	in_a_child(down, *state);
}

/* Whoever feeds a watchdog asks: the last collection went well, and the programs are there. */
static void answering(void **state)
{
	struct fixture *fixture = *state;
	struct collecting *c = &fixture->c;

	fixture->fake.error = -EPERM;
	fixture->fake.reason = "needs CAP_BPF";
	open_it(fixture);
	assert_true(collecting_answers(c)); /* it is down, and has nothing to answer */
	collecting_close(c);
	fixture->fake.error = 0;
	open_it(fixture);
	assert_true(collecting_answers(c));
	c->error = -ENOMEM;
	assert_false(collecting_answers(c));
	collecting_collect(c);
	assert_true(collecting_answers(c));
	/* A program whose descriptor is closed, and one that is none. */
	c->probe.programs[0] = (struct probe_program){ .gate = GATE_NONE, .fd = -1 };
	c->probe.n_programs = 1;
	assert_false(collecting_answers(c));
	c->probe.programs[0].gate.program_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_false(collecting_answers(c));
}

static void missing_tracepoint(void **state)
{
	char *reason = NULL;

	(void)state;
	assert_int_equal(collecting_missing("kfree_skb", &reason), -ENOENT);
	assert_string_equal(reason, "this kernel has no tracepoint kfree_skb");
	free(reason);
}

/* A slot array and a writer for each CPU and program. */
static void map_sizes(void **state)
{
	struct drops_bpf *skeleton = drops_bpf__open();
	struct kernel kernel = { .btf = btf__new_empty() };
	struct collecting c = {
		.collector = &collector,
		.kernel = &kernel,
		.slots_per_writer = 128,
	};
	char *reason = NULL;

	(void)state;
	assert_non_null(skeleton);
	assert_non_null(kernel.btf);
	/* Whether the probe then loads is up to who runs this. */
	collecting_load(&c, skeleton->skeleton, &reason);
	free(reason);
	probe_stop(&c.probe);
	assert_int_equal(bpf_map__max_entries(skeleton->maps.writers), 2 * probe_cpus());
	assert_int_equal(bpf_map__max_entries(skeleton->maps.slots), 2 * probe_cpus() * 128);
	/* What this BTF does not have, the kernel does not. */
	assert_int_equal(skeleton->rodata->slots_per_writer, 128);
	assert_true(skeleton->rodata->may_nest);
	assert_false(skeleton->rodata->has_rdonly_cast);
	drops_bpf__destroy(skeleton);
	btf__free(kernel.btf);
}

static void clocks(void **state)
{
	uint64_t monotonic = clock_monotonic(), now = clock_now();

	(void)state;
	assert_true(now > 1600000000000000000); /* 2020 */
	assert_true(clock_monotonic() >= monotonic);
	assert_true(clock_now() - now < 60000000000);
}

/* A name that Prometheus takes, in lower case. */
static void assert_name(const char *name)
{
	assert_true(islower((unsigned char)name[0]));
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
}

/* Help goes into comments of two formats and into a Markdown table, and is escaped for none. */
static void assert_help(const char *help)
{
	assert_non_null(help);
	assert_true(strlen(help) > 0);
	assert_null(strpbrk(help, "\\\"\n|"));
}

static void check_column(const struct column *column)
{
	assert_name(column->name);
	if (column->kind == COLUMN_HISTOGRAM)
		assert_non_null(column->scale);
	if (!column->metric)
		return;
	assert_name(column->metric);
	assert_int_equal(strncmp(column->metric, "dropscope_", 10), 0);
	assert_null(strstr(column->metric, "_total"));
	assert_help(column->help);
	/* Base units, named at the end. */
	if (column->unit == UNIT_SECONDS)
		assert_string_equal(column->metric + strlen(column->metric) - 8, "_seconds");
	if (column->unit == UNIT_BYTES)
		assert_string_equal(column->metric + strlen(column->metric) - 6, "_bytes");
}

static void check_layout(const struct collector *real)
{
	unsigned key = sizeof(struct slot_key), values = 0, i = 0;

	assert_int_equal(real->slot_size % 8, 0);
	assert_true(key + 8 * real->n_slot_values <= real->first_seen);
	assert_true(real->first_seen + 8 <= real->slot_size);
	while (i < real->n_columns && values < real->n_slot_values)
		values += column_values(&real->columns[i++]);
	/* Whole columns come from the slots, and what does not is a gauge. */
	assert_int_equal(values, real->n_slot_values);
	for (; i < real->n_columns; i++)
		assert_int_equal(real->columns[i].kind, COLUMN_GAUGE);
	for (i = 0; real->losses[i].cause; i++)
		assert_true(i + 2 < TABLE_MAX_LOSSES &&
			    real->losses[i].counter + 8 <= sizeof(struct slot_writer));
}

/* What every collector in the list has to keep to. */
static void declarations(void **state)
{
	const struct column *exported[256];
	struct config *config;
	unsigned n = 0;

	(void)state;
	assert_int_equal(config_load(NULL, NULL, NULL, &config), 0);
	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		const struct collector *real = collectors[i];
		struct kernel kernel = { .btf = NULL };
		struct collecting c = { .collector = real, .kernel = &kernel };
		unsigned slots = real->slots(&c, config);
		struct table *table;

		assert_name(real->name);
		assert_name(real->table);
		assert_true(collector_enabled(real, config));
		assert_true(slots >= SLOT_PROBES && (slots & (slots - 1)) == 0);
		assert_true(real->writers > 0);
		check_layout(real);
		assert_int_equal(table_new(real->table, real->columns, real->n_columns, 1, &table),
				 0);
		table_free(table);
		for (unsigned j = 0; j < real->n_columns; j++) {
			check_column(&real->columns[j]);
			for (unsigned k = 0; k < j; k++)
				assert_string_not_equal(real->columns[j].name,
							real->columns[k].name);
			if (real->columns[j].metric)
				exported[n++] = &real->columns[j];
		}
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(exported[i]->metric, exported[j]->metric);
	config_free(config);
}

/* Each collector has a switch of its own. */
static void switches(void **state)
{
	struct config config = { .n_listen = 0 };

	(void)state;
#define TURN_ON(name) config.name = true;
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		assert_false(collector_enabled(collectors[i], &config));
	config.block = true;
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		assert_int_equal(collector_enabled(collectors[i], &config),
				 strcmp(collectors[i]->name, "block") == 0);
	COLLECTORS(TURN_ON)
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		assert_true(collector_enabled(collectors[i], &config));
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(works),
		test(turned_off),
		test(no_btf),
		test(fails_with_a_reason),
		test(fails_without_a_reason),
		test(maps_that_cannot_be_mapped),
		test(opened_again),
		test(losses),
		test(retiring),
		test(explaining),
		test(comes_back_test),
		test(state_unread_test),
		test(forgotten_test),
		test(down_test),
		test(answering),
		cmocka_unit_test(missing_tracepoint),
		cmocka_unit_test(map_sizes),
		cmocka_unit_test(clocks),
		cmocka_unit_test(declarations),
		cmocka_unit_test(switches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
