/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written at a daemon's end and read at the next start: state.c, past.c and carry.c. */
#include "fake_collector.h"

#include <bpf/bpf.h>

#include "collect/state.h"
#include "model/histogram.h"

#define NOW 1795230765678901234ULL
#define START 5000000000000ULL
#define SINCE 1795000000000000000ULL
#define SEC 1000000000ULL
#define IDLE (3600 * SEC)

enum { SLOTS_PER_WRITER = FAKE_SLOTS, BUDGET = 2 };

static void describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct collecting *c = userdata;
	const struct fake_slot *slot = data;

	(void)now;
	for (unsigned i = 0; i < c->table->n_labels; i++)
		description_printf(d, i, "%s%llu", c->table->columns[i].name,
				   i ? slot->key.word[1] : slot->key.word[0] & ~SLOT_LIVE);
}

#define COUNTER(text) .name = text, .kind = COLUMN_COUNTER, .metric = text
#define GAUGE(text) .name = text, .kind = COLUMN_GAUGE, .metric = text

static const struct column first[] = {
	{ .name = "key" },
	{ .name = "second", .detail = true },
	{ COUNTER("packets") },
	{ COUNTER("bytes"), .by = "second" },
	{ GAUGE("age"), .by = "second" },
};

/* The same slots under other columns. */
static const struct column renamed[] = {
	{ .name = "key" },
	{ .name = "second", .detail = true },
	{ COUNTER("segments") },
	{ COUNTER("bytes"), .by = "second" },
};
static const struct column fewer_labels[] = {
	{ .name = "key" },
	{ COUNTER("packets") },
	{ COUNTER("bytes") },
	{ GAUGE("age") },
};
static const struct column more_labels[] = {
	{ .name = "key" },
	{ .name = "new" },
	{ .name = "second", .detail = true },
	{ COUNTER("packets") },
	{ COUNTER("bytes"), .by = "second" },
	{ GAUGE("age"), .by = "second" },
};
static const struct column other_by[] = {
	{ .name = "key" },
	{ .name = "second", .detail = true },
	{ COUNTER("packets"), .by = "second" },
	{ COUNTER("bytes"), .by = "key,second" },
	{ GAUGE("age") },
};
static const struct column other_order[] = {
	{ .name = "second", .detail = true },	  { .name = "key" },  { COUNTER("packets") },
	{ COUNTER("bytes"), .by = "key,second" }, { GAUGE("gauge") },
};

/* The slot's second value is a histogram's sum here, which has no counts. */
static const struct column no_bytes[] = {
	{ .name = "key" },
	{ .name = "second", .detail = true },
	{ COUNTER("packets") },
	{ .name = "bytes", .kind = COLUMN_HISTOGRAM, .metric = "b", .scale = &histogram_bytes },
};

#define COLLECTOR(version, programs, some, slot_values)                                    \
	{                                                                                  \
		.name = "fake", .table = "fakes", .layout = version, .columns = some,      \
		.n_columns = ARRAY_SIZE(some), .n_slot_values = slot_values,               \
		.slot_size = sizeof(struct fake_slot),                                     \
		.first_seen = offsetof(struct fake_slot, first_seen), .writers = programs, \
		.losses = { { "unmatched", offsetof(struct slot_writer, unmatched) } },    \
		.describe = describe,                                                      \
	}

static const struct collector usual = COLLECTOR(1, 1, first, 2);

struct life {
	const struct collector *collector;
	struct fake_probe *probe;
	unsigned budget;
	struct kernel kernel;
	struct collecting c;
};

static void open_life(struct life *life)
{
	struct collecting *c = &life->c;
	struct slots_source source = {
		.slots_fd = life->probe->slots.fd,
		.writers_fd = life->probe->writers.fd,
		.n_writers = probe_cpus() * life->collector->writers,
		.slots_per_writer = SLOTS_PER_WRITER,
		.slot_size = sizeof(struct fake_slot),
		.n_values = FAKE_VALUES,
		.first_seen = offsetof(struct fake_slot, first_seen),
		.describe = describe,
		.userdata = c,
	};
	struct probe probe = c->probe;

	*c = (struct collecting){ .collector = life->collector,
				  .kernel = &life->kernel,
				  .slots_per_writer = SLOTS_PER_WRITER,
				  .probe = probe };
	assert_int_equal(table_new("fakes", life->collector->columns, life->collector->n_columns,
				   life->budget, &c->table),
			 0);
	c->table->counting_since = NOW;
	c->table->losses[c->table->n_losses++].cause = "map_full";
	c->table->losses[c->table->n_losses++].cause = "nested";
	c->table->losses[c->table->n_losses++].cause = "unmatched";
	assert_int_equal(slots_open(&source, c->table, &c->slots), 0);
}

