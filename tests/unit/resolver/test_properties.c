// SPDX-License-Identifier: Apache-2.0
// resolver/route, answer, client, geo, explain: what must hold in any world (world.h), from packet
// to packet. MERIDIAN_SEED=N begins with world N, MERIDIAN_WORLDS=N makes so many; a failure names
// its world.
#include "base/log.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "resolver/answer/answer.h"
#include "resolver/answer/explain.h"
#include "resolver/route/route.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"
#include "tests/unit/resolver/world.h"

#include <jansson.h>
#include <string.h>

#define NOW_S 1800000000 // some replicas have moved to another stamp before, and some will after

#define rnd world_rnd
#define NOBODY (-1)

static uint32_t seed; // of the world at hand

#define MUST(c, fmt, ...) ck_assert_msg(c, "world %u: " fmt, seed, __VA_ARGS__)

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

// Runs `check` in many worlds, with several verdicts in each.
static void in_many_worlds(void (*check)(struct world *w, const struct registry *r))
{
    static struct world w;
    unsigned first = number_of("MERIDIAN_SEED", 1), n = number_of("MERIDIAN_WORLDS", 24);
    log_setup(LOG_ERROR, "test"); // rows of lost regions are no news here
    for (seed = first; seed < first + n; seed++) {
        world_seed(seed);
        world_make(&w);
        for (int k = 0; k < 4; k++) {
            struct catalogue_iter it = {0};
            world_verdicts(&w);
            for (const struct registry *r; (r = topology_next(w.t, &it));)
                check(&w, r);
        }
        world_done(&w);
    }
}

// ---- a client, and what it is told ----

struct client {
    struct ip source;
    struct cidr subnet;
    bool ecs;
};

struct told {
    // that the answer's address is of, or NOBODY
    int region;
    int rcode;
    bool ecs;
    uint8_t scope;
    char txt[512];
};

static struct client random_client(void)
{
    struct client c = {.source = world_ip(), .ecs = rnd(3)};
    c.subnet = rnd(3) ? world_net() : world_cut(&c.source, ip_is_v4(&c.source) ? 96 + 24 : 56);
    if (!client_subnet_sane(&c.subnet, ip_is_v4(&c.subnet.ip)))
        c.ecs = false;
    return c; // private networks, which may count too: check_scope
}

static const char *text_of(const struct client *c)
{
    static char out[128];
    char a[IP_TEXT_SIZE], b[CIDR_TEXT_SIZE];
    snprintf(out, sizeof out, "%s%s%s", ip_format(&c->source, a), c->ecs ? " for " : "",
             c->ecs ? cidr_format(&c->subnet, b) : "");
    return out;
}

static void read_subnet(const ldns_pkt *pkt, struct told *out)
{
    ldns_rdf *edns = ldns_pkt_edns_data(pkt);
    for (size_t at = 0; edns && at + 4 <= ldns_rdf_size(edns);) {
        const uint8_t *p = ldns_rdf_data(edns) + at;
        if (p[1] == 8) {
            out->ecs = true;
            out->scope = p[7];
        }
        at += 4u + (size_t)(p[2] << 8 | p[3]);
    }
}

static struct told ask_with(const struct world *w, bool map, const struct client *c,
                            enum name_kind kind, const char *label, const char *region)
{
    static uint8_t out[ANSWER_TCP_MAX];
    struct answer_context a = {.topology = w->t,
                               .health = w->verdicts,
                               .geo = &w->view,
                               .source = c->source,
                               .now_s = NOW_S};
    uint8_t q[512];
    char name[HOSTNAME_TEXT_SIZE];
    struct answer_info info;
    struct told told = {.region = NOBODY};
    ldns_pkt *pkt = NULL;
    a.health_map = map ? &w->map : NULL;
    a.transport = kind == NAME_ROUTE ? ANSWER_TCP : ANSWER_UDP;
    ck_assert_int_eq(hostname_format(kind, w->t->domain, label, region, NULL, name), 0);
    size_t n = fixture_query(q, name, kind == NAME_ROUTE ? T_TXT : T_A, 1232);
    if (c->ecs)
        n = fixture_add_subnet(q, n, &c->subnet);
    n = answer_packet(&a, q, n, out, sizeof out, &info);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, out, n), LDNS_STATUS_OK);
    told.rcode = info.rcode;
    read_subnet(pkt, &told);
    for (size_t i = 0; i < ldns_pkt_ancount(pkt); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), i);
        const uint8_t *p = ldns_rdf_data(ldns_rr_rdf(rr, 0));
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A)
            told.region = p[1];
        for (size_t k = 0; ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT && k < ldns_rr_rd_count(rr);
             k++) {
            p = ldns_rdf_data(ldns_rr_rdf(rr, k));
            snprintf(told.txt + strlen(told.txt), sizeof told.txt - strlen(told.txt), "%.*s", p[0],
                     (const char *)p + 1);
        }
    }
    ldns_pkt_free(pkt);
    return told;
}

