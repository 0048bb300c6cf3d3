/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table: the one model of everything that dropscope counts. A collector declares its columns
 * once and fills rows; JSON, text and Prometheus are derived from the columns and know nothing
 * else.
 *
 *	rows		every distinct set of labels, details included
 *	series		rows projected to the labels of a metric, summed: what Prometheus sees
 *	other		the rows that found no room in the series budget, summed
 *	retired		what rows (and series) that have ended had counted
 *	losses		events that the probe saw and could not put into a row, by cause
 *
 * At any time, for each counter: rows + retired rows = series + other + retired series, and with
 * the losses it is everything that the probe saw.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram_scale; /* bpf/histogram.h */

enum table_limits {
	TABLE_MAX_LABELS = 16,
	TABLE_MAX_VALUES = 16,	   /* value columns */
	TABLE_MAX_PROJECTIONS = 4, /* distinct label sets among a table's metrics */
	TABLE_MAX_LOSSES = 8,
	TABLE_MAX_LABEL_BYTES = 255, /* longer label values are cut */
	COLUMN_NAME_SIZE = 40,	     /* with the NUL */
	TABLE_RATE_SECONDS = 5,	     /* rates are over the last one to two of these */
	TABLE_RATE_SCALE = 1000,     /* rates are events in so many seconds */
};

enum column_kind {
	COLUMN_LABEL,
	COLUMN_COUNTER,	  /* 1 value, summed */
	COLUMN_GAUGE,	  /* 1 value, the greatest */
	COLUMN_HISTOGRAM, /* 1 + buckets values: sum, then the buckets' counts */
};

enum unit {
	UNIT_NONE,
	UNIT_BYTES,
	UNIT_SECONDS, /* held in nanoseconds, shown in seconds */
};

/* One column. Labels come first; value columns with the same `by` stand side by side. */
struct column {
	const char *name; /* the field in JSON, the parameter in a query */
	enum column_kind kind;
	enum unit unit;
	bool detail;   /* a label that is no part of a Prometheus series */
	bool number;   /* a label that JSON shows as a number; "" is null */
	bool borrowed; /* a label whose text is not copied: table_relabel() before it goes */
	bool prose;    /* a label that text shows below the row, wrapped; borrowed, too */
	bool brief;    /* where a table has such columns, text shows only these unasked */
	/* A label's values, the one that matters most first, NULL at the end. */
	const char *const *order;
	const char *metric; /* values: metric name, without _total; NULL: not exported */
	const char *by;	    /* values: "device,cause", its metric's labels; NULL: all */
	const char *help;
	const struct histogram_scale *scale;
};

struct label {
	const char *text; /* valid UTF-8, NUL-terminated */
	uint16_t size;	  /* without the NUL */
	bool plain;	  /* holds nothing that any output format must escape */
};

/* Of one row; so that rates can be added and counted in tenths. */
#define TABLE_MAX_RATE (UINT64_MAX >> 24)

struct table;
struct series;

/* The greatest rate of a row's first value, over a second or so: as row_rate(), and when. */
struct peak {
	uint64_t rate, time; /* both 0: none yet */
};

/* Where the history has last written down what a row or table is called (history.h). */
struct history_place {
	uint64_t segment; /* 0: nowhere */
	uint32_t id, n;
};

/* Times are nanoseconds since the epoch. */
struct row {
	struct series *series[TABLE_MAX_PROJECTIONS]; /* NULL: counted in `other` */
	uint64_t *base;	    /* values that were counted elsewhere before; NULL: none */
	uint64_t before[2]; /* the first value at the table's `rated` times */
	uint64_t first_seen, last_seen;
	struct peak peak;
	struct history_place place;
	uint32_t index;	      /* in the table's rows */
	struct label *labels; /* one per label column */
	uint64_t *values;     /* table_values() of them; the collector writes them */
	uint64_t *sampled;    /* as many: what the history has been told of (history.h) */
};

struct series {
	struct series *next; /* in its hash bucket */
	uint64_t hash;
	uint32_t index, n_rows;
	struct label *labels; /* one per label of the projection */
	uint64_t *values;     /* sums of the projection's values; made by table_sum() */
	uint64_t *carried;    /* what retired rows had counted */
};

/* The metrics that share one set of labels. */
struct projection {
	uint8_t labels[TABLE_MAX_LABELS], n_labels; /* indices of columns */
	unsigned first_column, n_columns;	    /* the value columns */
	unsigned first_value, n_values;
	struct series **series;
	uint32_t n_series, capacity;
	struct series **buckets;
	uint32_t n_buckets;
	struct series other; /* all labels "other" */
	uint64_t *retired;   /* what series that have ended had: n_values */
};

