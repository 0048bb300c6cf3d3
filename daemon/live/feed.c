/* SPDX-License-Identifier: BSD-2-Clause */
#include "feed.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../kernel/features.h"
#include "../kernel/grace.h"
#include "../log.h"
#include "../privileges.h"
#include "../util.h"
#include "event.h"
#include "sums.h"

enum {
	SECOND = 1000000000,
	LOOK_NANOSECONDS = 50000000, /* a look at the ring, before others get their turn */
	LOOK_EVENTS = 512,	     /* the same */
	IDLE_SUMS = 128,	     /* of one subscriber, before they are given back */
};

/* ---- what the kernel is told */

/* Who listens and how. `active`, which goes last, also says what their filters look at: in one word,
 * so that no program sees the one without the other. */
static void set_listeners(struct feed *feed)
{
	uint32_t active = 0, sums = 0, stacks = 0;

	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++) {
		const struct subscriber *s = feed->subscribers[i];

		if (!s)
			continue;
		sums |= (uint32_t)(s->request.interval != 0) << i;
		stacks |= (uint32_t)s->request.stack << i;
		if (!s->ending)
			active |= 1U << i | s->request.filter.looks;
	}
	__atomic_store_n(&feed->control->sums, sums, __ATOMIC_RELAXED);
	__atomic_store_n(&feed->control->stacks, stacks, __ATOMIC_RELAXED);
	__atomic_store_n(&feed->control->active, active, __ATOMIC_RELEASE);
}

/* A bit for each that does not want the row. */
static uint32_t mark_of(const struct feed *feed, const struct row *row)
{
	uint32_t mark = 0;

	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++) {
		const struct subscriber *s = feed->subscribers[i];

		if (s && !query_matches(&s->request.query, row))
			mark |= 1U << i;
	}
	return mark;
}

struct marking {
	const struct feed *feed;
	const struct row *row; /* the last */
	uint32_t mark;
};

/* A row's slots come one after the other. */
static void mark_slot(void *userdata, void *slot, const struct row *row)
{
	struct marking *marking = userdata;
	const struct feed *feed = marking->feed;
	uint32_t *skip = (uint32_t *)((char *)slot + feed->c->collector->live->skip);

	if (row != marking->row)
		marking->mark = mark_of(feed, row);
	marking->row = row;
	__atomic_store_n(skip, marking->mark, __ATOMIC_RELAXED);
}

/* Tells each slot who does not want its row. */
static void mark_slots(struct feed *feed)
{
	struct marking marking = { .feed = feed };

	slots_each_slot(feed->c->slots, mark_slot, &marking);
	feed->looked = feed->monotonic;
}

/* The rate is shared out among those who get events, so that all together keep to it. */
static void set_rates(struct feed *feed)
{
	uint64_t rate = feed->c->kernel->config->live_rate, tick = kernel_tick_nanoseconds();
	unsigned n = 0;

	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++)
		n += feed->subscribers[i] && !feed->subscribers[i]->request.interval;
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS && n > 0; i++) {
		struct live_subscriber *s = &feed->control->subscribers[i];
		uint64_t second = (SECOND / tick) << LIVE_TICK_SHIFT;

		/* A second's worth at once; less than one event a second is one every few. */
		s->cost = (second * n + rate - 1) / rate;
		s->burst = second > s->cost ? second - s->cost : 0;
	}
}

static void activate(struct feed *feed, struct subscriber *s)
{
	struct live_subscriber *control = &feed->control->subscribers[s->index];

	*control = s->request.filter;
	control->serial = s->serial = ++feed->serial;
	control->stack = s->request.stack;
	feed->subscribers[s->index] = s;
	set_rates(feed);
	mark_slots(feed);
	set_listeners(feed);
}

/* No row ends before what it has summed up to is told. */
static void note_intervals(struct feed *feed)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (feed->subscribers[i] && feed->subscribers[i]->request.interval > longest)
			longest = feed->subscribers[i]->request.interval;
	feed->c->hold = longest ? longest + 2 * (uint64_t)SECOND : 0;
}

/* ---- events */

/* What comes after the last that was asked for is no loss. */
static bool has_all(const struct subscriber *s)
{
	return s->request.count && s->told == s->request.count;
}

static bool shows_addresses(const struct feed *feed, const struct subscriber *s)
{
	return s->request.local || feed->c->kernel->config->live_remote_addresses;
}

