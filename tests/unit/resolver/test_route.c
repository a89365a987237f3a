// SPDX-License-Identifier: Apache-2.0
// resolver/route: the order and the choice. What must hold whatever the topology, the verdicts and
// the client is in test_properties.c.
#include "resolver/route/route.h"

#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

struct row {
    const char *registry, *client;
    // bit 0 eastus, 1 westeurope, 2 southeastasia
    region_set down;
    const char *chosen;
    enum route_mode mode;
    bool fail_open;
    // initials
    const char *order;
    region_set shorts;
};

static const struct row rows[] = {
    {"contoso", "192.0.2.9", 0, "eastus", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 1, "westeurope", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 3, "southeastasia", ROUTE_HEALTHY, false, "ews"},
    {"contoso", "192.0.2.9", 7, "eastus", ROUTE_FAIL_OPEN, true, "ews"},
    {"contoso", "198.51.100.1", 0, "westeurope", ROUTE_HEALTHY, false, "wes"},
    {"contoso", "198.51.100.1", 2, "eastus", ROUTE_HEALTHY, false, "wes"},
    {"contoso", "198.51.100.1", 7, "westeurope", ROUTE_FAIL_OPEN, true, "wes"},
    // the longer prefix
    {"contoso", "198.51.100.200", 0, "southeastasia", ROUTE_HEALTHY, false, "swe"},
    {"contoso", "198.51.100.200", 4, "westeurope", ROUTE_HEALTHY, false, "swe"},
    {"contoso", "2001:db8:9::1", 0, "eastus", ROUTE_HEALTHY, false, "ews"},
    // no replica in the first
    {"fabrikam", "198.51.100.200", 0, "westeurope", ROUTE_HEALTHY, false, "swe"},
    // eastus drained
    {"hashed-abcdefgh01234567", "192.0.2.9", 0, "westeurope", ROUTE_HEALTHY, false, "ews"},
    {"hashed-abcdefgh01234567", "192.0.2.9", 2, "westeurope", ROUTE_FAIL_OPEN, true,
     "ews"}, // not the drained, not the one off
    // southeastasia is off
    {"hashed-abcdefgh01234567", "198.51.100.200", 0, "westeurope", ROUTE_HEALTHY, false, "swe"},
    {"drained", "192.0.2.9", 0, "eastus", ROUTE_LAST, false, "ews"},
    {"drained", "192.0.2.9", 1, "westeurope", ROUTE_LAST, false, "ews"},
    {"drained", "192.0.2.9", 3, "eastus", ROUTE_LAST, true, "ews"},
    // Short: passed over while another healthy region has room. If all that are healthy are short,
    // the order is that without the rule, and never leads to one that is dead.
    {"contoso", "192.0.2.9", 0, "westeurope", ROUTE_HEALTHY, false, "ews", 1},
    {"contoso", "192.0.2.9", 0, "southeastasia", ROUTE_HEALTHY, false, "ews", 3},
    {"contoso", "192.0.2.9", 2, "southeastasia", ROUTE_HEALTHY, false, "ews", 1},
    {"contoso", "192.0.2.9", 0, "eastus", ROUTE_ALL_SHORT, false, "ews", 7},
    {"contoso", "198.51.100.1", 0, "westeurope", ROUTE_ALL_SHORT, false, "wes", 7},
    {"contoso", "192.0.2.9", 1, "westeurope", ROUTE_ALL_SHORT, false, "ews", 6},
    // it was short when it died
    {"contoso", "192.0.2.9", 1, "westeurope", ROUTE_ALL_SHORT, false, "ews", 7},
    {"contoso", "192.0.2.9", 6, "eastus", ROUTE_ALL_SHORT, false, "ews", 1},
    {"contoso", "192.0.2.9", 7, "eastus", ROUTE_FAIL_OPEN, true, "ews", 1},
    {"fabrikam", "198.51.100.200", 0, "eastus", ROUTE_HEALTHY, false, "swe", 2},
    // rather than drained
    {"hashed-abcdefgh01234567", "192.0.2.9", 0, "westeurope", ROUTE_ALL_SHORT, false, "ews", 2},
    {"drained", "192.0.2.9", 0, "eastus", ROUTE_LAST, false, "ews", 1},
};

static void make_short(struct health_verdicts *v, const struct topology *t, region_set shorts)
{
    for (size_t i = 0; i < v->n_targets; i++) {
        struct health_target *x = (struct health_target *)&v->targets[i];
        x->is_short = shorts >> topology_region(t, x->region)->index & 1;
    }
}

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
        make_short(v, t, x->shorts);
        struct route_client client = client_at(x->client);
        struct route_context c = {.topology = t, .health = v};
        struct route r;
        route_decide(&c, find(t, x->registry), &client, &r);
        ck_assert_msg(r.mode == x->mode && r.fail_open == x->fail_open, "row %zu: %s", i,
                      route_mode_name(r.mode));
        ck_assert_str_eq(t->regions[r.steps[r.chosen].region].name, x->chosen);
        ck_assert_uint_eq(r.n_steps, t->n_regions);
        for (size_t k = 0; k < r.n_steps; k++)
            ck_assert_msg(t->regions[r.steps[k].region].name[0] == x->order[k],
                          "row %zu, place %zu", i, k);
        static struct health_map map;
        struct route_choice picked;
        health_map_fill(&map, v, t);
        for (int with_map = 0; with_map < 2; with_map++) {
            c.map = with_map ? &map : NULL;
            ck_assert(route_pick(&c, find(t, x->registry), &client, &picked));
            ck_assert_msg(picked.mode == x->mode, "row %zu: %s", i, route_mode_name(picked.mode));
            ck_assert_str_eq(t->regions[picked.region].name, x->chosen);
        }
        snapshot_unref(v);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(one_that_is_forced_up_is_not_passed_over)
{
    struct topology *t = fixture_topology();
    struct health_verdicts *v = fixture_verdicts(t, 0);
    struct route_client client = client_at("192.0.2.9");
    struct route_context c = {.topology = t, .health = v};
    struct route r;
    make_short(v, t, 1);
    route_decide(&c, find(t, "contoso"), &client, &r);
    ck_assert_int_eq(r.steps[0].state, ROUTE_SHORT);
    ck_assert(r.steps[0].up && r.chosen == 1);
    for (size_t i = 0; i < v->n_targets; i++)
        ((struct health_target *)v->targets)[i].force = HEALTH_FORCE_UP;
    route_decide(&c, find(t, "contoso"), &client, &r);
    ck_assert_uint_eq(r.chosen, 0);
    snapshot_unref(v);
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

CHECK_MAIN("resolver/route", table, one_that_is_forced_up_is_not_passed_over,
           without_verdicts_all_are_up, verdicts_of_another_topology_are_found_by_name)
