// SPDX-License-Identifier: Apache-2.0
// Waves and canaries; see balance_wave.h.
#include "lifecycle/balance_wave.h"

#define MILLION 1000000
#define WORSE_PERCENT 120
#define WORSE_PPM 5000
// A canary with fewer requests says nothing, and fewer bad answers more than were expected are chance.
#define FEW_REQUESTS 20
#define FEW_BAD 10

// ---- order ----

static enum wave_kind kind_of(uint16_t share)
{
    if (share <= BALANCE_IDLE)
        return WAVE_IDLE;
    if (share <= BALANCE_LARGE)
        return WAVE_MIDDLE;
    return WAVE_LARGE;
}

// The smallest first; equal ones as they were.
static void sort(const uint16_t *shares, size_t n, uint8_t *order)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (; k && shares[order[k - 1]] > shares[i]; k--)
            order[k] = order[k - 1];
        order[k] = (uint8_t)i;
    }
}

static bool fits(const struct balance_wave *w, uint16_t share)
{
    if (w->kind != kind_of(share) || w->kind == WAVE_LARGE)
        return false;
    if (w->n >= BALANCE_BATCH)
        return false;
    return w->kind == WAVE_IDLE || w->share + share <= BALANCE_LARGE;
}

size_t balance_waves(const uint16_t *shares, size_t n, uint8_t *order, struct balance_wave *out)
{
    static const int64_t watches[] = {BALANCE_CANARY_S, BALANCE_DAY_S, 2L * BALANCE_DAY_S};
    size_t n_waves = 0;
    sort(shares, n, order);
    for (size_t i = 0; i < n; i++) {
        uint16_t share = shares[order[i]];
        if (!n_waves || !fits(&out[n_waves - 1], share)) {
            enum wave_kind kind = kind_of(share);
            out[n_waves++] =
                (struct balance_wave){.kind = kind, .first = i, .watch_s = watches[kind]};
        }
        out[n_waves - 1].n++;
        out[n_waves - 1].share += share;
    }
    return n_waves;
}

const char *wave_kind_text(enum wave_kind kind)
{
    static const char *const texts[] = {"idle", "middle", "large"};
    return texts[kind];
}

// ---- canary ----

static uint64_t ppm(uint64_t count, uint64_t requests)
{
    if (!requests)
        return 0;
    return (uint64_t)((unsigned __int128)count * MILLION / requests);
}

// What was before, and what the others' way since then makes of it, if that is more.
static uint64_t expected(uint64_t before, uint64_t others_before, uint64_t others_after)
{
    uint64_t more = 0;
    if (others_after > others_before)
        more = others_after - others_before;
    return before + more;
}

struct pair {
    uint64_t is, expected;
};

static struct pair shares_of(const struct canary *c, uint64_t after, uint64_t before,
                             uint64_t others_after, uint64_t others_before)
{
    return (struct pair){.is = ppm(after, c->after.requests),
                         .expected = expected(ppm(before, c->before.requests),
                                              ppm(others_before, c->others_before.requests),
                                              ppm(others_after, c->others_after.requests))};
}

static bool by_a_fifth(struct pair p)
{
    return (unsigned __int128)p.is * 100 >= (unsigned __int128)p.expected * WORSE_PERCENT &&
           p.is > p.expected;
}

// Are there more bad answers than expected, by more than chance?
static bool no_chance(struct pair p, uint64_t bad, uint64_t requests)
{
    unsigned __int128 as_expected = (unsigned __int128)p.expected * requests / MILLION;
    return bad >= as_expected + FEW_BAD;
}

static struct canary_verdict back(enum canary_cause cause, struct pair p)
{
    return (struct canary_verdict){
        .state = CANARY_BACK, .cause = cause, .is = p.is, .expected = p.expected};
}

struct canary_verdict canary_judge(const struct canary *c)
{
    const struct canary_rates *after = &c->after;
    int64_t first = c->moved_s + BALANCE_CANARY_S, last = c->moved_s + BALANCE_PATIENCE_S;
    if (c->now_s < first)
        return (struct canary_verdict){.state = CANARY_WAITS, .until_s = first};
    if (after->requests < FEW_REQUESTS && c->now_s < last)
        return (struct canary_verdict){.state = CANARY_WAITS, .until_s = last};

    struct pair failed = shares_of(c, after->failed, c->before.failed, c->others_after.failed,
                                   c->others_before.failed);
    struct pair throttled = shares_of(c, after->throttled, c->before.throttled,
                                      c->others_after.throttled, c->others_before.throttled);
    struct pair slow = {
        after->p99_ms, expected(c->before.p99_ms, c->others_before.p99_ms, c->others_after.p99_ms)};
    if (after->failed && failed.is >= failed.expected + WORSE_PPM)
        return back(CANARY_FAILED, failed);
    if (by_a_fifth(failed) && no_chance(failed, after->failed, after->requests))
        return back(CANARY_FAILED, failed);
    if (by_a_fifth(throttled) && no_chance(throttled, after->throttled, after->requests))
        return back(CANARY_THROTTLED, throttled);
    if (after->requests < FEW_REQUESTS)
        return (struct canary_verdict){.state = CANARY_GOOD, .cause = CANARY_IDLE};
    if (slow.expected && by_a_fifth(slow))
        return back(CANARY_SLOW, slow);
    return (struct canary_verdict){.state = CANARY_GOOD};
}

const char *canary_cause_text(enum canary_cause cause)
{
    switch (cause) {
    case CANARY_FAILED:
        return "more of its requests fail than before the move";
    case CANARY_THROTTLED:
        return "more of its requests get 429 than before the move";
    case CANARY_SLOW:
        return "its p99 is longer than before the move";
    case CANARY_IDLE:
        return "it has hardly any requests";
    default:
        return "";
    }
}

struct wave_next wave_next(const struct balance_wave *w, const struct canary_verdict *v)
{
    if (v->state == CANARY_BACK)
        return (struct wave_next){.stopped = true};
    if (v->state == CANARY_WAITS)
        return (struct wave_next){0};
    return (struct wave_next){.first = w->first + 1, .n = w->n - 1};
}
