// SPDX-License-Identifier: Apache-2.0
// health/drill: the timer of a drill against clocks that jump, restarts and messages of any kind; what
// is written is read again, and what is damaged is refused.
#include "health/priv.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOON 1764000000000

static struct health_drill drill_at(unsigned id, int64_t at_ms, int64_t for_ms)
{
    struct health_drill x = {.region = "eastus",
                             .by = "root@westeurope",
                             .at_ms = at_ms,
                             .for_ms = for_ms,
                             .left_ms = -1};
    snprintf(x.id, sizeof x.id, "%016x", id);
    return x;
}

static struct health_drills reread(const struct health_drills *d, bool own, int64_t wall,
                                   int64_t mono)
{
    struct health_drills out = {0};
    json_t *root = json_object();
    ck_assert_int_eq(health_drills_put(d, own, wall, mono, root), 0);
    ck_assert_int_eq(health_drills_get(root, own, &out), 0);
    json_decref(root);
    return out;
}

START_TEST(it_ends_by_the_monotonic_clock)
{
    struct health_drills d = {0};
    struct health_drill x = drill_at(1, NOON, 60000);
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON, 1000), 1);
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON + 5000, 6000), 0); // the same word again
    ck_assert_int_eq(health_drills_next_ms(&d), 61000);
    ck_assert(!health_drills_turn(&d, NOON + 3600000, 60999));
    ck_assert(health_drills_turn(&d, NOON - 3600000, 61000));
    ck_assert_int_eq(d.list[0].state, HEALTH_DRILL_ENDED);
    ck_assert_ptr_null(health_drills_running(&d));
    ck_assert_int_eq(health_drills_next_ms(&d), INT64_MAX);
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON, 62000), 0); // invariant 4
    ck_assert_ptr_null(health_drills_running(&d));
}
END_TEST

// Whatever is heard, however the wall clock jumps and however often the node is restarted: it never
// takes part for longer than was stated (and once more the interval of saving, after a crash).
START_TEST(nothing_prolongs_it)
{
    for (unsigned seed = 1; seed <= 400; seed++) {
        srand(seed);
        struct health_drills d = {0}, saved = {0};
        int64_t wall = NOON, mono = 1000, ran = 0, lost = 0, saved_mono = 0;
        struct health_drill x = drill_at(1, NOON, 10000 + rand() % 100000);
        ck_assert_int_eq(health_drills_merge(&d, &x, wall, mono), 1);
        saved = reread(&d, true, wall, mono);
        saved_mono = mono;
        for (int i = 0; i < 200; i++) {
            int64_t step = rand() % 3000;
            if (health_drills_running(&d))
                ran += health_drill_left_ms(&d.list[0], mono) < step
                           ? health_drill_left_ms(&d.list[0], mono)
                           : step;
            mono += step;
            wall += step;
            health_drills_turn(&d, wall, mono);
            if (mono - saved_mono >= HEALTH_DRILL_SAVE_MS || !health_drills_running(&d)) {
                saved = reread(&d, true, wall, mono);
                saved_mono = mono;
            }
            struct health_drill word = x;
            switch (rand() % 6) {
            case 0: // the clock jumps
                wall += rand() % 7200000 - 3600000;
                break;
            case 1: // somebody says that more is left
                word.left_ms = rand() % 200000;
                health_drills_merge(&d, &word, wall, mono);
                break;
            case 2: // stopped in good order, off for a while, started again
                d = reread(&d, true, wall, mono);
                mono += rand() % 5000;
                wall += rand() % 7200000 - 3600000;
                health_drills_resume(&d, wall, mono);
                break;
            case 3: // killed: what was written last
                lost += mono - saved_mono;
                d = saved;
                health_drills_resume(&d, wall, mono);
                saved = reread(&d, true, wall, mono);
                saved_mono = mono;
                break;
            default:
                break;
            }
        }
        ck_assert_msg(ran <= x.for_ms + lost, "seed %u: ran %lld of %lld, lost %lld", seed,
                      (long long)ran, (long long)x.for_ms, (long long)lost);
        ck_assert_ptr_null(health_drills_running(&d));
    }
}
END_TEST

