/* SPDX-License-Identifier: BSD-2-Clause */
#include "moment.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
#define DAY (86400 * SECOND)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int duration_parse(const char *text, uint64_t *ret_nanoseconds)
{
	static const char units[] = "smhd";
	static const unsigned seconds[] = { 1, 60, 3600, 86400 };
	const char *at = text, *unit;
	uint64_t number = 0;

	for (; is_digit(*at) && number <= MOMENT_MAX_SECONDS; at++)
		number = 10 * number + (uint64_t)(*at - '0');
	unit = at > text && *at ? strchr(units, *at) : NULL;
	if (!unit || at[1] || number == 0 || number > MOMENT_MAX_SECONDS / seconds[unit - units])
		return -EINVAL;
	*ret_nanoseconds = number * seconds[unit - units] * SECOND;
	return 0;
}

/* Exactly n digits from *at on, which goes on behind them; -1 where they are not there. */
static int take(const char **at, unsigned n, int most)
{
	int number = 0;

	for (; n > 0; n--, (*at)++) {
		if (!is_digit(**at))
			return -1;
		number = 10 * number + (**at - '0');
	}
	return number <= most ? number : -1;
}

static bool take_character(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* "03:12" or "03:12:45", in seconds; -1 */
static int take_clock(const char **at, bool with_seconds)
{
	int hours = take(at, 2, 23), minutes, seconds = 0;

	if (hours < 0 || !take_character(at, ':'))
		return -1;
	minutes = take(at, 2, 59);
	if (minutes < 0)
		return -1;
	if (with_seconds && **at != ':')
		return -1;
	if (**at == ':' && (*at)++)
		seconds = take(at, 2, 60);
	return seconds < 0 ? -1 : 3600 * hours + 60 * minutes + seconds;
}

/* Digits behind a point, as nanoseconds; those beyond are dropped. */
static int take_fraction(const char **at, uint64_t *ret_nanoseconds)
{
	uint64_t unit = SECOND / 10;

	*ret_nanoseconds = 0;
	if (!take_character(at, '.'))
		return 0;
	if (!is_digit(**at))
		return -EINVAL;
	for (; is_digit(**at); (*at)++, unit /= 10)
		*ret_nanoseconds += unit * (uint64_t)(**at - '0');
	return 0;
}

/* "Z", "+01:00": seconds to be taken away. */
static int take_zone(const char **at, int *ret_seconds)
{
	bool west = **at == '-';
	int hours, minutes;

	*ret_seconds = 0;
	if (take_character(at, 'Z') || take_character(at, 'z'))
		return 0;
	if (!take_character(at, '+') && !take_character(at, ' ') && !take_character(at, '-'))
		return -EINVAL;
	hours = take(at, 2, 23);
	if (hours < 0 || !take_character(at, ':'))
		return -EINVAL;
	minutes = take(at, 2, 59);
	if (minutes < 0)
		return -EINVAL;
	*ret_seconds = (west ? -1 : 1) * (3600 * hours + 60 * minutes);
	return 0;
}

static int parse_full(const char *at, uint64_t *ret_moment)
{
	struct tm tm = { 0 }, normal;
	uint64_t fraction;
	int clock, zone;
	time_t seconds;

	tm.tm_year = take(&at, 4, 9999) - 1900;
	if (!take_character(&at, '-'))
		return -EINVAL;
	tm.tm_mon = take(&at, 2, 12) - 1;
	if (!take_character(&at, '-'))
		return -EINVAL;
	tm.tm_mday = take(&at, 2, 31);
	if (!take_character(&at, 'T') && !take_character(&at, 't') && !take_character(&at, ' '))
		return -EINVAL;
	clock = take_clock(&at, true);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mday < 1 || clock < 0 ||
	    take_fraction(&at, &fraction) < 0 || take_zone(&at, &zone) < 0 || *at)
		return -EINVAL;
	normal = tm;
	seconds = timegm(&normal);
	if (normal.tm_mday != tm.tm_mday) /* the 31st of a month with 30 days */
		return -EINVAL;
	seconds += clock - zone;
	if (seconds < 0)
		return -EINVAL;
	/* What does not fit is still to come; 0 is no time that anybody asks for. */
	*ret_moment = (uint64_t)seconds < UINT64_MAX / SECOND
			      ? (uint64_t)seconds * SECOND + fraction
			      : UINT64_MAX;
	*ret_moment += *ret_moment == 0;
	return 0;
}

static int parse_clock(const char *at, uint64_t now, uint64_t *ret_moment)
{
	int clock = take_clock(&at, false);
	uint64_t moment;

	if (clock < 0 || *at)
		return -EINVAL;
	moment = now - now % DAY + (uint64_t)clock * SECOND;
	if (moment > now && moment >= DAY)
		moment -= DAY;
	*ret_moment = moment;
	return 0;
}

int moment_parse(const char *text, uint64_t now, uint64_t *ret_moment)
{
	uint64_t moment, ago;

	if (text[0] == '-') {
		if (duration_parse(text + 1, &ago) < 0 || ago > now)
			return -EINVAL;
		moment = now - ago;
	} else if (parse_clock(text, now, &moment) < 0 && parse_full(text, &moment) < 0) {
		return -EINVAL;
	}
	if (moment > now + MOMENT_AHEAD_SECONDS * SECOND)
		return -ERANGE;
	*ret_moment = moment;
	return 0;
}