struct loss {
	const char *cause; /* a string constant: map_full, nested, ... */
	uint64_t events;
};

struct table {
	const char *name; /* "drops": the path and the JSON field */
	const struct column *columns;
	unsigned n_columns, n_labels, n_values;
	unsigned value_of[TABLE_MAX_LABELS + TABLE_MAX_VALUES]; /* column -> its first value */
	struct row **rows;
	uint32_t n_rows, row_capacity;
	struct projection projections[TABLE_MAX_PROJECTIONS];
	unsigned n_projections;
	uint64_t admitted; /* how often a row has moved from `other` to a series */
	unsigned budget;   /* series per projection, `other` not counted */
	bool fixed;	   /* its rows are known beforehand: /metrics shows no `other` */
	uint64_t *retired; /* what retired rows had: n_values; gauges stay 0 */
	struct loss losses[TABLE_MAX_LOSSES];
	unsigned n_losses;
	uint64_t counting_since;
	uint64_t rated[2], collected; /* monotonic: where rates begin, the older first, and end */
	struct history_place place;
	/* A row is about to be retired, its values are the last. NULL: nobody asks. */
	void (*ending)(void *userdata, struct table *table, struct row *row);
	void *userdata;
	/* `to` is not 0: the rows are what was counted in that time; `since`: the history's reach. */
	struct {
		uint64_t from, to, since;
	} window;
};

/*
 * `columns` must outlive the table. A declaration that breaks the rules above is a programmer's
 * error (assert). budget: at least 1. Returns 0 or -ENOMEM.
 */
int table_new(const char *name, const struct column *columns, unsigned n_columns, unsigned budget,
	      struct table **ret_table);
void table_free(struct table *table);
void table_freep(struct table **table);

/* Values that one column holds: 1, or 1 + buckets. */
unsigned column_values(const struct column *column);
/* The label or value column of this name, or -ENOENT. */
int table_column(const struct table *table, const char *name);

/*
 * Adds a row of zeros. `labels` holds one string per label column (NULL is ""); they are copied,
 * cut at TABLE_MAX_LABEL_BYTES, invalid UTF-8 replaced. A row with the same labels may exist: both
 * are shown and summed. The row belongs to the table and stays where it is until it is retired. 0,
 * -ENOMEM.
 */
int table_add(struct table *table, const char *const *labels, uint64_t now, struct row **ret_row);

/*
 * Bringing a table back as it was before the daemon's last end: first its series, then its rows,
 * then table_restored(). A series is that of the projection with these labels (one string per label
 * column, those of others are not looked at); *ret_carried are its carried values, to be filled. A
 * row is added as by table_add(), but to no series in the projections whose bit is set in `outside`:
 * there it goes on being counted in `other`. 0, -ENOMEM; a series: also -EEXIST.
 */
int table_restore_series(struct table *table, unsigned projection, const char *const *labels,
			 uint64_t **ret_carried);
int table_restore_row(struct table *table, const char *const *labels, uint32_t outside,
		      uint64_t now, struct row **ret_row);
/* Ends the series that no row has come back to, and admits the rows that there is room for. */
void table_restored(struct table *table);

/*
 * Gives a row other labels in the columns that are borrowed; the others of `labels` are not looked
 * at. A row whose series does not fit any more leaves it as table_retire() does, and counts in
 * another from here on. -ENOMEM: it has the new labels, and counts in the old series on.
 */
int table_relabel(struct table *table, struct row *row, const char *const *labels);

/*
 * To be called whenever the rows have been brought up to date, at least every few seconds. What the
 * rows have at the first call is taken for old: it is in no rate.
 */
void table_rate(struct table *table, uint64_t monotonic);
/* How fast the row's first value grew in the last TABLE_RATE_SECONDS to twice as many: an increase
 * per TABLE_RATE_SCALE seconds. 0 when it is no counter: then table_has_rate() is false. */
bool table_has_rate(const struct table *table);
uint64_t row_rate(const struct table *table, const struct row *row);
/* So many in so many nanoseconds, as a rate: over a second at least, as a handful in a moment is no
 * rate yet, and at most TABLE_MAX_RATE. */
uint64_t table_rate_of(uint64_t events, uint64_t nanoseconds);

/* Ends a row: what it counted goes to `retired`; in its series it stays for as long as that has
 * other rows, so that no counter of a living series goes backwards. */
void table_retire(struct table *table, struct row *row);

/* A new budget. Living series stay; fewer are admitted from now on. */
void table_set_budget(struct table *table, unsigned budget);

/* Gives rows that are counted in `other` a series of their own where room has been freed: what they
 * had counted until now stays in `other`, which never goes backwards. */
void table_admit(struct table *table);

/* Brings the sums of all series and of `other` up to date with the rows. */
void table_sum(struct table *table);
