// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Every block request: how long it waited for its device (queue), how long the device took
 * (device), and both (request), by device and operation.
 *
 * Issue and completion are stamped here. When the request was created is the kernel's own stamp,
 * and to be believed only where RQF_IO_STAT says that it was made for this request; elsewhere
 * insertion is stamped, and a request that was never inserted did not wait.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>

#include "block.h"
#include "kernel.h"

#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Before 5.11 (and 5.10.137) the request came second, after its queue. */
const volatile bool has_queue_argument = false;
const volatile __u32 rqf_io_stat = 0;	 /* the flag's mask, from enum rqf_flags */
const volatile __u32 inflight_mask = 63; /* entries of `inflight`, a power of two, less one */

SLOT_MAPS(struct block_slot);

/* include/linux/blk_types.h */
#define REQ_OP_MASK 0xff
#define REQ_OP_READ 0
#define REQ_OP_WRITE 1
#define REQ_OP_FLUSH 2
#define REQ_OP_DISCARD 3
#define REQ_OP_SECURE_ERASE 5

static __always_inline __u32 request_operation(const struct request *rq)
{
	switch (GET(rq, cmd_flags) & REQ_OP_MASK) {
	case REQ_OP_READ:
		return BLOCK_READ;
	case REQ_OP_WRITE:
		return BLOCK_WRITE;
	case REQ_OP_FLUSH:
		return BLOCK_FLUSH;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return BLOCK_DISCARD;
	default:
		return BLOCK_OTHER;
	}
}

static __always_inline const struct gendisk *request_disk(const struct request *rq)
{
	const struct request___rq_disk *old = (const void *)rq;
	const struct request_queue *queue;

	if (bpf_core_field_exists(old->rq_disk))
		return GET(old, rq_disk);
	queue = GET(READ_ONLY(rq), q);
	return GET(queue, disk);
}

/* A request's address as a number. The verifier lets no pointer be multiplied or compared with a
 * number, but the difference of two pointers is one: from a place that stays where it is, it is an
 * identity. That place is in a map that the next program takes over with the requests: it must know
 * them again. As raw_tp an address is a number. */
static __always_inline __u64 request_id(const struct request *rq)
{
#ifdef RAW_TRACEPOINT
	return (__u64)rq;
#else
	__u32 first = 0;
	const void *place = bpf_map_lookup_elem(&writers, &first);

	return place ? (__u64)rq - (__u64)place : 0;
#endif
}

/* Of a claimed entry, what the one before has left. */
static __always_inline void inflight_reset(struct block_inflight *entry, bool is_displaced)
{
	entry->queued = 0;
	entry->issued = 0;
	entry->device = 0;
	entry->requeues = 0;
	entry->displaced = is_displaced;
}

static __always_inline struct block_inflight *inflight_full(void)
{
	__u32 writer = bpf_get_smp_processor_id();
	struct slot_writer *counters = bpf_map_lookup_elem(&writers, &writer);

	if (counters)
		__sync_fetch_and_add(&counters->inflight_full, 1);
	return NULL;
}

/* Which of the two ways is up to who compiles this; both use what stands above. */
#include "inflight.h"

static __always_inline bool creation_is_stamped(const struct request *rq)
{
	return (GET(rq, rq_flags) & rqf_io_stat) && GET(rq, start_time_ns);
}

static __always_inline const struct request *request_argument(const __u64 *ctx)
{
	if (has_queue_argument) {
		barrier(); /* or the compiler computes the index, and a context's must be constant */
		return (const void *)ctx[1];
	}
	return (const void *)ctx[0];
}

/* Needed only where creation is not stamped (iostats=0): then this is when the wait begins. */
PROBE("block_rq_insert")
int block_rq_insert(__u64 *ctx)
{
	const struct request *rq = request_argument(ctx);
	struct block_inflight *entry;

	if (creation_is_stamped(rq))
		return 0;
	entry = inflight_enter(request_id(rq));
	if (!entry || (entry->queued && entry->issued == 0))
		return 0; /* requeued: it has waited since it was queued first */
	inflight_reset(entry, entry->displaced);
	entry->queued = bpf_ktime_get_ns();
	return 0;
}

/* A request that is merged into another ends here, without a completion. */
PROBE("block_rq_merge")
int block_rq_merge(__u64 *ctx)
{
	const struct request *rq = request_argument(ctx);
	struct block_inflight *entry;

	if (creation_is_stamped(rq))
		return 0;
	entry = inflight_find(request_id(rq));
	if (entry)
		inflight_leave(entry);
	return 0;
}

PROBE("block_rq_issue")
int block_rq_issue(__u64 *ctx)
{
	const struct request *rq = request_argument(ctx);
	struct block_inflight *entry = inflight_enter(request_id(rq));
	__u64 now = bpf_ktime_get_ns(), queued = now;
	const struct gendisk *disk;

	if (!entry)
		return 0;
	if (entry->queued && entry->issued == 0) {
		queued = entry->queued; /* inserted, or requeued */
	} else {
		if (creation_is_stamped(rq) && GET(rq, start_time_ns) < now)
			queued = GET(rq, start_time_ns);
		entry->requeues = 0;
	}
	disk = request_disk(rq);
	entry->queued = queued;
	entry->device = disk ? BLOCK_DEVICE(GET(disk, major), GET(disk, first_minor)) : 0;
	entry->operation = request_operation(rq);
	entry->issued = now;
	return 0;
}

