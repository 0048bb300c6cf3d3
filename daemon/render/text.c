/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <inttypes.h>
#include <time.h>

#include "../model/utf8.h"
#include "text_layout.h"

#define SECOND 1000000000ULL

enum { PROSE_INDENT = 4 };

/* No control character, C1 neither, may reach the terminal. */
static void write_character(struct buffer *buffer, const char *text, size_t size)
{
	if (utf8_is_control(text))
		buffer_char(buffer, '?');
	else
		buffer_bytes(buffer, text, size);
}

static void write_text(struct buffer *buffer, const char *text)
{
	for (size_t size; *text; text += size) {
		size = utf8_size(text);
		write_character(buffer, text, size);
	}
}

/* A text that is too long ends in ~. Returns the characters written. */
static unsigned write_cut(struct buffer *buffer, const char *text, unsigned width)
{
	unsigned length = utf8_length(text), n = 0;
	bool cut = length > width;

	for (size_t size; *text && (!cut || n + 1 < width); text += size, n++) {
		size = utf8_size(text);
		write_character(buffer, text, size);
	}
	if (cut)
		buffer_char(buffer, '~');
	return cut ? width : length;
}

static void write_fill(struct buffer *buffer, char c, unsigned n)
{
	while (n-- > 0)
		buffer_char(buffer, c);
}

static void write_numbers(struct buffer *buffer, const struct text_layout *layout,
			  const struct result_row *row, bool gauges)
{
	char cell[TEXT_CELL_SIZE];

	for (unsigned i = 0; i < layout->n_fields; i++) {
		text_layout_cell(layout, &layout->fields[i], row, gauges, cell);
		write_fill(buffer, ' ', layout->fields[i].width - (unsigned)strlen(cell));
		buffer_string(buffer, cell);
		write_fill(buffer, ' ', TEXT_GAP);
	}
}

static void write_labels(struct buffer *buffer, const struct text_layout *layout,
			 const struct label *labels)
{
	for (unsigned i = 0; i < layout->n_labels; i++) {
		unsigned column = layout->labels[i].column, length;
		const char *text =
			labels ? labels[column].text : layout->table->columns[column].name;

		if (*text == '\0')
			text = "-";
		length = write_cut(buffer, text, layout->labels[i].width);
		if (i + 1 < layout->n_labels)
			write_fill(buffer, ' ', layout->labels[i].width + TEXT_GAP - length);
	}
	buffer_char(buffer, '\n');
}

/* The words of a text between a margin and the line's end, the first after `used` characters. */
static void write_wrapped(struct buffer *buffer, const char *text, unsigned margin, unsigned used)
{
	while (*text) {
		size_t size = strcspn(text, " ");
		unsigned length = 0;

		for (size_t i = 0; i < size; i += utf8_size(text + i))
			length++;
		if (used > margin && used + 1 + length > TEXT_LINE_WIDTH) {
			buffer_char(buffer, '\n');
			write_fill(buffer, ' ', margin);
			used = margin;
		} else if (used > margin) {
			buffer_char(buffer, ' ');
			used++;
		}
		for (size_t i = 0; i < size; i += utf8_size(text + i))
			write_character(buffer, text + i, utf8_size(text + i));
		used += length;
		text += size;
		text += strspn(text, " ");
	}
	buffer_char(buffer, '\n');
}

static void write_prose(struct buffer *buffer, const struct text_layout *layout,
			const struct result_row *row)
{
	unsigned width = 0;

	if (!text_layout_explains(layout, row))
		return;
	for (unsigned i = 0; i < layout->n_prose; i++) {
		unsigned length = utf8_length(layout->table->columns[layout->prose[i]].name);

		width = length > width ? length : width;
	}
	for (unsigned i = 0; i < layout->n_prose; i++) {
		const char *name = layout->table->columns[layout->prose[i]].name;
		const struct label *label = &row->labels[layout->prose[i]];
		unsigned margin = PROSE_INDENT + width + TEXT_GAP;

		if (label->size == 0)
			continue;
		write_fill(buffer, ' ', PROSE_INDENT);
		buffer_string(buffer, name);
		write_fill(buffer, ' ', margin - PROSE_INDENT - utf8_length(name));
		write_wrapped(buffer, label->text, margin, margin);
	}
}

