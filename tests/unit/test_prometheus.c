/* SPDX-License-Identifier: BSD-2-Clause */
#include "exposition.h"
#include "golden.h"

#include "model/histogram.h"
#include "render/prometheus.h"

#define TEXT "tests/unit/golden/prometheus.txt"
#define OPENMETRICS "tests/unit/golden/openmetrics.txt"
#define LIST "tests/unit/golden/prometheus_list.md"

static const struct column drops_columns[] = {
	{ .name = "symbol" },
	{ .name = "reason" },
	{ .name = "device" },
	{ .name = "netns", .detail = true, .number = true },
	{ .name = "packets",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_drops",
	  .help = "Packets that the kernel dropped." },
	{ .name = "not_exported", .kind = COLUMN_COUNTER, .help = "No metric." },
	{ .name = "bytes",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_BYTES,
	  .metric = "dropscope_drop_bytes",
	  .help = "Bytes of dropped packets." },
};

enum { SYMBOL, REASON, DEVICE, NETNS, PACKETS, NOT_EXPORTED, BYTES };

static const struct column block_columns[] = {
	{ .name = "device" },
	{ .name = "operation" },
	{ .name = "errors",
	  .kind = COLUMN_COUNTER,
	  .metric = "dropscope_block_errors",
	  .help = "Block requests that failed." },
	{ .name = "busy",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_busy_seconds",
	  .help = "Time with requests on their way." },
	{ .name = "queue",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_queue_seconds",
	  .scale = &histogram_seconds,
	  .help = "Time that block requests waited for their device." },
	{ .name = "oldest",
	  .kind = COLUMN_GAUGE,
	  .unit = UNIT_SECONDS,
	  .metric = "dropscope_block_oldest_request_seconds",
	  .by = "device",
	  .help = "Age of the oldest request." },
	{ .name = "size",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_BYTES,
	  .metric = "dropscope_block_request_size_bytes",
	  .by = "operation",
	  .scale = &histogram_bytes,
	  .help = "Sizes of requests." },
};

enum { ERRORS = 2, BUSY, QUEUE, OLDEST, SIZE };

static const struct column info_columns[] = {
	{ .name = "version" },
	{ .name = "build",
	  .kind = COLUMN_GAUGE,
	  .metric = "dropscope_build_info",
	  .help = "Always 1." },
};

static const struct column process_columns[] = {
	{ .name = "cpu",
	  .kind = COLUMN_COUNTER,
	  .unit = UNIT_SECONDS,
	  .metric = "process_cpu_seconds",
	  .help = "CPU time." },
	{ .name = "fds",
	  .kind = COLUMN_GAUGE,
	  .metric = "process_open_fds",
	  .help = "Number of open file descriptors." },
};

static struct table *make(const struct column *columns, unsigned n, unsigned budget)
{
	struct table *table;

	assert_int_equal(table_new("t", columns, n, budget, &table), 0);
	return table;
}

static struct row *add(struct table *table, const char *const *labels)
{
	struct row *row;

	assert_int_equal(table_add(table, labels, 1, &row), 0);
	return row;
}

static struct row *add_drops(struct table *table, const char *symbol, const char *reason,
			     const char *device, uint64_t packets, uint64_t bytes)
{
	const char *labels[] = { symbol, reason, device, "4026531840" };
	struct row *row = add(table, labels);

	row->values[table->value_of[PACKETS]] = packets;
	row->values[table->value_of[NOT_EXPORTED]] = 99;
	row->values[table->value_of[BYTES]] = bytes;
	return row;
}

static struct table *make_drops(void)
{
	struct table *table = make(drops_columns, ARRAY_SIZE(drops_columns), 4);

	add_drops(table, "tcp_v4_rcv", "NO_SOCKET", "eth0", 31, 1860);
	add_drops(table, "__netif_receive_skb_core", "UNHANDLED_PROTO", "eth0", UINT64_MAX,
		  9007199254740993);
	add_drops(table, "tcp_v4_rcv", "NO_SOCKET", "eth0", 1, 60);
	add_drops(table, "nf_hook_slow", "NETFILTER_DROP", "veth*", 0, 0);
	add_drops(table, "odd\"one\\", "line\nend", "\xff\xc3\xa9", 7, 420);
	add_drops(table, "over", "THE_BUDGET", "eth1", 5, 300);
	add_drops(table, "other", "other", "other", 1000, 60000);
	return table;
}

