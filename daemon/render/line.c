/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include "json_writer.h"

/* Names are ours: nothing to escape. */
static void key(struct buffer *buffer, const char *name)
{
	buffer_string(buffer, ",\"");
	buffer_string(buffer, name);
	buffer_string(buffer, "\":");
}

void line_begin(struct buffer *buffer, uint64_t time)
{
	buffer_string(buffer, "{\"time\":");
	json_time_exact(buffer, time);
}

void line_end(struct buffer *buffer)
{
	buffer_string(buffer, "}\n");
}

void line_labels(struct buffer *buffer, const struct table *table, const struct row *row)
{
	for (unsigned i = 0; i < table->n_labels; i++) {
		if (table->columns[i].prose)
			continue;
		key(buffer, table->columns[i].name);
		json_label(buffer, &table->columns[i], &row->labels[i]);
	}
}

void line_text(struct buffer *buffer, const struct column *column, const char *text)
{
	key(buffer, column->name);
	if (!text || !*text)
		buffer_string(buffer, "null");
	else if (column->number)
		buffer_string(buffer, text);
	else
		json_string(buffer, text, strlen(text));
}

void line_number(struct buffer *buffer, const char *name, enum unit unit, uint64_t value)
{
	key(buffer, name);
	json_number(buffer, unit, value);
}

void line_array_begin(struct buffer *buffer, const char *name)
{
	key(buffer, name);
	buffer_char(buffer, '[');
}

void line_array_item(struct buffer *buffer, const char *text)
{
	if (buffer->size > 0 && buffer->data[buffer->size - 1] != '[')
		buffer_char(buffer, ',');
	json_string(buffer, text, strlen(text));
}

void line_array_end(struct buffer *buffer)
{
	buffer_char(buffer, ']');
}
