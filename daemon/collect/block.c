/* SPDX-License-Identifier: BSD-2-Clause */
/* Block requests: time in the queue and in the device, bytes, errors, and the oldest on its way. */
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "../kernel/btf.h"
#include "../kernel/features.h"
#include "../model/histogram.h"
#include "../util.h"
#include "block.skel.h"
#include "block_hash.skel.h"
#include "block_hash_raw.skel.h"
#include "block_raw.skel.h"
#include "bpf/block.h"
#include "collector.h"
#include "inflight.h"

enum { DEVICE, OPERATION, NUMBER };

static const struct column columns[] = {
	[DEVICE] = { .name = "device", .help = "disk" },
	[OPERATION] = { .name = "operation", .help = "read, write, discard, flush, other" },
	[NUMBER] = { .name = "number", .detail = true, .help = "major:minor" },
	{ .name = "bytes",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_BYTES,
	  .metric = "dropscope_block_bytes",
	  .help = "Bytes of completed block requests." },
	{ .name = "errors",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_block_errors",
	  .help = "Completions of block requests, or of parts of them, with an error." },
	{ .name = "requeues",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_block_requeues",
	  .help = "Times that completed requests had been put back into the queue." },
	{ .name = "queue_seconds",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_queue_seconds",
	  .scale = &histogram_seconds,
	  .help = "Time that block requests waited for their device: from creation (insertion, "
		  "where iostats are off) to issue." },
	{ .name = "device_seconds",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_device_seconds",
	  .scale = &histogram_seconds,
	  .help = "Time that the device took: from the last issue to completion." },
	{ .name = "request_seconds",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_request_seconds",
	  .scale = &histogram_seconds,
	  .help = "Time that block requests took: queue and device together." },
	{ .name = "oldest_request_seconds",
	  .kind = COLUMN_GAUGE,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_oldest_request_seconds",
	  .by = "device",
	  .help = "Age of the oldest request that was issued to the device and is not completed, from "
		  "when it was created; 0 without one." },
};

enum {
	SLOT_VALUES = 3 + 3 * (1 + HISTOGRAM_SECONDS_BUCKETS),
	OLDEST = SLOT_VALUES, /* the gauge's place in a row's values */
	MIN_SLOTS = 32,
	MAX_SLOTS = 4096,
	MIN_INFLIGHT = 4096,
	MAX_INFLIGHT = 1 << 16,
	MAX_PATH = 320,
};

static const char *const operations[BLOCK_OPERATIONS] = {
	[BLOCK_READ] = "read",	 [BLOCK_WRITE] = "write", [BLOCK_DISCARD] = "discard",
	[BLOCK_FLUSH] = "flush", [BLOCK_OTHER] = "other",
};

static unsigned power_of_two(unsigned least, unsigned most, unsigned wanted)
{
	unsigned n = least;

	while (n < wanted && n < most)
		n *= 2;
	return n;
}

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Disks that hold anything, and the requests that all disks together can have on their way. */
static void survey_disks(unsigned *ret_disks, unsigned *ret_requests)
{
	DIR *dir = opendir("/sys/block");
	unsigned disks = 0, requests = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[MAX_PATH];
		unsigned queues;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/size", entry->d_name);
		disks += sysfs_number(path) > 0;
		snprintf(path, sizeof(path), "/sys/block/%s/mq", entry->d_name);
		queues = count_entries(path);
		snprintf(path, sizeof(path), "/sys/block/%s/queue/nr_requests", entry->d_name);
		requests += (queues ? queues : 1) * (unsigned)sysfs_number(path);
	}
	if (dir)
		closedir(dir);
	*ret_disks = disks;
	*ret_requests = requests;
}

/* What is stored stays as it is, if it has room enough: nothing need be carried over then. */
static unsigned stored_or(const struct collecting *c, const char *map, unsigned wanted)
{
	unsigned stored = probe_stored_entries(c->kernel->store, c->collector->name, map);

	return stored > wanted ? stored : wanted;
}

