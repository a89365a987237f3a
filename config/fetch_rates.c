// SPDX-License-Identifier: Apache-2.0
// Bytes a second that may be fetched, by the time of the week; see fetch_rates.h.
#include "config/fetch_rates.h"

#include "base/addr.h"
#include "base/bytes.h"
#include "config/options.h"

#include <string.h>

#define DAY_MINUTES (24 * 60)
#define DAYS 7
#define ALL_DAYS ((1u << DAYS) - 1)

static const char *const day_names[DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static bool day_take(const char **s, unsigned *out)
{
    for (unsigned i = 0; i < DAYS; i++) {
        if (strncmp(*s, day_names[i], 3) != 0)
            continue;
        *s += 3;
        *out = i;
        return true;
    }
    return false;
}

// "mon", "mon-fri", "sat-mon"; without a day it is all of them.
static bool days_take(const char **s, unsigned *out)
{
    unsigned first, last;
    *out = ALL_DAYS;
    if (!day_take(s, &first))
        return true;
    last = first;
    if (**s == '-') {
        ++*s;
        if (!day_take(s, &last))
            return false;
    }
    *out = 1u << last;
    for (unsigned i = first; i != last; i = (i + 1) % DAYS)
        *out |= 1u << i;
    if (**s != ' ')
        return false;
    ++*s;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Two digits, at most `max`.
static bool two_take(const char **s, unsigned max, unsigned *out)
{
    const char *p = *s;
    if (!is_digit(p[0]) || !is_digit(p[1]))
        return false;
    *out = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    *s += 2;
    return *out <= max;
}

static bool minute_take(const char **s, unsigned *out)
{
    unsigned hour, minute;
    if (!two_take(s, 24, &hour) || **s != ':')
        return false;
    ++*s;
    if (!two_take(s, 59, &minute))
        return false;
    *out = hour * 60 + minute;
    return *out <= DAY_MINUTES;
}

bool fetch_rate_ok(uint64_t rate)
{
    return rate == 0 || rate >= FETCH_RATE_MIN;
}

bool fetch_time_parse(const char *text, struct fetch_time *out)
{
    struct fetch_time t = {0};
    const char *s = text;
    if (!days_take(&s, &t.days) || !minute_take(&s, &t.from) || t.from == DAY_MINUTES)
        return false;
    if (*s++ != '-' || !minute_take(&s, &t.to) || *s++ != ' ')
        return false;
    if (size_parse(s, &t.rate) || !fetch_rate_ok(t.rate))
        return false;
    *out = t;
    return true;
}

// Does it hold at that minute of that day?
static bool holds(const struct fetch_time *t, unsigned day, unsigned minute)
{
    unsigned before = (day + DAYS - 1) % DAYS;
    bool began_today = t->days >> day & 1, began_before = t->days >> before & 1;
    if (t->to > t->from)
        return began_today && minute >= t->from && minute < t->to;
    return (began_today && minute >= t->from) || (began_before && minute < t->to);
}

uint64_t fetch_rate_at(const struct fetch_rates *r, int64_t wall_ms)
{
    int64_t minutes = wall_ms / 60000;
    // 1 January 1970 was a Thursday
    unsigned day = (unsigned)((minutes / DAY_MINUTES + 3) % DAYS);
    unsigned minute = (unsigned)(minutes % DAY_MINUTES);
    for (size_t i = 0; i < r->n_times; i++)
        if (holds(&r->times[i], day, minute))
            return r->times[i].rate;
    return r->rate;
}