static void close_life(struct life *life)
{
	slots_free(life->c.slots);
	table_free(life->c.table);
}

static int restore(struct life *life, const struct buffer *saved)
{
	return state_restore(&life->c, saved, NOW + IDLE, START + IDLE);
}

static void count(struct fake_probe *probe, unsigned writer, uint64_t key, uint64_t second,
		  unsigned packets)
{
	struct slot_key words = fake_key(key, second);

	for (unsigned i = 0; i < packets; i++)
		assert_true(fake_count(probe, writer, &words, 100, START));
}

/* rows + retired rows = series + other + retired series, in a projection's value */
static void assert_value_closed(const struct table *table, const struct projection *p, unsigned i)
{
	uint64_t rows = table->retired[p->first_value + i];
	uint64_t series = p->other.values[i] + p->retired[i];

	for (uint32_t j = 0; j < table->n_rows; j++)
		rows += table->rows[j]->values[p->first_value + i];
	for (uint32_t j = 0; j < p->n_series; j++)
		series += p->series[j]->values[i];
	assert_int_equal(rows, series);
}

static void assert_closed(struct table *table)
{
	table_sum(table);
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		for (unsigned c = p->first_column; c < p->first_column + p->n_columns; c++)
			if (table->columns[c].kind != COLUMN_GAUGE)
				assert_value_closed(table, p, table->value_of[c] - p->first_value);
	}
}

static const struct row *find_row(const struct table *table, const char *key, const char *second)
{
	int by_key = table_column(table, "key"), by_second = table_column(table, "second");
	const struct row *found = NULL;

	for (uint32_t i = 0; i < table->n_rows; i++) {
		const struct row *row = table->rows[i];

		if (strcmp(row->labels[by_key].text, key) != 0 ||
		    (by_second >= 0 && strcmp(row->labels[by_second].text, second) != 0))
			continue;
		assert_null(found);
		found = row;
	}
	return found;
}

static const struct series *find_series(const struct table *table, unsigned projection,
					const char *label)
{
	const struct projection *p = &table->projections[projection];

	for (uint32_t i = 0; i < p->n_series; i++)
		if (strcmp(p->series[i]->labels[0].text, label) == 0)
			return p->series[i];
	return NULL;
}

/*
 * A life with some of everything: rows in series and in `other`, one that has moved from `other` to
 * a series, ended rows and ended series, losses. Packets: key1 5 (2 of them ended), key2 10 (3 of
 * them in `other`), key3 4 in `other`, key9 7 ended. A packet has 100 bytes.
 */
enum { ALL_PACKETS = 26, ENDED_PACKETS = 9 };

static void live(struct life *life, struct buffer *ret_saved)
{
	struct collecting *c = &life->c;
	struct row *sampled;

	open_life(life);
	c->table->counting_since = SINCE;
	count(life->probe, 0, 9, 9, 7);
	count(life->probe, 0, 1, 1, 2);
	assert_int_equal(slots_collect(c->slots, NOW, START), 0);
	count(life->probe, 0, 1, 2, 1);
	count(life->probe, 1, 2, 2, 3);
	count(life->probe, 1, 3, 3, 4);
	assert_int_equal(slots_collect(c->slots, NOW + SEC, START + SEC), 0);
	assert_int_equal(slots_retire(c->slots, START + SEC, SEC), 2);
	table_admit(c->table);
	count(life->probe, 0, 1, 2, 2);
	count(life->probe, 1, 2, 2, 7);
	fake_writer(life->probe, 0)->map_full = 5;
	fake_writer(life->probe, 1)->unmatched = 6;
	c->lost[LOSS_MAP_FULL] = 100;
	assert_int_equal(slots_collect(c->slots, NOW + 2 * SEC, START + 2 * SEC), 0);
	assert_closed(c->table);
	sampled = (struct row *)find_row(c->table, "key2", "second2");
	sampled->sampled[0] = 8;
	sampled->sampled[1] = 800;
	sampled->peak = (struct peak){ 7000, NOW + SEC };
	*ret_saved = (struct buffer){ .data = NULL };
	state_write(c, ret_saved);
	assert_false(ret_saved->failed);
	close_life(life);
}

