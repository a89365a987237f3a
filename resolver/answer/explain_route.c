// SPDX-License-Identifier: Apache-2.0
// The routing decision told whole; see explain.h. On an admin's thread: it may read the files of
// measurements again, so that the table has their figures beside what was made of them.
#include "resolver/answer/explain_priv.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/route/geo_latency.h"
#include "resolver/route/geo_maxmind.h"
#include "resolver/route/geo_rank.h"
#include "resolver/route/route.h"

#include <stdio.h>
#include <string.h>

struct measured { // what the files say of the client's network
    // by region: "12.5 ms", "830 km"; "" not measured
    char text[TOPOLOGY_MAX_REGIONS][24];
};

// "198.51.100.0/24" around the address, as far as the latency file has it; rows by region in *m.
static json_t *latency_json(const struct explain_query *q, const struct ip *ip, struct measured *m)
{
    const char *path = q->topology->routing.latency_file;
    struct geo_latencies l = {0};
    const struct geo_latency *best = NULL;
    char net[CIDR_TEXT_SIZE] = "";
    if (path && geo_latency_load(path, q->topology, NULL, &l))
        l.n = 0; // changed since it was compiled, and not for the better
    for (size_t i = 0; i < l.n; i++)
        if (cidr_contains(&l.rows[i].net, ip) && (!best || l.rows[i].net.bits > best->net.bits))
            best = &l.rows[i];
    for (const struct geo_latency *x = best;
         x && x < l.rows + l.n && !memcmp(&x->net, &best->net, sizeof x->net); x++)
        snprintf(m->text[x->region], sizeof m->text[0], "%g ms", x->us / 1000.0);
    json_t *j =
        json_pack("{s:s, s:s*, s:s*, s:i}", "kind", "latency", "file", path, "clients",
                  best ? cidr_format(&best->net, net) : NULL, "line", best ? (int)best->line : 0);
    geo_latencies_done(&l);
    return j;
}

static json_t *distance_json(const struct explain_query *q, const struct ip *ip, struct measured *m)
{
    const struct topology *t = q->topology;
    struct geo_maxmind *db = NULL;
    struct geo_place place;
    char net[CIDR_TEXT_SIZE], where[48];
    AUTO_FREE struct geo_globe *globe = mem_alloc(sizeof *globe);
    const char *path = t->routing.maxmind_file;
    bool found =
        globe && path && !geo_maxmind_open(path, NULL, &db) && !geo_maxmind_find(db, ip, &place);
    json_int_t built = 0;
    if (db)
        built = (json_int_t)geo_maxmind_built_s(db);
    geo_maxmind_close(db);
    if (!found)
        return json_pack("{s:s, s:s*}", "kind", "distance", "file", path);
    geo_globe_init(globe);
    struct geo_point here = geo_point_at(place.latitude, place.longitude);
    for (size_t i = 0; i < t->n_regions; i++) {
        struct geo_point there = geo_point_at(t->regions[i].latitude, t->regions[i].longitude);
        if (t->regions[i].has_location)
            snprintf(m->text[i], sizeof m->text[0], "%u km", geo_km(globe, &here, &there));
    }
    snprintf(where, sizeof where, "%.4f, %.4f", place.latitude / 1e4, place.longitude / 1e4);
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "kind", "distance", "file", path, "clients",
                     cidr_format(&place.net, net), "location", where, "built", built);
}

static json_t *rule_json(const struct explain_query *q, const struct route *r, const struct ip *ip,
                         struct measured *m)
{
    char text[CIDR_TEXT_SIZE];
    if (r->override_)
        return json_pack("{s:s, s:s, s:i}", "kind", "override", "clients",
                         cidr_format(&r->override_->cidr, text), "line", r->override_->line);
    if (r->ranking) {
        if (r->ranking->source == GEO_LATENCY)
            return latency_json(q, ip, m);
        return distance_json(q, ip, m);
    }
    return json_pack("{s:s}", "kind", "order");
}

// What orders within a tier, lower before higher; null for weight or headroom 0, which come last.
static json_t *score_json(const struct route_step *s)
{
    double share = s->weight / 100.0 * s->headroom / HEALTH_HEADROOM_FULL;
    if (share > 0)
        return json_real((double)(int64_t)((double)s->cost / 4294967296.0 / share * 10000) / 10000);
    return json_null();
}