/* Puts `times` into the bucket of this number (histogram.h), with the values' sum. */
static void observe(struct table *table, struct row *row, unsigned column, unsigned bucket,
		    uint64_t value, uint64_t times)
{
	uint64_t *values = row->values + table->value_of[column];

	values[0] += times * value;
	values[1 + bucket] += times;
}

static struct table *make_block(void)
{
	static const char *const labels[][2] = { { "nvme0n1", "read" }, { "nvme0n1", "write" } };
	struct table *table = make(block_columns, ARRAY_SIZE(block_columns), 1000);
	struct row *row = add(table, labels[0]);

	row->values[table->value_of[ERRORS]] = 2;
	row->values[table->value_of[BUSY]] = 1500000000;
	row->values[table->value_of[OLDEST]] = 2500000000;
	observe(table, row, QUEUE, 0, 953, 3);		 /* 2^-20 s and less */
	observe(table, row, QUEUE, 1, 954, 4);		 /* just above: by 2^-19 s */
	observe(table, row, QUEUE, 4, 1907, 5);		 /* 2^-19 s */
	observe(table, row, QUEUE, 80, 1000000000, 7);	 /* 1 s */
	observe(table, row, QUEUE, 104, 64000000000, 1); /* 64 s */
	observe(table, row, QUEUE, 105, 64000000001, 2); /* +Inf */
	observe(table, row, SIZE, 28, 4096, 10);
	row = add(table, labels[1]);
	row->values[table->value_of[BUSY]] = 1;
	row->values[table->value_of[OLDEST]] = 1;
	observe(table, row, SIZE, 0, 0, 1);
	observe(table, row, SIZE, 57, 1 << 20, 1);
	return table;
}

static void render_all(struct buffer *buffer, enum prometheus_format format)
{
	const char *version = "1.0";
	struct table *tables[] = {
		make_drops(),
		make_block(),
		make(info_columns, ARRAY_SIZE(info_columns), 10),
		make(process_columns, ARRAY_SIZE(process_columns), 10),
	};

	tables[2]->fixed = tables[3]->fixed = true;
	add(tables[2], &version)->values[0] = 1;
	add(tables[3], NULL)->values[0] = 12345678901;
	tables[3]->rows[0]->values[1] = 17;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		table_sum(tables[i]);
		prometheus_render(buffer, tables[i], format);
		table_free(tables[i]);
	}
	prometheus_finish(buffer, format);
}

static void text(void **state)
{
	struct buffer buffer = {};

	(void)state;
	render_all(&buffer, PROMETHEUS_TEXT);
	assert_golden(&buffer, TEXT);
	assert_exposition(&buffer, false);
	buffer_free(&buffer);
}

static void openmetrics(void **state)
{
	struct buffer buffer = {};

	(void)state;
	render_all(&buffer, PROMETHEUS_OPENMETRICS);
	assert_golden(&buffer, OPENMETRICS);
	assert_exposition(&buffer, true);
	buffer_free(&buffer);
}

static void promtool(void **state)
{
	struct buffer buffer = {};

	(void)state;
	render_all(&buffer, PROMETHEUS_TEXT);
	assert_promtool(&buffer);
	buffer_free(&buffer);
}

/* Between the formats only the names of counters' families and the end differ. */
static void same_samples(void **state)
{
	struct buffer a = {}, b = {};

	(void)state;
	render_all(&a, PROMETHEUS_TEXT);
	render_all(&b, PROMETHEUS_OPENMETRICS);
	assert_int_equal(assert_exposition(&a, false), assert_exposition(&b, true));
	buffer_free(&a);
	buffer_free(&b);
}

static bool contains(const struct buffer *buffer, const char *line)
{
	return memmem(buffer->data, buffer->size, line, strlen(line)) != NULL;
}

static void assert_line(const struct buffer *buffer, const char *line)
{
	if (!contains(buffer, line))
		fail_msg("\"%s\" is not in:\n%.*s", line, (int)buffer->size, buffer->data);
}

static void render_one(struct buffer *buffer, struct table *table)
{
	table_sum(table);
	prometheus_render(buffer, table, PROMETHEUS_TEXT);
	assert_exposition(buffer, false);
}

