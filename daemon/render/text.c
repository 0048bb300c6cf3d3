/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <inttypes.h>
#include <time.h>

#include "../model/histogram.h"

enum {
	LINE_WIDTH = 100, /* where it can be had */
	GAP = 2,
	CELL_SIZE = 32,
	MAX_FIELDS = 3 * TABLE_MAX_VALUES + 2,
	MAX_SUMS = 3, /* other, total, retired */
};

#define SECOND 1000000000ULL

enum field_kind {
	FIELD_VALUE,
	FIELD_COUNT, /* the next three belong to one histogram, in this order */
	FIELD_P50,
	FIELD_P99,
	FIELD_AGE,
	FIELD_IDLE,
};

/* A column of numbers. */
struct field {
	enum field_kind kind;
	unsigned column; /* the table's; not for the times */
	unsigned width;
};

/* A line below the rows. */
struct sum {
	char title[48];
	bool gauges;
	struct result_row row; /* without labels */
};

struct layout {
	const struct table *table;
	const struct result *result;
	uint64_t now;
	struct field fields[MAX_FIELDS];
	unsigned n_fields;
	struct {
		unsigned column, width;
		bool empty; /* in all rows */
	} labels[TABLE_MAX_LABELS];
	unsigned n_labels;
	struct sum sums[MAX_SUMS];
	unsigned n_sums;
};

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
		snprintf(ret_text, CELL_SIZE, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10,
			 tenths % 10, units[i].name);
	else
		snprintf(ret_text, CELL_SIZE, "%" PRIu64 " %s", whole + (rest >= size - rest),
			 units[i].name);
}

static void format_number(char *ret_text, enum unit unit, uint64_t value)
{
	if (unit == UNIT_SECONDS)
		format_duration(ret_text, value);
	else
		snprintf(ret_text, CELL_SIZE, "%" PRIu64, value);
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

static void format_field(const struct layout *layout, const struct field *field,
			 const struct result_row *row, bool gauges, char *ret_text)
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

static const char *field_heading(const struct layout *layout, const struct field *field)
{
	switch (field->kind) {
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

/* Bytes of the character at `at`, in valid UTF-8. */
static size_t character_size(const char *at)
{
	size_t size = 1;

	while (((unsigned char)at[size] & 0xc0) == 0x80)
		size++;
	return size;
}

/* One column of the terminal for each character. */
static unsigned display_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text += character_size(text))
		width++;
	return width;
}

/* No control character, C1 neither, may reach the terminal. */
static void write_text(struct buffer *buffer, const char *text)
{
	for (size_t size; *text; text += size) {
		const unsigned char *at = (const unsigned char *)text;

		size = character_size(text);
		if (at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
			buffer_char(buffer, '?');
		else
			buffer_bytes(buffer, text, size);
	}
}

static void write_fill(struct buffer *buffer, char c, unsigned n)
{
	while (n-- > 0)
		buffer_char(buffer, c);
}

static void widen(unsigned *width, unsigned other)
{
	if (*width < other)
		*width = other;
}

static void add_field(struct layout *layout, enum field_kind kind, unsigned column)
{
	struct field *field = &layout->fields[layout->n_fields++];

	*field = (struct field){ .kind = kind, .column = column };
	field->width = display_width(field_heading(layout, field));
}

static void widen_fields(struct layout *layout, const struct result_row *row, bool gauges)
{
	char cell[CELL_SIZE];

	for (unsigned i = 0; i < layout->n_fields; i++) {
		format_field(layout, &layout->fields[i], row, gauges, cell);
		widen(&layout->fields[i].width, (unsigned)strlen(cell));
	}
}

/* What a histogram's three fields take together. */
static unsigned histogram_width(const struct field *field)
{
	return field[0].width + GAP + field[1].width + GAP + field[2].width;
}

static void lay_out_fields(struct layout *layout)
{
	const struct table *table = layout->table;

	for (unsigned c = table->n_labels; c < table->n_columns; c++) {
		if (table->columns[c].kind != COLUMN_HISTOGRAM) {
			add_field(layout, FIELD_VALUE, c);
			continue;
		}
		add_field(layout, FIELD_COUNT, c);
		add_field(layout, FIELD_P50, c);
		add_field(layout, FIELD_P99, c);
	}
	add_field(layout, FIELD_AGE, 0);
	add_field(layout, FIELD_IDLE, 0);

	for (uint32_t i = 0; i < layout->result->n_rows; i++)
		widen_fields(layout, &layout->result->rows[i], true);
	for (unsigned i = 0; i < layout->n_sums; i++)
		widen_fields(layout, &layout->sums[i].row, layout->sums[i].gauges);

	/* A histogram's name stands above its fields, between two dashes and spaces at least. */
	for (unsigned i = 0; i < layout->n_fields; i++) {
		struct field *field = &layout->fields[i];
		unsigned least = display_width(table->columns[field->column].name) + 4;

		if (field->kind == FIELD_COUNT && histogram_width(field) < least)
			field->width += least - histogram_width(field);
	}
}

static void keep_labels(struct layout *layout, bool identity_if_empty)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < layout->n_labels; i++) {
		bool detail = layout->table->columns[layout->labels[i].column].detail;

		if (!layout->labels[i].empty || (identity_if_empty && !detail))
			layout->labels[kept++] = layout->labels[i];
	}
	layout->n_labels = kept;
}

