/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thing that has happened as one line of JSON, without blanks: {"time":"...",...}. The fields are
 * those that the caller writes between line_begin() and line_end(), named as in the tables.
 */
#pragma once

#include "../model/table.h"
#include "buffer.h"

void line_begin(struct buffer *buffer, uint64_t time);
void line_end(struct buffer *buffer);

/* All labels of a row but prose. */
void line_labels(struct buffer *buffer, const struct table *table, const struct row *row);
/* A text, or a number as text where the column says so; null for "" and NULL. */
void line_text(struct buffer *buffer, const struct column *column, const char *text);
void line_number(struct buffer *buffer, const char *name, enum unit unit, uint64_t value);

/* An array of texts: begin, each, end. */
void line_array_begin(struct buffer *buffer, const char *name);
void line_array_item(struct buffer *buffer, const char *text);
void line_array_end(struct buffer *buffer);
