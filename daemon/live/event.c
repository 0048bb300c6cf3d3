/* SPDX-License-Identifier: BSD-2-Clause */
#include "event.h"

#include <string.h>

#include "../render/line.h"
#include "../util.h"
#include "filter.h"

enum {
	SOURCE,
	SOURCE_PORT,
	DESTINATION,
	DESTINATION_PORT,
	TCP_FLAGS,
	SEQ,
	ACK,
	LENGTH,
	PROCESS,
	PID,
	COMMON,
};

/* What every event tells. */
static const struct column columns[COMMON] = {
	[SOURCE] = { .name = "source" },
	[SOURCE_PORT] = { .name = "source_port", .number = true },
	[DESTINATION] = { .name = "destination" },
	[DESTINATION_PORT] = { .name = "destination_port", .number = true },
	[TCP_FLAGS] = { .name = "tcp_flags" },
	[SEQ] = { .name = "seq", .number = true },
	[ACK] = { .name = "ack", .number = true },
	[LENGTH] = { .name = "length", .number = true },
	[PROCESS] = { .name = "process" },
	[PID] = { .name = "pid", .number = true },
};

/* "SYN,ACK" */
static void describe_flags(struct description *d, unsigned flags)
{
	static const char *const names[] = {
		"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"
	};
	char text[40] = "";
	size_t used = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (flags >> i & 1)
			used += snprintf(text + used, sizeof(text) - used, "%s%s", used ? "," : "",
					 names[i]);
	description_printf(d, TCP_FLAGS, "%s", text);
}

static void describe_common(const struct live_event *event, struct description *d)
{
	const struct live_packet *packet = &event->packet;
	char address[FILTER_ADDRESS_SIZE];

	filter_print_address(&packet->source, address);
	description_printf(d, SOURCE, "%s", address);
	filter_print_address(&packet->destination, address);
	description_printf(d, DESTINATION, "%s", address);
	if (packet->ports) {
		description_printf(d, SOURCE_PORT, "%u", (unsigned)PORTS_SOURCE(packet->ports));
		description_printf(d, DESTINATION_PORT, "%u",
				   (unsigned)PORTS_DESTINATION(packet->ports));
	}
	if (event->has_tcp) {
		describe_flags(d, event->tcp_flags);
		description_printf(d, SEQ, "%u", event->seq);
		description_printf(d, ACK, "%u", event->ack);
	}
	description_printf(d, LENGTH, "%u", event->length);
	if (event->pid) {
		description_printf(d, PROCESS, "%.*s", (int)sizeof(event->process), event->process);
		description_printf(d, PID, "%u", event->pid);
	}
}

void event_describe(struct collecting *c, const struct live_event *event, void **own_state,
		    struct event_texts *ret_texts)
{
	ret_texts->common = (struct description){ .used = 0 };
	ret_texts->own = (struct description){ .used = 0 };
	describe_common(event, &ret_texts->common);
	c->collector->live->describe(c, event, own_state, &ret_texts->own);
}

static void write_stack(struct buffer *line, const struct live_sum *sum, size_t n,
			uint64_t location, struct frames *frames)
{
	char text[SYMBOL_TEXT_SIZE];
	struct symbol symbol;

	frames_prefetch(frames, (const uint64_t *)sum->frames, n);
	line_array_begin(line, "stack");
	for (size_t i = frames_skip(frames, (const uint64_t *)sum->frames, n, location); i < n;
	     i++) {
		frames_resolve(frames, sum->frames[i], &symbol);
		symbol_print(&symbol, text);
		line_array_item(line, text);
	}
	line_array_end(line);
}

void event_line(struct buffer *line, struct collecting *c, const struct row *row, uint64_t time,
		const struct live_event *event, const struct event_texts *texts, bool addresses,
		struct frames *frames)
{
	const struct live_source *source = c->collector->live;

	line_begin(line, time);
	line_labels(line, c->table, row);
	for (unsigned i = 0; i < COMMON; i++)
		if (addresses || (i != SOURCE && i != DESTINATION))
			line_text(line, &columns[i], texts->common.labels[i]);
	for (unsigned i = 0; i < source->n_columns; i++)
		line_text(line, &source->columns[i], texts->own.labels[i]);
	if (frames)
		write_stack(line, &event->sum, event->sum.n_frames,
			    source->location ? source->location(&event->key) : 0, frames);
	line_end(line);
}

void event_sum_line(struct buffer *line, struct collecting *c, const struct row *row, uint64_t time,
		    uint64_t interval, const struct live_sum_key *key, const struct live_sum *sum,
		    struct frames *frames)
{
	const struct live_source *source = c->collector->live;
	const struct table *table = c->table;

	line_begin(line, time);
	line_number(line, "interval_seconds", UNIT_SECONDS, interval);
	line_labels(line, table, row);
	for (unsigned i = 0; i < source->n_values; i++) {
		const struct column *column = &table->columns[table->n_labels + i];

		line_number(line, column->name, column->unit, sum->values[i]);
	}
	if (frames)
		write_stack(line, sum, sum->n_frames,
			    source->location ? source->location(&key->slot) : 0, frames);
	line_end(line);
}
