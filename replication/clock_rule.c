// SPDX-License-Identifier: Apache-2.0
// The clock rule; see clock_rule.h. Pure: no time is read here.
#include "replication/clock_rule.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_NAMED 2 // regions that a sentence names; it says how many more there are

static bool differs(const struct clock_other *o, int64_t by_more_than_ms)
{
    return o->known && llabs(o->offset_ms) - o->error_ms > by_more_than_ms;
}

static bool is_reached(const struct clock_other *o)
{
    return o->known && o->reached;
}

static size_t n_reached(const struct clock_case *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_others; i++)
        n += is_reached(&c->others[i]);
    return n;
}

// Of those that are reached, or of all that are known.
static size_t n_differing(const struct clock_case *c, int64_t by_more_than_ms, bool reached_only)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_others; i++)
        n += (c->others[i].reached || !reached_only) && differs(&c->others[i], by_more_than_ms);
    return n;
}

// Could the two clocks be within the limit of each other?
static bool agree(const struct clock_other *a, const struct clock_other *b)
{
    return llabs(a->offset_ms - b->offset_ms) - a->error_ms - b->error_ms <= CLOCK_OFF_MS;
}

static bool two_agree(const struct clock_case *c)
{
    for (size_t i = 0; i < c->n_others; i++)
        for (size_t k = i + 1; k < c->n_others; k++) {
            const struct clock_other *a = &c->others[i], *b = &c->others[k];
            if (a->reached && b->reached && differs(a, CLOCK_OFF_MS) && differs(b, CLOCK_OFF_MS) &&
                agree(a, b))
                return true;
        }
    return false;
}

static bool outvoted(const struct clock_case *c)
{
    size_t majority = c->n_members / 2 + 1;
    if (c->before == CLOCK_OUTVOTED)
        return n_differing(c, CLOCK_GOOD_MS, false) >= majority;
    return n_differing(c, CLOCK_OFF_MS, true) >= majority && two_agree(c);
}

// Closed already: the one that is reached says whether it stays so; while none is, what is known.
static bool unsynchronised(const struct clock_case *c)
{
    size_t reached = n_reached(c);
    if (c->kernel != CLOCK_KERNEL_UNSYNCHRONISED || reached >= 2)
        return false;
    if (c->before == CLOCK_UNSYNCHRONISED)
        return n_differing(c, CLOCK_GOOD_MS, reached > 0) > 0;
    return n_differing(c, CLOCK_OFF_MS, true) > 0;
}

enum clock_state clock_judge(const struct clock_case *c)
{
    int64_t limit = CLOCK_GOOD_MS;
    if (c->before == CLOCK_FINE)
        limit = CLOCK_OFF_MS;
    if (outvoted(c))
        return CLOCK_OUTVOTED;
    if (unsynchronised(c))
        return CLOCK_UNSYNCHRONISED;
    if (n_differing(c, limit, true))
        return CLOCK_DIFFERS;
    return CLOCK_FINE;
}

bool clock_vouched(const struct clock_case *c, enum clock_state s)
{
    size_t reached = n_reached(c);
    if (clock_closes(s))
        return false;
    if (!reached)
        return c->n_members < 2 || c->kernel == CLOCK_KERNEL_SYNCHRONISED;
    return n_differing(c, CLOCK_OFF_MS, true) < reached;
}

const char *clock_state_name(enum clock_state s)
{
    static const char *const names[] = {[CLOCK_FINE] = "fine",
                                        [CLOCK_DIFFERS] = "differs",
                                        [CLOCK_OUTVOTED] = "outvoted",
                                        [CLOCK_UNSYNCHRONISED] = "unsynchronised"};
    return names[s];
}

const char *clock_kernel_name(enum clock_kernel k)
{
    static const char *const names[] = {[CLOCK_KERNEL_UNKNOWN] = "unknown",
                                        [CLOCK_KERNEL_SYNCHRONISED] = "synchronised",
                                        [CLOCK_KERNEL_UNSYNCHRONISED] = "unsynchronised"};
    return names[k];
}

// "2.0 s ahead of westeurope, 2.0 s behind southeastasia and 3 more"; all that differ count.
static void list_differing(const struct clock_case *c, bool reached_only, char *out, size_t cap)
{
    size_t n = 0, at = 0, all = n_differing(c, CLOCK_GOOD_MS, reached_only);
    out[0] = '\0';
    for (size_t i = 0; i < c->n_others && n < N_NAMED && at < cap; i++) {
        const struct clock_other *o = &c->others[i];
        if ((reached_only && !o->reached) || !differs(o, CLOCK_GOOD_MS))
            continue;
        const char *way = "behind";
        if (o->offset_ms < 0)
            way = "ahead of";
        at += (size_t)snprintf(out + at, cap - at, "%s%.3f s %s %s", n ? ", " : "",
                               (double)llabs(o->offset_ms) / 1000, way, o->region);
        n++;
    }
    if (all > n && at < cap)
        snprintf(out + at, cap - at, " and %zu more", all - n);
}

static const char *why_writes_go_on(const struct clock_case *c)
{
    if (n_reached(c) < 2)
        return "nobody can tell whose is wrong while fewer than two other regions are reached";
    return "no majority of the regions says that it is wrong";
}

