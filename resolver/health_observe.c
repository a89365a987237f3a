// SPDX-License-Identifier: Apache-2.0
// The arithmetic of health, without a clock, a socket or a lock: see health.h. Called by the checker's thread
// (observe) and by the resolver's workers (is_up).
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

static bool is_target(const struct health_target *target, const char *region, const char *stamp)
{
    return !strcmp(target->region, region) && !strcmp(target->stamp, stamp);
}

static bool target_up(const struct health_target *target)
{
    return target->force == HEALTH_FORCE_UP || (target->force == HEALTH_AUTO && target->up);
}

bool health_is_up(const struct health_verdicts *v, const struct topology *t, uint8_t region, uint8_t stamp)
{
    if (!v)
        return true;
    const char *region_name = t->regions[region].name, *stamp_name = t->regions[region].stamps[stamp].name;
    size_t guess = stamp; // where it stands if the verdicts are of this topology
    for (size_t i = 0; i < region; i++)
        guess += t->regions[i].n_stamps;
    if (guess < v->n_targets && is_target(&v->targets[guess], region_name, stamp_name))
        return target_up(&v->targets[guess]);
    for (size_t i = 0; i < v->n_targets; i++)
        if (is_target(&v->targets[i], region_name, stamp_name))
            return target_up(&v->targets[i]);
    return true;
}

void health_map_fill(struct health_map *m, const struct health_verdicts *v, const struct topology *t)
{
    size_t at = 0;
    memset(m, 0, sizeof *m);
    for (size_t r = 0; r < t->n_regions; r++)
        for (size_t s = 0; s < t->regions[r].n_stamps; s++, at++)
            if (!health_is_up(v, t, (uint8_t)r, (uint8_t)s))
                m->down[at / 8] |= (uint8_t)(1u << at % 8);
}

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
