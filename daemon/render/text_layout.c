/* SPDX-License-Identifier: BSD-2-Clause */
#include "text_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../model/histogram.h"
#include "../model/utf8.h"
#include "../util.h"

#define SECOND 1000000000ULL

/* "950 ns", "1.2 ms", "64 s", "95 d": two digits at least, by integers alone. */
static void format_duration(char *ret_text, uint64_t nanoseconds)
{
	static const struct {
		const char *name;
		uint64_t size, from;
	} units[] = {
		{ "ns", 1, 0 },
		{ "us", 1000, 1000 },
		{ "ms", 1000000, 1000000 },
		{ "s", SECOND, SECOND },
		{ "min", 60 * SECOND, 120 * SECOND },
		{ "h", 3600 * SECOND, 7200 * SECOND },
		{ "d", 86400 * SECOND, 2 * 86400 * SECOND },
	};
	uint64_t whole, rest, size, tenths;
	unsigned i = 0;

	/* Rounded first: 999.7 us is 1.0 ms. */
	while (i + 1 < ARRAY_SIZE(units) && nanoseconds >= units[i + 1].from - units[i].size / 2)
		i++;
	size = units[i].size;
	whole = nanoseconds / size;
	rest = nanoseconds % size;
	tenths = 10 * whole + (10 * rest + size / 2) / size;
	if (i > 0 && tenths < 100)
		snprintf(ret_text, TEXT_CELL_SIZE, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10,
			 tenths % 10, units[i].name);
	else
		snprintf(ret_text, TEXT_CELL_SIZE, "%" PRIu64 " %s", whole + (rest >= size - rest),
			 units[i].name);
}

static void format_number(char *ret_text, enum unit unit, uint64_t value)
{
	if (unit == UNIT_SECONDS)
		format_duration(ret_text, value);
	else
		snprintf(ret_text, TEXT_CELL_SIZE, "%" PRIu64, value);
}

/* Of what happens less often than ten times a second a digit more. */
static void format_rate(char *ret_text, uint64_t rate)
{
	uint64_t tenths = (rate * 10 + TABLE_RATE_SCALE / 2) / TABLE_RATE_SCALE;

	if (rate == 0)
		strcpy(ret_text, "0");
	else if (tenths == 0)
		strcpy(ret_text, "<0.1");
	else if (tenths < 100)
		snprintf(ret_text, TEXT_CELL_SIZE, "%" PRIu64 ".%" PRIu64, tenths / 10,
			 tenths % 10);
	else
		snprintf(ret_text, TEXT_CELL_SIZE, "%" PRIu64, (tenths + 5) / 10);
}

/* A row has a time or "-", a sum may have none. */
static void format_time_since(char *ret_text, const struct result_row *row, uint64_t now,
			      uint64_t then)
{
	if (then)
		format_duration(ret_text, now > then ? now - then : 0);
	else
		strcpy(ret_text, row->labels ? "-" : "");
}

/* A quantile of nothing is "-". */
static void format_quantile(char *ret_text, const struct column *column, const uint64_t *values,
			    double quantile)
{
	if (histogram_count(column->scale, values))
		format_number(ret_text, column->scale->unit,
			      histogram_quantile(column->scale, values, quantile));
	else
		strcpy(ret_text, "-");
}

void text_layout_cell(const struct text_layout *layout, const struct text_field *field,
		      const struct result_row *row, bool gauges, char ret_text[TEXT_CELL_SIZE])
{
	const struct column *column = &layout->table->columns[field->column];
	const uint64_t *values = row->values + layout->table->value_of[field->column];

	switch (field->kind) {
	case FIELD_VALUE:
		if (column->kind == COLUMN_GAUGE && !gauges)
			strcpy(ret_text, "-");
		else
			format_number(ret_text, column->unit, *values);
		break;
	case FIELD_RATE:
		if (gauges)
			format_rate(ret_text, row->rate);
		else
			strcpy(ret_text, "-");
		break;
	case FIELD_COUNT:
		format_number(ret_text, UNIT_NONE, histogram_count(column->scale, values));
		break;
	case FIELD_P50:
		format_quantile(ret_text, column, values, 0.5);
		break;
	case FIELD_P99:
		format_quantile(ret_text, column, values, 0.99);
		break;
	case FIELD_AGE:
		format_time_since(ret_text, row, layout->now, row->first_seen);
		break;
	case FIELD_IDLE:
		format_time_since(ret_text, row, layout->now, row->last_seen);
		break;
	}
}