static void lay_out_labels(struct layout *layout)
{
	const struct table *table = layout->table;
	unsigned width = 0;

	for (unsigned c = 0; c < table->n_labels; c++) {
		unsigned n = layout->n_labels;

		if (!(layout->result->columns >> c & 1))
			continue;
		layout->labels[n].column = c;
		layout->labels[n].width = display_width(table->columns[c].name);
		layout->labels[n].empty = layout->result->n_rows > 0;
		layout->n_labels++;
		for (uint32_t i = 0; i < layout->result->n_rows; i++) {
			const struct label *label = &layout->result->rows[i].labels[c];

			layout->labels[n].empty = layout->labels[n].empty && label->size == 0;
			widen(&layout->labels[n].width, display_width(label->text));
		}
	}
	keep_labels(layout, true);

	for (unsigned i = 0; i < layout->n_fields; i++)
		width += layout->fields[i].width + GAP;
	for (unsigned i = 0; i < layout->n_labels; i++)
		width += layout->labels[i].width + GAP;
	if (width > LINE_WIDTH + GAP)
		keep_labels(layout, false);
}

static bool any_value(const struct table *table, const uint64_t *values)
{
	for (unsigned i = 0; i < table->n_values; i++)
		if (values[i])
			return true;
	return false;
}

static struct sum *add_sum(struct layout *layout, const uint64_t *values)
{
	struct sum *sum = &layout->sums[layout->n_sums++];

	*sum = (struct sum){ .gauges = true, .row.values = values };
	return sum;
}

static void lay_out_sums(struct layout *layout)
{
	const struct result *result = layout->result;
	struct sum *sum;

	if (result->other.n_rows > 0) {
		sum = add_sum(layout, result->other.values);
		sum->row = result->other;
		snprintf(sum->title, sizeof(sum->title), "other (%" PRIu32 " row%s)",
			 result->other.n_rows, result->other.n_rows == 1 ? "" : "s");
	}
	if (result->n_rows > 0)
		strcpy(add_sum(layout, result->totals)->title, "total");
	if (!result->filtered && any_value(layout->table, layout->table->retired)) {
		sum = add_sum(layout, layout->table->retired);
		sum->gauges = false;
		strcpy(sum->title, "retired, not in the total");
	}
}

static void write_numbers(struct buffer *buffer, const struct layout *layout,
			  const struct result_row *row, bool gauges)
{
	char cell[CELL_SIZE];

	for (unsigned i = 0; i < layout->n_fields; i++) {
		format_field(layout, &layout->fields[i], row, gauges, cell);
		write_fill(buffer, ' ', layout->fields[i].width - (unsigned)strlen(cell));
		buffer_string(buffer, cell);
		write_fill(buffer, ' ', GAP);
	}
}