START_TEST(all_come_to_the_same)
{
    struct health_drill x = drill_at(1, NOON, 60000), y = drill_at(2, NOON + 10, 60000), z;
    for (int order = 0; order < 2; order++) {
        struct health_drills d = {0};
        health_drills_merge(&d, order ? &x : &y, NOON + 20, 1000);
        health_drills_merge(&d, order ? &y : &x, NOON + 20, 1000);
        ck_assert(health_drills_turn(&d, NOON + 20, 1000));
        ck_assert_str_eq(health_drills_running(&d)->id, x.id);
        ck_assert_int_eq(health_drills_find(&d, y.id)->state, HEALTH_DRILL_YIELDED);
        z = x;
        z.stopped_ms = NOON + 5000;
        snprintf(z.stopped_by, sizeof z.stopped_by, "ada");
        ck_assert_int_eq(health_drills_merge(&d, &z, NOON + 5000, 6000), 1);
        z.stopped_ms = NOON + 6000; // a later word says nothing new, an earlier one does
        ck_assert_int_eq(health_drills_merge(&d, &z, NOON + 5000, 6000), 0);
        z.stopped_ms = NOON + 4000;
        ck_assert_int_eq(health_drills_merge(&d, &z, NOON + 5000, 6000), 1);
        ck_assert_int_eq(health_drills_find(&d, x.id)->state, HEALTH_DRILL_STOPPED);
        z = drill_at(3, NOON + 4500, 60000); // after it was stopped
        ck_assert_int_eq(health_drills_merge(&d, &z, NOON + 5000, 6000), 1);
        health_drills_turn(&d, NOON + 5000, 6000);
        // the one that yielded counts by its record: by that its time is not up
        ck_assert_int_eq(health_drills_find(&d, z.id)->state, HEALTH_DRILL_YIELDED);
    }
    // stopped before it was heard of
    struct health_drills d = {0};
    x.stopped_ms = NOON + 5;
    snprintf(x.stopped_by, sizeof x.stopped_by, "ada");
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON + 20, 1000), 1);
    ck_assert_int_eq(d.list[0].state, HEALTH_DRILL_STOPPED);
}
END_TEST

START_TEST(places)
{
    struct health_drills d = {0};
    for (unsigned i = 0; i < 2 * HEALTH_DRILLS_MAX; i++) {
        struct health_drill x = drill_at(i, NOON + 100000 * (int64_t)i, 60000);
        ck_assert_int_eq(health_drills_merge(&d, &x, x.at_ms, 100000 * i), 1);
        health_drills_turn(&d, x.at_ms, 100000 * i);
        ck_assert_str_eq(health_drills_running(&d)->id, x.id);
    }
    ck_assert_uint_eq(d.n, HEALTH_DRILLS_MAX); // the oldest made room
    for (size_t i = 0; i < d.n; i++)
        ck_assert_int_ge(d.list[i].at_ms, NOON + 100000ll * HEALTH_DRILLS_MAX);
    health_drills_turn(&d, NOON + 10000000 + HEALTH_DRILL_KEPT_MS, 10000000);
    ck_assert_uint_eq(d.n, 0);
    struct health_drill x = drill_at(1, NOON, 60000);
    for (unsigned i = 0; i < HEALTH_DRILLS_MAX; i++) {
        x = drill_at(i, NOON, 60000);
        ck_assert_int_eq(health_drills_merge(&d, &x, NOON, 1000), 1);
    }
    x = drill_at(1000, NOON, 60000);
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON, 1000), ERR_NOSPACE);
    x = drill_at(1, NOON + HEALTH_SKEW_MS + 1, 60000);
    d.n = 0;
    ck_assert_int_eq(health_drills_merge(&d, &x, NOON, 1000), ERR_RANGE);
}
END_TEST

// One that was stopped may run on where nobody has heard of that: short ones are forgotten before it.
START_TEST(a_stopped_one_is_not_forgotten_for_shorter_ones)
{
    struct health_drills d = {0};
    struct health_drill told = drill_at(1000, NOON, HEALTH_DRILL_MAX_MS), stopped = told;
    stopped.stopped_ms = NOON + 5000;
    snprintf(stopped.stopped_by, sizeof stopped.stopped_by, "ada");
    ck_assert_int_eq(health_drills_merge(&d, &told, NOON, 0), 1);
    ck_assert_int_eq(health_drills_merge(&d, &stopped, NOON + 5000, 5000), 1);
    int64_t at = NOON;
    for (unsigned i = 0; i < 2 * HEALTH_DRILLS_MAX; i++) {
        at += 120000;
        struct health_drill x = drill_at(i, at, 10000);
        ck_assert_int_eq(health_drills_merge(&d, &x, at, at - NOON), 1);
        health_drills_turn(&d, at + 10000, at + 10000 - NOON);
    }
    told.left_ms = HEALTH_DRILL_MAX_MS / 4; // by one that was cut off since noon
    ck_assert_int_eq(health_drills_merge(&d, &told, at + 60000, at + 60000 - NOON), 0);
    ck_assert_ptr_null(health_drills_running(&d));
}
END_TEST