const char *text_layout_heading(const struct text_layout *layout, const struct text_field *field)
{
	switch (field->kind) {
	case FIELD_RATE:
		return "rate/s";
	case FIELD_COUNT:
		return "count";
	case FIELD_P50:
		return "p50";
	case FIELD_P99:
		return "p99";
	case FIELD_AGE:
		return "age";
	case FIELD_IDLE:
		return "idle";
	default:
		return layout->table->columns[field->column].name;
	}
}

static void widen(unsigned *width, unsigned other)
{
	if (*width < other)
		*width = other;
}

static void add_field(struct text_layout *layout, enum text_field_kind kind, unsigned column)
{
	struct text_field *field = &layout->fields[layout->n_fields++];

	*field = (struct text_field){ .kind = kind, .column = column };
	field->width = utf8_length(text_layout_heading(layout, field));
}

static void widen_fields(struct text_layout *layout, const struct result_row *row, bool gauges)
{
	char cell[TEXT_CELL_SIZE];

	for (unsigned i = 0; i < layout->n_fields; i++) {
		text_layout_cell(layout, &layout->fields[i], row, gauges, cell);
		widen(&layout->fields[i].width, (unsigned)strlen(cell));
	}
}

unsigned text_layout_histogram_width(const struct text_field *field)
{
	return field[0].width + TEXT_GAP + field[1].width + TEXT_GAP + field[2].width;
}

/* Does the table have columns that can stand for all? */
static bool has_brief(const struct table *table)
{
	for (unsigned c = 0; c < table->n_columns; c++)
		if (table->columns[c].brief)
			return true;
	return false;
}

static void add_fields(struct text_layout *layout, bool brief)
{
	const struct table *table = layout->table;

	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		if ((brief && !table->columns[c].brief) ||
		    (table->columns[c].kind == COLUMN_GAUGE && table->window.to))
			continue;
		if (table->columns[c].kind != COLUMN_HISTOGRAM) {
			add_field(layout, FIELD_VALUE, c);
		} else {
			add_field(layout, FIELD_COUNT, c);
			add_field(layout, FIELD_P50, c);
			add_field(layout, FIELD_P99, c);
		}
		if (c == table->n_labels && table_has_rate(table))
			add_field(layout, FIELD_RATE, c);
	}
	if (brief)
		return;
	add_field(layout, FIELD_AGE, 0);
	add_field(layout, FIELD_IDLE, 0);
}

static void lay_out_fields(struct text_layout *layout, bool brief)
{
	const struct table *table = layout->table;

	layout->n_fields = 0;
	add_fields(layout, brief);

	for (uint32_t i = 0; i < layout->result->n_rows; i++)
		widen_fields(layout, &layout->result->rows[i], true);
	for (unsigned i = 0; i < layout->n_sums; i++)
		widen_fields(layout, &layout->sums[i].row, layout->sums[i].gauges);

	/* A histogram's name stands above its fields, between two dashes and spaces at least. */
	for (unsigned i = 0; i < layout->n_fields; i++) {
		struct text_field *field = &layout->fields[i];
		unsigned least = utf8_length(table->columns[field->column].name) + 4;

		if (field->kind == FIELD_COUNT && text_layout_histogram_width(field) < least)
			field->width += least - text_layout_histogram_width(field);
	}
}

static void keep_labels(struct text_layout *layout, bool identity_if_empty)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < layout->n_labels; i++) {
		bool detail = layout->table->columns[layout->labels[i].column].detail;

		if (!layout->labels[i].empty || (identity_if_empty && !detail))
			layout->labels[kept++] = layout->labels[i];
	}
	layout->n_labels = kept;
}

static unsigned line_width(const struct text_layout *layout)
{
	unsigned width = 0;

	for (unsigned i = 0; i < layout->n_fields; i++)
		width += layout->fields[i].width + TEXT_GAP;
	for (unsigned i = 0; i < layout->n_labels; i++)
		width += layout->labels[i].width + TEXT_GAP;
	return width ? width - TEXT_GAP : 0;
}