/* Disks come later, too: room for twice those that are there, with their usual three operations. */
static unsigned block_slots(const struct collecting *c, const struct config *config)
{
	unsigned disks, requests, cpus = probe_cpus();

	(void)config;
	survey_disks(&disks, &requests);
	return stored_or(c, "slots", power_of_two(MIN_SLOTS, MAX_SLOTS, disks * 2 * 3) * cpus) /
	       cpus;
}

static int check_tracepoints(const struct btf *btf, char **ret_reason)
{
	static const char *const needed[] = { "block_rq_insert", "block_rq_issue",
					      "block_rq_requeue", "block_rq_merge",
					      "block_rq_complete" };

	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
		if (kernel_btf_arguments(btf, needed[i]) < 1)
			return collecting_missing(needed[i], ret_reason);
	return 0;
}

static int block_watch(struct collecting *c, unsigned entries, bool is_hash, char **ret_reason)
{
	struct inflight *inflight;
	int error = inflight_open(probe_map(&c->probe, "inflight"), entries, is_hash, &inflight);

	if (!error)
		c->own = inflight;
	else if (asprintf(ret_reason, "cannot map the requests: %s", strerror(-error)) < 0)
		*ret_reason = NULL;
	return error;
}

/* Of each of the objects. */
static int block_configure(const struct btf *btf, struct bpf_object *object, unsigned entries)
{
	int bit = kernel_btf_enumerator(btf, NULL, "__RQF_IO_STAT");

	constant_set(object, "inflight_mask", entries - 1);
	constant_set(object, "has_queue_argument", kernel_btf_arguments(btf, "block_rq_issue") > 1);
	constant_set(object, "rqf_io_stat", bit >= 0 ? 1u << bit : 1u << 13);
	return bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "inflight"), entries);
}

/* The objects of which one is opened: they differ in how they remember requests, and are attached.
 * */
struct objects {
	struct block_bpf *array;
	struct block_hash_bpf *hash;
	struct block_raw_bpf *array_raw;
	struct block_hash_raw_bpf *hash_raw;
};

static struct bpf_object_skeleton *objects_open(struct objects *o, const struct kernel *kernel,
						bool is_hash)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = kernel->btf_path);

	*o = (struct objects){ .array = NULL };
	if (kernel->gate == GATE_RAW_TP && is_hash)
		o->hash_raw = block_hash_raw_bpf__open_opts(&options);
	else if (kernel->gate == GATE_RAW_TP)
		o->array_raw = block_raw_bpf__open_opts(&options);
	else if (is_hash)
		o->hash = block_hash_bpf__open_opts(&options);
	else
		o->array = block_bpf__open_opts(&options);
	if (o->array || o->hash)
		return o->array ? o->array->skeleton : o->hash->skeleton;
	if (o->array_raw || o->hash_raw)
		return o->array_raw ? o->array_raw->skeleton : o->hash_raw->skeleton;
	return NULL;
}

static void objects_close(struct objects *o)
{
	block_bpf__destroy(o->array);
	block_hash_bpf__destroy(o->hash);
	block_raw_bpf__destroy(o->array_raw);
	block_hash_raw_bpf__destroy(o->hash_raw);
}

static int block_open(struct collecting *c, char **ret_reason)
{
	const struct btf *btf = c->kernel->btf;
	bool is_hash = !kernel_has_compare_and_swap();
	int error = check_tracepoints(btf, ret_reason);
	struct bpf_object_skeleton *skeleton;
	unsigned disks, requests, entries;
	struct objects objects;

	if (error)
		return error;
	if (is_hash)
		collecting_lacks(
			c, "compare_and_swap",
			"BPF has no compare-and-swap (Linux 5.12 and later do): requests "
			"are remembered in a hash map, which costs each of them more time");
	skeleton = objects_open(&objects, c->kernel, is_hash);
	if (!skeleton)
		return -ENOMEM;
	survey_disks(&disks, &requests);
	entries = stored_or(c, "inflight", power_of_two(MIN_INFLIGHT, MAX_INFLIGHT, requests * 2));
	error = block_configure(btf, *skeleton->obj, entries);
	if (!error)
		error = collecting_load(c, skeleton, ret_reason);
	if (!error)
		error = block_watch(c, entries, is_hash, ret_reason);
	objects_close(&objects);
	return error;
}