const char *clock_sentence(const struct clock_case *c, enum clock_state s,
                           char out[CLOCK_SENTENCE_SIZE])
{
    char whom[160];
    list_differing(c, s != CLOCK_OUTVOTED, whom, sizeof whom);
    out[0] = '\0';
    if (s == CLOCK_DIFFERS)
        snprintf(out, CLOCK_SENTENCE_SIZE, "its clock is %s; writes go on: %s", whom,
                 why_writes_go_on(c));
    if (s == CLOCK_OUTVOTED)
        snprintf(out, CLOCK_SENTENCE_SIZE,
                 "its clock is %s: a majority of %zu regions; see to its time service (NTP)", whom,
                 c->n_members);
    if (s == CLOCK_UNSYNCHRONISED)
        snprintf(out, CLOCK_SENTENCE_SIZE,
                 "its clock is %s, and its kernel says that it is not synchronised (NTP)", whom);
    return out;
}

// ---- far off ----

bool clock_far(const struct clock_case *c, enum clock_state s)
{
    if (s == CLOCK_OUTVOTED)
        return n_differing(c, CLOCK_FAR_MS, false) >= c->n_members / 2 + 1;
    if (s == CLOCK_UNSYNCHRONISED)
        return n_differing(c, CLOCK_FAR_MS, n_reached(c) > 0) > 0;
    return false;
}

bool clock_ahead(const struct clock_case *c)
{
    size_t behind = 0;
    for (size_t i = 0; i < c->n_others; i++) {
        const struct clock_other *o = &c->others[i];
        behind += o->reached && o->offset_ms < 0 && differs(o, CLOCK_FAR_MS);
    }
    return behind && behind >= n_reached(c) / 2 + 1;
}

// Of those that are reached, the offset before which there are `k` others.
static int64_t kth_offset(const struct clock_case *c, size_t k)
{
    for (size_t i = 0; i < c->n_others; i++) {
        size_t before = 0;
        for (size_t j = 0; j < c->n_others; j++) {
            int64_t x = c->others[j].offset_ms, y = c->others[i].offset_ms;
            before += is_reached(&c->others[j]) && (x < y || (x == y && j < i));
        }
        if (is_reached(&c->others[i]) && before == k)
            return c->others[i].offset_ms;
    }
    return 0;
}

int64_t clock_others_ms(const struct clock_case *c)
{
    size_t n = n_reached(c);
    if (!n)
        return 0;
    int64_t low = kth_offset(c, (n - 1) / 2), high = kth_offset(c, n / 2);
    if (llabs(low) <= llabs(high))
        return low;
    return high;
}

static const char *who_sides_with_us(const struct clock_case *c, char *out, size_t cap)
{
    size_t reached = n_reached(c), agree_n = reached - n_differing(c, CLOCK_OFF_MS, true);
    if (!agree_n)
        return "nobody can tell whose is wrong";
    snprintf(out, cap, "ours agrees with %zu of the %zu other regions that are reached", agree_n,
             reached);
    return out;
}

static const char *way_of(const struct clock_other *o)
{
    if (o->offset_ms > 0)
        return "ahead of";
    return "behind";
}

// Appends; what does not fit is cut.
static void append(char out[CLOCK_SENTENCE_SIZE], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void append(char out[CLOCK_SENTENCE_SIZE], const char *fmt, ...)
{
    size_t at = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + at, CLOCK_SENTENCE_SIZE - at, fmt, ap);
    va_end(ap);
}

const char *clock_far_peers(const struct clock_case *c, enum clock_state s,
                            char out[CLOCK_SENTENCE_SIZE])
{
    char sides[96];
    size_t n = 0, all = n_differing(c, CLOCK_FAR_MS, true);
    out[0] = '\0';
    if (clock_closes(s) || !all)
        return out;
    for (size_t i = 0; i < c->n_others && n < N_NAMED; i++) {
        const struct clock_other *o = &c->others[i];
        if (!o->reached || !differs(o, CLOCK_FAR_MS))
            continue;
        append(out, "%sthe clock of %s is %.3f s %s ours", n ? ", " : "", o->region,
               (double)llabs(o->offset_ms) / 1000, way_of(o));
        n++;
    }
    if (all > n)
        append(out, " and %zu more are off", all - n);
    append(out, "; %s", who_sides_with_us(c, sides, sizeof sides));
    return out;
}

static const struct clock_other *find(const struct clock_case *c, const char *region)
{
    for (size_t i = 0; region && i < c->n_others; i++)
        if (c->others[i].known && !strcmp(c->others[i].region, region))
            return &c->others[i];
    return NULL;
}

const char *clock_suspect(const struct clock_case *c, enum clock_state s, const char *region,
                          char out[CLOCK_SENTENCE_SIZE])
{
    char text[CLOCK_SENTENCE_SIZE];
    const struct clock_other *o = find(c, region);
    out[0] = '\0';
    if (clock_closes(s))
        append(out, "this region's clock is suspect: %s", clock_sentence(c, s, text));
    else if (o && differs(o, CLOCK_OFF_MS))
        append(out, "the clock of %s is suspect, %.3f s %s ours: %s", region,
               (double)llabs(o->offset_ms) / 1000, way_of(o),
               who_sides_with_us(c, text, sizeof text));
    else if (o)
        append(out, "the clocks of this region and %s agree to %.3f s", region,
               (double)(llabs(o->offset_ms) + o->error_ms) / 1000);
    else if (n_reached(c))
        append(out, "%s", who_sides_with_us(c, text, sizeof text));
    else
        append(out, "this region's clock is suspect: no other one could be compared with it");
    return out;
}
