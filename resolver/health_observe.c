// SPDX-License-Identifier: Apache-2.0
// The arithmetic of health, without a clock, a socket or a lock: see health.h. Called by the checker's thread.
//
// Invariants
// 1. A verdict changes only at its fall-th bad or rise-th good probe in a row.
// 2. It does not go up before held_until_ms, and held_until_ms is never more than one hold-down ahead: a wall clock
// that
//    was set back delays a failback by one hold-down at most.
#include "resolver/health_priv.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static void count(struct health_target *target, bool good)
{
    uint32_t *run = good ? &target->n_good : &target->n_bad;
    *(good ? &target->n_bad : &target->n_good) = 0;
    if (*run < UINT32_MAX)
        ++*run;
}

void health_reason_set(struct health_target *target, const char *reason)
{
    snprintf(target->reason, sizeof target->reason, "%s", reason ? reason : "");
    for (char *p = target->reason; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

bool health_observe(const struct health_settings *s, struct health_target *target, bool good, const char *reason,
                    int64_t wall_ms)
{
    count(target, good);
    target->probed_ms = wall_ms;
    health_reason_set(target, reason);
    if (target->held_until_ms > wall_ms + s->hold_down_ms)
        target->held_until_ms = wall_ms + s->hold_down_ms;
    bool change = target->up ? !good && target->n_bad >= s->fall
                             : good && target->n_good >= s->rise && wall_ms >= target->held_until_ms;
    if (!change)
        return false;
    target->up = good;
    target->changed_ms = wall_ms;
    target->held_until_ms = good ? 0 : wall_ms + s->hold_down_ms;
    return true;
}