START_TEST(written_and_read)
{
    struct health_drills d = {0};
    struct health_drill x = drill_at(1, NOON, 60000), y = drill_at(2, NOON + 100, 60000);
    snprintf(x.label, sizeof x.label, "contoso");
    health_drills_merge(&d, &x, NOON, 1000);
    health_drills_merge(&d, &y, NOON + 100, 1100);
    health_drills_turn(&d, NOON + 100, 1100);
    struct health_drills told = reread(&d, false, NOON + 10000, 11000);
    ck_assert_uint_eq(told.n, 1); // the one that yielded is nobody's business
    ck_assert_int_eq(told.list[0].left_ms, 50000);
    ck_assert_str_eq(told.list[0].label, "contoso");
    ck_assert_str_eq(told.list[0].by, "root@westeurope");
    struct health_drills own = reread(&d, true, NOON + 10000, 11000);
    ck_assert_uint_eq(own.n, 2);
    ck_assert_int_eq(own.list[1].state, HEALTH_DRILL_YIELDED);
    health_drills_resume(&own, NOON + 20000, 5);
    ck_assert_int_eq(health_drill_left_ms(&own.list[0], 5), 40000);
    x.stopped_ms = NOON + 20000;
    snprintf(x.stopped_by, sizeof x.stopped_by, "ada");
    health_drills_merge(&d, &x, NOON + 20000, 21000);
    told = reread(&d, false, NOON + 20000, 21000); // until nobody can run it any more
    ck_assert_int_eq(told.list[0].stopped_ms, NOON + 20000);
    ck_assert_str_eq(told.list[0].stopped_by, "ada");
    told = reread(&d, false, NOON + 60000 + HEALTH_SKEW_MS + 1, 200000);
    ck_assert_uint_eq(told.n, 0);
}
END_TEST

#define GOOD_ID "\"id\":\"00000000000000aa\","
#define REST "\"label\":\"\",\"by\":\"root@eastus\","
static const char *const damaged[] = {
    "{\"drills\":{}}",
    "{\"drills\":[1]}",
    "{\"drills\":[{\"id\":\"aa\",\"region\":\"eastus\"," REST "\"at_ms\":1,\"for_ms\":10000}]}",
    "{\"drills\":[{\"id\":\"00000000000000AA\",\"region\":\"eastus\"," REST
    "\"at_ms\":1,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"East us\"," REST "\"at_ms\":1,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST "\"at_ms\":0,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST
    "\"at_ms\":9223372036854775807,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST "\"at_ms\":1,\"for_ms\":9999}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST "\"at_ms\":1,\"for_ms\":14400001}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST
    "\"at_ms\":1,\"for_ms\":10000,\"stopped_ms\":-1}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST
    "\"at_ms\":1,\"for_ms\":10000,\"stopped_ms\":5}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\",\"label\":\"a b\",\"by\":\"r\","
    "\"at_ms\":1,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\",\"label\":\"\",\"by\":\"r\\nx\","
    "\"at_ms\":1,\"for_ms\":10000}]}",
    "{\"drills\":[{" GOOD_ID "\"region\":\"eastus\",\"label\":\"\",\"by\":\"\","
    "\"at_ms\":1,\"for_ms\":10000}]}",
};

START_TEST(what_is_damaged_is_refused)
{
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        struct health_drills d = {.n = 7};
        json_t *root = json_loads(damaged[i], 0, NULL);
        ck_assert_ptr_nonnull(root);
        ck_assert_msg(health_drills_get(root, false, &d) == ERR_CORRUPT, "%s", damaged[i]);
        ck_assert_uint_eq(d.n, 7);
        json_decref(root);
    }
}
END_TEST