/* Takes what a line is too long by from the widest labels. */
static void cut_labels(struct text_layout *layout)
{
	for (unsigned width = line_width(layout); width > TEXT_LINE_WIDTH; width--) {
		unsigned widest = 0;

		for (unsigned i = 1; i < layout->n_labels; i++)
			if (layout->labels[i].width > layout->labels[widest].width)
				widest = i;
		if (layout->n_labels == 0 || layout->labels[widest].width <= TEXT_MIN_LABEL)
			return;
		layout->labels[widest].width--;
	}
}

static void add_label(struct text_layout *layout, unsigned column)
{
	unsigned n = layout->n_labels++;

	layout->labels[n].column = column;
	layout->labels[n].width = utf8_length(layout->table->columns[column].name);
	layout->labels[n].empty = layout->result->n_rows > 0;
	for (uint32_t i = 0; i < layout->result->n_rows; i++) {
		const struct label *label = &layout->result->rows[i].labels[column];

		layout->labels[n].empty = layout->labels[n].empty && label->size == 0;
		widen(&layout->labels[n].width, utf8_length(label->text));
	}
}

/* Those that have an order, or those that have none, and are no prose. */
static void add_labels(struct text_layout *layout, bool ordered)
{
	bool brief = has_brief(layout->table) && !layout->result->grouped;

	for (unsigned c = 0; c < layout->table->n_labels; c++) {
		const struct column *column = &layout->table->columns[c];

		if ((layout->result->columns >> c & 1) && !column->prose &&
		    (column->brief || !brief) && (column->order != NULL) == ordered)
			add_label(layout, c);
	}
}

static void lay_out_labels(struct text_layout *layout)
{
	/* What the rows are sorted by first stands first. */
	add_labels(layout, true);
	add_labels(layout, false);
	for (unsigned c = 0; c < layout->table->n_labels; c++)
		if ((layout->result->columns >> c & 1) && layout->table->columns[c].prose)
			layout->prose[layout->n_prose++] = c;
	keep_labels(layout, true);
	if (line_width(layout) > TEXT_LINE_WIDTH)
		keep_labels(layout, false);
}

bool text_layout_explains(const struct text_layout *layout, const struct result_row *row)
{
	for (unsigned c = 0; c < layout->table->n_labels; c++) {
		const char *const *order = layout->table->columns[c].order;

		if (!order || !(layout->result->columns >> c & 1))
			continue;
		while (order[0] && order[1])
			order++;
		if (order[0] && strcmp(order[0], row->labels[c].text) == 0)
			return false;
	}
	return true;
}

static bool any_value(const struct table *table, const uint64_t *values)
{
	for (unsigned i = 0; i < table->n_values; i++)
		if (values[i])
			return true;
	return false;
}

static struct text_sum *add_sum(struct text_layout *layout, const struct result_row *row)
{
	struct text_sum *sum = &layout->sums[layout->n_sums++];

	*sum = (struct text_sum){ .gauges = true, .row = *row };
	return sum;
}

static void lay_out_sums(struct text_layout *layout)
{
	const struct result *result = layout->result;
	const struct result_row retired = { .values = layout->table->retired };
	const struct result_row total = { .values = result->totals.values,
					  .rate = result->totals.rate };
	struct text_sum *sum;

	if (result->other.n_rows > 0) {
		sum = add_sum(layout, &result->other);
		snprintf(sum->title, sizeof(sum->title), "other (%" PRIu32 " row%s)",
			 result->other.n_rows, result->other.n_rows == 1 ? "" : "s");
	}
	if (result->n_rows > 0)
		strcpy(add_sum(layout, &total)->title, "total");
	if (!result->filtered && any_value(layout->table, layout->table->retired)) {
		sum = add_sum(layout, &retired);
		sum->gauges = false;
		strcpy(sum->title, "+ retired");
	}
}

void text_layout_init(struct text_layout *layout, const struct table *table,
		      const struct result *result, uint64_t now)
{
	*layout = (struct text_layout){ .table = table, .result = result, .now = now };
	lay_out_sums(layout);
	lay_out_fields(layout, has_brief(table) && !result->grouped);
	lay_out_labels(layout);
	if (has_brief(table) && line_width(layout) > TEXT_LINE_WIDTH)
		lay_out_fields(layout, true);
	cut_labels(layout);
}
