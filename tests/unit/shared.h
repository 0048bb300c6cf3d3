/* SPDX-License-Identifier: BSD-2-Clause */
/* Shares as the collectors make them, for the renderers' tests. After fixtures.h. */
#pragma once

#include "model/shares.h"

struct shared {
	struct shares shares;
	struct share list[5];
};

static inline void shared_make(struct shared *ret_shared)
{
	static const char *const receive[] = {
		"__netif_receive_skb_core+0x8a1/0xd80 [kernel]",
		"__netif_receive_skb_one_core+0x39/0xa0 [kernel]",
		"process_backlog+0x8e/0x150 [kernel]",
		"0xffffffffc0712345",
	};
	static const char *const elsewhere[] = {
		"__netif_receive_skb_core+0x8a1/0xd80 [kernel]",
		"__netif_receive_skb_one_core+0x44/0xa0 [kernel]",
		"process_backlog+0x8e/0x150 [kernel]",
		"0xffffffffc0712345",
	};
	static const char *const socket[] = {
		"tcp_v4_rcv+0xaa/0x8d0 [kernel]",
		"nf_hook_slow.cold+0x11/0x20 [nf_tables]",
	};
	struct table *table = make_drops();

	table->window.from = NOW - 60 * SECOND;
	table->window.to = NOW;
	table->window.since = NOW - DAY;
	*ret_shared = (struct shared){
		.list = {
			{ table->rows[0], receive, ARRAY_SIZE(receive), 17, 5472000 },
			{ table->rows[0], elsewhere, ARRAY_SIZE(elsewhere), 8, 2736000 },
			{ table->rows[1], socket, ARRAY_SIZE(socket), 1, 31 },
			{ table->rows[2], NULL, 0, 0, 7 },
			{ table->rows[3], NULL, 0, 3, 1 },
		},
	};
	ret_shared->shares = (struct shares){
		.table = table,
		.columns = 0x3f,
		.list = ret_shared->list,
		.n = ARRAY_SIZE(ret_shared->list),
		.events = 8208039,
		.sampled_since = NOW - 3600 * SECOND,
		.lost = 4,
	};
}

static inline void shared_free(struct shared *shared)
{
	table_free((struct table *)shared->shares.table);
}
