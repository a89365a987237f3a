// SPDX-License-Identifier: Apache-2.0
// How far a region is with a registry, by the words of two: whether a region has all that another
// wrote, also where it came to the registry late, where content is missing, and where nobody but
// regions asks.
#include "replication/reach.h"

#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static json_t *word_of(struct test_region *at, struct test_region *from, const char *registry)
{
    AUTO_BUF struct buf body;
    char target[128];
    buf_init(&body, 0);
    snprintf(target, sizeof target, REACH_PATH "?registry=%s", registry);
    int status = region_ask(at, from, "GET", target, "peer", &body);
    ck_assert_int_eq(status, 200);
    json_t *doc = json_loads(buf_cstr(&body), 0, NULL);
    ck_assert_ptr_nonnull(doc);
    return doc;
}

// Has `reader` all that `origin` wrote of it, as a third one hears?
static bool covers(struct test_region *reader, struct test_region *origin, const char *registry)
{
    uint64_t to_go;
    json_t *o = word_of(origin, south, registry), *r = word_of(reader, south, registry);
    bool is = reach_covers(r, o, &to_go);
    json_decref(o);
    json_decref(r);
    return is;
}

static uint64_t to_go(struct test_region *reader, struct test_region *origin, const char *registry)
{
    uint64_t n;
    json_t *o = word_of(origin, south, registry), *r = word_of(reader, south, registry);
    reach_covers(r, o, &n);
    json_decref(o);
    json_decref(r);
    return n;
}

// Does it lack what others wrote than `said` (NULL: nobody says anything)?
static bool orphaned(struct test_region *reader, const char *said)
{
    json_t *r = word_of(reader, south, "contoso"), *words = json_object();
    if (said)
        json_object_set_new(words, said, json_object());
    bool is = reach_orphaned(r, words) > 0;
    json_decref(words);
    json_decref(r);
    return is;
}

START_TEST(two_words_say_whether_all_is_there)
{
    struct digest d;
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    WAIT_FOR(covers(west, east, "contoso"), 10000);
    WAIT_FOR(covers(east, west, "contoso"), 10000); // which wrote nothing
    // content that does not come
    east->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "2", 2, 1, 5000, 0, &d);
    WAIT_FOR(to_go(west, east, "contoso") > 0, 10000);
    ck_assert(!covers(west, east, "contoso"));
    ck_assert(orphaned(west, NULL) && !orphaned(west, "eastus"));
    // by name, to this region's own operations and the writer; not to other regions
    json_t *own = replication_reach_json(west->replicator, "contoso"),
           *asked = word_of(west, south, "contoso"), *list = json_object_get(own, "lacking");
    ck_assert_uint_ge(json_array_size(list), 1);
    const json_t *first = json_array_get(list, 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "origin")), "eastus");
    ck_assert_str_eq(json_string_value(json_object_get(first, "repository")), "app");
    ck_assert_ptr_null(json_object_get(asked, "lacking"));
    json_decref(own);
    json_decref(asked);
    east->fault = FAULT_NONE;
    WAIT_FOR(covers(west, east, "contoso"), 40000);
    ck_assert(!orphaned(west, NULL));
    ck_assert(region_has(west, "contoso", "app", "2", &d));
    world_done(&w);
}
END_TEST

// A region that comes to a registry has the past of it only once it has read it from the start.
START_TEST(who_comes_late_has_it_once_the_past_was_read)
{
    struct digest d, e;
    world_up(&w);
    region_push(east, "fabrikam", "tool", "1", 1, 3, 20000, 0, &d);
    region_push(east, "contoso", "app", "1", 2, 1, 5000, 0, &e);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &e), 10000);
    WAIT_FOR(covers(west, east, "contoso"), 10000);
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    ck_assert_int_eq(region_ask(west, south, "GET", REACH_PATH "?registry=fabrikam", "peer", &body),
                     404);
    east->fault = FAULT_ABSENT;
    world_topology(&w, 2, true);
    WAIT_FOR(to_go(west, east, "fabrikam") > 0, 20000);
    ck_assert(!covers(west, east, "fabrikam"));
    ck_assert(!region_has(west, "fabrikam", "tool", "1", &d));
    east->fault = FAULT_NONE;
    WAIT_FOR(covers(west, east, "fabrikam"), 40000);
    ck_assert(region_has(west, "fabrikam", "tool", "1", &d));
    world_done(&w);
}
END_TEST

START_TEST(words_that_are_none_cover_nothing)
{
    static const char *const bad[] = {
        "null",
        "{}",
        "{'region':'eastus'}",
        "{'region':'eastus','head':'x'}",
        "{'region':'nowhere','head':''}",
    };
    uint64_t n;
    json_t *reader = json_pack("{s:s, s:s, s:{s:{s:s, s:b, s:i}}}", "region", "westus", "head", "",
                               "origins", "eastus", "read", "", "whole", 1, "toGo", 0);
    json_t *origin = json_pack("{s:s, s:s}", "region", "eastus", "head", "");
    ck_assert(reach_covers(reader, origin, &n));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s", bad[i]);
        for (char *p = text; *p; p++)
            if (*p == '\'')
                *p = '"';
        json_t *doc = json_loads(text, JSON_DECODE_ANY, NULL);
        ck_assert(!reach_covers(reader, doc, &n));
        ck_assert(!reach_covers(doc, origin, &n));
        json_decref(doc);
    }
    json_object_set_new(json_object_get(json_object_get(reader, "origins"), "eastus"), "whole",
                        json_false());
    ck_assert(!reach_covers(reader, origin, &n));
    json_decref(reader);
    json_decref(origin);
}
END_TEST

CHECK_MAIN("replication/reach", two_words_say_whether_all_is_there,
           who_comes_late_has_it_once_the_past_was_read, words_that_are_none_cover_nothing)