/* The histograms' names above their fields: "------ size ------". */
static void write_histogram_names(struct buffer *buffer, const struct text_layout *layout)
{
	unsigned spaces = 0;
	bool any = false;

	for (unsigned i = 0; i < layout->n_fields; i++) {
		const struct text_field *field = &layout->fields[i];
		const char *name = layout->table->columns[field->column].name;
		unsigned dashes;

		if (field->kind != FIELD_COUNT) {
			spaces += field->width + TEXT_GAP;
			continue;
		}
		dashes = text_layout_histogram_width(field) - utf8_length(name) - 2;
		write_fill(buffer, ' ', spaces);
		write_fill(buffer, '-', dashes / 2);
		buffer_printf(buffer, " %s ", name);
		write_fill(buffer, '-', dashes - dashes / 2);
		spaces = TEXT_GAP;
		any = true;
		i += 2;
	}
	if (any)
		buffer_char(buffer, '\n');
}

static void write_column_names(struct buffer *buffer, const struct text_layout *layout)
{
	write_histogram_names(buffer, layout);
	for (unsigned i = 0; i < layout->n_fields; i++) {
		const char *name = text_layout_heading(layout, &layout->fields[i]);

		write_fill(buffer, ' ', layout->fields[i].width - utf8_length(name));
		buffer_string(buffer, name);
		write_fill(buffer, ' ', TEXT_GAP);
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

/* A line of its own: what the numbers below are of. */
static void write_window(struct buffer *buffer, const struct table *table)
{
	buffer_char(buffer, '\n');
	buffer_seconds(buffer, table->window.to - table->window.from);
	buffer_string(buffer, " s from ");
	write_time(buffer, table->window.from);
	buffer_string(buffer, " to ");
	write_time(buffer, table->window.to);
	buffer_string(buffer, ", history since ");
	write_time(buffer, table->window.since);
}

static void write_heading(struct buffer *buffer, const struct text_layout *layout, const char *host)
{
	buffer_string(buffer, layout->table->name);
	buffer_string(buffer, " on ");
	write_text(buffer, host);
	buffer_string(buffer, " at ");
	write_time(buffer, layout->now);
	if (layout->table->window.to) {
		write_window(buffer, layout->table);
	} else if (layout->table->counting_since) {
		buffer_string(buffer, ", counting since ");
		write_time(buffer, layout->table->counting_since);
	}
	buffer_string(buffer, "\n\n");
	if (layout->result->n_rows > 0)
		return;
	if (layout->result->filtered)
		buffer_string(buffer, "no row matches\n");
	else if (layout->table->window.to &&
		 layout->table->window.to <= layout->table->window.since)
		buffer_string(buffer, "the history does not reach back to that time\n");
	else if (layout->table->window.to)
		buffer_string(buffer, "nothing counted in that time\n");
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
	struct text_layout layout;

	text_layout_init(&layout, table, result, now);
	write_heading(buffer, &layout, host);
	if (result->n_rows > 0 || layout.n_sums > 0)
		write_column_names(buffer, &layout);
	for (uint32_t i = 0; i < result->n_rows; i++) {
		write_numbers(buffer, &layout, &result->rows[i], true);
		write_labels(buffer, &layout, result->rows[i].labels);
		write_prose(buffer, &layout, &result->rows[i]);
	}
	for (unsigned i = 0; i < layout.n_sums; i++) {
		write_numbers(buffer, &layout, &layout.sums[i].row, layout.sums[i].gauges);
		buffer_string(buffer, layout.sums[i].title);
		buffer_char(buffer, '\n');
	}
	write_losses(buffer, table);
}
