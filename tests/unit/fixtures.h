/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables as the collectors make them, and one question to them, for the renderers' tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../bpf/histogram.h"
#include "model/histogram.h"
#include "model/query_parameters.h"
#include "util.h"

#define NOW 1795230765678901234ULL /* 2026-11-21 03:12:45.678901234Z */
#define SECOND 1000000000ULL
#define DAY (86400 * SECOND)

static const struct column drops_columns[] = {
	{ .name = "symbol", .kind = COLUMN_LABEL },
	{ .name = "module", .kind = COLUMN_LABEL },
	{ .name = "reason", .kind = COLUMN_LABEL },
	{ .name = "device", .kind = COLUMN_LABEL },
	{ .name = "netns", .kind = COLUMN_LABEL, .detail = true, .number = true },
	{ .name = "offset", .kind = COLUMN_LABEL, .detail = true },
	{ .name = "packets", .kind = COLUMN_COUNTER, .metric = "dropscope_drops" },
	{ .name = "bytes", .kind = COLUMN_COUNTER, .unit = UNIT_BYTES },
};

static const struct column block_columns[] = {
	{ .name = "device", .kind = COLUMN_LABEL },
	{ .name = "operation", .kind = COLUMN_LABEL },
	{ .name = "errors", .kind = COLUMN_COUNTER },
	{ .name = "oldest", .kind = COLUMN_GAUGE, .unit = UNIT_SECONDS, .by = "device" },
	{ .name = "queue",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_SECONDS,
	  .scale = &histogram_seconds },
	{ .name = "request_size",
	  .kind = COLUMN_HISTOGRAM,
	  .unit = UNIT_BYTES,
	  .scale = &histogram_bytes },
};

static inline struct row *add_drops(struct table *table, const char *const *labels,
				    uint64_t packets, uint64_t bytes, uint64_t first_seen,
				    uint64_t last_seen)
{
	struct row *row;

	assert_int_equal(table_add(table, labels, first_seen, &row), 0);
	row->last_seen = last_seen;
	row->values[0] = packets;
	row->values[1] = bytes;
	return row;
}

static inline struct table *make_drops(void)
{
	static const char *const labels[][6] = {
		{ "__netif_receive_skb_core", "", "UNHANDLED_PROTO", "eth0", "", "0x8a1" },
		{ "tcp_v4_rcv", "", "NO_SOCKET", "eth0", "4026531840", "" },
		{ "nf_hook_slow", "", "NETFILTER_DROP", "veth*", "4026532201", "" },
		{ "unix_stream_connect", "", "NOT_SPECIFIED", "none", "", "" },
	};
	struct table *table;

	assert_int_equal(table_new("drops", drops_columns, ARRAY_SIZE(drops_columns), 1000, &table),
			 0);
	table->counting_since = NOW - 95 * DAY;
	add_drops(table, labels[0], 8208000, 492480000, NOW - 95 * DAY, NOW - SECOND);
	add_drops(table, labels[1], 31, 1860, NOW - 3 * DAY / 24, NOW - 12345678);
	add_drops(table, labels[2], 7, 420, NOW - 90 * SECOND, NOW);
	add_drops(table, labels[3], 1, 0, 0, 0);
	table->rated[0] = NOW - 8 * SECOND;
	table->collected = NOW;
	table->rows[0]->before[0] = 8208000 - 8;
	table->rows[1]->before[0] = 31 - 5;
	table->rows[2]->before[0] = 7;
	table->rows[3]->before[0] = 1;
	return table;
}

static inline void count(struct table *table, struct row *row, unsigned column, uint64_t value,
			 uint64_t times)
{
	const struct histogram_scale *scale = table->columns[column].scale;
	uint64_t *values = row->values + table->value_of[column];
	unsigned bucket = scale == &histogram_seconds ? histogram_bucket_seconds(value)
						      : histogram_bucket_bytes(value);

	values[0] += times * value;
	values[1 + bucket] += times;
}

static inline struct table *make_block(void)
{
	static const char *const labels[][2] = { { "nvme0n1", "read" }, { "sda", "write" } };
	struct table *table;
	struct row *row;

	assert_int_equal(table_new("block", block_columns, ARRAY_SIZE(block_columns), 1000, &table),
			 0);
	table->counting_since = NOW - DAY;
	assert_int_equal(table_add(table, labels[0], NOW - DAY, &row), 0);
	row->last_seen = NOW - 2 * SECOND;
	row->values[0] = 2;
	row->values[1] = 1500000000;
	count(table, row, 4, 800, 3);
	count(table, row, 4, 1000000, 40);
	count(table, row, 4, 1100000, 50);
	count(table, row, 4, 1300000, 60);
	count(table, row, 4, 90000000, 1);
	count(table, row, 4, 90 * SECOND, 2);
	count(table, row, 5, 4096, 150);
	count(table, row, 5, 1 << 20, 6);
	assert_int_equal(table_add(table, labels[1], NOW - SECOND / 100, &row), 0);
	table->losses[0] = (struct loss){ "map_full", 0 };
	table->losses[1] = (struct loss){ "inflight_full", 12 };
	table->losses[2] = (struct loss){ "nested", 3 };
	table->n_losses = 3;
	return table;
}

/* Answers one parameter, or none (name NULL). */
static inline void ask(const struct table *table, const char *name, const char *value,
		       struct result *ret_result)
{
	struct query_error error;
	struct query query;

	query_init(&query, table);
	if (name)
		assert_int_equal(query_parameter(&query, table, name, value, &error), 0);
	assert_int_equal(query_run(&query, table, ret_result), 0);
}
