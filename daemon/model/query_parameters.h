/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the parameters that query.h lists into a query, and says what is wrong with one. */
#pragma once

#include "query.h"

/* A parameter that cannot be answered: what a 400 says. It points into itself: not to be copied. */
struct query_error {
	char message[256];
	char parameter[64];
	const char *allowed[TABLE_MAX_LABELS + TABLE_MAX_VALUES + 8];
	char allowed_text[128]; /* room for one that is no constant ("1 to 1000") */
	unsigned n_allowed;
};

/* What parameters are wrong together: fills *ret_error, returns -EINVAL. */
int query_refuse(struct query_error *ret_error, const char *parameter, const char *message,
		 const char *allowed);

/* Takes one parameter of the query string. 0, or -EINVAL with *ret_error filled and the query as it
 * was. Both strings must live as long as the query. */
int query_parameter(struct query *query, const struct table *table, const char *name,
		    const char *value, struct query_error *ret_error);

/* The same for filters over labels alone, LABEL and LABEL!; -ENOENT: there is no such label, and the
 * caller adds to ret_error->allowed what it takes, and all labels. */
int query_filter(struct query *query, const struct table *table, const char *name,
		 const char *value, struct query_error *ret_error);
void query_allow_labels(struct query_error *error, const struct table *table);
