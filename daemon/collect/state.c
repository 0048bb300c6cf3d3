/* SPDX-License-Identifier: BSD-2-Clause */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "../record.h"
#include "carry.h"
#include "collector.h"
#include "past.h"

/* ---- writing: past.c reads the same, in the same order */

static void write_shape(const struct collecting *c, struct buffer *saved)
{
	const struct collector *collector = c->collector;

	record_number(saved, collector->layout);
	record_number(saved, collector->slot_size);
	record_number(saved, sizeof(struct slot_key));
	record_number(saved, collector->first_seen);
	record_number(saved, probe_cpus() * collector->writers);
	record_number(saved, c->slots_per_writer);
	record_number(saved, sizeof(struct slot_writer));
}

static void write_columns(const struct table *table, struct buffer *saved)
{
	record_number(saved, table->n_labels);
	for (unsigned i = 0; i < table->n_labels; i++)
		record_text(saved, table->columns[i].name);
	record_number(saved, table->n_columns - table->n_labels);
	for (unsigned i = table->n_labels; i < table->n_columns; i++) {
		record_text(saved, table->columns[i].name);
		record_number(saved, column_values(&table->columns[i]));
	}
}

/* Where in struct slot_writer the probe counts it; 0: elsewhere. */
static unsigned loss_offset(const struct collector *collector, unsigned i)
{
	if (i == LOSS_MAP_FULL)
		return offsetof(struct slot_writer, map_full);
	return i == LOSS_NESTED ? 0 : collector->losses[i - LOSS_OWN].counter;
}

static void write_losses(const struct collecting *c, struct buffer *saved)
{
	record_number(saved, c->table->n_losses);
	for (unsigned i = 0; i < c->table->n_losses; i++) {
		record_text(saved, c->table->losses[i].cause);
		record_number(saved, loss_offset(c->collector, i));
		record_number(saved, c->lost[i]);
	}
	record_number(saved, c->n_not_carried);
	for (unsigned i = 0; i < c->n_not_carried; i++) {
		record_text(saved, c->not_carried[i].name);
		record_number(saved, c->not_carried[i].value);
	}
}

static void write_series(const struct projection *p, struct buffer *saved)
{
	record_number(saved, p->n_series);
	for (uint32_t i = 0; i < p->n_series; i++) {
		const struct series *series = p->series[i];

		for (unsigned j = 0; j < p->n_labels; j++)
			record_text(saved, series->labels[j].text);
		record_numbers(saved, series->carried, p->n_values);
	}
}

static void write_projections(const struct table *table, struct buffer *saved)
{
	record_number(saved, table->n_projections);
	for (unsigned i = 0; i < table->n_projections; i++) {
		const struct projection *p = &table->projections[i];

		record_number(saved, p->first_column - table->n_labels);
		record_number(saved, p->n_columns);
		record_number(saved, p->n_labels);
		for (unsigned j = 0; j < p->n_labels; j++)
			record_number(saved, p->labels[j]);
		record_numbers(saved, p->retired, p->n_values);
		record_numbers(saved, p->other.carried, p->n_values);
		write_series(p, saved);
	}
}

struct writing {
	const struct collecting *c;
	struct buffer *saved;
};

static void write_row(void *userdata, const struct row *row, const struct slots_past *past)
{
	struct writing *writing = userdata;
	const struct table *table = writing->c->table;
	struct buffer *saved = writing->saved;
	uint32_t outside = 0;

	for (unsigned i = 0; i < table->n_projections; i++)
		outside |= row->series[i] ? 0 : 1u << i;
	buffer_char(saved, 1); /* one more row */
	for (unsigned i = 0; i < SLOT_WORDS; i++)
		record_number(saved, past->key.word[i]);
	/* What is borrowed follows from the others. */
	for (unsigned i = 0; i < table->n_labels; i++)
		record_text(saved, table->columns[i].borrowed ? "" : row->labels[i].text);
	record_number(saved, past->first_seen);
	record_number(saved, past->last_seen);
	record_number(saved, past->seen);
	record_number(saved, outside);
	record_number(saved, past->base != NULL);
	if (past->base)
		record_numbers(saved, past->base, table->n_values);
	record_number(saved, past->carried != NULL);
	if (past->carried)
		record_numbers(saved, past->carried, writing->c->collector->n_slot_values);
	record_numbers(saved, past->sampled, table->n_values);
	record_number(saved, past->peak.rate);
	record_number(saved, past->peak.time);
}

void state_write(const struct collecting *c, struct buffer *saved)
{
	struct history_mark mark = history_mark(c->kernel->history);
	struct writing writing = { c, saved };
	const uint32_t *freed;
	unsigned n;

	record_text(saved, STATE_FORMAT);
	record_number(saved, c->table->counting_since);
	record_number(saved, mark.ring);
	record_number(saved, mark.frame);
	write_shape(c, saved);
	write_columns(c->table, saved);
	record_number(saved, c->collector->n_slot_values);
	write_losses(c, saved);
	record_numbers(saved, c->table->retired, c->table->n_values);
	write_projections(c->table, saved);
	n = slots_save(c->slots, write_row, &writing, &freed);
	buffer_char(saved, 0); /* no more rows */
	record_number(saved, n);
	for (unsigned i = 0; i < n; i++)
		record_number(saved, freed[i]);
}

/* ---- bringing back */

/* What earlier writers had lost, by causes that are still known. */
static void restore_losses(struct collecting *c, const struct past *past)
{
	for (unsigned i = 0; i < past->n_losses; i++)
		for (unsigned j = 0; j < c->table->n_losses; j++)
			if (strcmp(past->losses[i].cause, c->table->losses[j].cause) == 0)
				c->lost[j] += past->losses[i].lost;
}

int state_restore(struct collecting *c, const struct buffer *saved, uint64_t now,
		  uint64_t monotonic)
{
	struct past past = { .n_rows = 0 };
	int error = 0;

	if (saved->size > 0)
		error = past_read(c, saved, &past);
	if (!error && past.counting_since)
		c->table->counting_since = past.counting_since;
	if (!error) {
		restore_losses(c, &past);
		c->mark = past.mark;
		error = carry_over(c, &past, now);
	}
	if (!error)
		error = slots_adopt(c->slots, past.rows, past.n_rows, past.freed, past.n_freed, now,
				    monotonic);
	if (!error)
		table_restored(c->table);
	past_clear(&past);
	return error;
}
