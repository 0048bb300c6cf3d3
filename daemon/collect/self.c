/* SPDX-License-Identifier: BSD-2-Clause */
#include "self.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "../model/histogram.h"
#include "../util.h"
#include "../version.h"

static const struct column collector_columns[] = {
	{ .name = "collector", .help = "drops, receive, retransmit, block" },
	{ .name = "up",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_collector_up",
	  .help = "Whether the collector's probes are loaded and attached." },
	{ .name = "duration",
	  .kind = COLUMN_GAUGE,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_collector_scrape_duration_seconds",
	  .help = "Time that reading the collector's counters took." },
	{ .name = "series",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_collector_series",
	  .help = "Label sets of the collector's first metric, without `other`." },
	{ .name = "rows",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_collector_rows",
	  .help = "Rows of the collector's table, details told apart." },
};

static const struct column info_columns[] = {
	{ .name = "collector", .help = "drops, receive, retransmit, block" },
	{ .name = "attach", .help = "how its programs are attached: tp_btf, raw_tp, fentry" },
	{ .name = "missing",
	  .help = "what this kernel does not give, a sample each; everything: it is down" },
	{ .name = "why", .help = "why that is missing" },
	{ .name = "info",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_collector_info",
	  .help = "Always 1: how a collector's programs are attached, what is missing, and why." },
};

static const struct column retired_columns[] = {
	{ .name = "collector", .help = "drops, receive, retransmit, block" },
	{ .name = "counter", .help = "column of the collector's table" },
	{ .name = "retired",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_retired",
	  .help = "What series that have ended (retire-after) had counted: closes the accounting. "
		  "Of histograms, the observations." },
};

static const struct column not_carried_columns[] = {
	{ .name = "collector", .help = "drops, receive, retransmit, block" },
	{ .name = "counter", .help = "column of an earlier version's table" },
	{ .name = "not_carried",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_not_carried",
	  .help = "What an earlier version had counted and this one, whose columns or keys are others, "
		  "could not take over. Of histograms, the observations." },
};

static const struct column history_columns[] = {
	{ .name = "lost",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_history_lost",
	  .help = "Rows of a second that did not fit the history, and segments of it that were "
		  "refused at the start as damaged." },
	{ .name = "since",
	  .kind = COLUMN_GAUGE,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_history_start_time_seconds",
	  .help = "How far back the history reaches, since unix epoch in seconds; 0: there is none." },
};

static const struct column loss_columns[] = {
	{ .name = "collector", .help = "drops, receive, retransmit, block" },
	{ .name = "cause", .help = "map_full, nested, inflight_full, unmatched" },
	{ .name = "events",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_events_lost",
	  .help = "Events that a probe could not count in a row." },
};

static const struct column program_columns[] = {
	{ .name = "program", .help = "BPF program" },
	{ .name = "runs",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_probe_runs",
	  .help = "Runs of the program, counted while kernel.bpf_stats_enabled is 1." },
	{ .name = "seconds",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_probe_seconds",
	  .help = "Time in the program, counted while kernel.bpf_stats_enabled is 1." },
};

static const struct column symbol_columns[] = {
	{ .name = "available",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_symbols_available",
	  .help = "Whether kernel addresses can be named; 0: symbols are addresses." },
};

static const struct column build_columns[] = {
	{ .name = "version", .help = "of dropscope" },
	{ .name = "build",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_build_info",
	  .help = "Always 1." },
};

static const struct column kernel_columns[] = {
	{ .name = "release", .help = "of the running kernel" },
	{ .name = "machine", .help = "architecture" },
	{ .name = "kernel",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_kernel_info",
	  .help = "Always 1." },
};

static const struct column http_columns[] = {
	{ .name = "requests",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_http_requests",
	  .help = "HTTP requests for a path that GET or HEAD can ask for, this one included." },
	{ .name = "refused",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_http_connections_refused",
	  .help = "Connections refused by a limit on connections." },
	{ .name = "cut",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_http_connections_cut",
	  .help = "Connections closed by a deadline." },
};

enum process_value {
	CPU,
	START,
	RESIDENT,
	VIRTUAL,
	OPEN_FDS,
	MAX_FDS,
	PROCESS_VALUES,
};

