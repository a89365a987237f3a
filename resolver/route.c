// SPDX-License-Identifier: Apache-2.0
// The routing decision; see route.h. First the order, which does not look at health, then the choice.
#include "resolver/route.h"

#include "base/mem.h"

struct deciding { // one decision under way
    const struct route_context *c;
    const struct catalogue_registry *r;
    region_set on; // regions where global routing is on, drained or not
    region_set seen;
    struct health_gate gate;
};

static struct route_step step_of(const struct deciding *d, uint8_t region)
{
    struct route_step s = {.region = region, .state = ROUTE_NO_REPLICA};
    region_set bit = (region_set)1 << region;
    if (!(d->r->replicas & bit))
        return s;
    s.stamp = catalogue_stamp(d->r, region);
    s.up = route_is_up(d->c, region, s.stamp) && !(d->gate.impaired & bit);
    s.state = !(d->on & bit)                           ? ROUTE_OFF
              : !(d->r->open & bit & ~d->gate.drained) ? ROUTE_DRAINED
              : s.up                                   ? ROUTE_OPEN
                                                       : ROUTE_UNHEALTHY;
    return s;
}

static void add_step(struct deciding *d, uint8_t region, bool by_override, struct route *out)
{
    region_set bit = (region_set)1 << region;
    if (d->seen & bit)
        return;
    d->seen |= bit;
    struct route_step s = step_of(d, region);
    s.by_override = by_override;
    out->steps[out->n_steps++] = s;
}

// Index of the first step in that state (and, with need_up, that health), or n_steps.
static size_t first_in(const struct route *r, enum route_state state, bool need_up)
{
    for (size_t i = 0; i < r->n_steps; i++)
        if (r->steps[i].state == state && (!need_up || r->steps[i].up))
            return i;
    return r->n_steps;
}

static void choose(struct route *r)
{
    const struct {
        enum route_state state;
        bool need_up;
        enum route_mode mode;
    } tries[] = {
        {ROUTE_OPEN, true, ROUTE_HEALTHY},
        {ROUTE_UNHEALTHY, false, ROUTE_FAIL_OPEN},
        {ROUTE_DRAINED, true, ROUTE_LAST},
        {ROUTE_DRAINED, false, ROUTE_LAST},
    };
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        size_t at = first_in(r, tries[i].state, tries[i].need_up);
        if (at == r->n_steps)
            continue;
        r->chosen = at;
        r->mode = tries[i].mode;
        r->fail_open = !r->steps[at].up;
        return;
    }
    r->mode = ROUTE_NOWHERE;
}

void route_decide(const struct route_context *c, const struct catalogue_registry *r, const struct ip *client,
                  struct route *out)
{
    const struct topology *t = c->topology;
    struct deciding d = {c, r, catalogue_on(t->catalogue, r), 0, health_gate_of(c->map, c->health, t, r)};
    out->n_steps = 0;
    out->chosen = 0;
    out->fail_open = false;
    out->override_ = catalogue_override(t->catalogue, client);
    if (out->override_)
        for (size_t i = 0; i < out->override_->n_order; i++)
            add_step(&d, out->override_->order[i], true, out);
    for (size_t i = 0; i < t->n_regions; i++)
        add_step(&d, t->routing_order[i], false, out);
    choose(out);
}

// First of the order that is open and up. A region that the override named stands again in the operator's order: it was
// not taken the first time, and is not the second.
static bool pick_up(const struct route_context *c, const struct catalogue_registry *r, region_set open,
                    const uint8_t *order, size_t n, uint8_t *out_region)
{
    for (size_t i = 0; i < n; i++)
        if (open >> order[i] & 1 && route_is_up(c, order[i], catalogue_stamp(r, order[i]))) {
            *out_region = order[i];
            return true;
        }
    return false;
}

bool route_pick(const struct route_context *c, const struct catalogue_registry *r, const struct ip *client,
                struct route_choice *out)
{
    const struct topology *t = c->topology;
    const struct routing_override *o = catalogue_override(t->catalogue, client);
    struct health_gate gate = health_gate_of(c->map, c->health, t, r);
    region_set open = r->open & ~(gate.drained | gate.impaired);
    struct route all;
    out->mode = ROUTE_HEALTHY;
    if ((o && pick_up(c, r, open, o->order, o->n_order, &out->region)) ||
        pick_up(c, r, open, t->routing_order, t->n_regions, &out->region)) {
        out->stamp = catalogue_stamp(r, out->region);
        return true;
    }
    route_decide(c, r, client, &all); // fail-open, or all drained
    out->mode = all.mode;
    if (all.mode == ROUTE_NOWHERE)
        return false;
    out->region = all.steps[all.chosen].region;
    out->stamp = all.steps[all.chosen].stamp;
    return true;
}

const char *route_state_name(enum route_state s)
{
    static const char *const names[] = {"open", "unhealthy", "drained", "off", "no_replica"};
    return (size_t)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

const char *route_state_text(enum route_state s)
{
    static const char *const texts[] = {
        "healthy and takes global traffic",       "down, or impaired for this registry", "drained by the operator",
        "global routing is off for this replica", "the registry has no replica there",
    };
    return (size_t)s < ARRAY_LEN(texts) ? texts[s] : "unknown";
}

const char *route_mode_name(enum route_mode m)
{
    static const char *const names[] = {"healthy", "fail_open", "all_drained", "nowhere"};
    return (size_t)m < ARRAY_LEN(names) ? names[m] : "unknown";
}
