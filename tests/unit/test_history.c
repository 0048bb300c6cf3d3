/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/history_internal.h"

enum { SMALL = HISTORY_SEGMENTS * 4096, N_LABELS = 40, MAX_EVENTS = 200000 };

/* What should be in the ring: one row's increase in one sample. */
struct event {
	uint64_t time;
	unsigned label;
	uint64_t packets, bytes;
};

/* A table, its history, and the plain list of all that it should hold. */
struct world {
	struct table *table;
	struct history *history;
	struct row *rows[N_LABELS]; /* NULL: not there */
	uint64_t now;
	struct event *events;
	unsigned n_events;
	uint64_t random;
	uint64_t told[N_LABELS][2]; /* of the rows' values, in events */
	/* As it was saved last: what collect/state.c does. */
	struct history_mark mark;
	uint64_t sampled[N_LABELS][2];
	unsigned n_saved;
};

static uint64_t random_below(struct world *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % n;
}

static void save(void *userdata)
{
	struct world *w = userdata;

	w->n_saved++;
	w->mark = history_mark(w->history);
	memset(w->sampled, 0, sizeof(w->sampled));
	for (unsigned i = 0; i < N_LABELS; i++)
		if (w->rows[i])
			memcpy(w->sampled[i], w->rows[i]->sampled, sizeof(w->sampled[i]));
}

static void on_end(void *userdata, struct table *table, struct row *row)
{
	struct world *w = userdata;

	history_end(w->history, table, row, w->now);
}

static const char *symbol_of(unsigned label, char *text)
{
	sprintf(text, "function_%u", label);
	return text;
}

static struct row *add_row(struct world *w, unsigned label)
{
	char text[32];
	const char *labels[] = { symbol_of(label, text), "kernel", "REASON", "eth0", "1", "0x1" };

	assert_int_equal(table_add(w->table, labels, w->now, &w->rows[label]), 0);
	return w->rows[label];
}

static void new_table(struct world *w)
{
	assert_int_equal(
		table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1000, &w->table), 0);
	w->table->ending = on_end;
	w->table->userdata = w;
}

static struct world *world_new(uint64_t seed, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *fault;

	assert_non_null(w);
	w->events = calloc(MAX_EVENTS, sizeof(*w->events));
	assert_non_null(w->events);
	w->random = seed;
	w->now = NOW / HISTORY_MILLISECOND * HISTORY_MILLISECOND;
	new_table(w);
	assert_int_equal(history_new(size, -1, w->now, &w->history, &fault), 0);
	assert_null(fault);
	history_on_evict(w->history, save, w);
	return w;
}

static void world_free(struct world *w)
{
	w->table->ending = NULL;
	table_free(w->table);
	history_free(w->history);
	free(w->events);
	free(w);
}

static void note(struct world *w, unsigned label)
{
	const uint64_t *values = w->rows[label]->values, *told = w->told[label];

	if (values[0] == told[0] && values[1] == told[1])
		return;
	assert_true(w->n_events < MAX_EVENTS);
	w->events[w->n_events++] =
		(struct event){ w->now, label, values[0] - told[0], values[1] - told[1] };
	memcpy(w->told[label], values, sizeof(w->told[label]));
}

static void sample(struct world *w)
{
	for (unsigned i = 0; i < N_LABELS; i++)
		if (w->rows[i])
			note(w, i);
	history_sample(w->history, &w->table, 1, w->now);
}

static struct table *window(const struct world *w, uint64_t from, uint64_t to)
{
	const struct history_window asked = { .from = from, .to = to, .now = w->now };
	struct table *table;

	assert_int_equal(history_table(w->history, w->table, &asked, &table), 0);
	return table;
}