START_TEST(what_is_not_there_is_none)
{
    struct health_drills d = {.n = 7};
    json_t *root = json_loads("{\"orders\":[]}", 0, NULL);
    ck_assert_int_eq(health_drills_get(root, true, &d), 0); // a file of a version before
    ck_assert_uint_eq(d.n, 0);
    json_decref(root);
    root = json_loads("{\"drills\":[{" GOOD_ID "\"region\":\"eastus\"," REST
                      "\"at_ms\":1,\"for_ms\":10000,\"later\":true}]}",
                      0, NULL);
    ck_assert_int_eq(health_drills_get(root, false, &d), 0);
    ck_assert_uint_eq(d.n, 1);
    ck_assert_int_eq(health_drills_get(root, true, &d), ERR_CORRUPT); // in a file its state stands
    json_decref(root);
}
END_TEST

static void checker_init(struct health *h)
{
    *h = (struct health){0};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
}

static void checker_done(struct health *h)
{
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
}

static struct health_drill *known(struct health *h, unsigned id, int64_t at_ms)
{
    struct health_drill *x = &h->drills.list[h->drills.n++];
    *x = drill_at(id, at_ms, 60000);
    x->state = HEALTH_DRILL_ENDED;
    return x;
}

// Two nodes may be asked in the same millisecond (invariant 5).
START_TEST(all_are_listed_the_latest_first)
{
    static const unsigned want[] = {9, 7, 5, 2, 1};
    struct health h;
    checker_init(&h);
    known(&h, 2, NOON);
    known(&h, 1, NOON);
    known(&h, 9, NOON + 1);
    known(&h, 7, NOON);
    known(&h, 5, NOON);
    json_t *list = health_drills_json(&h);
    ck_assert_uint_eq(json_array_size(list), 5);
    for (size_t i = 0; i < 5; i++) {
        char id[HEALTH_DRILL_ID_SIZE];
        snprintf(id, sizeof id, "%016x", want[i]);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, i), "id")), id);
    }
    json_decref(list);
    checker_done(&h);
}
END_TEST

static int stops(struct health *h, const char *id, const char *only_region)
{
    struct diag diag;
    diag_init(&diag);
    int rc = health_drill_stop(h, id, only_region, "ada@eastus", &diag);
    ck_assert(!rc || diag.n);
    diag_done(&diag);
    return rc;
}

// Who has rights in one region stops no drill of another, whatever it has learned of it before.
START_TEST(only_a_drill_of_the_region_is_stopped)
{
    static const char one[] = "0000000000000001", two[] = "0000000000000002";
    struct health h;
    checker_init(&h);
    int64_t now = clock_wall_ms();
    struct health_drill *over = known(&h, 1, now), *runs = known(&h, 2, now);
    runs->state = HEALTH_DRILL_RUNS;
    runs->end_mono_ms = INT64_MAX;
    snprintf(over->region, sizeof over->region, "westus");
    ck_assert_int_eq(stops(&h, two, "westus"), ERR_DENIED);
    ck_assert_int_eq(stops(&h, "", "westus"), ERR_DENIED);
    ck_assert_int_eq(stops(&h, one, "eastus"), ERR_DENIED);
    ck_assert_int_eq(stops(&h, one, "westus"), ERR_EXISTS);
    ck_assert_int_eq(stops(&h, "00000000000000aa", "westus"), ERR_NOTFOUND);
    ck_assert_int_eq(runs->state, HEALTH_DRILL_RUNS);
    ck_assert_int_eq(stops(&h, "", "eastus"), 0);
    ck_assert_int_eq(runs->state, HEALTH_DRILL_STOPPED);
    ck_assert_str_eq(runs->stopped_by, "ada@eastus");
    ck_assert_int_eq(stops(&h, "", "westus"), ERR_NOTFOUND);
    runs->state = HEALTH_DRILL_RUNS;
    runs->stopped_ms = 0;
    ck_assert_int_eq(stops(&h, two, NULL), 0); // at the node itself
    ck_assert_int_eq(runs->state, HEALTH_DRILL_STOPPED);
    checker_done(&h);
}
END_TEST

CHECK_MAIN("drill", it_ends_by_the_monotonic_clock, nothing_prolongs_it, all_come_to_the_same,
           places, a_stopped_one_is_not_forgotten_for_shorter_ones, written_and_read,
           what_is_damaged_is_refused, what_is_not_there_is_none, all_are_listed_the_latest_first,
           only_a_drill_of_the_region_is_stopped)