static int set_up(void **state)
{
	struct life *life = calloc(1, sizeof(*life));

	assert_non_null(life);
	life->probe = calloc(1, sizeof(*life->probe));
	assert_non_null(life->probe);
	life->collector = &usual;
	life->budget = BUDGET;
	fake_probe_open(life->probe, probe_cpus() * 2);
	*state = life;
	return 0;
}

static int tear_down(void **state)
{
	struct life *life = *state;

	fake_probe_close(life->probe);
	free(life->probe);
	free(life);
	return 0;
}

static void round_trip(void **state)
{
	struct life *life = *state;
	const struct table *table;
	struct buffer saved;
	const struct row *row;

	live(life, &saved);
	open_life(life);
	table = life->c.table;
	assert_int_equal(restore(life, &saved), 0);
	assert_int_equal(table->counting_since, SINCE);
	assert_int_equal(table->n_rows, 3);
	assert_int_equal(table->retired[0], ENDED_PACKETS);
	assert_int_equal(table->retired[1], ENDED_PACKETS * 100);
	assert_int_equal(life->c.lost[LOSS_MAP_FULL], 100);
	assert_int_equal(life->c.lost[2], 0);
	row = find_row(table, "key2", "second2");
	assert_non_null(row);
	assert_int_equal(row->values[0], 10);
	assert_int_equal(row->base[0], 3);
	assert_int_equal(row->sampled[0], 8);
	assert_int_equal(row->sampled[1], 800);
	assert_int_equal(row->peak.rate, 7000);
	assert_int_equal(row->peak.time, NOW + SEC);
	assert_int_equal(row->first_seen, NOW);
	assert_int_equal(row->last_seen, NOW + 2 * SEC);
	row = find_row(table, "key3", "second3");
	assert_int_equal(row->last_seen, NOW + SEC);
	assert_null(row->series[0]);
	assert_closed(life->c.table);
	assert_int_equal(find_series(table, 0, "key1")->values[0], 5);
	assert_int_equal(find_series(table, 0, "key2")->values[0], 7);
	assert_null(find_series(table, 0, "key3"));
	assert_int_equal(table->projections[0].other.values[0], 3 + 4);
	assert_int_equal(table->projections[0].retired[0], 7);
	assert_int_equal(life->c.n_not_carried, 0);
	buffer_free(&saved);
	close_life(life);
}

static struct buffer exactly(const struct buffer *from, size_t size)
{
	struct buffer to = { .data = malloc(size ? size : 1), .size = size };

	assert_non_null(to.data);
	memcpy(to.data, from->data, size);
	return to;
}

static void cut_anywhere(void **state)
{
	struct life *life = *state;
	struct buffer saved;

	live(life, &saved);
	for (size_t size = 1; size < saved.size; size++) {
		struct buffer part = exactly(&saved, size);

		open_life(life);
		assert_int_equal(restore(life, &part), -EINVAL);
		close_life(life);
		buffer_free(&part);
	}
	/* Nor is there anything behind the end. */
	buffer_char(&saved, 0);
	open_life(life);
	assert_int_equal(restore(life, &saved), -EINVAL);
	close_life(life);
	buffer_free(&saved);
}

/* It has a checksum of its own, so that what it says need not be sensible; but it must not hurt. */
static void changed_anywhere(void **state)
{
	static const unsigned char changes[] = { 0xff, 0x01, 0x80, 0x40 };
	struct life *life = *state;
	unsigned refused = 0;
	struct buffer saved;

	live(life, &saved);
	for (size_t i = 0; i < saved.size * ARRAY_SIZE(changes); i++) {
		struct buffer changed = exactly(&saved, saved.size);
		int error;

		changed.data[i / ARRAY_SIZE(changes)] ^= changes[i % ARRAY_SIZE(changes)];
		open_life(life);
		error = restore(life, &changed);
		assert_true(error == 0 || error == -EINVAL);
		refused += error != 0;
		close_life(life);
		buffer_free(&changed);
	}
	assert_true(refused > saved.size);
	buffer_free(&saved);
}

