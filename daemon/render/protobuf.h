/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prometheus' protocol buffers: io.prometheus.client.MetricFamily, each preceded by its length.
 * Here a histogram keeps the resolution of the kernel's buckets, as a native histogram of schema 2,
 * next to its classic buckets. Source: prometheus/client_model, io/prometheus/client/metrics.proto.
 */
#pragma once

#include "../model/table.h"
#include "buffer.h"

/* Appends a family for each metric of the table. The table's sums must be up to date. */
void protobuf_render(struct buffer *buffer, const struct table *table);
