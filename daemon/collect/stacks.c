/* SPDX-License-Identifier: BSD-2-Clause */
#include "stacks.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../hash.h"
#include "../kernel/frames.h"
#include "../util.h"
#include "bpf/stacks.h"

enum { BUCKETS = 1024 };

struct stack {
	struct stack *next; /* in its bucket */
	uint64_t hash;
	uint32_t samples; /* that refer to it */
	uint32_t n;
	uint64_t location; /* where it is to begin; 0: nobody knows */
	uint64_t frames[];
};

struct sample {
	uint64_t time; /* since the epoch, nanoseconds: of the look at the ring that found it */
	uint64_t row;  /* hash of its labels: rows come and go, and come back */
	struct stack *stack;
};

#define SAMPLES_SIZE (STACKS_SAMPLES * sizeof(struct sample))

struct stacks {
	struct ring_buffer *ring;
	struct slots *slots;
	const struct table *table;
	uint64_t (*location)(const struct slot_key *key);
	uint64_t now;	       /* while the ring is read */
	uint64_t lost;	       /* for want of memory, or of a row */
	uint64_t first, taken; /* the oldest that is kept, and samples ever: % STACKS_SAMPLES */
	struct sample *samples;
	struct stack *buckets[BUCKETS];
	unsigned n_stacks;
};

/* By what the kernel has told: what the hints make of it may change. */
static uint64_t row_hash(const struct table *table, const struct row *row)
{
	uint64_t sum = HASH_START;

	for (unsigned i = 0; i < table->n_labels; i++)
		if (!table->columns[i].borrowed)
			sum = hash_bytes(sum, row->labels[i].text, row->labels[i].size + 1);
	return sum;
}

/* ---- keeping */

static void stack_release(struct stacks *stacks, struct stack *stack)
{
	struct stack **at = &stacks->buckets[stack->hash % BUCKETS];

	if (--stack->samples > 0)
		return;
	while (*at != stack)
		at = &(*at)->next;
	*at = stack->next;
	stacks->n_stacks--;
	free(stack);
}

/* There is one, when there are stacks. */
static void forget_oldest(struct stacks *stacks)
{
	stack_release(stacks, stacks->samples[stacks->first++ % STACKS_SAMPLES].stack);
}

/* The stack, known or new, in the place of the oldest where there is no room; NULL: no memory. */
static struct stack *stack_find(struct stacks *stacks, const uint64_t *frames, unsigned n,
				uint64_t location)
{
	uint64_t sum = hash_bytes(HASH_START, frames, n * sizeof(*frames));
	struct stack **bucket = &stacks->buckets[sum % BUCKETS], *stack;

	for (stack = *bucket; stack; stack = stack->next)
		if (stack->hash == sum && stack->n == n && stack->location == location &&
		    memcmp(stack->frames, frames, n * sizeof(*frames)) == 0)
			return stack;
	while (stacks->n_stacks == STACKS_DISTINCT)
		forget_oldest(stacks);
	stack = malloc(sizeof(*stack) + n * sizeof(*frames));
	if (!stack)
		return NULL;
	*stack = (struct stack){ .next = *bucket, .hash = sum, .n = n, .location = location };
	memcpy(stack->frames, frames, n * sizeof(*frames));
	*bucket = stack;
	stacks->n_stacks++;
	return stack;
}

static int on_sample(void *userdata, void *data, size_t size)
{
	const struct stack_sample *sample = data;
	struct stacks *stacks = userdata;
	const struct row *row;
	struct stack *stack = NULL;

	if (size < sizeof(*sample) || sample->n_frames > STACK_FRAMES)
		return 0;
	row = slots_find(stacks->slots, &sample->key);
	if (row)
		stack = stack_find(stacks, (const uint64_t *)sample->frames, sample->n_frames,
				   stacks->location ? stacks->location(&sample->key) : 0);
	if (!stack) {
		stacks->lost++;
		return 0;
	}
	stack->samples++;
	if (stacks->taken - stacks->first == STACKS_SAMPLES)
		forget_oldest(stacks);
	stacks->samples[stacks->taken++ % STACKS_SAMPLES] =
		(struct sample){ stacks->now, row_hash(stacks->table, row), stack };
	return 0;
}

int stacks_open(int fd, struct slots *slots, const struct table *table,
		uint64_t (*location)(const struct slot_key *key), struct stacks **ret_stacks)
{
	struct stacks *stacks = calloc(1, sizeof(*stacks));
	int error = -ENOMEM;

	if (!stacks)
		return -ENOMEM;
	stacks->slots = slots;
	stacks->table = table;
	stacks->location = location;
	/* Mapped, not allocated: memory for as many as there are. */
	stacks->samples = mmap(NULL, SAMPLES_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stacks->samples == MAP_FAILED)
		stacks->samples = NULL;
	if (stacks->samples) {
		stacks->ring = ring_buffer__new(fd, on_sample, stacks, NULL);
		error = stacks->ring ? 0 : -errno;
	}
	if (error) {
		stacks_close(stacks);
		return error;
	}
	*ret_stacks = stacks;
	return 0;
}

