/* SPDX-License-Identifier: BSD-2-Clause */
/* Block requests: time in the queue and in the device, bytes, errors, and the oldest on its way. */
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../kernel/btf.h"
#include "../model/histogram.h"
#include "../util.h"
#include "block.skel.h"
#include "bpf/block.h"
#include "collector.h"

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
	MAX_OLDEST = 256,     /* devices times operations with requests on their way */
	SUSPECT_SECONDS = 60, /* older than this, an entry is checked */
	SWEEP_SECONDS = 10,
	GONE_SECONDS = 3600,
};

static const char *const operations[BLOCK_OPERATIONS] = {
	[BLOCK_READ] = "read",	 [BLOCK_WRITE] = "write", [BLOCK_DISCARD] = "discard",
	[BLOCK_FLUSH] = "flush", [BLOCK_OTHER] = "other",
};

/* The oldest request of a device and operation. */
struct oldest {
	uint32_t device;
	unsigned operation;
	uint64_t age;
	struct row *row; /* stands in until a completion makes a row; or NULL */
	bool shown;	 /* by a row that has counters */
};

struct block_own {
	struct block_inflight *inflight; /* the probe's map */
	unsigned entries;
	size_t size;
	struct oldest oldest[MAX_OLDEST];
	unsigned n_oldest;
	uint64_t swept; /* when old entries were last compared with the kernel's count */
};

static unsigned power_of_two(unsigned least, unsigned most, unsigned wanted)
{
	unsigned n = least;

	while (n < wanted && n < most)
		n *= 2;
	return n;
}

static long read_number(const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	long number = 0;

	if (!file || fscanf(file, "%ld", &number) != 1)
		return 0;
	return number;
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
		disks += read_number(path) > 0;
		snprintf(path, sizeof(path), "/sys/block/%s/mq", entry->d_name);
		queues = count_entries(path);
		snprintf(path, sizeof(path), "/sys/block/%s/queue/nr_requests", entry->d_name);
		requests += (queues ? queues : 1) * (unsigned)read_number(path);
	}
	if (dir)
		closedir(dir);
	*ret_disks = disks;
	*ret_requests = requests;
}

