// SPDX-License-Identifier: Apache-2.0
// resolver/health_map: what is drained or impaired for one registry holds for it alone; the map
// that workers ask says what the verdicts say.
#include "health/health.h"

#include "resolver/route/route.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <string.h>

static const char *const yaml =
    "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
    "  - { name: westus, peer: 192.0.2.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n"
    "name_servers: [eus-1.eastus]\nregistries:\n"
    "  - { name: contoso, replicas: [{ region: eastus }, { region: westus }] }\n"
    "  - { name: fabrikam, replicas: [{ region: eastus }, { region: westus }] }\n"
    "routing: { order: [eastus, westus] }\n";

static struct health_map map; // large

static void expect(const struct topology *t, const struct health_verdicts *v, const char *label,
                   uint8_t region, enum route_mode mode)
{
    const struct catalogue_registry *r = catalogue_find(t->catalogue, label, strlen(label));
    struct ip client = fixture_ip("198.51.100.7");
    struct route_client by = client_of_source(&client);
    health_map_fill(&map, v, t);
    for (int with_map = 0; with_map < 2; with_map++) {
        struct route_context c = {.topology = t, .health = v, .map = with_map ? &map : NULL};
        struct route_choice to;
        struct route all;
        ck_assert(route_pick(&c, r, &by, &to));
        route_decide(&c, r, &by, &all);
        ck_assert_uint_eq(to.region, region);
        ck_assert_int_eq(to.mode, mode);
        ck_assert_uint_eq(all.steps[all.chosen].region, region);
        ck_assert_int_eq(all.mode, mode);
    }
}

START_TEST(one_registry_alone)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 0);
    struct health_exception list[] = {{HEALTH_IMPAIRED, "eastus", "contoso"},
                                      {HEALTH_DRAINED, "westus", "fabrikam"}};
    v->exceptions = list;
    expect(t, v, "contoso", 0, ROUTE_HEALTHY); // none yet
    v->n_exceptions = 2;
    expect(t, v, "contoso", 1, ROUTE_HEALTHY);
    expect(t, v, "fabrikam", 0, ROUTE_HEALTHY);
    struct health_exception both[] = {{HEALTH_IMPAIRED, "eastus", "contoso"},
                                      {HEALTH_IMPAIRED, "westus", "contoso"}};
    v->exceptions = both;
    expect(t, v, "contoso", 0, ROUTE_FAIL_OPEN);
    expect(t, v, "fabrikam", 0, ROUTE_HEALTHY);
    struct health_exception region[] = {{HEALTH_DRAINED, "eastus", ""},
                                        {HEALTH_DRAINED, "nowhere", "contoso"}};
    v->exceptions = region;
    expect(t, v, "contoso", 1, ROUTE_HEALTHY);
    expect(t, v, "fabrikam", 1, ROUTE_HEALTHY);
    struct health_exception all[] = {{HEALTH_DRAINED, "eastus", ""},
                                     {HEALTH_DRAINED, "westus", "contoso"}};
    v->exceptions = all;
    expect(t, v, "contoso", 0, ROUTE_LAST);
    expect(t, v, "fabrikam", 1, ROUTE_HEALTHY);
    struct health_exception drill[] = {{HEALTH_DRILLED, "eastus", ""}};
    v->exceptions = drill;
    v->n_exceptions = 1;
    expect(t, v, "contoso", 1, ROUTE_HEALTHY);
    struct health_target *x = (struct health_target *)v->targets;
    x[1].up = false; // taken out by a drill, against down
    expect(t, v, "contoso", 0, ROUTE_ALL_DRILLED);
    x[0].up = false; // it does not hide a failure
    expect(t, v, "contoso", 0, ROUTE_FAIL_OPEN);
    x[0].up = true;
    drill[0] = (struct health_exception){HEALTH_DRILLED, "eastus", "contoso"};
    x[1].up = true;
    expect(t, v, "contoso", 1, ROUTE_HEALTHY);
    expect(t, v, "fabrikam", 0, ROUTE_HEALTHY);
    v->exceptions = all;
    v->n_exceptions = 2;
    x[1].up = false; // drained, against down
    expect(t, v, "fabrikam", 1, ROUTE_FAIL_OPEN);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_full_table)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 0);
    static struct health_exception list[HEALTH_EXCEPTIONS_MAX + 1];
    for (size_t i = 0; i <= HEALTH_EXCEPTIONS_MAX; i++) {
        list[i] = (struct health_exception){i % 2 ? HEALTH_DRAINED : HEALTH_IMPAIRED, "westus", ""};
        if (i == 7)
            list[i].kind = HEALTH_DRILLED;
        snprintf(list[i].label, sizeof list[i].label, "reg%05zu", i);
    }
    v->exceptions = list;
    v->n_exceptions = HEALTH_EXCEPTIONS_MAX + 1; // the last one finds no place
    health_map_fill(&map, v, t);
    ck_assert_uint_eq(map.n_registries, HEALTH_EXCEPTIONS_MAX);
    v->n_exceptions--;
    for (size_t i = 0; i < 2 * HEALTH_EXCEPTIONS_MAX; i++) {
        char label[16];
        size_t n = (size_t)snprintf(label, sizeof label, "reg%05zu", i);
        struct health_gate a = health_map_gate(&map, (uint8_t *)label, n);
        struct health_gate b = health_verdicts_gate(v, t, (uint8_t *)label, n);
        ck_assert_uint_eq(a.drained, b.drained);
        ck_assert_uint_eq(a.impaired, b.impaired);
        ck_assert_uint_eq(a.drilled, b.drilled);
        ck_assert_uint_eq(a.drilled, i == 7 ? 2 : 0);
        ck_assert_uint_eq(a.drained, i < HEALTH_EXCEPTIONS_MAX && i % 2 && i != 7 ? 2 : 0);
        ck_assert_uint_eq(a.impaired, i < HEALTH_EXCEPTIONS_MAX && !(i % 2) ? 2 : 0);
    }
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

START_TEST(headroom_by_stamp)
{
    struct topology *t = fixture_parse(yaml);
    struct health_verdicts *v = fixture_verdicts(t, 0);
    ((struct health_target *)v->targets)[1].headroom = 3;
    health_map_fill(&map, v, t);
    ck_assert_uint_eq(health_headroom(&map, 0), HEALTH_HEADROOM_FULL);
    ck_assert_uint_eq(health_headroom(&map, 1), 3);
    ck_assert_uint_eq(health_headroom(NULL, 1), HEALTH_HEADROOM_FULL);
    health_map_fill(&map, NULL, t);
    ck_assert_uint_eq(health_headroom(&map, 1), HEALTH_HEADROOM_FULL);
    snapshot_unref(v);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("resolver/health_map", one_registry_alone, a_full_table, headroom_by_stamp)