static bool topology_drains(const struct explain_query *q, const struct catalogue_registry *reg,
                            uint8_t region)
{
    region_set bit = (region_set)1 << region, on = catalogue_on(q->topology->catalogue, reg);
    return on & bit & ~reg->open & ~catalogue_staged(reg);
}

// Why a region is in that state, by its own name: what operators ordered goes before what probes
// say.
static void step_reason(const struct explain_query *q, const struct catalogue_registry *reg,
                        const char *label, const struct route_step *s,
                        const struct health_target *target, char *out, size_t cap)
{
    const struct topology *t = q->topology;
    char orders[512] = "";
    bool forced_down = target && target->force == HEALTH_FORCE_DOWN;
    struct health_gate gate = health_gate_of(NULL, q->health, t, reg);
    if (q->checker)
        health_orders_text(q->checker, t->regions[s->region].name, label, orders, sizeof orders);
    else if (gate.drained >> s->region & 1)
        snprintf(orders, sizeof orders, "drained by an operator");
    else if (forced_down || (target && target->force == HEALTH_FORCE_UP))
        snprintf(orders, sizeof orders, "forced %s by an operator", forced_down ? "down" : "up");
    const char *first = route_state_text(s->state);
    if (s->state == ROUTE_DRAINED) {
        if (topology_drains(q, reg, s->region))
            first = "drained in the topology";
        else
            first = "";
    } else if ((s->state == ROUTE_UNHEALTHY && forced_down) ||
               (s->state == ROUTE_DRILLED && q->checker))
        first = "";
    else if (s->state == ROUTE_UNHEALTHY) {
        if (gate.impaired >> s->region & 1)
            first = "impaired for this registry";
        else
            first = "down";
    }
    snprintf(out, cap, "%s%s%s", first, *first && *orders ? "; " : "", orders);
}

static json_t *step_json(const struct explain_query *q, const struct catalogue_registry *reg,
                         const char *label, const struct route *r, size_t i,
                         const struct measured *m)
{
    const struct route_step *s = &r->steps[i];
    const struct region *region = &q->topology->regions[s->region];
    bool chosen = r->mode != ROUTE_NOWHERE && r->chosen == i,
         replica = s->state != ROUTE_NO_REPLICA;
    const struct health_target *target = NULL;
    if (replica)
        target = health_target_of(q->health, q->topology, s->region, s->stamp);
    const char *figure = m->text[s->region];
    char reason[768];
    step_reason(q, reg, label, s, target, reason, sizeof reason);
    json_t *j =
        json_pack("{s:s, s:s?, s:i, s:s, s:s*, s:s, s:s, s:b, s:b, s:b}", "region", region->name,
                  "stamp", replica ? region->stamps[s->stamp].name : NULL, "tier", s->tier + 1,
                  "placedBy", route_placed_name((enum route_placed)s->placed), "measured",
                  *figure ? figure : NULL, "state", route_state_name(s->state), "reason", reason,
                  "up", (int)s->up, "short", (int)s->is_short, "chosen", (int)chosen);
    if (!j || !replica)
        return j;
    int rc =
        json_object_set_new(j, "weight", json_integer(s->weight)) |
        json_object_set_new(j, "headroom", json_integer(s->headroom * 100 / HEALTH_HEADROOM_FULL)) |
        json_object_set_new(j, "score", score_json(s));
    if (q->checker) {
        json_t *count = health_count_json(q->checker, region->name, region->stamps[s->stamp].name);
        if (count)
            rc |= json_object_set_new(j, "count", count);
    }
    if (target && *target->votes)
        rc |= json_object_set_new(j, "votes", json_string(target->votes));
    if (target && *target->reason)
        rc |= json_object_set_new(j, "probe", json_string(target->reason));
    if (!rc)
        return j;
    json_decref(j);
    return NULL;
}