/* Disks come later, too: room for twice those that are there, with their usual three operations. */
static unsigned block_slots(const struct config *config)
{
	unsigned disks, requests;

	(void)config;
	survey_disks(&disks, &requests);
	return power_of_two(MIN_SLOTS, MAX_SLOTS, disks * 2 * 3);
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

static int block_map(struct collecting *c, unsigned entries, char **ret_reason)
{
	struct block_own *own = calloc(1, sizeof(*own));
	void *address;

	if (!own)
		return -ENOMEM;
	own->entries = entries;
	own->size = entries * sizeof(*own->inflight);
	address = mmap(NULL, own->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       probe_map(&c->probe, "inflight"), 0);
	if (address == MAP_FAILED) {
		int error = -errno;

		if (asprintf(ret_reason, "cannot map the requests: %s", strerror(-error)) < 0)
			*ret_reason = NULL;
		free(own);
		return error;
	}
	own->inflight = address;
	c->own = own;
	return 0;
}

static int block_open(struct collecting *c, char **ret_reason)
{
	const struct btf *btf = c->kernel->btf;
	unsigned disks, requests, entries;
	struct block_bpf *skeleton;
	int error = check_tracepoints(btf, ret_reason), bit;

	if (error)
		return error;
	skeleton = block_bpf__open();
	if (!skeleton)
		return -ENOMEM;
	survey_disks(&disks, &requests);
	entries = power_of_two(MIN_INFLIGHT, MAX_INFLIGHT, requests * 2);
	skeleton->rodata->slots_per_writer = c->slots_per_writer;
	skeleton->rodata->has_rdonly_cast = kernel_btf_has_function(btf, "bpf_rdonly_cast");
	skeleton->rodata->inflight_mask = entries - 1;
	skeleton->rodata->has_queue_argument = kernel_btf_arguments(btf, "block_rq_issue") > 1;
	bit = kernel_btf_enumerator(btf, NULL, "__RQF_IO_STAT");
	skeleton->rodata->rqf_io_stat = bit >= 0 ? 1u << bit : 1u << 13;
	error = bpf_map__set_max_entries(skeleton->maps.inflight, entries);
	if (!error)
		error = collecting_load(c, skeleton->obj, ret_reason);
	if (!error)
		error = block_map(c, entries, ret_reason);
	block_bpf__destroy(skeleton);
	return error;
}

static void block_close(struct collecting *c)
{
	struct block_own *own = c->own;

	munmap(own->inflight, own->size);
	free(own);
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

static struct oldest *oldest_find(struct block_own *own, uint32_t device, unsigned operation)
{
	for (unsigned i = 0; i < own->n_oldest; i++)
		if (own->oldest[i].device == device && own->oldest[i].operation == operation)
			return &own->oldest[i];
	if (own->n_oldest == MAX_OLDEST)
		return NULL;
	own->oldest[own->n_oldest] = (struct oldest){ .device = device, .operation = operation };
	return &own->oldest[own->n_oldest++];
}

/* What sysfs says of a device: its directory, or a file in there ("/inflight"). */
static void device_path(char path[static MAX_PATH], uint32_t device, const char *file)
{
	snprintf(path, MAX_PATH, "/sys/dev/block/%u:%u%s", device >> 20, device & 0xfffff, file);
}

/*
 * Does the kernel know of nothing on its way to this device? Its count is of requests with iostats
 * on, flushes and passthrough are not among them: where it cannot tell, nothing is idle. A device
 * without an entry (gone, or a hidden path of a multipath one) is given an hour.
 */
static bool device_is_idle(uint32_t device, unsigned operation, uint64_t age)
{
	_cleanup_(fclosep) FILE *file = NULL;
	unsigned long reads, writes;
	char path[MAX_PATH];

	device_path(path, device, "/inflight");
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT && age > GONE_SECONDS * 1000000000ULL;
	if (operation == BLOCK_FLUSH || operation == BLOCK_OTHER)
		return false;
	device_path(path, device, "/queue/iostats");
	return read_number(path) == 1 && fscanf(file, "%lu %lu", &reads, &writes) == 2 &&
	       reads == 0 && writes == 0;
}

/* Frees an entry if it still is what it was when it was looked at. Whoever claims it next resets
 * it. */
static void inflight_forget(struct block_inflight *entry, uint64_t request, uint64_t issued)
{
	if (__atomic_load_n(&entry->issued, __ATOMIC_ACQUIRE) == issued)
		__atomic_compare_exchange_n(&entry->request, &request, 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
}

/*
 * One pass over the requests on their way. One whose completion was missed (the probe's run was
 * skipped, the device went away) would look like a hanging disk for ever: what is old on an idle
 * device is freed.
 */
static void oldest_measure(struct block_own *own, uint64_t monotonic)
{
	bool sweep = monotonic - own->swept >= SWEEP_SECONDS * 1000000000ULL;

	for (unsigned i = 0; i < own->entries; i++) {
		struct block_inflight *entry = &own->inflight[i];
		uint64_t request = __atomic_load_n(&entry->request, __ATOMIC_ACQUIRE);
		uint64_t issued = __atomic_load_n(&entry->issued, __ATOMIC_ACQUIRE);
		uint64_t since = __atomic_load_n(&entry->queued, __ATOMIC_RELAXED), age;
		struct oldest *oldest;

		if (!request || !since || since >= monotonic || !entry->device)
			continue;
		age = monotonic - since;
		if (sweep && age > SUSPECT_SECONDS * 1000000000ULL &&
		    device_is_idle(entry->device, entry->operation, age)) {
			inflight_forget(entry, request, issued);
			continue;
		}
		oldest = oldest_find(own, entry->device, entry->operation);
		if (oldest && age > oldest->age)
			oldest->age = age;
	}
	if (sweep)
		own->swept = monotonic;
}

static void oldest_show(void *userdata, const struct slot_key *key, struct row *row)
{
	struct block_own *own = userdata;

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
	struct block_own *own = c->own;
	unsigned kept = 0;

	for (unsigned i = 0; i < own->n_oldest; i++) {
		own->oldest[i].age = 0;
		own->oldest[i].shown = false;
	}
	oldest_measure(own, monotonic);
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