void stacks_close(struct stacks *stacks)
{
	if (!stacks)
		return;
	ring_buffer__free(stacks->ring);
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (stacks->buckets[i]) {
			struct stack *stack = stacks->buckets[i];

			stacks->buckets[i] = stack->next;
			free(stack);
		}
	}
	if (stacks->samples)
		munmap(stacks->samples, SAMPLES_SIZE);
	free(stacks);
}

void stacks_collect(struct stacks *stacks, uint64_t now)
{
	stacks->now = now;
	ring_buffer__consume(stacks->ring);
}

/* ---- sharing out */

struct sharing {
	const struct stacks *stacks;
	struct frames *frames;
	struct shares *shares;
	const struct stack **of; /* the stack of each share; NULL: none is known */
	uint32_t room;
	const struct stack **found; /* of one row: its stacks and how often each was sampled */
	unsigned *samples, n_found;
	uint64_t *parts;
};

/* The row's stacks between the two times. */
static void find_samples(struct sharing *sharing, uint64_t row, uint64_t from, uint64_t to)
{
	const struct stacks *stacks = sharing->stacks;

	sharing->n_found = 0;
	for (uint64_t i = stacks->first; i < stacks->taken; i++) {
		const struct sample *sample = &stacks->samples[i % STACKS_SAMPLES];
		unsigned j = 0;

		if (sample->row != row || sample->time <= from || sample->time > to)
			continue;
		while (j < sharing->n_found && sharing->found[j] != sample->stack)
			j++;
		if (j == sharing->n_found) {
			sharing->found[j] = sample->stack;
			sharing->samples[j] = 0;
			sharing->n_found++;
		}
		sharing->samples[j]++;
	}
}

static struct share *new_share(struct sharing *sharing, const struct row *row, uint64_t events,
			       const struct stack *stack)
{
	struct shares *shares = sharing->shares;
	struct share *share;

	if (shares->n == sharing->room) {
		uint32_t room = sharing->room ? 2 * sharing->room : 64;
		struct share *more = reallocarray(shares->list, room, sizeof(*more));
		const struct stack **of = reallocarray(sharing->of, room, sizeof(*of));

		shares->list = more ? more : shares->list;
		sharing->of = of ? of : sharing->of;
		if (!more || !of)
			return NULL;
		sharing->room = room;
	}
	sharing->of[shares->n] = stack;
	share = &shares->list[shares->n++];
	*share = (struct share){ .row = row, .events = events };
	return share;
}

static int share_row(struct sharing *sharing, const struct row *row)
{
	const struct table *window = sharing->shares->table;
	uint64_t hashed = row_hash(window, row), events = row->values[0];

	find_samples(sharing, hashed, window->window.from, window->window.to);
	if (sharing->n_found == 0)
		find_samples(sharing, hashed, 0, UINT64_MAX);
	sharing->shares->events += events;
	if (sharing->n_found == 0)
		return new_share(sharing, row, events, NULL) ? 0 : -ENOMEM;
	shares_divide(events, sharing->samples, sharing->n_found, sharing->parts);
	for (unsigned i = 0; i < sharing->n_found; i++) {
		struct share *share;

		if (sharing->parts[i] == 0)
			continue;
		share = new_share(sharing, row, sharing->parts[i], sharing->found[i]);
		if (!share)
			return -ENOMEM;
		share->samples = sharing->samples[i];
	}
	return 0;
}

/* ---- naming */

static int by_place(const void *a, const void *b)
{
	const struct stack *left = *(const struct stack *const *)a;
	const struct stack *right = *(const struct stack *const *)b;

	return left < right ? -1 : left > right;
}

static int name_stack(struct frames *frames, const struct stack *stack,
		      struct share_stack *ret_names)
{
	unsigned skip = frames_skip(frames, stack->frames, stack->n, stack->location);
	char text[SYMBOL_TEXT_SIZE];
	struct symbol symbol;

	ret_names->frames = calloc(stack->n + 1, sizeof(*ret_names->frames));
	if (!ret_names->frames)
		return -ENOMEM;
	for (unsigned i = skip; i < stack->n; i++) {
		frames_resolve(frames, stack->frames[i], &symbol);
		symbol_print(&symbol, text);
		ret_names->frames[ret_names->n_frames] = strdup(text);
		if (!ret_names->frames[ret_names->n_frames])
			return -ENOMEM;
		ret_names->n_frames++;
	}
	return 0;
}