/* The one before has no mark behind `counting_since`, and nothing of samples in a row. */
static void the_format_before(void **state)
{
	const size_t mark = 1 + sizeof(STATE_FORMAT) + 9;
	struct life *life = *state;
	struct buffer saved = { .data = NULL };

	open_life(life);
	life->c.table->counting_since = SINCE;
	count(life->probe, 0, 9, 9, 7);
	assert_int_equal(slots_collect(life->c.slots, NOW, START), 0);
	assert_int_equal(slots_retire(life->c.slots, START + IDLE, SEC), 1);
	state_write(&life->c, &saved);
	close_life(life);
	assert_memory_equal(saved.data + 1, STATE_FORMAT, sizeof(STATE_FORMAT));
	memcpy(saved.data + 1, STATE_FORMAT_BEFORE, sizeof(STATE_FORMAT_BEFORE));
	assert_memory_equal(saved.data + mark, "\0\0", 2);
	saved.size -= 2;
	memmove(saved.data + mark, saved.data + mark + 2, saved.size - mark);
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_int_equal(life->c.table->counting_since, SINCE);
	assert_int_equal(life->c.table->retired[0], 7);
	close_life(life);
	buffer_free(&saved);
}

static void another_format(void **state)
{
	struct life *life = *state;
	struct buffer saved;
	char *digit;

	live(life, &saved);
	digit = memchr(saved.data, STATE_FORMAT[strlen(STATE_FORMAT) - 1], saved.size);
	assert_non_null(digit);
	++*digit;
	open_life(life);
	assert_int_equal(restore(life, &saved), -EINVAL);
	close_life(life);
	buffer_free(&saved);
}

static void nothing_saved(void **state)
{
	struct life *life = *state;
	struct buffer saved;

	live(life, &saved);
	buffer_free(&saved);
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	/* The maps' counts are there all the same. */
	assert_int_equal(life->c.table->n_rows, 3);
	assert_int_equal(life->c.table->counting_since, NOW);
	assert_closed(life->c.table);
	close_life(life);
}

static uint64_t not_carried(const struct collecting *c, const char *name)
{
	for (unsigned i = 0; i < c->n_not_carried; i++)
		if (strcmp(c->not_carried[i].name, name) == 0)
			return c->not_carried[i].value;
	return 0;
}

/* The same slots, which another build reads into other columns. */
static void restore_as(struct life *life, const struct collector *as, const struct buffer *saved)
{
	life->collector = as;
	life->budget = 10;
	open_life(life);
	assert_int_equal(restore(life, saved), 0);
	assert_closed(life->c.table);
	assert_int_equal(life->c.table->n_rows, 3);
}

static void other_columns(void **state)
{
	static const struct collector builds[] = {
		COLLECTOR(1, 1, fewer_labels, 2),
		COLLECTOR(1, 1, more_labels, 2),
		COLLECTOR(1, 1, other_by, 2),
		COLLECTOR(1, 1, other_order, 2),
	};
	struct life *life = *state;
	struct buffer saved;

	live(life, &saved);
	for (unsigned i = 0; i < ARRAY_SIZE(builds); i++) {
		restore_as(life, &builds[i], &saved);
		assert_int_equal(life->c.table->retired[0], ENDED_PACKETS);
		assert_int_equal(life->c.table->retired[1], ENDED_PACKETS * 100);
		assert_int_equal(life->c.n_not_carried, 0);
		close_life(life);
	}
	buffer_free(&saved);
}

/* What has ended in a column that is not there any more is lost, once, and stays known as such. */
static void a_column_less(void **state)
{
	static const struct collector as = COLLECTOR(1, 1, renamed, 2);
	struct life *life = *state;
	struct buffer saved;

	live(life, &saved);
	restore_as(life, &as, &saved);
	assert_int_equal(not_carried(&life->c, "packets"), ENDED_PACKETS);
	assert_int_equal(life->c.n_not_carried, 1);
	assert_int_equal(life->c.table->retired[0], 0);
	assert_int_equal(life->c.table->retired[1], ENDED_PACKETS * 100);
	buffer_free(&saved);
	state_write(&life->c, &saved);
	close_life(life);
	restore_as(life, &as, &saved);
	assert_int_equal(not_carried(&life->c, "packets"), ENDED_PACKETS);
	buffer_free(&saved);
	close_life(life);
}