static struct told ask(const struct world *w, const struct client *c, const struct registry *r)
{
    return ask_with(w, rnd(2), c, NAME_GLOBAL, r->label, NULL);
}

// ---- 1: the region is one that may take the client ----

static region_set exceptions_of(const struct world *w, const struct registry *r,
                                enum health_exception_kind kind)
{
    region_set out = 0;
    for (size_t i = 0; w->verdicts && i < w->verdicts->n_exceptions; i++) {
        const struct health_exception *e = &w->exceptions[i];
        const struct region *region = topology_region(w->t, e->region);
        if (region && e->kind == kind && (!*e->label || !strcmp(e->label, r->label)))
            out |= (region_set)1 << region->index;
    }
    return out;
}

// The stamp that names of the replica lead to, by the document alone.
static uint8_t stamp_of(const struct world *w, const struct registry *r, uint8_t region)
{
    const struct stamp *s = registry_stamp_at(w->t, r, region, NOW_S);
    return s ? s->index : 0;
}

// The regions that a client may be sent to, by the document and the verdicts alone: on, not
// drained, up, not out by a drill and not short; failing that short; failing that out by a drill; failing
// that on and not drained; failing that on, and up if any of them is.
static region_set allowed(const struct world *w, const struct registry *r)
{
    region_set drained = exceptions_of(w, r, HEALTH_DRAINED),
               impaired = exceptions_of(w, r, HEALTH_IMPAIRED),
               drilled = exceptions_of(w, r, HEALTH_DRILLED);
    region_set on = 0, open = 0, up = 0, room = 0;
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *x = &r->replicas[i];
        region_set bit = (region_set)1 << x->region;
        on |= x->global_routing ? bit : 0;
        open |= x->global_routing && !x->drained && !(drained & bit) ? bit : 0;
        uint8_t stamp = stamp_of(w, r, x->region);
        if (health_is_up(w->verdicts, w->t, x->region, stamp) && !(impaired & bit))
            up |= bit;
        if (!health_is_short(w->verdicts, w->t, x->region, stamp))
            room |= bit;
    }
    if (open & up & room & ~drilled)
        return open & up & room & ~drilled;
    if (open & up & ~drilled)
        return open & up & ~drilled;
    if (open)
        return open & up ? open & up : open;
    return on & up ? on & up : on;
}

static void check_allowed(struct world *w, const struct registry *r)
{
    region_set may = allowed(w, r);
    for (int i = 0; i < 12; i++) {
        struct client c = random_client();
        struct told a = ask(w, &c, r);
        MUST(a.rcode == 0 && a.region != NOBODY && may >> a.region & 1, "%s of %s is sent to %d",
             r->label, text_of(&c), a.region);
        MUST(a.ecs == c.ecs, "%s", text_of(&c));
    }
}

START_TEST(the_answer_is_an_allowed_region)
{
    in_many_worlds(check_allowed);
}
END_TEST

// ---- 2: a regional name is that region's ----