static void check_window(const struct world *w, uint64_t from, uint64_t to)
{
	struct table *table = window(w, from, to);
	uint64_t sums[N_LABELS][2] = { { 0 } };
	unsigned expected = 0, n = 0;
	char text[32];

	for (unsigned i = 0; i < w->n_events; i++) {
		const struct event *event = &w->events[i];

		if (event->time <= from || event->time > to)
			continue;
		sums[event->label][0] += event->packets;
		sums[event->label][1] += event->bytes;
	}
	for (unsigned i = 0; to >= w->now && i < N_LABELS; i++) {
		if (!w->rows[i])
			continue;
		sums[i][0] += w->rows[i]->values[0] - w->told[i][0];
		sums[i][1] += w->rows[i]->values[1] - w->told[i][1];
	}
	for (unsigned i = 0; i < N_LABELS; i++) {
		if (!sums[i][0] && !sums[i][1])
			continue;
		expected++;
		for (uint32_t j = 0; j < table->n_rows; j++) {
			if (strcmp(table->rows[j]->labels[0].text, symbol_of(i, text)) != 0)
				continue;
			n++;
			assert_int_equal(table->rows[j]->values[0], sums[i][0]);
			assert_int_equal(table->rows[j]->values[1], sums[i][1]);
			assert_true(table->rows[j]->first_seen >= from);
			assert_true(table->rows[j]->last_seen <= to);
		}
	}
	assert_int_equal(n, expected);
	assert_int_equal(table->n_rows, expected);
	table_free(table);
}

/* Any window that the ring reaches back to. */
static void check_windows(struct world *w)
{
	uint64_t since = history_since(w->history), length = w->now - since;

	check_window(w, since, w->now);
	for (unsigned i = 0; i < 5 && length > 0; i++) {
		uint64_t a = since + random_below(w, length + 1);
		uint64_t b = since + random_below(w, length + 1);

		check_window(w, a < b ? a : b, a < b ? b : a);
	}
}

/* The process is gone, and so is all that it knew; the counters and what was saved are there. */
static void restart(struct world *w)
{
	uint64_t values[N_LABELS][2];
	struct table *before = w->table;
	bool there[N_LABELS];
	const char *fault;
	int fd = fcntl(history_fd(w->history), F_DUPFD_CLOEXEC, 3);

	for (unsigned i = 0; i < N_LABELS; i++) {
		there[i] = w->rows[i] != NULL;
		if (there[i])
			memcpy(values[i], w->rows[i]->values, sizeof(values[i]));
	}
	history_free(w->history);
	before->ending = NULL;
	table_free(before);
	assert_int_equal(history_new(SMALL, fd, w->now, &w->history, &fault), 0);
	close(fd);
	assert_null(fault);
	history_on_evict(w->history, save, w);
	new_table(w);
	for (unsigned i = 0; i < N_LABELS; i++) {
		w->rows[i] = NULL;
		if (!there[i])
			continue;
		memcpy(add_row(w, i)->values, values[i], sizeof(values[i]));
		memcpy(w->rows[i]->sampled, w->sampled[i], sizeof(w->sampled[i]));
	}
	assert_true(history_recall(w->history, w->table, w->mark));
	save(w);
}

static void step(struct world *w)
{
	unsigned label = (unsigned)random_below(w, N_LABELS);

	switch (random_below(w, 40)) {
	case 0: /* a row ends: its last counts are in the ring at once */
		if (!w->rows[label])
			break;
		note(w, label);
		table_retire(w->table, w->rows[label]);
		w->rows[label] = NULL;
		memset(w->told[label], 0, sizeof(w->told[label]));
		save(w);
		break;
	case 1:
		restart(w);
		break;
	case 2:
		save(w);
		break;
	case 3: /* long silence */
		w->now += random_below(w, 1000) * SECOND;
		break;
	default:
		for (unsigned i = 0; i < 8; i++) {
			label = (unsigned)random_below(w, N_LABELS);
			if (!w->rows[label]) {
				add_row(w, label);
				save(w); /* a row that comes changes the revision */
			}
			w->rows[label]->values[0] += random_below(w, 1000);
			w->rows[label]->values[1] +=
				random_below(w, UINT64_MAX >> (17 + random_below(w, 47)));
		}
	}
	w->now += (random_below(w, 50) ? 1000 + random_below(w, 100) : 1) * HISTORY_MILLISECOND;
	if (random_below(w, 8))
		sample(w);
}