/* The same name with another number of values is another column. */
static void another_size(void **state)
{
	static const struct collector as = COLLECTOR(1, 1, no_bytes, 2);
	struct life *life = *state;
	struct buffer saved;

	live(life, &saved);
	restore_as(life, &as, &saved);
	assert_int_equal(not_carried(&life->c, "bytes"), ENDED_PACKETS * 100);
	assert_int_equal(life->c.n_not_carried, 1);
	assert_int_equal(life->c.table->retired[0], ENDED_PACKETS);
	assert_int_equal(life->c.table->retired[1], 0);
	buffer_free(&saved);
	close_life(life);
}

/* ---- superseded maps: those of the kernel */

static void supersede(struct life *life, const char *name, const struct fake_map *map)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	unsigned n = probe_cpus() * life->collector->writers;
	struct probe_map *old = &life->c.probe.superseded[life->c.probe.n_superseded++];

	if (strcmp(name, "slots") == 0)
		n *= SLOTS_PER_WRITER;
	old->fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, map->size, n, &options);
	assert_true(old->fd >= 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(bpf_map_update_elem(old->fd, &i, map->data + i * map->size, 0), 0);
	snprintf(old->name, sizeof(old->name), "%s.%u-%ux%u", name, life->collector->layout, n,
		 map->size);
}

/* The maps are superseded by empty ones of this build. */
static void supersede_by(struct life *life, const struct collector *as)
{
	supersede(life, "slots", &life->probe->slots);
	supersede(life, "writers", &life->probe->writers);
	fake_probe_close(life->probe);
	fake_probe_open(life->probe, probe_cpus() * 2);
	life->collector = as;
}

static void forget(struct life *life)
{
	while (life->c.probe.n_superseded > 0)
		close(life->c.probe.superseded[--life->c.probe.n_superseded].fd);
}

static bool skipped(void)
{
	if (geteuid() == 0)
		return false;
	print_message("maps of the kernel need root: SKIPPED\n");
	skip();
	return true;
}

static void carried_over(void **state)
{
	static const struct collector as = COLLECTOR(2, 1, other_order, 2);
	struct life *life = *state;
	const struct row *row;
	struct buffer saved;

	if (skipped())
		return;
	live(life, &saved);
	supersede_by(life, &as);
	restore_as(life, &as, &saved);
	row = find_row(life->c.table, "key2", "second2");
	assert_non_null(row);
	assert_int_equal(row->values[0], 10);
	assert_int_equal(row->values[1], 1000);
	assert_int_equal(row->first_seen, NOW);
	assert_int_equal(row->last_seen, NOW + 2 * SEC);
	assert_int_equal(life->c.n_not_carried, 0);
	assert_int_equal(life->c.lost[LOSS_MAP_FULL], 105);
	assert_int_equal(life->c.lost[2], 6);
	forget(life);
	/* The first event under the new layout goes on with the row, under the same labels. */
	count(life->probe, 0, 2, 2, 1);
	assert_int_equal(slots_collect(life->c.slots, NOW + 2 * IDLE, START + 2 * IDLE), 0);
	assert_int_equal(life->c.table->n_rows, 3);
	row = find_row(life->c.table, "key2", "second2");
	assert_int_equal(row->values[0], 11);
	assert_int_equal(row->first_seen, NOW);
	assert_closed(life->c.table);
	buffer_free(&saved);
	close_life(life);
}

/* All that a column had counted, ended or not, and each count once. */
static void a_column_less_carried(void **state)
{
	static const struct collector as = COLLECTOR(2, 1, renamed, 2);
	struct life *life = *state;
	struct buffer saved;

	if (skipped())
		return;
	live(life, &saved);
	supersede_by(life, &as);
	restore_as(life, &as, &saved);
	assert_int_equal(not_carried(&life->c, "packets"), ALL_PACKETS);
	assert_int_equal(life->c.n_not_carried, 1);
	assert_int_equal(find_row(life->c.table, "key2", "second2")->values[0], 0);
	assert_int_equal(find_row(life->c.table, "key2", "second2")->values[1], 1000);
	/* Once more: rows that have no slots, with one column less. */
	buffer_free(&saved);
	state_write(&life->c, &saved);
	close_life(life);
	forget(life);
	supersede_by(life, &usual);
	restore_as(life, &usual, &saved);
	assert_int_equal(not_carried(&life->c, "packets"), ALL_PACKETS);
	assert_int_equal(not_carried(&life->c, "segments"), 0);
	buffer_free(&saved);
	close_life(life);
	forget(life);
}

