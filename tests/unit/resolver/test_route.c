// SPDX-License-Identifier: Apache-2.0
// resolver/route: the order, the choice, and what must hold whatever the topology, the verdicts and the client.
#include "resolver/route.h"

#include "base/bytes.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

struct row {
    const char *registry, *client;
    region_set down; // bit 0 eastus, 1 westeurope, 2 southeastasia
    const char *chosen;
    enum route_mode mode;
    bool fail_open;
    const char *order; // initials
};

static const struct row rows[] = {
    {"contoso", "192.0.2.9", 0, "eastus", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 1, "westeurope", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 3, "southeastasia", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 7, "eastus", ROUTE_FAIL_OPEN, true, "ews"},
    {"contoso", "198.51.100.1", 0, "westeurope", ROUTE_HEALTHY, false, "wes"},
    {"contoso", "198.51.100.1", 2, "eastus", ROUTE_HEALTHY, false, "wes"},
    {"contoso", "198.51.100.1", 7, "westeurope", ROUTE_FAIL_OPEN, true, "wes"},
    {"contoso", "198.51.100.200", 0, "southeastasia", ROUTE_HEALTHY, false, "swe"}, // the longer prefix
    {"contoso", "198.51.100.200", 4, "westeurope", ROUTE_HEALTHY, false, "swe"},
    {"contoso", "2001:db8:9::1", 0, "eastus", ROUTE_HEALTHY, false, "ews"},
    {"fabrikam", "198.51.100.200", 0, "westeurope", ROUTE_HEALTHY, false, "swe"},           // no replica in the first
    {"hashed-abcdefgh01234567", "192.0.2.9", 0, "westeurope", ROUTE_HEALTHY, false, "ews"}, // eastus drained
    {"hashed-abcdefgh01234567", "192.0.2.9", 2, "westeurope", ROUTE_FAIL_OPEN, true,
     "ews"}, // not the drained, not the one off
    {"hashed-abcdefgh01234567", "198.51.100.200", 0, "westeurope", ROUTE_HEALTHY, false, "swe"}, // southeastasia is off
    {"drained", "192.0.2.9", 0, "eastus", ROUTE_LAST, false, "ews"},
    {"drained", "192.0.2.9", 1, "westeurope", ROUTE_LAST, false, "ews"},
    {"drained", "192.0.2.9", 3, "eastus", ROUTE_LAST, true, "ews"},
};

static const struct catalogue_registry *find(const struct topology *t, const char *label)
{
    const struct catalogue_registry *r = catalogue_find(t->catalogue, label, strlen(label));
    ck_assert_msg(r, "%s", label);
    return r;
}

static struct route_client client_at(const char *ip)
{
    struct ip source = fixture_ip(ip);
    return client_of_source(&source);
}

START_TEST(table)
{
    struct topology *t = fixture_topology();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *x = &rows[i];
        struct health_verdicts *v = fixture_verdicts(t, x->down);
        struct route_client client = client_at(x->client);
        struct route_context c = {.topology = t, .health = v};
        struct route r;
        route_decide(&c, find(t, x->registry), &client, &r);
        ck_assert_msg(r.mode == x->mode && r.fail_open == x->fail_open, "row %zu: %s", i, route_mode_name(r.mode));
        ck_assert_str_eq(t->regions[r.steps[r.chosen].region].name, x->chosen);
        ck_assert_uint_eq(r.n_steps, t->n_regions);
        for (size_t k = 0; k < r.n_steps; k++)
            ck_assert_msg(t->regions[r.steps[k].region].name[0] == x->order[k], "row %zu, place %zu", i, k);
        snapshot_unref(v);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(without_verdicts_all_are_up)
{
    struct topology *t = fixture_topology();
    struct route_client client = client_at("192.0.2.9");
    struct route_context c = {.topology = t};
    struct route r;
    route_decide(&c, find(t, "contoso"), &client, &r);
    ck_assert_int_eq(r.mode, ROUTE_HEALTHY);
    snapshot_unref(t);
}
END_TEST

START_TEST(verdicts_of_another_topology_are_found_by_name)
{
    struct topology *t = fixture_topology();
    struct health_verdicts *v = fixture_verdicts(t, 2);
    struct health_target *list = (struct health_target *)v->targets;
    struct health_target last = list[v->n_targets - 1]; // turn the list round
    memmove(list + 1, list, (v->n_targets - 1) * sizeof *list);
    list[0] = last;
    ck_assert(health_is_up(v, t, 0, 0) && health_is_up(v, t, 0, 1) && !health_is_up(v, t, 1, 0) &&
              health_is_up(v, t, 2, 0));
    v->n_targets = 0;
    ck_assert(health_is_up(v, t, 1, 0)); // unknown
    list[0].force = HEALTH_FORCE_DOWN;
    v->n_targets = 1;
    ck_assert(!health_is_up(v, t, 2, 0));
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

static uint32_t seed = 20261123;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

// Region i has the addresses 10.<i>.x.y; registry "regaa<j>".
static struct topology *random_topology(unsigned n_regions, unsigned n_registries)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    buf_str(&b, "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n");
    for (unsigned i = 0; i < n_regions; i++)
        buf_printf(&b,
                   "  - name: r%u\n    peer: 10.%u.0.1:8443\n    stamps:\n      - { name: a, ipv4: [10.%u.0.1] }\n     "
                   " - { name: b, ipv4: [10.%u.0.2] }\n",
                   i, i, i, i);
    buf_str(&b, "name_servers: [a.r0]\nregistries:\n");
    for (unsigned j = 0; j < n_registries; j++) {
        buf_printf(&b, "  - name: regaa%u\n    regional_endpoints: enabled\n    replicas:\n", j);
        unsigned on = rnd(n_regions); // at least one is on
        for (unsigned i = 0; i < n_regions; i++)
            if (i == on || rnd(3))
                buf_printf(&b, "      - { region: r%u, stamp: %s, global_routing: %s, drained: %s }\n", i,
                           rnd(2) ? "a" : "b", i == on || rnd(3) ? "true" : "false", rnd(4) ? "false" : "true");
    }
    buf_str(&b, "routing:\n  order: [r0");
    for (unsigned i = 1; i < n_regions; i++)
        buf_printf(&b, ", r%u", i);
    buf_printf(&b, "]\n  overrides:\n    - { clients: 198.51.100.0/24, order: [r%u] }\n", rnd(n_regions));
    return fixture_parse(buf_cstr(&b));
}

// The region of the first address that the answer holds.
static int region_in(const struct fixture_answer *a)
{
    for (size_t i = 0; i < ldns_pkt_ancount(a->pkt); i++) {
        ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(a->pkt), i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A)
            return ldns_rdf_data(ldns_rr_rdf(rr, 0))[1];
    }
    return -1;
}