static void tell(struct feed *feed, struct subscriber *s, const struct row *row,
		 const struct live_event *event, const struct event_texts *texts)
{
	struct buffer line = { .data = NULL };

	/* An index may have been somebody else's when the event was made. */
	if (s->ending || s->request.interval || event->time < s->since ||
	    !query_matches(&s->request.query, row) ||
	    !live_matches(&s->request.filter, &event->packet))
		return;
	event_line(&line, feed->c, row, feed->now - (feed->monotonic - event->time), event, texts,
		   shows_addresses(feed, s), s->request.stack ? feed->frames : NULL);
	s->told += subscriber_put(s, &line, 1);
	buffer_free(&line);
	if (has_all(s))
		s->ending = s->ended = true;
}

/* The row that an event has been counted in. */
static struct row *row_of(struct feed *feed, const struct slot_key *key)
{
	struct row *row = slots_find(feed->c->slots, key);

	if (row)
		return row;
	collecting_collect(feed->c);
	return slots_find(feed->c->slots, key);
}

static int on_event(void *userdata, void *data, size_t size)
{
	const struct live_event *event = data;
	struct feed *feed = userdata;
	struct event_texts texts;
	const struct row *row;

	if (size < LIVE_EVENT_SIZE(0) || size < LIVE_EVENT_SIZE(event->sum.n_frames))
		return 0;
	row = row_of(feed, &event->key);
	if (row)
		event_describe(feed->c, event, &feed->state, &texts);
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++) {
		struct subscriber *s = feed->subscribers[i];

		if (!s || !(event->subscribers >> i & 1))
			continue;
		if (row)
			tell(feed, s, row, event, &texts);
		else
			s->overflowed++;
	}
	feed->more = ++feed->events >= LOOK_EVENTS ||
		     clock_monotonic() - feed->monotonic >= LOOK_NANOSECONDS;
	return feed->more ? -EAGAIN : 0;
}

/* ---- sums */

struct report {
	struct feed *feed;
	struct subscriber *subscriber;
	uint64_t interval;
};

static void on_sum(void *userdata, const struct live_sum_key *key, const struct live_sum *sum)
{
	const struct report *report = userdata;
	struct subscriber *s = report->subscriber;
	struct feed *feed = report->feed;
	const struct row *row = row_of(feed, &key->slot);
	struct buffer line = { .data = NULL };

	if (!row) {
		s->overflowed += sum->values[0];
		return;
	}
	/* Rows that were new had no mark yet. */
	if (!query_matches(&s->request.query, row))
		return;
	event_sum_line(&line, feed->c, row, feed->now, report->interval, key, sum,
		       s->request.stack ? feed->frames : NULL);
	subscriber_put(s, &line, sum->values[0]);
	buffer_free(&line);
}

/*
 * Rows and stacks that come no more would fill the map, which is everybody's. So a subscriber with
 * many of them goes on under another serial, and what it had under the old one is read a last time
 * when no program can add to it any more.
 */
static void renew_sums(struct feed *feed, struct subscriber *s)
{
	struct live_subscriber *control = &feed->control->subscribers[s->index];

	if (s->serial != control->serial || s->n_idle < IDLE_SUMS || !grace_available())
		return;
	__atomic_store_n(&control->serial, ++feed->serial, __ATOMIC_RELEASE);
	grace_wait();
}

static void report_interval(struct feed *feed, struct subscriber *s)
{
	struct live_subscriber *control = &feed->control->subscribers[s->index];
	struct report report = {
		.feed = feed,
		.subscriber = s,
		.interval = feed->monotonic - (s->next - s->request.interval),
	};
	int map = detour_map(&feed->detour, "live_sums"), error;

	renew_sums(feed, s);
	/* Who has read what was there before gets the report whole. */
	s->unbounded = s->queue.size == s->read;
	error = sums_read(s, map, s->request.stack ? feed->frames : NULL, on_sum, &report);
	s->unbounded = false;
	if (error)
		log_debug("%s: cannot read the sums of a stream: %s; the next report has them, too",
			  feed->c->collector->name, strerror(-error));
	else if (s->serial != control->serial)
		sums_renew(s, map, control->serial);
	s->next += s->request.interval;
	if (s->next <= feed->monotonic) /* the machine slept */
		s->next = feed->monotonic + s->request.interval;
	s->told++;
	if (has_all(s))
		s->ending = s->ended = true;
}

/* ---- time */

