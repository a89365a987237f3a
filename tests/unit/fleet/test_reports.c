// SPDX-License-Identifier: Apache-2.0
// fleet/reports: what every region says of itself reaches every other, also where some are away or
// say nonsense; what is read of a report is bounded.
#include "fleet/reports.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/fleet/regions.h"

#include <string.h>

static json_t *all_of(struct world_region *r)
{
    json_t *all = fleet_all_json(r->fleet, 2000);
    ck_assert_ptr_nonnull(all);
    ck_assert_uint_eq(json_array_size(all), r->world->n);
    return all;
}

static const json_t *of(const json_t *all, const char *region)
{
    size_t i;
    json_t *one;
    json_array_foreach(
        (json_t *)all, i,
        one) if (!strcmp(json_string_value(json_object_get(one, "region")), region)) return one;
    ck_abort_msg("no report of %s", region);
}

static bool reached(const json_t *all, const char *region)
{
    return json_is_true(json_object_get(of(all, region), "reached"));
}

static const char *why(const json_t *all, const char *region)
{
    return json_string_value(json_object_get(of(all, region), "why"));
}

START_TEST(everybody_sees_everybody)
{
    struct fleet_world w;
    world_make(&w, 3);
    world_topology(&w, 7);
    for (size_t i = 0; i < 3; i++)
        region_up(&w.regions[i]);
    for (size_t i = 0; i < 3; i++) {
        json_t *all = all_of(&w.regions[i]);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 0), "region")),
                         w.regions[i].name);
        for (size_t j = 0; j < 3; j++) {
            const json_t *one = of(all, w.regions[j].name);
            ck_assert(reached(all, w.regions[j].name));
            ck_assert_str_eq(json_string_value(json_object_get(one, "of")), w.regions[j].name);
            ck_assert_str_eq(json_string_value(json_object_get(one, "source")), "files");
            ck_assert_int_eq(json_integer_value(json_object_get(one, "topologyVersion")), 7);
        }
        json_decref(all);
    }
    world_done(&w);
}
END_TEST

START_TEST(one_that_is_away_is_named_with_what_it_said_last)
{
    struct fleet_world w;
    world_make(&w, 3);
    world_topology(&w, 7);
    for (size_t i = 0; i < 3; i++)
        region_up(&w.regions[i]);
    json_decref(all_of(&w.regions[0]));
    w.cut[0][2] = true;
    json_t *all = all_of(&w.regions[0]);
    ck_assert(reached(all, "westus"));
    ck_assert(!reached(all, "northeurope"));
    ck_assert_ptr_nonnull(why(all, "northeurope"));
    ck_assert_int_eq(json_integer_value(json_object_get(of(all, "northeurope"), "topologyVersion")),
                     7);
    json_decref(all);

    region_topology(&w.regions[1], 8);
    all = all_of(&w.regions[0]);
    ck_assert_int_eq(json_integer_value(json_object_get(of(all, "westus"), "topologyVersion")), 8);
    json_decref(all);

    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    fleet_metrics(w.regions[0].fleet, &text);
    ck_assert_ptr_nonnull(strstr(text.p, "meridian_fleet_report_up{region=\"westus\"} 1"));
    ck_assert_ptr_nonnull(strstr(text.p, "meridian_fleet_report_up{region=\"northeurope\"} 0"));
    ck_assert_ptr_nonnull(strstr(text.p, "meridian_fleet_topology_version{region=\"westus\"} 8"));
    ck_assert_ptr_nonnull(strstr(text.p, "meridian_fleet_drift 0"));
    world_done(&w);
}
END_TEST

struct asking {
    struct fleet_world *w;
    struct reports *r;
};

static void *ask(void *ctx)
{
    struct asking *x = ctx;
    struct fleet_caller by = region_caller(&x->w->regions[0]);
    struct topology *t = snapshot_get(&x->w->regions[0].topology);
    json_t *own = json_pack("{s:s}", "region", "eastus");
    ck_assert_int_eq(reports_round(x->r, &by, t, own, 20000), 0);
    json_decref(own);
    snapshot_unref(t);
    return NULL;
}

