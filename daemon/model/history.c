/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "../util.h"
#include "history_internal.h"

enum { FRAME_END = 2 }; /* bytes: no more rows, no more tables */

static uint64_t span_until(const struct history *h, uint64_t now)
{
	return now > h->sampled_at ? now - h->sampled_at : 0;
}

static void frame_begin(struct history *h, uint64_t now)
{
	static const struct history_frame_head head = { 0, 0 };

	h->frame.size = 0;
	h->open = NULL;
	buffer_bytes(&h->frame, &head, sizeof(head));
	record_number(&h->frame, now / HISTORY_MILLISECOND);
	record_number(&h->frame, span_until(h, now) / HISTORY_MILLISECOND);
	h->frame_head = h->frame.size;
}

/* From here on the frame is there, whatever happens. */
static void frame_end(struct history *h, uint64_t now)
{
	struct history_segment *segment = history_at(h, h->newest);
	struct history_extent *extent = history_extent_at(h, h->newest);
	struct history_frame_head head;
	unsigned char *data = (unsigned char *)h->frame.data;

	if (h->frame.size == h->frame_head)
		return;
	for (unsigned i = 0; i < FRAME_END; i++)
		buffer_char(&h->frame, 0);
	head.size = (uint32_t)(h->frame.size - sizeof(head));
	head.checksum = history_checksum(data + sizeof(head), head.size);
	memcpy(data, &head, sizeof(head));
	memcpy(segment->data + extent->used, data, h->frame.size);
	extent->used += h->frame.size;
	__atomic_store_n(&segment->used, extent->used, __ATOMIC_RELEASE);
	now -= now % HISTORY_MILLISECOND;
	if (extent->n_frames++ == 0)
		extent->earliest = extent->latest = now;
	if (now < extent->earliest)
		extent->earliest = now;
	if (now > extent->latest)
		extent->latest = now;
}

static void write_table(struct history *h, struct table *table)
{
	unsigned n_labels = 0;

	table->place =
		(struct history_place){ h->newest, history_extent_at(h, h->newest)->n_tables++, 0 };
	record_number(&h->frame, 1);
	record_text(&h->frame, table->name);
	for (unsigned i = 0; i < table->n_labels; i++)
		n_labels += !table->columns[i].borrowed;
	record_number(&h->frame, n_labels);
	for (unsigned i = 0; i < table->n_labels; i++)
		if (!table->columns[i].borrowed)
			record_text(&h->frame, table->columns[i].name);
	record_number(&h->frame, table->n_columns - table->n_labels);
	for (unsigned i = table->n_labels; i < table->n_columns; i++) {
		record_text(&h->frame, table->columns[i].name);
		record_number(&h->frame, column_values(&table->columns[i]));
	}
}

static void write_name(struct history *h, struct table *table, struct row *row)
{
	row->place = (struct history_place){ h->newest, table->place.n++, 0 };
	record_number(&h->frame, 1);
	for (unsigned i = 0; i < table->n_labels; i++)
		if (!table->columns[i].borrowed)
			record_text(&h->frame, row->labels[i].text);
}

static void write_deltas(struct history *h, const struct table *table, const struct row *row)
{
	unsigned next = 0;

	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

		if (table->columns[c].kind == COLUMN_GAUGE)
			continue;
		for (unsigned i = at; i < at + n; i++) {
			if (row->values[i] == row->sampled[i])
				continue;
			record_number(&h->frame, i + 1 - next);
			record_number(&h->frame, row->values[i] - row->sampled[i]);
			next = i + 1;
		}
	}
	record_number(&h->frame, 0);
}

/* False: it does not fit what is left of the segment, and nothing has changed. */
static bool write_row(struct history *h, struct table *table, struct row *row)
{
	struct history_extent *extent = history_extent_at(h, h->newest);
	struct history_place table_place = table->place, row_place = row->place;
	size_t size = h->frame.size;
	uint32_t n_tables = extent->n_tables;
	struct table *open = h->open;

	if (table->place.segment != h->newest && n_tables == HISTORY_MAX_TABLES)
		return false;
	if (h->open && h->open != table)
		record_number(&h->frame, 0);
	if (table->place.segment != h->newest)
		write_table(h, table);
	else if (h->open != table)
		record_number(&h->frame, table->place.id + 2);
	h->open = table;
	if (row->place.segment != h->newest)
		write_name(h, table, row);
	else
		record_number(&h->frame, row->place.id + 2ULL);
	write_deltas(h, table, row);
	if (!h->frame.failed && extent->used + h->frame.size + FRAME_END <= history_segment_room(h))
		return true;

	h->frame.failed = false;
	h->frame.size = size;
	h->open = open;
	extent->n_tables = n_tables;
	table->place = table_place;
	row->place = row_place;
	return false;
}

/* Into this segment, or where that is full into a new one. */
static void write_somewhere(struct history *h, struct table *table, struct row *row, uint64_t now)
{
	if (write_row(h, table, row))
		return;
	frame_end(h, now);
	history_segment_begin(h);
	frame_begin(h, now);
	if (!write_row(h, table, row))
		h->n_lost++;
}

static bool has_moved(const struct table *table, const struct row *row)
{
	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		unsigned at = table->value_of[c], n = column_values(&table->columns[c]);

		if (table->columns[c].kind != COLUMN_GAUGE &&
		    memcmp(&row->values[at], &row->sampled[at], n * sizeof(*row->values)) != 0)
			return true;
	}
	return false;
}

static void sample_row(struct history *h, struct table *table, struct row *row, uint64_t now)
{
	struct peak peak = { 0, now };

	if (!has_moved(table, row))
		return;
	if (table_has_rate(table))
		peak.rate = table_rate_of(row->values[0] - row->sampled[0], span_until(h, now));
	if (peak.rate > row->peak.rate)
		row->peak = peak;
	if (h->map)
		write_somewhere(h, table, row, now);
	memcpy(row->sampled, row->values, table->n_values * sizeof(*row->values));
}

void history_sample(struct history *h, struct table *const *tables, unsigned n, uint64_t now)
{
	if (h->map && now < h->sampled_at)
		history_set_back(h, now);
	if (h->map)
		frame_begin(h, now);
	for (unsigned i = 0; i < n; i++)
		for (uint32_t j = 0; j < tables[i]->n_rows; j++)
			sample_row(h, tables[i], tables[i]->rows[j], now);
	if (h->map)
		frame_end(h, now);
	h->sampled_at = now;
	if (h->map)
		__atomic_store_n(&history_at(h, h->newest)->sampled, now, __ATOMIC_RELAXED);
}

void history_end(struct history *h, struct table *table, struct row *row, uint64_t now)
{
	if (h->map)
		frame_begin(h, now);
	sample_row(h, table, row, now);
	if (h->map)
		frame_end(h, now);
}
