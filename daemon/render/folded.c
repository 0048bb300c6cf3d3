/* SPDX-License-Identifier: BSD-2-Clause */
#include "folded.h"

#include <stdlib.h>
#include <string.h>

struct line {
	struct buffer stack; /* NUL-terminated */
	uint64_t events;
};

/* "tcp_v4_rcv+0xaa/0x8d0 [kernel]" is the function tcp_v4_rcv. */
static void write_function(struct buffer *buffer, const char *frame)
{
	buffer_bytes(buffer, frame, strcspn(frame, "+ ;"));
}

static void write_stack(struct buffer *buffer, const struct share *share)
{
	if (share->n_frames == 0)
		buffer_string(buffer, share->row->labels[0].text);
	for (unsigned i = share->n_frames; i > 0; i--) {
		write_function(buffer, share->frames[i - 1]);
		if (i > 1)
			buffer_char(buffer, ';');
	}
	buffer_char(buffer, '\0');
}

static int by_stack(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->stack.data, ((const struct line *)b)->stack.data);
}

static void write_lines(struct buffer *buffer, const struct line *lines, uint32_t n)
{
	for (uint32_t i = 0; i < n;) {
		uint64_t events = 0;
		uint32_t first = i;

		/* Places in the same functions are one line. */
		for (; i < n && by_stack(&lines[first], &lines[i]) == 0; i++)
			events += lines[i].events;
		buffer_string(buffer, lines[first].stack.data);
		buffer_char(buffer, ' ');
		buffer_u64(buffer, events);
		buffer_char(buffer, '\n');
	}
}

void folded_render(struct buffer *buffer, const struct shares *shares)
{
	struct line *lines = calloc(shares->n ? shares->n : 1, sizeof(*lines));
	bool failed = !lines;

	for (uint32_t i = 0; i < shares->n && !failed; i++) {
		write_stack(&lines[i].stack, &shares->list[i]);
		lines[i].events = shares->list[i].events;
		failed = lines[i].stack.failed;
	}
	if (failed) {
		buffer->failed = true;
	} else {
		qsort(lines, shares->n, sizeof(*lines), by_stack);
		write_lines(buffer, lines, shares->n);
	}
	for (uint32_t i = 0; i < shares->n && lines; i++)
		buffer_free(&lines[i].stack);
	free(lines);
}