/* The request will be issued again: the wait goes on. Counted with the completion, which may
 * interrupt this program and so must be the only one that writes slots. */
PROBE("block_rq_requeue")
int block_rq_requeue(__u64 *ctx)
{
	struct block_inflight *entry = inflight_find(request_id(request_argument(ctx)));

	if (entry) {
		entry->issued = 0;
		entry->requeues += entry->requeues < 0xffff;
	}
	return 0;
}

static __noinline struct block_slot *block_search(__u64 *ctx, __u64 word, __u64 diskseq,
						  __u32 writer)
{
	struct slot_key key = { { word, diskseq, 0, 0 } };
	const struct request *rq = (const void *)ctx[0];
	struct slot_writer *counters;
	struct block_slot *slot = (void *)slot_search(&slots, &writers, &key, writer, &counters);
	const struct gendisk *disk;

	if (!slot || !slot_is_new(&slot->key))
		return slot;
	slot->first_seen = bpf_ktime_get_ns();
	disk = request_disk(rq);
	__builtin_memset(slot->name, 0, sizeof(slot->name));
	if (disk)
		BPF_CORE_READ_STR_INTO(&slot->name, disk, disk_name);
	slot_publish(&slot->key, &key, counters);
	return slot;
}

static __always_inline struct block_slot *block_slot_of(__u64 *ctx, const struct request *rq,
							__u32 writer)
{
	const struct gendisk *disk = request_disk(rq);
	struct slot_key key = { { (request_operation(rq) + 1ULL) << 32 | SLOT_LIVE, 0, 0, 0 } };
	struct block_slot *slot;

	if (disk) {
		key.word[0] |= BLOCK_DEVICE(GET(disk, major), GET(disk, first_minor));
		if (bpf_core_field_exists(disk->diskseq))
			key.word[1] = GET(disk, diskseq);
	}
	slot = (void *)slot_find(&slots, &key, writer);
	return slot ? slot : block_search(ctx, key.word[0], key.word[1], writer);
}

/* Global, so that it is verified once and not in every state of its caller. */
__noinline __u32 block_bucket(__u64 nanoseconds)
{
	return histogram_bucket_seconds(nanoseconds);
}

static __noinline int block_unmatched(__u32 writer)
{
	struct slot_writer *counters = bpf_map_lookup_elem(&writers, &writer);

	if (counters)
		__sync_fetch_and_add(&counters->unmatched, 1);
	return 0;
}

static __always_inline void block_observe(struct block_slot *slot, __u64 queue, __u64 device)
{
	__u32 bucket;

	slot->queue_sum += queue;
	bucket = block_bucket(queue);
	if (bucket < HISTOGRAM_SECONDS_BUCKETS)
		slot->queue[bucket] += 1;
	slot->device_sum += device;
	bucket = block_bucket(device);
	if (bucket < HISTOGRAM_SECONDS_BUCKETS)
		slot->device[bucket] += 1;
	slot->request_sum += queue + device;
	bucket = block_bucket(queue + device);
	if (bucket < HISTOGRAM_SECONDS_BUCKETS)
		slot->request[bucket] += 1;
}

/* Fires for every part of a request that completes; the last part ends it. */
static __always_inline void block_count(__u64 *ctx, __u32 writer)
{
	const struct request *rq = (const void *)ctx[0];
	__u32 bytes = ctx[2], length = GET(rq, __data_len);
	struct block_inflight *entry = NULL;
	struct block_slot *slot;
	__u64 issued = 0, queue, now;

	if (bytes >= length) {
		entry = inflight_find(request_id(rq));
		if (entry)
			issued = entry->issued;
		/* An empty request that was never issued was the envelope of a flush, which is
		 * counted in its own right. */
		if (!issued && !length) {
			if (entry)
				inflight_leave(entry);
			return;
		}
	}
	slot = block_slot_of(ctx, rq, writer);
	if (slot) {
		slot->bytes += bytes;
		if ((__u32)ctx[1])
			slot->errors += 1;
		if (issued) {
			now = bpf_ktime_get_ns();
			queue = issued - entry->queued;
			slot->requeues += entry->requeues;
			block_observe(slot, queue, now - issued);
		}
	}
	if (entry)
		inflight_leave(entry);
	if (slot && bytes >= length && !issued)
		block_unmatched(writer);
}

PROBE("block_rq_complete")
int block_rq_complete(__u64 *ctx)
{
	__u32 writer = bpf_get_smp_processor_id();

	if (writer_enter(&writers, writer)) {
		block_count(ctx, writer);
		writer_leave(&writers, writer);
	}
	return 0;
}