static void check_regional(struct world *w, const struct registry *r)
{
    const struct ip corp = fixture_ip("10.9.1.2");
    for (size_t i = 0; i < w->t->n_regions; i++) {
        struct client c = random_client();
        bool inside = w->t->n_views && rnd(2);
        if (inside)
            c.source = corp;
        for (int k = 0; k < 4; k++) {
            static const enum name_kind kinds[] = {NAME_REGIONAL, NAME_DATA, NAME_REGIONAL_PRIVATE,
                                                   NAME_DATA_PRIVATE};
            bool there = registry_replica(r, (uint8_t)i) &&
                         registry_offers(r, hostname_public_of(kinds[k])) &&
                         (k < 2 || r->n_private_endpoints);
            struct told a = ask_with(w, rnd(2), &c, kinds[k], r->label, w->t->regions[i].name);
            bool ours = a.region == (int)i || (inside && k % 2 == 0 && a.region == (int)i + 100);
            MUST(a.rcode == (there ? 0 : 3), "%s in %zu: rcode %d", r->label, i, a.rcode);
            MUST(there ? ours : a.region == NOBODY, "%s in %zu for %s leads to %d", r->label, i,
                 text_of(&c), a.region);
            MUST(a.scope == 0, "%s in %zu: scope %u", r->label, i, a.scope);
        }
    }
}

START_TEST(a_regional_name_never_leads_to_another_region)
{
    in_many_worlds(check_regional);
}
END_TEST

// ---- 3: what a cache keeps for a scope holds for all clients in it ----

static bool counts(const struct world *w, const struct cidr *net)
{
    const struct ip nobody = fixture_ip("192.0.2.1");
    return client_of_subnet(w->t, net, ip_is_v4(&net->ip), &nobody).by_ecs;
}

static void check_inside(struct world *w, const struct registry *r, const struct client *first,
                         const struct told *a)
{
    for (int k = 0; k < 6; k++) {
        struct client c = {.source = world_ip(), .ecs = true};
        // a scope of 0 speaks for both families
        struct ip ip = a->scope ? first->subnet.ip : world_ip();
        bool v4 = ip_is_v4(&ip);
        struct cidr scope = world_cut(&ip, (uint8_t)(a->scope + (v4 ? 96 : 0)));
        ip = world_ip_in(&scope);
        c.subnet = world_cut(&ip, (uint8_t)(scope.bits + rnd(129u - scope.bits)));
        if (!counts(w, &c.subnet))
            continue;
        struct told b = ask(w, &c, r);
        MUST(a->region == b.region, "%s, scope %u, region %d, but %s has region %d", text_of(first),
             a->scope, a->region, text_of(&c), b.region);
        MUST(a->scope == b.scope, "scope %u, but %u for %s inside it", a->scope, b.scope,
             text_of(&c));
        c = (struct client){.source = ip};
        b = ask(w, &c, r);
        MUST(a->region == b.region, "scope %u, region %d, but %s has region %d", a->scope,
             a->region, text_of(&c), b.region);
    }
}

// A subnet that does not count, in a world whose overrides name others: nobody in the scope counts
// either, and all have the same answer behind one source.
static void check_passed_over(struct world *w, const struct registry *r, const struct client *first,
                              const struct told *a)
{
    for (int k = 0; k < 6; k++) {
        struct client c = *first;
        struct cidr scope =
            world_cut(&c.subnet.ip, (uint8_t)(a->scope + (ip_is_v4(&c.subnet.ip) ? 96 : 0)));
        struct ip ip = world_ip_in(&scope);
        c.subnet = world_cut(&ip, (uint8_t)(scope.bits + rnd(129u - scope.bits)));
        struct told b = ask(w, &c, r);
        MUST(!counts(w, &c.subnet), "%s in the scope of %s counts", text_of(&c), text_of(first));
        MUST(a->region == b.region && a->scope == b.scope, "%s: region %d, scope %u", text_of(&c),
             b.region, b.scope);
    }
}

static void check_scope(struct world *w, const struct registry *r)
{
    for (int i = 0; i < 12; i++) {
        struct client c = random_client();
        c.ecs = true;
        struct told a = ask(w, &c, r);
        if (counts(w, &c.subnet))
            check_inside(w, r, &c, &a);
        else if (a.scope)
            check_passed_over(w, r, &c, &a);
    }
}

