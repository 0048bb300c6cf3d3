/* SPDX-License-Identifier: BSD-2-Clause */
#include "live.h"

#include <assert.h>
#include <errno.h>

#include "../kernel/frames.h"
#include "../log.h"
#include "../util.h"
#include "feed.h"

struct live {
	struct kernel *kernel;
	sd_event_source *timer; /* on while there is a feed */
	struct feed *feeds[N_COLLECTORS];
	unsigned n_subscribers;
	struct frames *frames; /* while there is a feed, since somebody wanted stacks */
};

/* ---- feeds */

/* Where the collector's is, or would be. */
static struct feed **feed_of(struct live *live, const struct collecting *c)
{
	struct feed **place = NULL;

	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		if (live->feeds[i] && live->feeds[i]->c == c)
			return &live->feeds[i];
		if (!live->feeds[i])
			place = &live->feeds[i];
	}
	assert(place);
	return place;
}

static void close_feed(struct live *live, struct feed **feed)
{
	log_info("%s: nobody listens to single events any more", (*feed)->c->collector->name);
	feed_close(TAKE_PTR(*feed));
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		if (live->feeds[i])
			return;
	sd_event_source_set_enabled(live->timer, SD_EVENT_OFF);
	frames_free(live->frames);
	live->frames = NULL;
}

static int set_timer(struct live *live, uint64_t usec)
{
	sd_event_source_set_time_relative(live->timer, usec);
	return sd_event_source_set_enabled(live->timer, SD_EVENT_ONESHOT);
}

/* Who looks around comes back in a moment; to load the programs takes longer. */
static int linger(struct live *live)
{
	return set_timer(live, LIVE_LINGER_NANOSECONDS / 1000);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct live *live = userdata;
	bool any = false, more = false;

	(void)source;
	(void)usec;
	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		struct feed *feed = live->feeds[i];

		if (!feed)
			continue;
		feed_look(feed);
		more = more || feed->more;
		if (!feed_is_heard(feed) && feed->monotonic - feed->left >= LIVE_LINGER_NANOSECONDS)
			close_feed(live, &live->feeds[i]);
		else
			any = true;
	}
	if (!any)
		return 0;
	if (!live->n_subscribers)
		return linger(live);
	return set_timer(live, more ? 0 : LIVE_DRAIN_USEC);
}

/* ---- coming and going */

static int say(int error, char **ret_reason)
{
	static const char *const busy = "so many streams of this table are read already; at most";

	if (error == -EBUSY && asprintf(ret_reason, "%s %u", busy, LIVE_SUBSCRIBERS) < 0)
		*ret_reason = NULL;
	return error;
}

static int subscribe(struct live *live, struct feed *feed, struct subscriber *s)
{
	int error;

	if (s->request.stack && !live->frames) {
		error = frames_new(live->kernel->symbols, &live->frames);
		if (error)
			return error;
	}
	feed->frames = live->frames;
	/* One that is on already must not be put off by whoever comes. */
	error = live->n_subscribers ? 0 : set_timer(live, LIVE_DRAIN_USEC);
	if (!error)
		error = feed_add(feed, s);
	if (!error)
		live->n_subscribers++;
	return error;
}

int live_subscribe(struct live *live, struct collecting *c, const struct live_request *request,
		   void (*ready)(void *userdata), void *userdata,
		   struct subscriber **ret_subscriber, char **ret_reason)
{
	struct feed **feed = feed_of(live, c);
	struct subscriber *s;
	int error = subscriber_new(request, &s);

	if (error)
		return error;
	s->live = live;
	s->ready = ready;
	s->userdata = userdata;
	if (!*feed) {
		error = feed_open(c, feed, ret_reason);
		if (!error)
			log_info("%s: somebody listens to single events", c->collector->name);
	}
	if (!error)
		error = say(subscribe(live, *feed, s), ret_reason);
	if (error < 0) {
		subscriber_free(s);
		if (!live->n_subscribers && *feed)
			linger(live);
		return error;
	}
	*ret_subscriber = s;
	return 0;
}

static void leave(struct live *live, struct subscriber *s)
{
	feed_remove(s->feed, s);
	live->n_subscribers--;
}

void live_unsubscribe(struct subscriber *s)
{
	struct live *live = s->live;

	if (s->feed) {
		leave(live, s);
		if (!live->n_subscribers)
			linger(live);
	}
	subscriber_free(s);
}

void live_end(struct live *live, const struct collecting *c)
{
	struct feed **place = feed_of(live, c);

	if (!*place)
		return;
	for (unsigned i = 0; i < LIVE_SUBSCRIBERS; i++) {
		struct subscriber *s = (*place)->subscribers[i];

		if (!s)
			continue;
		leave(live, s);
		s->ending = s->ended = true;
		subscriber_wake(s);
	}
	close_feed(live, place);
}

void live_configure(struct live *live)
{
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		if (live->feeds[i])
			feed_configure(live->feeds[i]);
}

int live_new(sd_event *event, struct kernel *kernel, struct live **ret_live)
{
	struct live *live = calloc(1, sizeof(*live));
	int error;

	if (!live)
		return -ENOMEM;
	live->kernel = kernel;
	error = sd_event_add_time(event, &live->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, live);
	/* After the server: what is in the queues goes out first. */
	if (error >= 0)
		error = sd_event_source_set_priority(live->timer, SD_EVENT_PRIORITY_NORMAL + 10);
	if (error >= 0)
		error = sd_event_source_set_enabled(live->timer, SD_EVENT_OFF);
	if (error < 0) {
		live_free(live);
		return error;
	}
	*ret_live = live;
	return 0;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	for (unsigned i = 0; i < N_COLLECTORS; i++)
		feed_close(live->feeds[i]);
	sd_event_source_unref(live->timer);
	frames_free(live->frames);
	free(live);
}