static void test_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world *w = world_new(seed * 0x9e3779b97f4a7c15, SMALL);

		for (unsigned i = 0; i < 8000; i++) {
			step(w);
			if (i % 97 == 0)
				check_windows(w);
		}
		check_windows(w);
		/* It has gone round, and something has been forgotten. */
		assert_true(w->history->oldest > 1);
		assert_true(history_since(w->history) > w->events[0].time);
		assert_int_equal(history_lost(w->history), 0);
		world_free(w);
	}
}

/* Rows are named in each segment: what is left after eviction is complete. */
static void test_names_after_eviction(void **state)
{
	struct world *w = world_new(7, SMALL);

	(void)state;
	add_row(w, 3);
	while (w->history->oldest < 5) {
		w->rows[3]->values[0]++;
		w->now += SECOND;
		sample(w);
	}
	check_windows(w);
	assert_int_equal(w->n_saved, 4);
	world_free(w);
}

/* Reads the ring anew, as the next start does. */
static struct history *reopen(const struct world *w, const char **ret_fault)
{
	struct history *history;

	assert_int_equal(history_new(w->history->size, history_fd(w->history), w->now, &history,
				     ret_fault),
			 0);
	return history;
}

/* A process that ends while it writes a frame: bytes may be there, but `used` does not count them. */
static void test_cut_short(void **state)
{
	struct world *w = world_new(11, SMALL);
	struct history_segment *segment;
	unsigned char frame[256];
	uint64_t used, size;
	const char *fault;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		add_row(w, i)->values[0] = 10 + i;
		w->now += SECOND;
		sample(w);
	}
	segment = history_at(w->history, w->history->newest);
	used = segment->used;
	w->rows[0]->values[0]++;
	w->now += SECOND;
	history_sample(w->history, &w->table, 1, w->now);
	size = segment->used - used;
	assert_true(size > 8 && size < sizeof(frame));
	memcpy(frame, segment->data + used, size);
	for (unsigned i = 0; i <= size; i++) {
		struct history *history;

		memset(segment->data + used, 0xa5, size);
		memcpy(segment->data + used, frame, i);
		segment->used = used;
		history = reopen(w, &fault);
		assert_null(fault);
		assert_int_equal(history_mark(history).frame, 3);
		history_free(history);
	}
	/* Counted all the same, it is refused at each length but the whole. */
	for (unsigned i = 1; i <= size; i++) {
		struct history *history;

		memcpy(segment->data + used, frame, size);
		segment->used = used + i;
		history = reopen(w, &fault);
		if (i < size)
			assert_string_equal(fault, "it is damaged");
		else
			assert_null(fault);
		history_free(history);
		segment->magic = 0x317473696870726f;
	}
	world_free(w);
}

/* Any byte of the oldest of three segments turned over: that segment is refused, the others stay. */
static void test_damaged(void **state)
{
	struct world *w = world_new(13, SMALL);
	struct history_segment *segment;
	uint64_t since;
	size_t size;

	(void)state;
	while (w->history->newest < 3) {
		unsigned label = (unsigned)random_below(w, N_LABELS);

		if (!w->rows[label])
			add_row(w, label);
		w->rows[label]->values[0] += 1 + random_below(w, 100000);
		w->now += SECOND;
		sample(w);
	}
	segment = history_at(w->history, 1);
	since = history_at(w->history, 2)->since;
	size = sizeof(*segment) + segment->used;
	for (size_t i = 0; i < size; i++) {
		unsigned char *byte = (unsigned char *)segment + i, before = *byte;
		uint64_t head = segment->magic;
		struct history *history;
		const char *fault;

		/* When it was sampled last is not checked, and for the oldest not used. */
		if (i >= offsetof(struct history_segment, sampled) &&
		    i < offsetof(struct history_segment, data))
			continue;
		*byte ^= 1U << random_below(w, 8);
		history = reopen(w, &fault);
		assert_non_null(fault);
		assert_string_equal(fault, "a part of it is damaged");
		assert_int_equal(history_since(history), since);
		assert_int_equal(history_lost(history), 1);
		history_free(history);
		*byte = before;
		segment->magic = head;
		*byte = before;
	}
	world_free(w);
}

