/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon says of itself, as tables like any other: collectors, losses, programs, the
 * process. */
#pragma once

#include "../http/server.h"
#include "collector.h"

enum { SELF_TABLES = 12 };

struct self;

int self_new(struct self **ret_self);
void self_free(struct self *self);

/* Fills the tables from the collectors as they stand. 0, -ENOMEM. */
int self_collect(struct self *self, const struct collecting *c, unsigned n,
		 bool symbols_are_available, const struct server_counters *http);

/* The tables, in the order in which /metrics shows them. */
struct table *const *self_tables(const struct self *self);
