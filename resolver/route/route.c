// SPDX-License-Identifier: Apache-2.0
// The routing decision; see route.h. First the order, which does not look at health, then the
// choice.
#include "resolver/route/route.h"

#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "resolver/route/rendezvous.h"

#include <string.h>

// One list of regions in order. Two make the whole: what holds for the client's network, then the
// operator's; a region counts where it stands first.
struct order {
    // by the numbers in `translate`, if there is one
    const uint8_t *regions;
    const uint8_t *translate;
    uint64_t tiers;
    size_t n;
    enum route_placed placed;
};

struct orders {
    struct order list[2];
    const struct routing_override *override_;
    const struct geo_ranking *ranking;
};

static void orders_of(const struct route_context *c, const struct ip *client, struct orders *out)
{
    const struct topology *t = c->topology;
    const struct routing_override *o = catalogue_override(t->catalogue, client);
    const struct geo_ranking *g = NULL;
    if (!o && c->geo && c->geo->geo)
        g = geo_lookup(c->geo->geo, client);
    out->override_ = o;
    out->ranking = g;
    out->list[0].n = 0;
    if (o)
        out->list[0] = (struct order){o->order, NULL, o->tiers, o->n_order, ROUTE_BY_OVERRIDE};
    if (g) {
        enum route_placed by = ROUTE_BY_DISTANCE;
        if (g->source == GEO_LATENCY)
            by = ROUTE_BY_LATENCY;
        const uint8_t *map = NULL;
        if (!c->geo->same)
            map = c->geo->region;
        out->list[0] = (struct order){g->order, map, g->tiers, g->n, by};
    }
    out->list[1] =
        (struct order){t->routing_order, NULL, t->routing_tiers, t->n_regions, ROUTE_BY_ORDER};
}

// The tier that begins at *at, which then stands at the next.
static region_set tier_next(const struct order *o, size_t *at)
{
    region_set out = 0;
    do {
        uint8_t region;
        if (o->translate)
            region = o->translate[o->regions[*at]];
        else
            region = o->regions[*at];
        if (region != REGION_NONE)
            out |= (region_set)1 << region;
        ++*at;
    } while (*at < o->n && !(o->tiers >> *at & 1));
    return out;
}

// Has fe.D the stamp's name, as this node serves it? (Its new zone may not be signed yet.)
static bool is_published(const struct route_context *c, uint8_t region, uint8_t stamp)
{
    const struct catalogue *cat = c->topology->catalogue;
    const struct catalogue_labels *labels = &cat->regions[region].frontends[stamp];
    const struct zone_rr *rrs;
    uint8_t owner[DNS_NAME_MAX];
    if (!c->frontend)
        return true;
    memcpy(owner, labels->p, labels->n);
    memcpy(owner + labels->n, cat->apex, cat->apex_n);
    return zone_owner(c->frontend, owner, labels->n + cat->apex_n, &rrs) > 0;
}

uint8_t route_stamp_moving(const struct route_context *c, const struct catalogue_registry *r,
                           uint8_t region)
{
    const struct stamp_move *m = catalogue_move(r, region);
    uint8_t stamp = catalogue_stamp(r, region);
    if (!m || m->was == STAMP_GONE)
        return stamp;
    if (c->now_s >= m->since_s && is_published(c, region, stamp))
        return stamp;
    return m->was;
}

static uint8_t first_of(region_set s)
{
    return (uint8_t)__builtin_ctzll(s);
}

static uint8_t headroom_of(const struct route_context *c, uint8_t region, uint8_t stamp)
{
    if (c->map)
        return health_headroom(c->map, c->topology->catalogue->regions[region].first_stamp + stamp);
    const struct health_target *target = health_target_of(c->health, c->topology, region, stamp);
    if (target)
        return target->headroom;
    return HEALTH_HEADROOM_FULL;
}

struct deciding { // one decision under way
    const struct route_context *c;
    const struct catalogue_registry *r;
    const struct ip *client;
    // NULL: all 100
    const uint8_t *weights;
    // regions where global routing is on, drained or not
    region_set on;
    region_set seen;
    struct health_gate gate;
};

// What orders a region among those of its tier.
struct share {
    uint64_t cost;
    uint8_t weight, headroom;
};

static struct share share_of(const struct deciding *d, uint64_t key, uint8_t region)
{
    return (struct share){rendezvous_cost(key, d->c->topology->regions[region].name),
                          d->weights ? d->weights[region] : 100,
                          headroom_of(d->c, region, route_stamp(d->c, d->r, region))};
}

static uint64_t key_of(const struct deciding *d)
{
    return rendezvous_key(catalogue_label(d->r), d->r->label_n, d->client);
}