/* One step after the other: no more events, then what was on its way, then the end. */
static void end_if_due(struct feed *feed, struct subscriber *s)
{
	if (s->ending && !s->ended) {
		if (s->request.interval)
			report_interval(feed, s);
		s->ended = true;
	}
	if (s->request.duration && feed->monotonic - s->since >= s->request.duration)
		s->ending = true;
	if (s->ending)
		set_listeners(feed);
}

static void attend(struct feed *feed, struct subscriber *s)
{
	const struct live_subscriber *control = &feed->control->subscribers[s->index];

	if (s->request.interval && !s->ending && feed->monotonic >= s->next)
		report_interval(feed, s);
	end_if_due(feed, s);
	/* What the kernel held back after the last event that was asked for is none of its loss: then
	 * it is what was known before. */
	if (!has_all(s) || s->request.interval) {
		s->held_back = __atomic_load_n(&control->held_back, __ATOMIC_RELAXED);
		s->lost = __atomic_load_n(&control->lost, __ATOMIC_RELAXED);
	}
	subscriber_notice(s, feed->monotonic, feed->now);
	subscriber_wake(s);
}

void feed_look(struct feed *feed)
{
	feed->now = clock_now();
	feed->monotonic = clock_monotonic();
	feed->events = 0;
	feed->more = false;
	ring_buffer__consume(feed->ring);
	if (feed->monotonic - feed->looked >= SECOND)
		mark_slots(feed);
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (feed->subscribers[i])
			attend(feed, feed->subscribers[i]);
}

void feed_configure(struct feed *feed)
{
	set_rates(feed);
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++) {
		struct subscriber *s = feed->subscribers[i];

		/* Who may not see addresses any more may not ask for them, either. */
		if (s && s->request.by_address && !shows_addresses(feed, s))
			s->ending = true;
	}
}

/* ---- coming and going */

void feed_close(struct feed *feed)
{
	struct kernel *kernel;

	if (!feed)
		return;
	kernel = feed->c->kernel;
	feed->c->hold = 0;
	privileges_use(true);
	if (detour_close(&feed->detour, &feed->c->probe) < 0)
		log_error("%s: cannot put the usual program behind its gate again; the other goes "
			  "on counting",
			  feed->c->collector->name);
	if (!kernel->privileged)
		privileges_use(false);
	ring_buffer__free(feed->ring);
	if (feed->control)
		munmap(feed->control, sizeof(*feed->control));
	free(feed->state);
	free(feed);
}

static int feed_map(struct feed *feed)
{
	int fd = detour_map(&feed->detour, "live_control");
	void *address =
		mmap(NULL, sizeof(*feed->control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	feed->control = address;
	feed->ring =
		ring_buffer__new(detour_map(&feed->detour, "live_events"), on_event, feed, NULL);
	return feed->ring ? 0 : -errno;
}

int feed_open(struct collecting *c, struct feed **ret_feed, char **ret_reason)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	int error;

	if (!feed)
		return -ENOMEM;
	feed->c = c;
	feed->detour = DETOUR_NONE;
	kernel_begin_load(c->kernel);
	error = collecting_detour(c, &feed->detour, ret_reason);
	if (!error)
		error = feed_map(feed);
	kernel_end_load(c->kernel);
	if (error) {
		feed_close(feed);
		return error;
	}
	*ret_feed = feed;
	return 0;
}

bool feed_is_heard(const struct feed *feed)
{
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++)
		if (feed->subscribers[i])
			return true;
	return false;
}

int feed_add(struct feed *feed, struct subscriber *s)
{
	unsigned index = 0;

	while (index < LIVE_SUBSCRIBERS && feed->subscribers[index])
		index++;
	if (index == LIVE_SUBSCRIBERS)
		return -EBUSY;
	collecting_collect(feed->c);
	feed->now = clock_now();
	feed->monotonic = s->since = clock_monotonic();
	s->next = s->since + s->request.interval;
	s->feed = feed;
	s->index = index;
	activate(feed, s);
	note_intervals(feed);
	return 0;
}

void feed_remove(struct feed *feed, struct subscriber *s)
{
	int map = detour_map(&feed->detour, "live_sums");

	feed->subscribers[s->index] = NULL;
	set_listeners(feed);
	sums_forget(map, s->serial);
	if (s->serial != feed->control->subscribers[s->index].serial)
		sums_forget(map, feed->control->subscribers[s->index].serial);
	set_rates(feed);
	note_intervals(feed);
	feed->left = clock_monotonic();
	s->feed = NULL;
}
