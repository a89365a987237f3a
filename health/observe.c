// SPDX-License-Identifier: Apache-2.0
// The arithmetic of health, without a clock, a socket or a lock: see health.h. Called by the
// checker's thread.
//
// Invariants
// 1. What our probes say (seen_up) changes only at the fall-th bad or rise-th good one in a row.
// 2. A verdict does not go up before held_until_ms, and held_until_ms is never more than one
//    hold-down ahead: a wall clock that was set back delays a failback by one hold-down at most.
// 3. The hold-down of a stamp that flaps doubles, from hold_down up to hold_down_max; see
//    damping_at_fall.
#include "health/priv.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void count(struct health_target *target, bool good)
{
    uint32_t *run = &target->n_bad, *other = &target->n_good;
    if (good) {
        run = &target->n_good;
        other = &target->n_bad;
    }
    *other = 0;
    if (*run < UINT32_MAX)
        ++*run;
}

void health_plain(char *text)
{
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

void health_reason_set(struct health_target *target, const char *reason)
{
    snprintf(target->reason, sizeof target->reason, "%s", reason ? reason : "");
    health_plain(target->reason);
}

bool health_observe(const struct health_settings *s, struct health_target *target, bool good,
                    const char *reason, int64_t wall_ms)
{
    bool was_up = target->seen_up, was_seen = target->seen;
    count(target, good);
    target->probed_ms = wall_ms;
    health_reason_set(target, reason);
    bool rose = good && target->n_good >= s->rise;
    bool fell = !good && target->n_bad >= s->fall;
    assert(!(rose && fell));
    if (rose || fell) {
        target->seen = true;
        target->seen_up = good;
    }
    return target->seen_up != was_up || target->seen != was_seen;
}

// The hold-down is hold_down * 2^(damping - 1), at most hold_down_max. Each fall adds one to the
// damping; each whole DAMPING_CALM * hold_down that the stamp was up before it takes one away. So a
// stamp that falls once is held down hold_down, whatever befell it long ago, and one that falls as
// soon as it may is soon held down hold_down_max.
#define DAMPING_CALM 8
#define DAMPING_MAX 20

static uint8_t damping_at_fall(const struct health_settings *s, const struct health_target *target,
                               int64_t wall_ms)
{
    int64_t calm = DAMPING_CALM * (int64_t)s->hold_down_ms, up_for = wall_ms - target->changed_ms;
    int64_t off = 0;
    if (!target->changed_ms || !calm)
        off = DAMPING_MAX;
    else if (up_for > 0)
        off = up_for / calm;
    int64_t left = 0;
    if (off < target->damping)
        left = target->damping - off;
    return (uint8_t)(left < DAMPING_MAX ? left + 1 : DAMPING_MAX);
}

int64_t health_hold_down_ms(const struct health_settings *s, const struct health_target *target)
{
    int64_t ms = s->hold_down_ms, max = s->hold_down_max_ms;
    for (int i = 1; i < target->damping && ms < max; i++)
        ms *= 2;
    if (ms <= max)
        return ms;
    if (max > s->hold_down_ms)
        return max;
    return s->hold_down_ms;
}

bool health_decide(const struct health_settings *s, struct health_target *target,
                   enum health_ballot ballot, int64_t wall_ms)
{
    int64_t hold = health_hold_down_ms(s, target);
    if (target->held_until_ms > wall_ms + hold)
        target->held_until_ms = wall_ms + hold;
    if (target->up ? ballot != HEALTH_SAY_DOWN
                   : ballot != HEALTH_SAY_UP || wall_ms < target->held_until_ms)
        return false;
    if (target->up)
        target->damping = damping_at_fall(s, target, wall_ms);
    target->up = !target->up;
    target->changed_ms = wall_ms;
    if (target->up)
        target->held_until_ms = 0;
    else
        target->held_until_ms = wall_ms + health_hold_down_ms(s, target);
    return true;
}