/* All their frames at once, for whoever takes a pass over a file to name some. */
static void prefetch(struct frames *frames, const struct stack *const *stacks, unsigned n)
{
	_cleanup_(freep) uint64_t *addresses = NULL;
	size_t n_addresses = 0;

	for (unsigned i = 0; i < n; i++)
		n_addresses += stacks[i]->n;
	addresses = calloc(n_addresses + 1, sizeof(*addresses));
	if (!addresses)
		return;
	n_addresses = 0;
	for (unsigned i = 0; i < n; i++) {
		memcpy(&addresses[n_addresses], stacks[i]->frames,
		       stacks[i]->n * sizeof(*addresses));
		n_addresses += stacks[i]->n;
	}
	frames_prefetch(frames, addresses, n_addresses);
}

/* Names each stack once, however many shares it has. */
static int name_shares(const struct sharing *sharing)
{
	_cleanup_(freep) const struct stack **stacks = NULL;
	struct shares *shares = sharing->shares;
	unsigned n = 0, kept = 0;
	int error = 0;

	stacks = calloc(shares->n + 1, sizeof(*stacks));
	if (!stacks)
		return -ENOMEM;
	for (uint32_t i = 0; i < shares->n; i++)
		if (sharing->of[i])
			stacks[n++] = sharing->of[i];
	qsort(stacks, n, sizeof(*stacks), by_place);
	for (unsigned i = 0; i < n; i++)
		if (kept == 0 || stacks[i] != stacks[kept - 1])
			stacks[kept++] = stacks[i];
	prefetch(sharing->frames, stacks, kept);
	shares->stacks = calloc(kept + 1, sizeof(*shares->stacks));
	if (!shares->stacks)
		return -ENOMEM;
	shares->n_stacks = kept;
	for (unsigned i = 0; i < kept && !error; i++)
		error = name_stack(sharing->frames, stacks[i], &shares->stacks[i]);
	for (uint32_t i = 0; i < shares->n && !error; i++) {
		const struct stack **stack;

		if (!sharing->of[i])
			continue;
		stack = bsearch(&sharing->of[i], stacks, kept, sizeof(*stacks), by_place);
		shares->list[i].frames = shares->stacks[stack - stacks].frames;
		shares->list[i].n_frames = shares->stacks[stack - stacks].n_frames;
	}
	return error;
}

static int by_events(const void *a, const void *b)
{
	const struct share *left = a, *right = b;

	if (left->events != right->events)
		return left->events < right->events ? 1 : -1;
	return left->row->index < right->row->index ? -1 : left->row->index > right->row->index;
}

int stacks_share(const struct stacks *stacks, struct symbols *symbols, const struct table *window,
		 const struct query *query, uint64_t lost, struct shares *ret_shares)
{
	struct sharing sharing = { .stacks = stacks, .shares = ret_shares };
	int error;

	*ret_shares = (struct shares){ .table = window, .lost = lost + stacks->lost };
	if (stacks->taken > 0)
		ret_shares->sampled_since = stacks->samples[stacks->first % STACKS_SAMPLES].time;
	for (unsigned i = 0; i < window->n_labels; i++)
		ret_shares->columns |= (uint32_t)!window->columns[i].prose << i;
	sharing.found = calloc(STACKS_DISTINCT, sizeof(*sharing.found));
	sharing.samples = calloc(STACKS_DISTINCT, sizeof(*sharing.samples));
	sharing.parts = calloc(STACKS_DISTINCT, sizeof(*sharing.parts));
	error = sharing.found && sharing.samples && sharing.parts ? 0 : -ENOMEM;
	if (!error)
		error = frames_new(symbols, &sharing.frames);
	for (uint32_t i = 0; i < window->n_rows && !error; i++)
		if (window->rows[i]->values[0] && query_matches(query, window->rows[i]))
			error = share_row(&sharing, window->rows[i]);
	if (!error)
		error = name_shares(&sharing);
	frames_free(sharing.frames);
	free(sharing.of);
	free(sharing.found);
	free(sharing.samples);
	free(sharing.parts);
	if (error)
		stacks_free_shares(ret_shares);
	else if (ret_shares->n > 0)
		qsort(ret_shares->list, ret_shares->n, sizeof(*ret_shares->list), by_events);
	return error;
}

void stacks_free_shares(struct shares *shares)
{
	for (unsigned i = 0; i < shares->n_stacks; i++) {
		for (unsigned j = 0; j < shares->stacks[i].n_frames; j++)
			free((char *)shares->stacks[i].frames[j]);
		free(shares->stacks[i].frames);
	}
	free(shares->stacks);
	free(shares->list);
	*shares = (struct shares){ .n = 0 };
}
