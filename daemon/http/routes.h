/* SPDX-License-Identifier: BSD-2-Clause */
/* What each path answers. */
#pragma once

#include "../collect/collector.h"
#include "../collect/self.h"
#include "server.h"

/* What the answers are made from; nothing here is owned. */
struct routes {
	struct collecting *collecting;
	unsigned n_collecting;
	struct self *self;
	const struct symbols *symbols;
	struct live *live;
	const struct server *server;
};

/* A server_handler_t; userdata is the struct routes. */
int routes_handle(void *userdata, const struct request *request, struct reply *reply);