/* Frames of random bytes with a right head and checksum: they are read to no harm, or refused. */
static void test_hostile(void **state)
{
	struct world *w = world_new(17, SMALL);
	unsigned char *data = malloc(512);
	unsigned refused = 0;

	(void)state;
	assert_non_null(data);
	for (unsigned i = 0; i < 200000; i++) {
		struct history_extent extent;
		struct history_frame_head head = { (uint32_t)random_below(w, 64), 0 };
		unsigned char *exact = malloc(sizeof(head) + head.size);

		assert_non_null(exact);
		for (unsigned j = 0; j < head.size; j++)
			data[j] = (unsigned char)random_below(w, random_below(w, 4) ? 8 : 256);
		head.checksum = history_checksum(data, head.size);
		memcpy(exact, &head, sizeof(head));
		memcpy(exact + sizeof(head), data, head.size);
		refused += history_read(exact, sizeof(head) + head.size, 1, NULL, &extent) < 0;
		free(exact);
	}
	assert_true(refused > 100000);
	free(data);
	world_free(w);
}

static void test_refused(void **state)
{
	struct world *w = world_new(19, SMALL);
	int fd = memfd_create("foreign", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct history *history;
	const char *fault;

	(void)state;
	assert_int_equal(history_new(SMALL, null, w->now, &history, &fault), 0);
	assert_string_equal(fault, "it is no ring of dropscoped's");
	history_free(history);
	/* It could be made shorter under our hands. */
	assert_int_equal(ftruncate(fd, SMALL), 0);
	assert_int_equal(history_new(SMALL, fd, w->now, &history, &fault), 0);
	assert_string_equal(fault, "it is no ring of dropscoped's");
	history_free(history);
	assert_int_equal(history_new(2 * SMALL, history_fd(w->history), w->now, &history, &fault),
			 0);
	assert_string_equal(fault, "it has another size than [history] size asks for");
	assert_int_equal(history_since(history), w->now);
	history_free(history);
	close(fd);
	close(null);
	world_free(w);
}

/* A state of another ring, or one that is older than the ring: what the rows have is taken for
 * known, and not told twice. */
static void test_unknown_mark(void **state)
{
	static const struct history_mark marks[] = { { 0, 0 }, { 1, 1 }, { 0, 1000 } };
	struct world *w = world_new(23, SMALL);

	(void)state;
	add_row(w, 1)->values[0] = 5;
	sample(w);
	for (unsigned i = 0; i < ARRAY_SIZE(marks); i++) {
		struct history_mark mark = marks[i];

		if (i == 2)
			mark.ring = history_mark(w->history).ring;
		w->rows[1]->values[0] += 10;
		assert_false(history_recall(w->history, w->table, mark));
		assert_int_equal(w->rows[1]->sampled[0], w->rows[1]->values[0]);
	}
	world_free(w);
}

/* Two rows with the same labels share what the ring has for them. */
static void test_same_labels(void **state)
{
	struct world *w = world_new(29, SMALL);
	struct row *first = add_row(w, 1), *second = add_row(w, 1);
	struct history_mark mark;
	struct table *table;

	(void)state;
	mark = history_mark(w->history);
	first->values[0] = 30;
	second->values[0] = 12;
	w->now += SECOND;
	history_sample(w->history, &w->table, 1, w->now);
	first->sampled[0] = second->sampled[0] = 0;
	first->values[0] += 5;
	assert_true(history_recall(w->history, w->table, mark));
	assert_int_equal(first->sampled[0] + second->sampled[0], 42);
	table = window(w, 0, w->now);
	assert_int_equal(table->n_rows, 1);
	assert_int_equal(table->rows[0]->values[0], 47);
	table_free(table);
	world_free(w);
}

/* The greatest count a second, and when; after a gap it is the mean. */
static void test_peak(void **state)
{
	static const struct {
		unsigned seconds;
		uint64_t packets, peak;
	} steps[] = { { 1, 10, 10000 },
		      { 1, 90, 90000 },
		      { 1, 20, 90000 },
		      { 10, 1000, 100000 },
		      { 1, 99, 100000 } };
	struct world *w = world_new(31, SMALL);
	uint64_t began = w->now;
	struct table *table;
	struct row *row = add_row(w, 1);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		w->now += steps[i].seconds * SECOND;
		row->values[0] += steps[i].packets;
		sample(w);
		assert_int_equal(row->peak.rate, steps[i].peak);
	}
	assert_int_equal(row->peak.time, began + 13 * SECOND);
	table = window(w, began, began + 3 * SECOND);
	assert_int_equal(table->rows[0]->peak.rate, 90000);
	assert_int_equal(table->rows[0]->peak.time, began + 2 * SECOND);
	assert_int_equal(table->rows[0]->values[0], 120);
	assert_int_equal(row_rate(table, table->rows[0]), 40000);
	table_free(table);
	world_free(w);
}

