// SPDX-License-Identifier: Apache-2.0
// Verdicts as the routing decision asks for them: see health.h. Called by the resolver's workers
// for every query (the map, the gate) and by admin threads (the verdicts themselves). Allocates
// nothing.
#include "health/health.h"

#include "base/mem.h"

#include <string.h>

static bool is_target(const struct health_target *target, const char *region, const char *stamp)
{
    return !strcmp(target->region, region) && !strcmp(target->stamp, stamp);
}

bool health_target_up(const struct health_target *target)
{
    return target->force == HEALTH_FORCE_UP || (target->force == HEALTH_AUTO && target->up);
}

bool health_target_short(const struct health_target *target)
{
    return target->is_short && target->force != HEALTH_FORCE_UP;
}

const struct health_target *health_target_of(const struct health_verdicts *v,
                                             const struct topology *t, uint8_t region,
                                             uint8_t stamp)
{
    if (!v)
        return NULL;
    const char *region_name = t->regions[region].name,
               *stamp_name = t->regions[region].stamps[stamp].name;
    size_t guess = stamp; // where it stands if the verdicts are of this topology
    for (size_t i = 0; i < region; i++)
        guess += t->regions[i].n_stamps;
    if (guess < v->n_targets && is_target(&v->targets[guess], region_name, stamp_name))
        return &v->targets[guess];
    for (size_t i = 0; i < v->n_targets; i++)
        if (is_target(&v->targets[i], region_name, stamp_name))
            return &v->targets[i];
    return NULL;
}

bool health_is_up(const struct health_verdicts *v, const struct topology *t, uint8_t region,
                  uint8_t stamp)
{
    const struct health_target *target = health_target_of(v, t, region, stamp);
    return !target || health_target_up(target);
}

bool health_is_short(const struct health_verdicts *v, const struct topology *t, uint8_t region,
                     uint8_t stamp)
{
    const struct health_target *target = health_target_of(v, t, region, stamp);
    return target && health_target_short(target);
}

static uint32_t hash(const uint8_t *p, size_t n)
{
    // FNV-1a: the table holds what an operator or a region named, not what a client sends
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

// The slot of the label, or the empty one where it would stand. There is always an empty one.
static size_t slot_of(const struct health_map *m, const uint8_t *label, size_t n)
{
    size_t at = hash(label, n) % HEALTH_MAP_SLOTS;
    for (; m->slots[at]; at = (at + 1) % HEALTH_MAP_SLOTS) {
        const struct health_map_registry *r = &m->registries[m->slots[at] - 1];
        if (r->label_n == n && !memcmp(r->label, label, n))
            break;
    }
    return at;
}

static void add_exception(struct health_map *m, const struct health_exception *e, region_set bit)
{
    region_set *drained = &m->drained, *impaired = &m->impaired, *drilled = &m->drilled;
    if (e->label[0]) {
        size_t n = strnlen(e->label, sizeof e->label),
               at = slot_of(m, (const uint8_t *)e->label, n);
        if (!m->slots[at]) {
            if (m->n_registries == HEALTH_EXCEPTIONS_MAX)
                return; // the checker publishes no more than that
            struct health_map_registry *r = &m->registries[m->n_registries];
            memset(r, 0, sizeof *r);
            memcpy(r->label, e->label, n);
            r->label_n = n;
            m->slots[at] = (uint16_t)++m->n_registries;
        }
        drained = &m->registries[m->slots[at] - 1].drained;
        impaired = &m->registries[m->slots[at] - 1].impaired;
        drilled = &m->registries[m->slots[at] - 1].drilled;
    }
    if (e->kind == HEALTH_DRAINED)
        *drained |= bit;
    else if (e->kind == HEALTH_DRILLED)
        *drilled |= bit;
    else
        *impaired |= bit;
}

void health_map_fill(struct health_map *m, const struct health_verdicts *v,
                     const struct topology *t)
{
    size_t at = 0;
    memset(m->down, 0, sizeof m->down);
    memset(m->shorts, 0, sizeof m->shorts);
    memset(m->slots, 0, sizeof m->slots);
    m->drained = m->impaired = m->drilled = 0;
    m->n_registries = 0;
    for (size_t r = 0; r < t->n_regions; r++)
        for (size_t s = 0; s < t->regions[r].n_stamps; s++, at++) {
            const struct health_target *target = health_target_of(v, t, (uint8_t)r, (uint8_t)s);
            if (target && !health_target_up(target))
                m->down[at / 8] |= (uint8_t)(1u << at % 8);
            if (target && health_target_short(target))
                m->shorts[at / 8] |= (uint8_t)(1u << at % 8);
            if (target)
                m->headroom[at] = target->headroom;
            else
                m->headroom[at] = HEALTH_HEADROOM_FULL;
        }
    for (size_t i = 0; v && i < v->n_exceptions; i++) {
        const struct region *r = topology_region(t, v->exceptions[i].region);
        if (r)
            add_exception(m, &v->exceptions[i], (region_set)1 << r->index);
    }
}

struct health_gate health_map_gate(const struct health_map *m, const uint8_t *label, size_t n)
{
    struct health_gate g = {m->drained, m->impaired, m->drilled};
    size_t slot = m->slots[slot_of(m, label, n)];
    if (slot) {
        g.drained |= m->registries[slot - 1].drained;
        g.impaired |= m->registries[slot - 1].impaired;
        g.drilled |= m->registries[slot - 1].drilled;
    }
    return g;
}

struct health_gate health_verdicts_gate(const struct health_verdicts *v, const struct topology *t,
                                        const uint8_t *label, size_t n)
{
    struct health_gate g = {0};
    for (size_t i = 0; v && i < v->n_exceptions; i++) {
        const struct health_exception *e = &v->exceptions[i];
        const struct region *r = topology_region(t, e->region);
        size_t len = strnlen(e->label, sizeof e->label);
        bool of_all = len == 0;
        bool of_this = len == n && !memcmp(e->label, label, n);
        if (!r || (!of_all && !of_this))
            continue;
        if (e->kind == HEALTH_DRAINED)
            g.drained |= (region_set)1 << r->index;
        else if (e->kind == HEALTH_DRILLED)
            g.drilled |= (region_set)1 << r->index;
        else
            g.impaired |= (region_set)1 << r->index;
    }
    return g;
}