/* Keys that are newer than the state: described, where they still mean what they did. */
static void newer_than_the_state(void **state)
{
	static const struct collector larger = COLLECTOR(1, 2, first, 2);
	static const struct collector another = COLLECTOR(2, 1, first, 2);
	enum { NEWER = 100 };
	struct life *life = *state;
	struct buffer saved;
	char name[16];

	if (skipped())
		return;
	live(life, &saved);
	for (unsigned i = 0; i < NEWER; i++)
		count(life->probe, i % probe_cpus(), 100 + i, 1, 1 + i);
	supersede_by(life, &larger);
	life->budget = BUDGET;
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_closed(life->c.table);
	assert_int_equal(life->c.table->n_rows, 3 + NEWER);
	assert_int_equal(life->c.n_not_carried, 0);
	for (unsigned i = 0; i < NEWER; i++) {
		snprintf(name, sizeof(name), "key%u", 100 + i);
		assert_non_null(find_row(life->c.table, name, "second1"));
		assert_int_equal(find_row(life->c.table, name, "second1")->values[0], 1 + i);
	}
	close_life(life);
	/* In another layout they are only numbers. */
	life->collector = &another;
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_closed(life->c.table);
	assert_int_equal(life->c.table->n_rows, 3);
	assert_int_equal(not_carried(&life->c, "packets"), NEWER * (NEWER + 1) / 2);
	assert_int_equal(not_carried(&life->c, "bytes"), NEWER * (NEWER + 1) * 50);
	close_life(life);
	buffer_free(&saved);
	forget(life);
}

/* A key that is there twice, with a slot that retires and one that lives: each has its row. */
static void twice_in_the_state(void **state)
{
	static const struct collector as = COLLECTOR(2, 1, first, 2);
	struct slot_key key = fake_key(3, 3);
	struct life *life = *state;
	struct fake_slot *slot;
	struct buffer saved;
	unsigned with_base = 0;

	if (skipped())
		return;
	live(life, &saved);
	life->budget = 10;
	open_life(life);
	assert_int_equal(restore(life, &saved), 0); /* key3 is given a series, and a base of 4 */
	buffer_free(&saved);
	state_write(&life->c, &saved);
	close_life(life);
	slot = (struct fake_slot *)slot_find(&life->probe->slots, &key, 1);
	assert_non_null(slot);
	slot->key.word[0] &= ~SLOT_LIVE;
	count(life->probe, 1, 3, 3, 1);
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_int_equal(life->c.table->n_rows, 4);
	assert_closed(life->c.table);
	buffer_free(&saved);
	state_write(&life->c, &saved);
	close_life(life);
	supersede_by(life, &as);
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_closed(life->c.table);
	assert_int_equal(life->c.table->n_rows, 4);
	for (uint32_t i = 0; i < life->c.table->n_rows; i++) {
		const struct row *row = life->c.table->rows[i];

		if (strcmp(row->labels[0].text, "key3") != 0)
			continue;
		assert_int_equal(row->values[0], row->base ? 4 : 1);
		with_base += row->base != NULL;
	}
	assert_int_equal(with_base, 1);
	buffer_free(&saved);
	close_life(life);
	forget(life);
}

/* What nobody describes cannot be carried over, and holds nothing up. */
static void undescribed(void **state)
{
	static const struct collector as = COLLECTOR(2, 1, first, 2);
	struct life *life = *state;
	struct buffer saved;

	if (skipped())
		return;
	live(life, &saved);
	buffer_free(&saved);
	supersede_by(life, &as);
	open_life(life);
	assert_int_equal(restore(life, &saved), 0);
	assert_int_equal(life->c.table->n_rows, 0);
	close_life(life);
	forget(life);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(round_trip),	  test(cut_anywhere),	       test(changed_anywhere),
		test(another_format),	  test(the_format_before),     test(nothing_saved),
		test(other_columns),	  test(a_column_less),	       test(another_size),
		test(carried_over),	  test(a_column_less_carried), test(newer_than_the_state),
		test(twice_in_the_state), test(undescribed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