START_TEST(all_clients_in_a_scope_have_its_answer)
{
    in_many_worlds(check_scope);
}
END_TEST

// ---- 4: a change in one region moves only the clients that were there ----

#define MOVERS 24

static void change(struct world *w, const struct registry *r, uint8_t region, bool *out_worse,
                   bool *out_better)
{
    struct health_target *x =
        (struct health_target *)health_target_of(w->verdicts, w->t, region, stamp_of(w, r, region));
    struct health_exception *e = &w->exceptions[w->verdicts->n_exceptions];
    uint8_t headroom = x->headroom;
    switch (rnd(5)) {
    case 4:
        x->is_short = !x->is_short;
        *out_worse = x->is_short;
        *out_better = !x->is_short;
        break;
    case 0:
        x->up = !health_target_up(x);
        x->force = HEALTH_AUTO;
        *out_worse = !x->up;
        *out_better = x->up;
        break;
    case 1:
        x->headroom = (uint8_t)rnd(HEALTH_HEADROOM_FULL + 1);
        *out_worse = x->headroom < headroom;
        *out_better = x->headroom > headroom;
        break;
    default:
        *e = (struct health_exception){.kind = (enum health_exception_kind)rnd(HEALTH_FORCED)};
        snprintf(e->region, sizeof e->region, "%s", w->t->regions[region].name);
        snprintf(e->label, sizeof e->label, "%s", rnd(2) ? r->label : "");
        w->verdicts->n_exceptions++;
        *out_worse = true;
        *out_better = false;
    }
    world_map(w);
}

static void check_moves(struct world *w, const struct registry *r)
{
    struct client clients[MOVERS];
    int before[MOVERS];
    bool worse, better;
    uint8_t region = (uint8_t)rnd((uint32_t)w->t->n_regions);
    if (!w->verdicts || w->verdicts->n_exceptions == WORLD_EXCEPTIONS)
        return;
    for (size_t i = 0; i < MOVERS; i++) {
        clients[i] = random_client();
        before[i] = ask(w, &clients[i], r).region;
    }
    change(w, r, region, &worse, &better);
    for (size_t i = 0; i < MOVERS; i++) {
        int after = ask(w, &clients[i], r).region;
        MUST(after == before[i] || (worse && before[i] == region) || (better && after == region),
             "%s of %s goes from %d to %d when %d became %s", r->label, text_of(&clients[i]),
             before[i], after, region,
             worse    ? "worse"
             : better ? "better"
                      : "what it was");
    }
}

START_TEST(a_change_in_one_region_moves_its_own_clients_only)
{
    in_many_worlds(check_moves);
}
END_TEST

// ---- 5: all who decide, decide the same ----

// "12.5 ms", "830 km"; -1: not measured.
static double measured(const json_t *step)
{
    const char *text = json_string_value(json_object_get(step, "measured"));
    return text ? atof(text) : -1;
}

// Nothing nearer was passed over: of those allowed, the chosen one is of the first tier; and by the
// figures, which the explanation takes from the files anew, no other is nearer by more than the
// margin.
static void check_nearest(const struct world *w, const json_t *routing, region_set may,
                          const struct client *c)
{
    const json_t *steps = json_object_get(routing, "regions"), *step, *to = NULL;
    const char *kind = json_string_value(json_object_get(json_object_get(routing, "rule"), "kind"));
    double margin = !strcmp(kind, "latency") ? w->t->routing.latency_margin_ms
                                             : w->t->routing.distance_margin_km;
    size_t i;
    json_array_foreach(steps, i, step) if (json_is_true(json_object_get(step, "chosen"))) to = step;
    MUST(to, "none chosen for %s", text_of(c));
    json_array_foreach(steps, i, step)
    {
        const char *name = json_string_value(json_object_get(step, "region"));
        if (!(may >> topology_region(w->t, name)->index & 1))
            continue;
        MUST(json_integer_value(json_object_get(step, "tier")) >=
                 json_integer_value(json_object_get(to, "tier")),
             "%s: %s is of an earlier tier", text_of(c), name);
        if ((strcmp(kind, "latency") != 0 && strcmp(kind, "distance") != 0) || w->lost ||
            measured(step) < 0)
            continue;
        MUST(measured(to) >= 0 && measured(to) <= measured(step) + margin,
             "%s: %s is nearer, %f to %f", text_of(c), name, measured(step), measured(to));
    }
}