// The worker's short way gives what the explained decision gives, with the map of verdicts and without.
static void check_pick(const struct answer_context *a, const struct registry *reg)
{
    const struct catalogue_registry *r = find(a->topology, reg->label);
    struct route_context c = {.topology = a->topology, .health = a->health};
    struct route_client client = client_of_source(&a->source);
    struct health_map map;
    struct route all;
    health_map_fill(&map, a->health, a->topology);
    route_decide(&c, r, &client, &all);
    for (int with_map = 0; with_map < 2; with_map++) {
        struct route_choice to = {0};
        c.map = with_map ? &map : NULL;
        bool any = route_pick(&c, r, &client, &to);
        ck_assert_int_eq(any, all.mode != ROUTE_NOWHERE);
        ck_assert_int_eq(to.mode, all.mode);
        ck_assert_uint_eq(to.region, all.steps[all.chosen].region);
        ck_assert_uint_eq(to.stamp, all.steps[all.chosen].stamp);
    }
}

static void check_global(const struct answer_context *c, const struct registry *reg)
{
    char name[HOSTNAME_TEXT_SIZE];
    struct fixture_answer a;
    const struct topology *t = c->topology;
    ck_assert_int_eq(hostname_format(NAME_GLOBAL, t->domain, reg->label, NULL, NULL, name), 0);
    fixture_ask(c, name, T_A, -1, &a);
    int got = region_in(&a);
    fixture_answer_done(&a);
    bool open = false, healthy = false;
    for (size_t i = 0; i < reg->n_replicas; i++) {
        const struct replica *rep = &reg->replicas[i];
        bool is_open = rep->global_routing && !rep->drained;
        open |= is_open;
        healthy |= is_open && health_is_up(c->health, t, rep->region, rep->stamp);
    }
    const struct replica *rep = registry_replica(reg, (uint8_t)got);
    ck_assert_msg(rep && rep->global_routing, "sent to r%d", got);
    ck_assert(!open || !rep->drained);
    ck_assert(!healthy || health_is_up(c->health, t, rep->region, rep->stamp));
}

static void check_regional(const struct answer_context *c, const struct registry *reg)
{
    char name[HOSTNAME_TEXT_SIZE];
    const struct topology *t = c->topology;
    for (size_t i = 0; i < t->n_regions; i++) {
        struct fixture_answer a;
        ck_assert_int_eq(hostname_format(NAME_REGIONAL, t->domain, reg->label, t->regions[i].name, NULL, name), 0);
        fixture_ask(c, name, T_A, -1, &a);
        ck_assert_int_eq(region_in(&a), registry_replica(reg, (uint8_t)i) ? (int)i : -1);
        fixture_answer_done(&a);
    }
}

START_TEST(a_global_name_leads_to_an_allowed_region_and_a_regional_name_to_its_own)
{
    for (int round = 0; round < 30; round++) {
        struct topology *t = random_topology(1 + rnd(8), 8);
        for (int k = 0; k < 6; k++) {
            struct health_verdicts *v = fixture_verdicts(t, rnd(1 << 8));
            struct answer_context c = {
                .topology = t, .health = v, .source = fixture_ip(rnd(2) ? "198.51.100.7" : "203.0.113.7")};
            struct catalogue_iter it = {0};
            for (const struct registry *reg; (reg = topology_next(t, &it));) {
                check_pick(&c, reg);
                check_global(&c, reg);
                check_regional(&c, reg);
            }
            snapshot_unref(v);
        }
        snapshot_unref(t);
    }
}
END_TEST

CHECK_MAIN("resolver/route", table, without_verdicts_all_are_up, verdicts_of_another_topology_are_found_by_name,
           a_global_name_leads_to_an_allowed_region_and_a_regional_name_to_its_own)
