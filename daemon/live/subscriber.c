/* SPDX-License-Identifier: BSD-2-Clause */
#include "subscriber.h"

#include <errno.h>
#include <string.h>

#include "../render/line.h"

enum {
	NOTICE_SIZE = 256,     /* room for the last notice in a queue that is full */
	KEEP_SIZE = 16 * 1024, /* of an empty queue's memory */
};

int subscriber_new(const struct live_request *request, struct subscriber **ret_subscriber)
{
	struct subscriber *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->request = *request;
	for (unsigned i = 0; i < request->query.n_filters; i++) {
		s->patterns[i] = strdup(request->query.filters[i].pattern);
		if (!s->patterns[i]) {
			subscriber_free(s);
			return -ENOMEM;
		}
		s->request.query.filters[i].pattern = s->patterns[i];
	}
	*ret_subscriber = s;
	return 0;
}

void subscriber_free(struct subscriber *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < QUERY_MAX_FILTERS; i++)
		free(s->patterns[i]);
	buffer_free(&s->queue);
	free(s->sums);
	free(s);
}

static void append(struct subscriber *s, const struct buffer *line)
{
	/* What has been read goes when it is more than what is left. */
	if (s->read > s->queue.size / 2) {
		s->queue.size -= s->read;
		memmove(s->queue.data, s->queue.data + s->read, s->queue.size);
		s->read = 0;
	}
	buffer_bytes(&s->queue, line->data, line->size);
}

bool subscriber_put(struct subscriber *s, const struct buffer *line, uint64_t events)
{
	bool full = !s->unbounded && s->queue.size - s->read + line->size > LIVE_QUEUE_SIZE;

	if (line->failed || full || !buffer_reserve(&s->queue, line->size)) {
		s->queue.failed = false; /* it is whole without the line */
		s->overflowed += events;
		return false;
	}
	append(s, line);
	return true;
}

void subscriber_wake(struct subscriber *s)
{
	if (!s->hungry || (s->queue.size == s->read && !s->ended))
		return;
	s->hungry = false;
	s->ready(s->userdata);
}

void subscriber_notice(struct subscriber *s, uint64_t monotonic, uint64_t now)
{
	uint64_t lost = s->lost + s->overflowed;
	struct buffer line = { .data = NULL };

	if (s->held_back == s->told_held_back && lost == s->told_lost)
		return;
	/* A queue that is full has the last one before. */
	if (!s->ending &&
	    (monotonic - s->noticed < 1000000000 || s->queue.size - s->read > LIVE_QUEUE_SIZE / 2))
		return;
	line_begin(&line, now);
	line_number(&line, "held_back", UNIT_NONE, s->held_back - s->told_held_back);
	line_number(&line, "lost", UNIT_NONE, lost - s->told_lost);
	line_end(&line);
	if (!line.failed && buffer_reserve(&s->queue, NOTICE_SIZE)) {
		append(s, &line);
		s->noticed = monotonic;
		s->told_held_back = s->held_back;
		s->told_lost = lost;
	}
	s->queue.failed = false;
	buffer_free(&line);
}

ssize_t subscriber_read(struct subscriber *s, char *to, size_t size)
{
	size_t left = s->queue.size - s->read;

	if (left == 0) {
		s->hungry = !s->ended;
		return s->ended ? -EPIPE : 0;
	}
	if (size > left)
		size = left;
	memcpy(to, s->queue.data + s->read, size);
	s->read += size;
	if (size == left) {
		s->read = s->queue.size = 0;
		if (s->queue.capacity > KEEP_SIZE)
			buffer_free(&s->queue);
	}
	return (ssize_t)size;
}