static void write_labels(struct buffer *buffer, const struct layout *layout,
			 const struct label *labels)
{
	for (unsigned i = 0; i < layout->n_labels; i++) {
		unsigned column = layout->labels[i].column;
		const char *text =
			labels ? labels[column].text : layout->table->columns[column].name;

		if (*text == '\0')
			text = "-";
		write_text(buffer, text);
		if (i + 1 < layout->n_labels)
			write_fill(buffer, ' ',
				   layout->labels[i].width + GAP - display_width(text));
	}
	buffer_char(buffer, '\n');
}

/* The histograms' names above their fields: "------ size ------". */
static void write_histogram_names(struct buffer *buffer, const struct layout *layout)
{
	unsigned spaces = 0;
	bool any = false;

	for (unsigned i = 0; i < layout->n_fields; i++) {
		const struct field *field = &layout->fields[i];
		const char *name = layout->table->columns[field->column].name;
		unsigned dashes;

		if (field->kind != FIELD_COUNT) {
			spaces += field->width + GAP;
			continue;
		}
		dashes = histogram_width(field) - display_width(name) - 2;
		write_fill(buffer, ' ', spaces);
		write_fill(buffer, '-', dashes / 2);
		buffer_printf(buffer, " %s ", name);
		write_fill(buffer, '-', dashes - dashes / 2);
		spaces = GAP;
		any = true;
		i += 2;
	}
	if (any)
		buffer_char(buffer, '\n');
}

static void write_column_names(struct buffer *buffer, const struct layout *layout)
{
	write_histogram_names(buffer, layout);
	for (unsigned i = 0; i < layout->n_fields; i++) {
		const char *name = field_heading(layout, &layout->fields[i]);

		write_fill(buffer, ' ', layout->fields[i].width - display_width(name));
		buffer_string(buffer, name);
		write_fill(buffer, ' ', GAP);
	}
	write_labels(buffer, layout, NULL);
}

static void write_time(struct buffer *buffer, uint64_t nanoseconds_since_epoch)
{
	time_t seconds = (time_t)(nanoseconds_since_epoch / SECOND);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buffer_printf(buffer, "%04d-%02d-%02d %02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		      tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void write_heading(struct buffer *buffer, const struct layout *layout, const char *host)
{
	buffer_string(buffer, layout->table->name);
	buffer_string(buffer, " on ");
	write_text(buffer, host);
	buffer_string(buffer, " at ");
	write_time(buffer, layout->now);
	if (layout->table->counting_since) {
		buffer_string(buffer, ", counting since ");
		write_time(buffer, layout->table->counting_since);
	}
	buffer_string(buffer, "\n\n");
	if (layout->result->n_rows > 0)
		return;
	if (layout->result->filtered)
		buffer_string(buffer, "no row matches\n");
	else
		buffer_string(buffer,
			      layout->n_sums ? "nothing counted now\n" : "nothing counted yet\n");
}

static void write_losses(struct buffer *buffer, const struct table *table)
{
	const char *before = "lost: ";

	for (unsigned i = 0; i < table->n_losses; i++) {
		if (table->losses[i].events == 0)
			continue;
		buffer_printf(buffer, "%s%" PRIu64 " %s", before, table->losses[i].events,
			      table->losses[i].cause);
		before = ", ";
	}
	if (*before == ',')
		buffer_char(buffer, '\n');
}

void text_render(struct buffer *buffer, const struct table *table, const struct result *result,
		 const char *host, uint64_t now)
{
	struct layout layout = { .table = table, .result = result, .now = now };

	lay_out_sums(&layout);
	lay_out_fields(&layout);
	lay_out_labels(&layout);

	write_heading(buffer, &layout, host);
	if (result->n_rows > 0 || layout.n_sums > 0)
		write_column_names(buffer, &layout);
	for (uint32_t i = 0; i < result->n_rows; i++) {
		write_numbers(buffer, &layout, &result->rows[i], true);
		write_labels(buffer, &layout, result->rows[i].labels);
	}
	for (unsigned i = 0; i < layout.n_sums; i++) {
		write_numbers(buffer, &layout, &layout.sums[i].row, layout.sums[i].gauges);
		buffer_string(buffer, layout.sums[i].title);
		buffer_char(buffer, '\n');
	}
	write_losses(buffer, table);
}
