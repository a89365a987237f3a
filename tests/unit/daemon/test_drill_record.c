// SPDX-License-Identifier: Apache-2.0
// daemon/drill_record: what a node saw of a drill, from samples of its counters; and reading it again.
#include "daemon/drill_record.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NOON 1764000000000

static struct health_drill running(const char *label)
{
    struct health_drill d = {.id = "00000000000000aa",
                             .region = "eastus",
                             .at_ms = NOON,
                             .for_ms = 60000,
                             .begun_ms = NOON + 400,
                             .state = HEALTH_DRILL_RUNS,
                             .end_mono_ms = 60000}; // given at 0
    snprintf(d.label, sizeof d.label, "%s", label);
    return d;
}

static size_t place_of(unsigned code)
{
    for (size_t i = 0; i < TRAFFIC_CODES; i++)
        if (traffic_code(i) == code)
            return i;
    ck_abort_msg("no place for %u", code);
}

static json_int_t number(const struct drill_record *r, const char *member)
{
    json_t *j = drill_record_json(r), *v = json_object_get(j, member);
    json_int_t n = -1;
    if (json_is_integer(v))
        n = json_integer_value(v);
    json_decref(j);
    return n;
}

START_TEST(a_whole_drill)
{
    struct drill_record r;
    struct health_drill d = running("");
    struct drill_counts was = {.routed = 100}, now = was;
    size_t ok = place_of(200), busy = place_of(503);
    drill_record_begin(&r, &d, 10000);
    ck_assert(!drill_record_sample(&r, &d, &was, &now, NOON + 400, 400));
    ck_assert_int_eq(number(&r, "rerouteMs"), 400); // nobody was led there after the order came
    now.routed = 107;
    now.codes[ok] = 5;
    ck_assert(!drill_record_sample(&r, &d, &was, &now, NOON + 900, 900));
    was = now;
    ck_assert_int_eq(number(&r, "rerouteMs"), 900);
    ck_assert_int_eq(number(&r, "ledThere"), 7);
    now.codes[ok] += 3;
    now.codes[busy] += 2;
    drill_record_sample(&r, &d, &was, &now, NOON + 10000, 10000); // caches may still hold it
    was = now;
    ck_assert_int_eq(number(&r, "late"), 0);
    now.codes[ok] += 4;
    // a jump of the wall clock moves no TTL
    drill_record_sample(&r, &d, &was, &now, NOON - 3600000, 10001);
    was = now;
    ck_assert_int_eq(number(&r, "late"), 4);
    ck_assert_int_eq(number(&r, "requests"), 14);
    ck_assert_int_eq(number(&r, "returnMs"), -1);
    ck_assert(drill_record_open(&r, &d, NOON + 20000));
    d.state = HEALTH_DRILL_ENDED;
    d.ended_ms = NOON + 60000;
    now.codes[busy] += 100; // after the end it is no more of the drill
    ck_assert(drill_record_sample(&r, &d, &was, &now, NOON + 60100, 60100));
    was = now;
    ck_assert_int_eq(number(&r, "requests"), 14);
    ck_assert_int_eq(number(&r, "returnMs"), -1);
    ck_assert(drill_record_open(&r, &d, NOON + 61000));
    now.routed++;
    ck_assert(drill_record_sample(&r, &d, &was, &now, NOON + 61000, 61000));
    was = now;
    ck_assert_int_eq(number(&r, "returnMs"), 1000);
    now.routed++;
    ck_assert(!drill_record_sample(&r, &d, &was, &now, NOON + 62000, 62000));
    ck_assert_int_eq(number(&r, "returnMs"), 1000);
    ck_assert_int_eq(number(&r, "ledThere"), 7);
    ck_assert(!drill_record_open(&r, &d, NOON + 62000));
    ck_assert(!drill_record_open(&r, NULL, NOON + 62000));
}
END_TEST

START_TEST(nobody_asks)
{
    struct drill_record r;
    struct health_drill d = running("");
    struct drill_counts none = {0};
    drill_record_begin(&r, &d, 10000);
    drill_record_sample(&r, &d, &none, &none, NOON + 400, 400);
    d.state = HEALTH_DRILL_STOPPED;
    d.ended_ms = NOON + 5000;
    ck_assert(drill_record_open(&r, &d, NOON + 5000));
    drill_record_sample(&r, &d, &none, &none, NOON + 5000, 5000);
    ck_assert(drill_record_open(&r, &d, NOON + 5000 + DRILL_RETURN_MS - 1));
    ck_assert(!drill_record_open(&r, &d, NOON + 5000 + DRILL_RETURN_MS));
    ck_assert_int_eq(number(&r, "returnMs"), -1);
}
END_TEST

START_TEST(of_one_registry_answers_are_not_told_apart)
{
    struct drill_record r;
    struct health_drill d = running("contoso");
    struct drill_counts was = {0}, now = {.routed = 7};
    drill_record_begin(&r, &d, 10000);
    drill_record_sample(&r, &d, &was, &now, NOON + 900, 900);
    ck_assert_int_eq(number(&r, "rerouteMs"), -1);
    d.state = HEALTH_DRILL_ENDED;
    d.ended_ms = NOON + 60000;
    drill_record_sample(&r, &d, &now, &now, NOON + 60000, 60000);
    ck_assert(!drill_record_open(&r, &d, NOON + 60000));
}
END_TEST

START_TEST(written_and_read)
{
    struct drill_record r, again;
    struct health_drill d = running("");
    struct drill_counts was = {0}, now = {.routed = 7};
    for (size_t i = 0; i < TRAFFIC_CODES; i++)
        now.codes[i] = 10 + i;
    drill_record_begin(&r, &d, 10000);
    drill_record_sample(&r, &d, &was, &now, NOON + 20000, 20000);
    r.lag_entries = 3;
    json_t *j = drill_record_json(&r);
    ck_assert_int_eq(drill_record_parse(j, &again), 0);
    json_t *k = drill_record_json(&again);
    ck_assert(json_equal(j, k));
    json_object_del(k, "ended");
    ck_assert_int_eq(drill_record_parse(k, &again), ERR_CORRUPT);
    json_object_set_new(j, "id", json_string("00000000000000aabb"));
    ck_assert_int_eq(drill_record_parse(j, &again), ERR_CORRUPT);
    json_decref(j);
    json_decref(k);
    j = json_integer(1);
    ck_assert_int_eq(drill_record_parse(j, &again), ERR_CORRUPT);
    json_decref(j);
}
END_TEST

CHECK_MAIN("daemon/drill_record", a_whole_drill, nobody_asks,
           of_one_registry_answers_are_not_told_apart, written_and_read)