/* Without a ring rows have their peaks, and there is no window. */
static void test_off(void **state)
{
	struct world *w = world_new(37, 0);

	(void)state;
	assert_int_equal(history_fd(w->history), -1);
	assert_int_equal(history_since(w->history), 0);
	add_row(w, 1)->values[0] = 7;
	w->now += SECOND;
	history_sample(w->history, &w->table, 1, w->now);
	assert_int_equal(w->rows[1]->peak.rate, 7000);
	assert_int_equal(history_mark(w->history).ring, 0);
	world_free(w);
}

/* Gauges are no counts: they are in no frame. Histograms are. */
static void test_kinds(void **state)
{
	static const char *const labels[] = { "sda", "read" };
	struct table *table, *past;
	struct history *history;
	const char *fault;
	struct row *row;

	(void)state;
	assert_int_equal(history_new(SMALL, -1, NOW, &history, &fault), 0);
	assert_int_equal(table_new("block", block_columns, ARRAY_SIZE(block_columns), 10, &table),
			 0);
	assert_int_equal(table_add(table, labels, NOW, &row), 0);
	row->values[1] = 5 * SECOND;
	history_sample(history, &table, 1, NOW + SECOND);
	assert_int_equal(history_mark(history).frame, 0);
	count(table, row, 4, 1000, 3);
	count(table, row, 5, 4096, 2);
	history_sample(history, &table, 1, NOW + 2 * SECOND);
	assert_int_equal(history_mark(history).frame, 1);
	assert_int_equal(history_table(history, table,
				       &(struct history_window){ NOW, NOW + 9 * SECOND,
								 NOW + 9 * SECOND, NULL, NULL },
				       &past),
			 0);
	assert_int_equal(past->n_rows, 1);
	assert_int_equal(past->rows[0]->values[1], 0);
	row->values[1] = 0;
	assert_memory_equal(past->rows[0]->values, row->values,
			    table->n_values * sizeof(*row->values));
	table_free(past);
	table_free(table);
	history_free(history);
}

/* What does not fit any segment is lost, and counted. */
static void test_too_large(void **state)
{
	struct world *w = world_new(41, HISTORY_SEGMENTS * 128);

	(void)state;
	add_row(w, 1)->values[0] = 7;
	history_sample(w->history, &w->table, 1, w->now + SECOND);
	assert_int_equal(history_lost(w->history), 1);
	world_free(w);
}

/* Many rows at once go over several segments, all of them. */
static void test_over_segments(void **state)
{
	struct world *w = world_new(43, SMALL);
	struct table *table;
	char text[32];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		const char *labels[] = { symbol_of(i, text), "kernel", "R", "eth0", "1", "0" };
		struct row *row;

		assert_int_equal(table_add(w->table, labels, w->now, &row), 0);
		row->values[0] = i + 1;
	}
	w->now += SECOND;
	history_sample(w->history, &w->table, 1, w->now);
	assert_true(w->history->newest > 3);
	table = window(w, w->now - SECOND, w->now);
	assert_int_equal(table->n_rows, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(table->rows[i]->values[0], i + 1);
	table_free(table);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),	      cmocka_unit_test(test_names_after_eviction),
		cmocka_unit_test(test_cut_short),     cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_hostile),	      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_mark),  cmocka_unit_test(test_same_labels),
		cmocka_unit_test(test_peak),	      cmocka_unit_test(test_off),
		cmocka_unit_test(test_kinds),	      cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_over_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