static const struct column process_columns[PROCESS_VALUES] = {
	[CPU] = { .name = "cpu",
		  .kind = COLUMN_COUNTER,
		  .unit = UNIT_SECONDS,
		  .metric = "process_cpu_seconds",
		  .help = "Total user and system CPU time spent in seconds." },
	[START] = { .name = "start",
		    .kind = COLUMN_GAUGE,
		    .unit = UNIT_SECONDS,
		    .metric = "process_start_time_seconds",
		    .help = "Start time of the process since unix epoch in seconds." },
	[RESIDENT] = { .name = "resident",
		       .kind = COLUMN_GAUGE,
		       .unit = UNIT_BYTES,
		       .metric = "process_resident_memory_bytes",
		       .help = "Resident memory size in bytes." },
	[VIRTUAL] = { .name = "virtual",
		      .kind = COLUMN_GAUGE,
		      .unit = UNIT_BYTES,
		      .metric = "process_virtual_memory_bytes",
		      .help = "Virtual memory size in bytes." },
	[OPEN_FDS] = { .name = "open_fds",
		       .kind = COLUMN_GAUGE,
		       .metric = "process_open_fds",
		       .help = "Number of open file descriptors." },
	[MAX_FDS] = { .name = "max_fds",
		      .kind = COLUMN_GAUGE,
		      .metric = "process_max_fds",
		      .help = "Maximum number of open file descriptors." },
};

enum {
	COLLECTORS,
	INFO,
	LOSSES,
	RETIRED,
	NOT_CARRIED,
	HISTORY,
	PROGRAMS,
	SYMBOLS,
	BUILD,
	KERNEL,
	HTTP,
	PROCESS,
};

static const struct {
	const char *name;
	const struct column *columns;
	unsigned n_columns;
} definitions[SELF_TABLES] = {
	[COLLECTORS] = { "collectors", collector_columns, ARRAY_SIZE(collector_columns) },
	[INFO] = { "info", info_columns, ARRAY_SIZE(info_columns) },
	[LOSSES] = { "losses", loss_columns, ARRAY_SIZE(loss_columns) },
	[RETIRED] = { "retired", retired_columns, ARRAY_SIZE(retired_columns) },
	[NOT_CARRIED] = { "not_carried", not_carried_columns, ARRAY_SIZE(not_carried_columns) },
	[HISTORY] = { "history", history_columns, ARRAY_SIZE(history_columns) },
	[PROGRAMS] = { "programs", program_columns, ARRAY_SIZE(program_columns) },
	[SYMBOLS] = { "symbols", symbol_columns, ARRAY_SIZE(symbol_columns) },
	[BUILD] = { "build", build_columns, ARRAY_SIZE(build_columns) },
	[KERNEL] = { "kernel", kernel_columns, ARRAY_SIZE(kernel_columns) },
	[HTTP] = { "http", http_columns, ARRAY_SIZE(http_columns) },
	[PROCESS] = { "process", process_columns, ARRAY_SIZE(process_columns) },
};

enum { SERIES_ROOM = 256 }; /* collectors times causes, programs */

struct self {
	struct table *tables[SELF_TABLES];
	uint64_t started; /* of the process, nanoseconds since the epoch */
};

static void self_freep(struct self **self)
{
	self_free(*self);
}

int self_new(struct self **ret_self)
{
	_cleanup_(self_freep) struct self *self = calloc(1, sizeof(*self));

	if (!self)
		return -ENOMEM;
	self->started = clock_now();
	for (unsigned i = 0; i < SELF_TABLES; i++) {
		int error = table_new(definitions[i].name, definitions[i].columns,
				      definitions[i].n_columns, SERIES_ROOM, &self->tables[i]);

		if (error)
			return error;
		self->tables[i]->counting_since = self->started;
		self->tables[i]->fixed = true;
	}
	*ret_self = TAKE_PTR(self);
	return 0;
}

void self_free(struct self *self)
{
	if (!self)
		return;
	for (unsigned i = 0; i < SELF_TABLES; i++)
		table_free(self->tables[i]);
	free(self);
}

struct table *const *self_tables(const struct self *self)
{
	return self->tables;
}

/*
 * The row with these labels, made when it is first asked for. `now` is when it was last asked for.
 */
static struct row *self_find(struct table *table, const char *const *labels, uint64_t now)
{
	struct row *row;