static enum route_state state_of(const struct deciding *d, region_set bit,
                                 const struct route_step *s)
{
    if (!(d->on & bit))
        return ROUTE_OFF;
    if (catalogue_staged(d->r) & bit)
        return ROUTE_STAGED;
    if (!(d->r->open & bit & ~d->gate.drained))
        return ROUTE_DRAINED;
    if (!s->up)
        return ROUTE_UNHEALTHY;
    if (d->gate.drilled & bit)
        return ROUTE_DRILLED;
    if (s->is_short)
        return ROUTE_SHORT;
    return ROUTE_OPEN;
}

static struct route_step step_of(const struct deciding *d, uint64_t key, uint8_t region)
{
    struct route_step s = {.region = region, .state = ROUTE_NO_REPLICA};
    region_set bit = (region_set)1 << region;
    if (!(d->r->replicas & bit))
        return s;
    struct share share = share_of(d, key, region);
    s.stamp = route_stamp(d->c, d->r, region);
    s.cost = share.cost;
    s.weight = share.weight;
    s.headroom = share.headroom;
    s.up = route_is_up(d->c, region, s.stamp) && !(d->gate.impaired & bit);
    s.is_short = route_is_short(d->c, region, s.stamp);
    s.state = state_of(d, bit, &s);
    return s;
}

// Within a tier: replicas by rendezvous, then regions without one.
static bool step_before(const struct route_step *a, const struct route_step *b)
{
    if ((a->state == ROUTE_NO_REPLICA) != (b->state == ROUTE_NO_REPLICA))
        return b->state == ROUTE_NO_REPLICA;
    return rendezvous_before(a->cost, (uint32_t)a->weight * a->headroom, b->cost,
                             (uint32_t)b->weight * b->headroom);
}

