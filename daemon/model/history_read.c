/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "../hash.h"
#include "../util.h"
#include "history_internal.h"

struct reading {
	const struct history_visitor *visitor; /* NULL: only look whether all is well */
	struct history_extent *extent;
	struct record record; /* the frame */
	struct history_moved moved;
	struct history_layout tables[HISTORY_MAX_TABLES];
	struct history_delta deltas[HISTORY_MAX_VALUES];
};

uint32_t history_checksum(const unsigned char *data, size_t size)
{
	uint64_t sum = hash_bytes(HASH_START, data, size);

	return (uint32_t)(sum ^ sum >> 32);
}

/* Most numbers are one byte. */
static inline uint64_t take_number(struct record *record)
{
	if (record->at < record->end && *record->at < 0x80)
		return *record->at++;
	return record_take_number(record);
}

static inline uint64_t take_count(struct record *record, uint64_t most)
{
	if (record->at < record->end && *record->at < 0x80 && *record->at <= most)
		return *record->at++;
	return record_take_count(record, most);
}

static int read_table(struct reading *r)
{
	struct record *record = &r->record;
	unsigned table = r->extent->n_tables;
	struct history_layout *layout = &r->tables[table];

	if (table == HISTORY_MAX_TABLES)
		return -EINVAL;
	*layout = (struct history_layout){ .name = record_take_text(record) };
	layout->n_labels = record_take_count(record, TABLE_MAX_LABELS);
	for (unsigned i = 0; i < layout->n_labels; i++)
		layout->labels[i] = record_take_text(record);
	layout->n_columns = record_take_count(record, TABLE_MAX_VALUES);
	for (unsigned i = 0; i < layout->n_columns; i++) {
		layout->columns[i].name = record_take_text(record);
		layout->columns[i].n =
			record_take_count(record, HISTORY_MAX_VALUES - layout->n_values);
		layout->n_values += layout->columns[i].n;
	}
	if (record->failed)
		return -EINVAL;
	r->extent->n_tables++;
	r->moved.table = table;
	return r->visitor ? r->visitor->table(r->visitor->userdata, table, layout) : 0;
}

static int read_name(struct reading *r)
{
	struct history_layout *layout = &r->tables[r->moved.table];
	const unsigned char *labels = r->record.at;

	for (unsigned i = 0; i < layout->n_labels; i++)
		record_take_text(&r->record);
	if (r->record.failed)
		return -EINVAL;
	r->moved.row = layout->n_rows++;
	if (!r->visitor)
		return 0;
	return r->visitor->row(r->visitor->userdata, r->moved.table, r->moved.row, labels,
			       (size_t)(r->record.at - labels));
}

/* Pairs of the distance to the value before and an increase; a distance of 0 ends them. */
static int read_deltas(struct reading *r)
{
	const struct history_layout *layout = &r->tables[r->moved.table];
	unsigned next = 0, gap;

	r->moved.n = 0;
	while ((gap = take_count(&r->record, layout->n_values - next)) > 0) {
		next += gap;
		r->deltas[r->moved.n++] =
			(struct history_delta){ next - 1, take_number(&r->record) };
	}
	if (r->record.failed)
		return -EINVAL;
	return r->visitor ? r->visitor->moved(r->visitor->userdata, &r->moved) : 0;
}

/* Rows of a table: 0 is the end, 1 a row that has not been named yet, above that named ones. */
static int read_rows(struct reading *r)
{
	struct history_layout *layout = &r->tables[r->moved.table];
	uint64_t number;
	int error = 0;

	while (!error && (number = take_count(&r->record, layout->n_rows + 1ULL)) > 0) {
		r->moved.row = (uint32_t)(number - 2);
		if (number == 1)
			error = read_name(r);
		if (!error)
			error = read_deltas(r);
	}
	return error ? error : r->record.failed ? -EINVAL : 0;
}

static void extend(struct history_extent *extent, uint64_t time)
{
	if (extent->n_frames == 0 || time < extent->earliest)
		extent->earliest = time;
	if (extent->n_frames == 0 || time > extent->latest)
		extent->latest = time;
	extent->n_frames++;
}

/* The numbers of tables are like those of rows. */
static int read_frame(struct reading *r)
{
	const uint64_t most = UINT64_MAX / HISTORY_MILLISECOND;
	uint64_t number;
	int error = 0;

	r->moved.time = take_count(&r->record, most) * HISTORY_MILLISECOND;
	r->moved.span = take_count(&r->record, most) * HISTORY_MILLISECOND;
	while (!error && (number = take_count(&r->record, r->extent->n_tables + 1ULL)) > 0) {
		r->moved.table = (unsigned)(number - 2);
		if (number == 1)
			error = read_table(r);
		if (!error)
			error = read_rows(r);
	}
	if (error)
		return error;
	if (r->record.failed || r->record.at != r->record.end)
		return -EINVAL;
	extend(r->extent, r->moved.time);
	r->moved.frame++;
	return 0;
}

int history_read(const unsigned char *data, size_t used, uint64_t frame,
		 const struct history_visitor *visitor, struct history_extent *ret_extent)
{
	const unsigned char *end = data + used;
	_cleanup_(freep) struct reading *r = malloc(sizeof(*r));
	struct history_frame_head head;
	int error = 0;

	if (!r)
		return -ENOMEM;
	r->visitor = visitor;
	r->extent = ret_extent;
	r->moved = (struct history_moved){ .frame = frame, .deltas = r->deltas };
	ret_extent->n_frames = ret_extent->n_tables = 0;
	while (!error && data < end) {
		if ((size_t)(end - data) < sizeof(head))
			return -EINVAL;
		memcpy(&head, data, sizeof(head));
		data += sizeof(head);
		if (head.size > (size_t)(end - data) ||
		    (!visitor && history_checksum(data, head.size) != head.checksum))
			return -EINVAL;
		r->record = (struct record){ data, data + head.size, false };
		error = read_frame(r);
		data += head.size;
	}
	return error;
}