	for (uint32_t i = 0; i < table->n_rows; i++) {
		unsigned same = 0;

		row = table->rows[i];
		while (same < table->n_labels && strcmp(row->labels[same].text, labels[same]) == 0)
			same++;
		if (same < table->n_labels)
			continue;
		row->last_seen = now;
		return row;
	}
	return table_add(table, labels, now, &row) < 0 ? NULL : row;
}

static struct row *self_row(struct table *table, const char *first, const char *second,
			    uint64_t now)
{
	const char *labels[TABLE_MAX_LABELS] = { first, second };

	return self_find(table, labels, now);
}

/* Collectors and programs that are no longer there: turned off. */
static void drop_unseen(struct table *table, uint64_t now)
{
	for (uint32_t i = table->n_rows; i-- > 0;)
		if (table->rows[i]->last_seen != now)
			table_retire(table, table->rows[i]);
}

static int collect_collectors(struct table *table, const struct collecting *c, unsigned n,
			      uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		struct row *row;

		if (c[i].disabled) /* is not meant to be up: an alert on 0 must not fire */
			continue;
		row = self_row(table, c[i].collector->name, NULL, now);
		if (!row)
			return -ENOMEM;
		row->values[0] = c[i].slots != NULL;
		row->values[1] = c[i].duration;
		row->values[2] = c[i].table->projections[0].n_series;
		row->values[3] = c[i].table->n_rows;
	}
	drop_unseen(table, now);
	return 0;
}

enum { ATTACH_SIZE = 64 };

/* How its programs are attached: each way once. */
static void describe_attach(const struct collecting *c, char text[static ATTACH_SIZE])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < c->probe.n_programs; i++) {
		const char *name = gate_attach_name(&c->probe.programs[i].gate);

		if (!strstr(text, name))
			used += snprintf(text + used, ATTACH_SIZE - used, "%s%s", used ? "," : "",
					 name);
	}
	assert(used < ATTACH_SIZE);
}

static int set_info(struct table *table, const struct collecting *c, const char *attach,
		    const char *missing, const char *why, uint64_t now)
{
	char text[TABLE_MAX_LABEL_BYTES + 1];
	const char *labels[TABLE_MAX_LABELS] = { c->collector->name, attach, missing, text };
	struct row *row;

	snprintf(text, sizeof(text), "%s", why);
	row = self_find(table, labels, now);
	if (!row)
		return -ENOMEM;
	row->values[0] = 1;
	return 0;
}

static int collect_info(struct table *table, const struct collecting *c, unsigned n, uint64_t now)
{
	int error = 0;

	for (unsigned i = 0; i < n && !error; i++) {
		char attach[ATTACH_SIZE];

		if (c[i].disabled)
			continue;
		describe_attach(&c[i], attach);
		if (!c[i].slots)
			error = set_info(table, &c[i], "", "everything",
					 c[i].reason ? c[i].reason : "", now);
		else if (!c[i].n_lacks)
			error = set_info(table, &c[i], attach, "", "", now);
		for (unsigned j = 0; c[i].slots && j < c[i].n_lacks && !error; j++)
			error = set_info(table, &c[i], attach, c[i].lacks[j].what,
					 c[i].lacks[j].why, now);
	}
	drop_unseen(table, now);
	return error;
}

static int collect_losses(struct table *table, const struct collecting *c, unsigned n, uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < c[i].table->n_losses; j++) {
			const struct loss *loss = &c[i].table->losses[j];
			struct row *row = self_row(table, c[i].collector->name, loss->cause, now);

			if (!row)
				return -ENOMEM;
			row->values[0] = loss->events;
		}
	}
	return 0;
}

static int retired_of(struct table *table, const struct collecting *c, const struct projection *p,
		      uint64_t now)
{
	for (unsigned i = p->first_column; i < p->first_column + p->n_columns; i++) {
		const struct column *column = &c->table->columns[i];
		const uint64_t *values = &p->retired[c->table->value_of[i] - p->first_value];
		struct row *row;

		if (column->kind == COLUMN_GAUGE)
			continue;
		row = self_row(table, c->collector->name, column->name, now);
		if (!row)
			return -ENOMEM;
		row->values[0] = column->kind == COLUMN_COUNTER
					 ? values[0]
					 : histogram_count(column->scale, values);
	}
	return 0;
}

static int collect_retired(struct table *table, const struct collecting *c, unsigned n,
			   uint64_t now)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < c[i].table->n_projections; j++)
			if (retired_of(table, &c[i], &c[i].table->projections[j], now) < 0)
				return -ENOMEM;
	return 0;
}