static void check_explained(const struct world *w, const struct registry *r, const struct client *c,
                            const struct told *a)
{
    char name[HOSTNAME_TEXT_SIZE];
    ck_assert_int_eq(hostname_format(NAME_GLOBAL, w->t->domain, r->label, NULL, NULL, name), 0);
    const struct explain_query q = {.topology = w->t,
                                    .health = w->verdicts,
                                    .geo = w->geo,
                                    .name = name,
                                    .client = c->source,
                                    .subnet = c->ecs ? &c->subnet : NULL};
    json_t *j = dns_explain_json(&q), *routing = json_object_get(j, "routing");
    const char *chosen = json_string_value(json_object_get(routing, "chosen"));
    json_int_t scope =
        json_integer_value(json_object_get(json_object_get(routing, "network"), "scope"));
    MUST(chosen && !strcmp(chosen, w->t->regions[a->region].name),
         "%s is sent to %d, explained as %s", text_of(c), a->region, chosen ? chosen : "none");
    check_nearest(w, routing, allowed(w, r), c);
    MUST(!c->ecs || scope == a->scope, "%s: scope %u, explained as %d", text_of(c), a->scope,
         (int)scope);
    json_decref(j);
}

static void check_deciders(struct world *w, const struct registry *r)
{
    for (int i = 0; i < 8; i++) {
        struct client c = random_client();
        const struct catalogue_registry *packed =
            catalogue_find(w->t->catalogue, r->label, strlen(r->label));
        struct route_client client =
            c.ecs ? (struct route_client){c.subnet, true} : client_of_source(&c.source);
        struct route_context x = {
            .topology = w->t, .health = w->verdicts, .geo = &w->view, .now_s = NOW_S};
        struct route_choice to = {0};
        struct route all;
        for (int map = 0; map < 2; map++) {
            x.map = map ? &w->map : NULL;
            route_decide(&x, packed, &client, &all);
            bool any = route_pick(&x, packed, &client, &to);
            const struct route_step *s = &all.steps[all.chosen];
            MUST(any && all.mode == to.mode && s->region == to.region && s->stamp == to.stamp &&
                     all.by_weight == to.by_weight,
                 "%s: picked %u, decided %u", text_of(&c), to.region, s->region);
            MUST(all.n_steps == w->t->n_regions, "%zu of %zu regions have a place", all.n_steps,
                 w->t->n_regions);
        }
        struct told a = ask_with(w, true, &c, NAME_GLOBAL, r->label, NULL);
        struct told b = ask_with(w, false, &c, NAME_GLOBAL, r->label, NULL);
        struct told txt = ask_with(w, rnd(2), &c, NAME_ROUTE, r->label, NULL);
        char want[64];
        snprintf(want, sizeof want, "region=%s reason=%s ", w->t->regions[a.region].name,
                 route_mode_name(all.mode));
        MUST(a.region == to.region && b.region == to.region && a.scope == b.scope, "%s: %d, %d, %u",
             text_of(&c), a.region, b.region, to.region);
        MUST(!strncmp(txt.txt, want, strlen(want)) && txt.scope == a.scope, "%s: %s, not %s",
             text_of(&c), txt.txt, want);
        if (i < 3)
            check_explained(w, r, &c, &a);
    }
}

START_TEST(answer_route_record_and_explanation_agree)
{
    in_many_worlds(check_deciders);
}
END_TEST

CHECK_MAIN("resolver/properties", the_answer_is_an_allowed_region,
           a_regional_name_never_leads_to_another_region, all_clients_in_a_scope_have_its_answer,
           a_change_in_one_region_moves_its_own_clients_only,
           answer_route_record_and_explanation_agree)