static void counters_are_exact(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	render_one(&buffer, table);
	assert_line(&buffer, "{symbol=\"__netif_receive_skb_core\",reason=\"UNHANDLED_PROTO\","
			     "device=\"eth0\"} 18446744073709551615\n");
	assert_line(&buffer, " 9007199254740993\n");
	/* Rows that differ in details only are one series; detail labels are not shown. */
	assert_line(&buffer, "dropscope_drops_total{symbol=\"tcp_v4_rcv\",reason=\"NO_SOCKET\","
			     "device=\"eth0\"} 32\n");
	assert_false(contains(&buffer, "netns"));
	/* What has no metric is not shown, either. */
	assert_false(contains(&buffer, "not_exported"));
	assert_false(contains(&buffer, "No metric"));
	buffer_free(&buffer);
	table_free(table);
}

static void escapes(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	render_one(&buffer, table);
	assert_line(&buffer, "{symbol=\"odd\\\"one\\\\\",reason=\"line?end\",device=\"?\xc3\xa9\"} "
			     "7\n");
	buffer_free(&buffer);
	table_free(table);
}

/* What is over the budget and what is called "other" by name are one series. */
static void one_other(void **state)
{
	struct table *table = make_drops();
	struct buffer buffer = {};

	(void)state;
	render_one(&buffer, table);
	assert_line(&buffer, "{symbol=\"other\",reason=\"other\",device=\"other\"} 1005\n");
	assert_false(contains(&buffer, "THE_BUDGET"));
	buffer_free(&buffer);
	table_free(table);
}

/* So that a rate is there from the first event on. */
static void other_is_there_from_the_start(void **state)
{
	struct table *table = make(drops_columns, ARRAY_SIZE(drops_columns), 4);
	struct buffer buffer = {};

	(void)state;
	render_one(&buffer, table);
	assert_line(&buffer, "dropscope_drops_total{symbol=\"other\",reason=\"other\","
			     "device=\"other\"} 0\n");
	assert_line(&buffer, "dropscope_drop_bytes_total{symbol=\"other\",reason=\"other\","
			     "device=\"other\"} 0\n");
	buffer_free(&buffer);
	table_free(table);
}

static void fixed_tables_have_no_other(void **state)
{
	struct table *table = make(drops_columns, ARRAY_SIZE(drops_columns), 4);
	struct buffer buffer = {};

	(void)state;
	table->fixed = true;
	render_one(&buffer, table);
	assert_false(contains(&buffer, "other"));
	buffer_free(&buffer);
	table_free(table);
}

/* A gauge has none: the greatest of nothing is not 0. */
static void gauges_have_no_other(void **state)
{
	struct table *table = make_block();
	struct buffer buffer = {};

	(void)state;
	render_one(&buffer, table);
	assert_line(&buffer, "dropscope_block_oldest_request_seconds{device=\"nvme0n1\"} 2.5\n");
	assert_false(contains(&buffer, "dropscope_block_oldest_request_seconds{device=\"other\"}"));
	buffer_free(&buffer);
	table_free(table);
}