// Whose network decided, and the widest prefix for which all that is blind to health would be the
// same.
static json_t *network_json(const struct route_context *c, const struct route_client *client,
                            bool by_weight)
{
    char text[CIDR_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:i, s:b}", "prefix", cidr_format(&client->net, text), "via",
                     client->by_ecs ? "ecs" : "source", "scope",
                     (int)route_scope(c, client, by_weight), "byWeight", (int)by_weight);
}

static json_t *steps_json(const struct explain_query *q, const struct catalogue_registry *reg,
                          const char *label, const struct route *r, const struct measured *m)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < r->n_steps; i++)
        if (json_array_append_new(steps, step_json(q, reg, label, r, i, m))) {
            json_decref(steps);
            return NULL;
        }
    return steps;
}

json_t *explain_routing(const struct explain_query *q, const struct hostname *h,
                        const struct view *view, const struct geo_view *geo)
{
    const struct topology *t = q->topology;
    bool global = hostname_public_of(h->kind) == NAME_GLOBAL || h->kind == NAME_ROUTE;
    const struct catalogue_registry *reg = NULL;
    if (global)
        reg = catalogue_find(t->catalogue, h->label, strlen(h->label));
    struct route_context c = {.topology = t,
                              .health = q->health,
                              .geo = geo,
                              .now_s = clock_wall_ms() / 1000,
                              .frontend = q->frontend};
    struct route_client client = client_of_source(&q->client);
    struct route r;
    if (!reg)
        return json_null();
    if (q->subnet && !view)
        client = client_of_subnet(t, q->subnet, ip_is_v4(&q->subnet->ip), &q->client);
    AUTO_FREE struct measured *m = mem_zalloc(sizeof *m);
    if (!m)
        return NULL;
    route_decide(&c, reg, &client, &r);
    json_t *rule = rule_json(q, &r, &client.net.ip, m); // fills *m
    return json_pack("{s:o, s:o, s:s, s:b, s:s?, s:s*, s:o}", "network",
                     network_json(&c, &client, r.by_weight), "rule", rule, "mode",
                     route_mode_name(r.mode), "failOpen", (int)r.fail_open, "chosen",
                     r.mode == ROUTE_NOWHERE ? NULL : t->regions[r.steps[r.chosen].region].name,
                     "filesRefused", q->geo_error && *q->geo_error ? q->geo_error : NULL, "regions",
                     steps_json(q, reg, h->label, &r, m));
}

// ---- moves ----

static json_t *move_json(const struct route_context *c, const struct catalogue_registry *r,
                         const struct stamp_move *m)
{
    const struct region *region = &c->topology->regions[m->region];
    uint8_t leads = route_stamp(c, r, m->region);
    const char *to = region->stamps[catalogue_stamp(r, m->region)].name;
    const char *was = NULL;
    if (m->was != STAMP_GONE)
        was = region->stamps[m->was].name;
    char since[CLOCK_TEXT_SIZE];
    bool early = c->now_s < m->since_s, held = !early && m->was != STAMP_GONE && leads == m->was;
    const char *why = "names lead to the new stamp";
    if (early)
        why = "its time has not come: resolvers may still remember that the new stamp's name was "
              "denied";
    if (held)
        why = "this node's own fe.D has not got the new stamp's name";
    return json_pack("{s:s, s:s?, s:s, s:s, s:s, s:s}", "region", region->name, "was", was, "stamp",
                     to, "since", clock_format_s(m->since_s, since), "leadsTo",
                     region->stamps[leads].name, "reason", why);
}

json_t *explain_moves(const struct explain_query *q, const struct hostname *h)
{
    const struct topology *t = q->topology;
    const struct catalogue_registry *r = NULL;
    if (*h->label)
        r = catalogue_find(t->catalogue, h->label, strlen(h->label));
    struct route_context c = {
        .topology = t, .now_s = clock_wall_ms() / 1000, .frontend = q->frontend};
    json_t *list = NULL;
    if (r && r->flags & CATALOGUE_MOVES)
        list = json_array();
    for (region_set left = list ? r->replicas : 0; left; left &= left - 1) {
        uint8_t region = (uint8_t)__builtin_ctzll(left);
        const struct stamp_move *m = catalogue_move(r, region);
        bool meant = !*h->region || !strcmp(t->regions[region].name, h->region);
        if (m && meant && json_array_append_new(list, move_json(&c, r, m))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
