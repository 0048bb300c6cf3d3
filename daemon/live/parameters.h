/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parameters of a stream:
 *
 *	LABEL=GLOB, LABEL!=GLOB	as of a table (model/query.h)
 *	proto, addr, port ...	filters over packets (filter.h)
 *	stack=1			with the kernel's stack
 *	interval=DURATION	sums of so long each, an hour at most, by row (and stack), instead of events
 *	count=N			ends after so many events, or intervals
 *	duration=DURATION	ends after so long
 */
#pragma once

#include "../model/query_parameters.h"
#include "live.h"

enum { LIVE_MAX_COUNT = 1000000000 };
#define LIVE_MAX_INTERVAL 3600000000000ULL /* rows are kept for so long */

/* No filter, no end. */
void live_request_init(struct live_request *request, const struct table *table);
/* Takes one parameter. 0, or -EINVAL with *ret_error filled. Strings must live as long as the
 * request. */
int live_parameter(struct live_request *request, const struct table *table, const char *name,
		   const char *value, struct query_error *ret_error);