static int collect_not_carried(struct table *table, const struct collecting *c, unsigned n,
			       uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < c[i].n_not_carried; j++) {
			struct row *row = self_row(table, c[i].collector->name,
						   c[i].not_carried[j].name, now);

			if (!row)
				return -ENOMEM;
			row->values[0] = c[i].not_carried[j].value;
		}
	}
	return 0;
}

static int collect_history(struct table *table, const struct history *history, uint64_t now)
{
	struct row *row = self_row(table, NULL, NULL, now);

	if (!row)
		return -ENOMEM;
	row->values[0] = history ? history_lost(history) : 0;
	row->values[1] = history ? history_since(history) : 0;
	return 0;
}

static int collect_programs(struct table *table, const struct collecting *c, unsigned n,
			    uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < c[i].probe.n_programs; j++) {
			const struct probe_program *program = &c[i].probe.programs[j];
			struct row *row = self_row(table, program->name, NULL, now);
			struct probe_statistics statistics;

			if (!row)
				return -ENOMEM;
			if (!probe_read(program, &statistics))
				continue;
			row->values[0] = statistics.runs;
			row->values[1] = statistics.nanoseconds;
		}
	}
	drop_unseen(table, now);
	return 0;
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory itself */
}

static uint64_t timeval_nanoseconds(struct timeval t)
{
	return t.tv_sec * 1000000000ULL + t.tv_usec * 1000ULL;
}

static int collect_process(struct self *self, uint64_t now)
{
	struct row *row = self_row(self->tables[PROCESS], NULL, NULL, now);
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/statm", "re");
	uint64_t page = sysconf(_SC_PAGESIZE), virtual_pages = 0, resident_pages = 0;
	struct rusage usage;
	struct rlimit limit;

	if (!row)
		return -ENOMEM;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		row->values[CPU] =
			timeval_nanoseconds(usage.ru_utime) + timeval_nanoseconds(usage.ru_stime);
	row->values[START] = self->started;
	if (file && fscanf(file, "%" SCNu64 " %" SCNu64, &virtual_pages, &resident_pages) == 2) {
		row->values[RESIDENT] = resident_pages * page;
		row->values[VIRTUAL] = virtual_pages * page;
	}
	row->values[OPEN_FDS] = count_fds();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		row->values[MAX_FDS] = limit.rlim_cur;
	return 0;
}

static int collect_constants(struct self *self, bool symbols_are_available, uint64_t now)
{
	struct row *symbols = self_row(self->tables[SYMBOLS], NULL, NULL, now);
	struct row *build = self_row(self->tables[BUILD], DROPSCOPE_VERSION, NULL, now);
	struct utsname name = { .release = "" };
	struct row *kernel;

	uname(&name);
	kernel = self_row(self->tables[KERNEL], name.release, name.machine, now);
	if (!symbols || !build || !kernel)
		return -ENOMEM;
	symbols->values[0] = symbols_are_available;
	build->values[0] = 1;
	kernel->values[0] = 1;
	return 0;
}

static int collect_http(struct table *table, const struct server_counters *http, uint64_t now)
{
	struct row *row = self_row(table, NULL, NULL, now);

	if (!row)
		return -ENOMEM;
	row->values[0] = http->requests;
	row->values[1] = http->refused;
	row->values[2] = http->cut;
	return 0;
}

int self_collect(struct self *self, const struct collecting *c, unsigned n,
		 bool symbols_are_available, const struct server_counters *http)
{
	struct table **tables = self->tables;
	uint64_t now = clock_now();

	if (collect_collectors(tables[COLLECTORS], c, n, now) < 0 ||
	    collect_info(tables[INFO], c, n, now) < 0 ||
	    collect_losses(tables[LOSSES], c, n, now) < 0 ||
	    collect_retired(tables[RETIRED], c, n, now) < 0 ||
	    collect_not_carried(tables[NOT_CARRIED], c, n, now) < 0 ||
	    collect_history(tables[HISTORY], n ? c[0].kernel->history : NULL, now) < 0 ||
	    collect_programs(tables[PROGRAMS], c, n, now) < 0 ||
	    collect_constants(self, symbols_are_available, now) < 0 ||
	    collect_http(tables[HTTP], http, now) < 0)
		return -ENOMEM;
	return collect_process(self, now);
}