/* Every bound is there, as a float, and what is on it is within it. */
static void histogram_lines(void **state)
{
	static const struct {
		const char *le;
		uint64_t count;
	} cases[] = {
		{ "9.5367431640625e-07", 3 },
		{ "1.9073486328125e-06", 12 },
		{ "3.814697265625e-06", 12 },
		{ "6.103515625e-05", 12 },
		{ "0.0001220703125", 12 },
		{ "0.5", 12 },
		{ "1.0", 19 },
		{ "2.0", 19 },
		{ "32.0", 19 },
		{ "64.0", 20 },
		{ "+Inf", 22 },
	};
	static const char name[] = "dropscope_block_queue_seconds_bucket{device=\"nvme0n1\","
				   "operation=\"read\",le=\"";
	struct table *table = make_block();
	struct buffer buffer = {};
	unsigned n = 0;

	(void)state;
	render_one(&buffer, table);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[256];

		snprintf(line, sizeof(line), "%s%s\"} %llu\n", name, cases[i].le,
			 (unsigned long long)cases[i].count);
		assert_line(&buffer, line);
	}
	for (const char *at = buffer.data, *end = at + buffer.size;
	     (at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)); at++)
		n++;
	assert_int_equal(n, 26 + 1 + 1); /* 2^-20 to 2^6, +Inf */
	/* 3 * 953 + 4 * 954 + 5 * 1907 + 7 * 10^9 + 64 * 10^9 + 2 * (64 * 10^9 + 1) nanoseconds */
	assert_line(&buffer, "dropscope_block_queue_seconds_sum{device=\"nvme0n1\","
			     "operation=\"read\"} 199.000016212\n");
	assert_line(&buffer, "dropscope_block_queue_seconds_count{device=\"nvme0n1\","
			     "operation=\"read\"} 22\n");
	/* Bytes: 2^5 to 2^19, by another label. */
	assert_line(&buffer, "_size_bytes_bucket{operation=\"write\",le=\"32.0\"} 1\n");
	assert_line(&buffer, "_size_bytes_bucket{operation=\"write\",le=\"524288.0\"} 1\n");
	assert_line(&buffer, "_size_bytes_bucket{operation=\"write\",le=\"+Inf\"} 2\n");
	assert_line(&buffer, "_size_bytes_bucket{operation=\"read\",le=\"2048.0\"} 0\n");
	assert_line(&buffer, "_size_bytes_bucket{operation=\"read\",le=\"4096.0\"} 10\n");
	assert_line(&buffer, "_size_bytes_sum{operation=\"read\"} 40960\n");
	buffer_free(&buffer);
	table_free(table);
}

/* A histogram without labels has braces for le alone. */
static void no_labels(void **state)
{
	static const struct column columns[] = {
		{ .name = "x", .kind = COLUMN_COUNTER, .metric = "x", .help = "X." },
		{ .name = "y",
		  .kind = COLUMN_HISTOGRAM,
		  .metric = "y",
		  .help = "Y.",
		  .scale = &histogram_bytes },
	};
	struct table *table = make(columns, ARRAY_SIZE(columns), 10);
	struct buffer buffer = {};

	(void)state;
	table->fixed = true;
	add(table, NULL)->values[0] = 5;
	render_one(&buffer, table);
	assert_line(&buffer, "\nx_total 5\n");
	assert_line(&buffer, "\ny_bucket{le=\"32.0\"} 0\n");
	assert_line(&buffer, "\ny_sum 0\ny_count 0\n");
	buffer_free(&buffer);
	table_free(table);
}

/* Series that have come, gone, waited and been admitted: still none twice, with a budget of any
 * size. */
static void never_twice(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned budget = 1; budget < 40; budget++) {
		struct table *table = make(block_columns, ARRAY_SIZE(block_columns), budget);
		struct buffer buffer = {};

		for (unsigned i = 0; i < 400; i++) {
			static const char *const words[] = { "a",  "b",	   "",	"other",
							     "ab", "\xff", "?", "\x80" };
			const char *labels[2] = { words[random() % 8], words[random() % 8] };

			if (table->n_rows > 20 || (table->n_rows && random() % 3 == 0))
				table_retire(table,
					     table->rows[(uint32_t)random() % table->n_rows]);
			else
				add(table, labels)->values[0] = 1;
			if (random() % 5 == 0)
				table_admit(table);
		}
		render_one(&buffer, table);
		buffer_free(&buffer);
		table_free(table);
	}
}

#define OM "application/openmetrics-text;version="
#define PROTO "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
#define TEXT_0 "text/plain;version=0.0.4;"
#define PROMETHEUS_2_42 OM "1.0.0," OM "0.0.1;q=0.75," TEXT_0 "q=0.5,*/*;q=0.1"
#define PROMETHEUS_3                                             \
	OM "1.0.0;escaping=allow-utf-8;q=0.6," OM "0.0.1;q=0.5," \
	   "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," TEXT_0 "q=0.3,*/*;q=0.2"
#define PROTOBUF \
	PROTO "encoding=delimited," OM "1.0.0;q=0.8," OM "0.0.1;q=0.75," TEXT_0 "q=0.5,*/*;q=0.1"

