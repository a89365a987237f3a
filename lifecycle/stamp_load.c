// SPDX-License-Identifier: Apache-2.0
// Bins, windows, and whether a stamp is hot; see stamp_load.h.
#include "lifecycle/stamp_load.h"

#include <string.h>

#define STEP 60 // windows begin at whole hours of the bins
#define HIGHEST (4 * LOAD_FULL)
#define THROTTLED_PPM 1000
#define FAILED_PPM 5000
#define SLOW_TIMES 3

static void clear(uint16_t *bins, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bins[i] = LOAD_MISSING;
}

void stamp_load_init(struct stamp_load *l)
{
    memset(l, 0, sizeof *l);
    clear(l->hottest, LOAD_DAYS * LOAD_DAY);
    clear(l->rest, LOAD_DAY);
    for (size_t i = 0; i < LOAD_REGISTRIES; i++)
        clear(l->registries[i].bins, LOAD_DAY);
}

// ---- windows ----

struct sum {
    uint64_t total;
    unsigned n;
};

static struct sum sum_of(const uint16_t *bins, size_t n)
{
    struct sum s = {0, 0};
    for (size_t i = 0; i < n; i++) {
        if (bins[i] == LOAD_MISSING)
            continue;
        s.total += bins[i];
        s.n++;
    }
    return s;
}

// Is the mean of a above that of b?
static bool busier(struct sum a, struct sum b)
{
    if (!b.n)
        return a.n > 0;
    return a.total * b.n > b.total * a.n;
}

// The least value that 95 of 100 bins do not exceed.
static uint16_t p95_of(const uint16_t *bins, unsigned n_known, uint16_t *out_max)
{
    uint16_t n_at[HIGHEST + 1] = {0};
    unsigned seen = 0;
    uint16_t p95 = 0;
    bool found = false;
    for (size_t i = 0; i < LOAD_WINDOW; i++) {
        if (bins[i] == LOAD_MISSING)
            continue;
        n_at[bins[i] < HIGHEST ? bins[i] : HIGHEST]++;
    }
    for (uint16_t v = 0; v <= HIGHEST; v++) {
        if (!n_at[v])
            continue;
        seen += n_at[v];
        *out_max = v;
        if (!found && seen * 100 >= n_known * 95) {
            p95 = v;
            found = true;
        }
    }
    return p95;
}

struct load_figures load_figures(const uint16_t bins[LOAD_DAY])
{
    struct load_figures f = {0};
    struct sum best = {0, 0};
    for (size_t begin = 0; begin + LOAD_WINDOW <= LOAD_DAY; begin += STEP) {
        struct sum s = sum_of(bins + begin, LOAD_WINDOW);
        if (s.n < LOAD_ENOUGH || !busier(s, best))
            continue;
        best = s;
        f.begin = (uint16_t)begin;
    }
    if (!best.n)
        return f;
    f.known = true;
    f.n_bins = (uint16_t)best.n;
    f.mean = (uint16_t)((best.total + best.n / 2) / best.n);
    f.p95 = p95_of(bins + f.begin, best.n, &f.max);
    return f;
}

// ---- sums ----

static void combine(uint16_t *to, const uint16_t *what, int sign)
{
    for (size_t i = 0; i < LOAD_DAY; i++) {
        if (to[i] == LOAD_MISSING)
            continue;
        if (what[i] == LOAD_MISSING) {
            to[i] = LOAD_MISSING;
            continue;
        }
        int sum = to[i] + sign * what[i];
        if (sum < 0)
            sum = 0;
        to[i] = (uint16_t)(sum < HIGHEST ? sum : HIGHEST);
    }
}

void load_add(uint16_t to[LOAD_DAY], const uint16_t what[LOAD_DAY])
{
    combine(to, what, 1);
}

void load_take(uint16_t from[LOAD_DAY], const uint16_t what[LOAD_DAY])
{
    combine(from, what, -1);
}

uint16_t load_share(const struct stamp_load *l, size_t registry)
{
    uint64_t all = sum_of(l->rest, LOAD_DAY).total;
    for (size_t i = 0; i < l->n_registries; i++)
        all += sum_of(l->registries[i].bins, LOAD_DAY).total;
    if (!all)
        return 0;
    return (uint16_t)(sum_of(l->registries[registry].bins, LOAD_DAY).total * 1000 / all);
}

// ---- hot or not ----

// Is count / requests above so many in a million?
static bool above(uint64_t count, uint64_t requests, uint64_t ppm)
{
    return count > requests / 1000000 * ppm + requests % 1000000 * ppm / 1000000;
}

static bool minute_is(const struct stamp_load *l, const struct load_minute *m,
                      enum load_cause cause)
{
    if (!m->requests)
        return false;
    switch (cause) {
    case LOAD_THROTTLED:
        return above(m->throttled, m->requests, THROTTLED_PPM);
    case LOAD_FAILED:
        return above(m->failed, m->requests, FAILED_PPM);
    case LOAD_SLOW:
        return l->p99_week_ms && m->p99_ms > (uint64_t)SLOW_TIMES * l->p99_week_ms;
    default:
        return false;
    }
}

// What all of the last minutes say.
static enum load_cause answers_say(const struct stamp_load *l)
{
    static const enum load_cause causes[] = {LOAD_THROTTLED, LOAD_FAILED, LOAD_SLOW};
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        size_t n = 0;
        while (n < LOAD_MINUTES && minute_is(l, &l->minutes[n], causes[i]))
            n++;
        if (n == LOAD_MINUTES)
            return causes[i];
    }
    return LOAD_NOTHING;
}

struct load_verdict load_judge(const struct stamp_load *l, bool was_hot)
{
    struct load_verdict v = {.heat = LOAD_COOL, .cause = answers_say(l)};
    uint16_t limit = was_hot ? LOAD_ROOM_TO + 1 : LOAD_HOT_AT;
    bool all_known = true, all_hot = true;
    for (size_t i = 0; i < LOAD_DAYS; i++) {
        v.days[i] = load_figures(l->hottest + (LOAD_DAYS - 1 - i) * LOAD_DAY);
        all_known = all_known && v.days[i].known;
        all_hot = all_hot && v.days[i].p95 >= limit;
    }
    if (!all_known) {
        v.heat = LOAD_UNKNOWN;
        return v;
    }
    if (all_hot && v.cause == LOAD_NOTHING)
        v.cause = LOAD_P95;
    if (v.cause != LOAD_NOTHING)
        v.heat = LOAD_HOT;
    return v;
}

const char *load_cause_text(enum load_cause cause)
{
    switch (cause) {
    case LOAD_P95:
        return "P95 of the hottest node on both days";
    case LOAD_THROTTLED:
        return "more than 0.1 % of requests got 429 for want of capacity, for 10 minutes";
    case LOAD_FAILED:
        return "more than 0.5 % of requests failed, for 10 minutes";
    case LOAD_SLOW:
        return "p99 above 3 times its weekly median, for 10 minutes";
    default:
        return "";
    }
}