static void add_tier(const struct deciding *d, region_set tier, uint8_t number,
                     enum route_placed placed, struct route *out)
{
    uint64_t key = key_of(d);
    size_t begin = out->n_steps;
    for (; tier; tier &= tier - 1) {
        struct route_step s = step_of(d, key, first_of(tier));
        s.tier = number;
        s.placed = (uint8_t)placed;
        size_t at = out->n_steps++;
        for (; at > begin && step_before(&s, &out->steps[at - 1]); at--)
            out->steps[at] = out->steps[at - 1];
        out->steps[at] = s;
    }
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
        {ROUTE_OPEN, true, ROUTE_HEALTHY},        {ROUTE_SHORT, true, ROUTE_ALL_SHORT},
        {ROUTE_DRILLED, true, ROUTE_ALL_DRILLED}, {ROUTE_UNHEALTHY, false, ROUTE_FAIL_OPEN},
        {ROUTE_DRAINED, true, ROUTE_LAST},        {ROUTE_DRAINED, false, ROUTE_LAST},
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

// Do weights decide in a tier? Asked blind to health, so that scopes do not follow it.
static bool is_shared(const struct catalogue_registry *r, region_set tier)
{
    tier &= r->replicas;
    return tier & (tier - 1);
}

static bool weights_decide(const struct catalogue_registry *r, const struct route *out)
{
    region_set tier = 0;
    uint8_t number = 0;
    for (size_t i = 0; i < out->n_steps; i++) {
        const struct route_step *s = &out->steps[i];
        if (s->tier > out->steps[out->chosen].tier)
            break;
        if (s->tier != number)
            tier = 0;
        number = s->tier;
        tier |= (region_set)1 << s->region;
        if (is_shared(r, tier))
            return true;
    }
    return false;
}

void route_decide(const struct route_context *c, const struct catalogue_registry *r,
                  const struct route_client *client, struct route *out)
{
    const struct topology *t = c->topology;
    struct deciding d = {.c = c,
                         .r = r,
                         .client = &client->net.ip,
                         .weights = catalogue_weights(t->catalogue, r),
                         .on = catalogue_on(t->catalogue, r),
                         .gate = health_gate_of(c->map, c->health, t, r)};
    struct orders o;
    uint8_t number = 0;
    orders_of(c, &client->net.ip, &o);
    out->override_ = o.override_;
    out->ranking = o.ranking;
    out->n_steps = 0;
    out->chosen = 0;
    out->fail_open = false;
    for (size_t k = 0; k < ARRAY_LEN(o.list); k++)
        for (size_t at = 0; at < o.list[k].n;) {
            region_set tier = tier_next(&o.list[k], &at) & ~d.seen;
            d.seen |= tier;
            if (tier)
                add_tier(&d, tier, number++, o.list[k].placed, out);
        }
    choose(out);
    out->by_weight = weights_decide(r, out);
}

// Those of a tier that are open, up, and not short.
static region_set up_of(const struct deciding *d, region_set open)
{
    region_set out = 0;
    for (; open; open &= open - 1) {
        uint8_t region = first_of(open), stamp = route_stamp(d->c, d->r, region);
        if (route_is_up(d->c, region, stamp) && !route_is_short(d->c, region, stamp))
            out |= open & -open;
    }
    return out;
}

static uint8_t best_of(const struct deciding *d, region_set up)
{
    uint64_t key = key_of(d);
    uint8_t best = first_of(up);
    struct share x = share_of(d, key, best);
    for (up &= up - 1; up; up &= up - 1) {
        struct share y = share_of(d, key, first_of(up));
        if (!rendezvous_before(y.cost, (uint32_t)y.weight * y.headroom, x.cost,
                               (uint32_t)x.weight * x.headroom))
            continue;
        best = first_of(up);
        x = y;
    }
    return best;
}

static bool pick_up(struct deciding *d, region_set open, const struct order *o,
                    struct route_choice *out)
{
    for (size_t at = 0; at < o->n;) {
        region_set tier = tier_next(o, &at) & ~d->seen;
        d->seen |= tier;
        out->by_weight |= is_shared(d->r, tier);
        region_set up = up_of(d, tier & open);
        if (!up)
            continue;
        if (up & (up - 1)) {
            d->weights = catalogue_weights(d->c->topology->catalogue, d->r);
            up = (region_set)1 << best_of(d, up);
        }
        out->region = first_of(up);
        out->stamp = route_stamp(d->c, d->r, out->region);
        return true;
    }
    return false;
}

bool route_pick(const struct route_context *c, const struct catalogue_registry *r,
                const struct route_client *client, struct route_choice *out)
{
    struct deciding d = {.c = c, .r = r, .client = &client->net.ip};
    struct orders o;
    orders_of(c, &client->net.ip, &o);
    d.gate = health_gate_of(c->map, c->health, c->topology, r);
    region_set open = r->open & ~(d.gate.drained | d.gate.impaired | d.gate.drilled);
    out->mode = ROUTE_HEALTHY;
    out->by_weight = false;
    if (pick_up(&d, open, &o.list[0], out) || pick_up(&d, open, &o.list[1], out))
        return true;
    struct route all;
    route_decide(c, r, client, &all); // all short, fail-open, or all drained
    out->mode = all.mode;
    out->by_weight = all.by_weight;
    if (all.mode == ROUTE_NOWHERE)
        return false;
    out->region = all.steps[all.chosen].region;
    out->stamp = all.steps[all.chosen].stamp;
    return true;
}

uint8_t route_scope(const struct route_context *c, const struct route_client *client,
                    bool by_weight)
{
    const struct ip *ip = &client->net.ip;
    const struct catalogue *cat = c->topology->catalogue;
    bool v4 = ip_is_v4(ip);
    uint8_t bits = catalogue_override_depth(cat, ip);
    if (c->geo && c->geo->geo && !catalogue_override(cat, ip)) {
        uint8_t measured = prefix_map_depth(&c->geo->geo->map, ip);
        if (measured > bits)
            bits = measured;
    }
    uint8_t least = 0;
    if (by_weight) {
        if (v4)
            least = 96 + RENDEZVOUS_V4_BITS;
        else
            least = RENDEZVOUS_V6_BITS;
    }
    if (bits <= least)
        bits = least;
    if (!v4 || !bits)
        return bits;
    if (bits > 96) // not 0: some IPv6 networks have another answer
        return (uint8_t)(bits - 96);
    return 1;
}

const char *route_state_name(enum route_state s)
{
    static const char *const names[] = {"open",    "unhealthy", "drilled", "short",
                                        "drained", "off",       "staged",  "no_replica"};
    if ((size_t)s < ARRAY_LEN(names))
        return names[s];
    return "unknown";
}

const char *route_state_text(enum route_state s)
{
    static const char *const texts[] = {
        "healthy and takes global traffic",
        "down, or impaired for this registry",
        "taken out by a fault drill",
        "its disk is full up to its reserve: passed over while another healthy region has room",
        "drained by the operator",
        "global routing is off for this replica",
        "this replica's names are not in public DNS yet, or no more",
        "the registry has no replica there",
    };
    if ((size_t)s < ARRAY_LEN(texts))
        return texts[s];
    return "unknown";
}

const char *route_placed_name(enum route_placed p)
{
    static const char *const names[] = {"override", "latency", "distance", "order"};
    if ((size_t)p < ARRAY_LEN(names))
        return names[p];
    return "unknown";
}

const char *route_mode_name(enum route_mode m)
{
    static const char *const names[] = {"healthy",   "all_short",   "all_drilled",
                                        "fail_open", "all_drained", "nowhere"};
    if ((size_t)m < ARRAY_LEN(names))
        return names[m];
    return "unknown";
}