static void negotiation(void **state)
{
	static const struct {
		const char *accept;
		enum prometheus_format expected;
	} cases[] = {
		{ PROMETHEUS_2_42, PROMETHEUS_OPENMETRICS },
		{ PROMETHEUS_3, PROMETHEUS_OPENMETRICS },
		{ PROTOBUF, PROMETHEUS_PROTOBUF },
		{ "application/vnd.google.protobuf;q=0.4,text/plain;q=0.5", PROMETHEUS_TEXT },
		{ "", PROMETHEUS_TEXT },
		{ "*/*", PROMETHEUS_TEXT },
		{ "text/*;q=0.9, */*;q=0.1", PROMETHEUS_TEXT },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
		  PROMETHEUS_TEXT },
		{ "text/plain", PROMETHEUS_TEXT },
		{ "application/openmetrics-text", PROMETHEUS_OPENMETRICS },
		{ "APPLICATION/OpenMetrics-Text; Version=1.0.0", PROMETHEUS_OPENMETRICS },
		{ " \t, ,application/openmetrics-text", PROMETHEUS_OPENMETRICS },
		{ "application/openmetrics-text;q=0.4,text/plain;q=0.5", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0.5,text/plain;q=0.4", PROMETHEUS_OPENMETRICS },
		{ "application/openmetrics-text; q=0.5 , text/plain ; q=0.6", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;Q=0.2,text/plain;Q=0.3", PROMETHEUS_TEXT },
		{ "text/plain;q=0.5;version=0.0.4,application/openmetrics-text;q=0.6",
		  PROMETHEUS_OPENMETRICS },
		/* Of equals the first. */
		{ "application/openmetrics-text,text/plain", PROMETHEUS_OPENMETRICS },
		{ "text/plain,application/openmetrics-text", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0.000,*/*", PROMETHEUS_TEXT },
		/* Other types that look alike. */
		{ "application/openmetrics-textual", PROMETHEUS_TEXT },
		{ "application/openmetrics", PROMETHEUS_TEXT },
		{ "xapplication/openmetrics-text", PROMETHEUS_TEXT },
		{ "text/plain;x=application/openmetrics-text", PROMETHEUS_TEXT },
		/* Garbage is no reason to fail a scrape. */
		{ ",", PROMETHEUS_TEXT },
		{ ",,,;;;q=q=q", PROMETHEUS_TEXT },
		{ ";q=1", PROMETHEUS_TEXT },
		{ "\xff\xfe", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=x", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=,text/plain;q=1", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;", PROMETHEUS_OPENMETRICS },
		{ "application/openmetrics-text;q", PROMETHEUS_OPENMETRICS },
		{ "text/plain;q=0.5,application/openmetrics-text;qs=0", PROMETHEUS_OPENMETRICS },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (prometheus_negotiate(cases[i].accept) != cases[i].expected)
			fail_msg("Accept: %s", cases[i].accept);
}

/* Prometheus 3 fails a scrape whose type it does not know. */
static void content_types(void **state)
{
	(void)state;
	assert_string_equal(prometheus_content_type(PROMETHEUS_TEXT),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(prometheus_content_type(PROMETHEUS_OPENMETRICS),
			    "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_string_equal(prometheus_content_type(PROMETHEUS_PROTOBUF),
			    "application/vnd.google.protobuf; "
			    "proto=io.prometheus.client.MetricFamily; encoding=delimited");
}

static void list(void **state)
{
	struct table *tables[] = { make(drops_columns, ARRAY_SIZE(drops_columns), 1),
				   make(block_columns, ARRAY_SIZE(block_columns), 1),
				   make(process_columns, ARRAY_SIZE(process_columns), 1) };
	struct buffer buffer = {};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		prometheus_list(&buffer, tables[i]);
		table_free(tables[i]);
	}
	assert_golden(&buffer, LIST);
	buffer_free(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(openmetrics),
		cmocka_unit_test(promtool),
		cmocka_unit_test(same_samples),
		cmocka_unit_test(counters_are_exact),
		cmocka_unit_test(escapes),
		cmocka_unit_test(one_other),
		cmocka_unit_test(other_is_there_from_the_start),
		cmocka_unit_test(fixed_tables_have_no_other),
		cmocka_unit_test(gauges_have_no_other),
		cmocka_unit_test(histogram_lines),
		cmocka_unit_test(no_labels),
		cmocka_unit_test(never_twice),
		cmocka_unit_test(negotiation),
		cmocka_unit_test(content_types),
		cmocka_unit_test(list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