static json_int_t version_kept(struct asking *x)
{
    json_t *own = json_pack("{s:s}", "region", "eastus"), *all = reports_json(x->r, own);
    json_int_t version = json_integer_value(json_object_get(of(all, "westus"), "topologyVersion"));
    json_decref(all);
    json_decref(own);
    return version;
}

START_TEST(an_answer_that_was_long_on_its_way_does_not_take_a_later_ones_place)
{
    struct fleet_world w;
    struct reports r;
    struct asking x = {.w = &w, .r = &r};
    pthread_t slow;
    world_make(&w, 2);
    world_topology(&w, 7);
    reports_init(&r);
    w.regions[1].holds = true;
    w.regions[1].says = "{\"region\":\"westus\",\"topologyVersion\":7}";
    region_up(&w.regions[1]);
    ck_assert_int_eq(pthread_create(&slow, NULL, ask, &x), 0);
    until(w.regions[1].held);
    w.regions[1].says = "{\"region\":\"westus\",\"topologyVersion\":8}";
    ask(&x);
    ck_assert_int_eq(version_kept(&x), 8);
    w.regions[1].holds = false;
    pthread_join(slow, NULL);
    ck_assert_int_eq(version_kept(&x), 8);
    reports_done(&r);
    world_done(&w);
}
END_TEST

START_TEST(what_is_no_report_is_said_to_be_none)
{
    static const char *const bad[] = {"",
                                      "nonsense",
                                      "[]",
                                      "{\"region\":\"eastus\"}",
                                      "{\"region\":\"westus\",\"region\":\"westus\"}",
                                      "{\"region\":\"westus\",\"a\":[[[[[[[[[[[1]]]]]]]]]]]}"};
    struct fleet_world w;
    world_make(&w, 2);
    world_topology(&w, 7);
    region_up(&w.regions[0]);
    region_up(&w.regions[1]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        w.regions[1].says = bad[i];
        json_t *all = all_of(&w.regions[0]);
        ck_assert(!reached(all, "westus"));
        json_decref(all);
    }
    w.regions[1].says = "{\"region\":\"westus\",\"topologyVersion\":-4,\"principalsVersion\":\"x\","
                        "\"version\":\"\\u001b[2J\",\"topologyHash\":\"00zz\"}";
    json_t *all = all_of(&w.regions[0]);
    ck_assert(reached(all, "westus"));
    ck_assert_str_eq(json_string_value(json_object_get(of(all, "westus"), "version")), "?[2J");
    json_decref(all);
    // the same order as one character of Unicode; and letters that are none of English
    w.regions[1].says = "{\"region\":\"westus\",\"version\":\"\\u009b2J gr\\u00fc\\u00df\"}";
    all = all_of(&w.regions[0]);
    ck_assert_str_eq(json_string_value(json_object_get(of(all, "westus"), "version")),
                     "??2J gr\xc3\xbc\xc3\x9f");
    json_decref(all);
    w.regions[1].says = "{\"region\":\"westus\",\"a\\u009b\":1}";
    all = all_of(&w.regions[0]);
    ck_assert(!reached(all, "westus"));
    json_decref(all);
    world_done(&w);
}
END_TEST

START_TEST(a_call_that_is_none_gets_404_and_a_stopped_fleet_asks_nobody)
{
    struct fleet_world w;
    world_make(&w, 2);
    world_topology(&w, 7);
    region_up(&w.regions[0]);
    region_up(&w.regions[1]);
    struct topology *t = snapshot_get(&w.regions[0].topology);
    const struct fleet_caller by = {.fetcher = w.regions[0].fetcher, .region = "eastus"};
    struct fleet_call call;
    ck_assert_int_eq(fleet_call_make(&by, t, "mars", "/control/v1/report", &call), ERR_NOTFOUND);
    snapshot_unref(t);
    fleet_stop(w.regions[0].fleet);
    json_t *all = fleet_all_json(w.regions[0].fleet, 2000);
    ck_assert_ptr_nonnull(all);
    json_decref(all);
    world_done(&w);
}
END_TEST

CHECK_MAIN("fleet/reports", everybody_sees_everybody,
           one_that_is_away_is_named_with_what_it_said_last,
           an_answer_that_was_long_on_its_way_does_not_take_a_later_ones_place,
           what_is_no_report_is_said_to_be_none,
           a_call_that_is_none_gets_404_and_a_stopped_fleet_asks_nobody)