static void block_close(struct collecting *c)
{
	inflight_free(c->own);
}

static unsigned key_operation(const struct slot_key *key)
{
	return (key->word[0] >> 32 & 0xff) - 1;
}

static void describe_device(struct description *d, uint32_t device, unsigned operation,
			    const char *name)
{
	description_printf(d, DEVICE, "%s", name[0] ? name : "none");
	d->labels[OPERATION] = operations[operation < BLOCK_OPERATIONS ? operation : BLOCK_OTHER];
	description_printf(d, NUMBER, "%u:%u", device >> 20, device & 0xfffff);
}

static void block_describe(void *userdata, const void *data, uint64_t now, struct description *d)
{
	const struct block_slot *slot = data;

	(void)userdata;
	(void)now;
	describe_device(d, slot->key.word[0], key_operation(&slot->key), slot->name);
}

static void oldest_show(void *userdata, const struct slot_key *key, struct row *row)
{
	struct inflight *own = userdata;

	row->values[OLDEST] = 0;
	for (unsigned i = 0; i < own->n_oldest; i++) {
		struct oldest *oldest = &own->oldest[i];

		if (oldest->device != (uint32_t)key->word[0] ||
		    oldest->operation != key_operation(key))
			continue;
		row->values[OLDEST] = oldest->age;
		oldest->shown = true;
	}
}

/* A request that hangs on a device that has completed none yet: a row for it alone. */
static void oldest_stand_in(struct table *table, struct oldest *oldest, uint64_t now)
{
	struct description description = { .used = 0 };
	char path[MAX_PATH], target[MAX_PATH] = "";

	if (!oldest->row) {
		device_path(path, oldest->device, "");
		if (readlink(path, target, sizeof(target) - 1) < 0)
			target[0] = '\0';
		describe_device(&description, oldest->device, oldest->operation,
				strrchr(target, '/') ? strrchr(target, '/') + 1 : "");
		if (table_add(table, description.labels, now, &oldest->row) < 0)
			return;
	}
	oldest->row->values[OLDEST] = oldest->age;
}

static void block_gauges(struct collecting *c, uint64_t monotonic)
{
	struct inflight *own = c->own;
	unsigned kept = 0;

	for (unsigned i = 0; i < own->n_oldest; i++) {
		own->oldest[i].age = 0;
		own->oldest[i].shown = false;
	}
	inflight_measure(own, monotonic);
	slots_each(c->slots, oldest_show, own);
	for (unsigned i = 0; i < own->n_oldest; i++) {
		struct oldest *oldest = &own->oldest[i];

		if (oldest->age && !oldest->shown) {
			oldest_stand_in(c->table, oldest, clock_now());
		} else if (oldest->row) {
			table_retire(c->table, oldest->row);
			oldest->row = NULL;
		}
		if (oldest->age)
			own->oldest[kept++] = *oldest;
	}
	own->n_oldest = kept;
}

const struct collector block_collector = {
	.name = "block",
	.table = "block",
	.layout = 1,
	.enabled = offsetof(struct config, block),
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.n_slot_values = SLOT_VALUES,
	.slot_size = sizeof(struct block_slot),
	.first_seen = offsetof(struct block_slot, first_seen),
	.writers = 1,
	.losses = {
		{ "inflight_full", offsetof(struct slot_writer, inflight_full) },
		{ "unmatched", offsetof(struct slot_writer, unmatched) },
	},
	.slots = block_slots,
	.open = block_open,
	.describe = block_describe,
	.gauges = block_gauges,
	.close = block_close,
};
