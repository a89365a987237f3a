// SPDX-License-Identifier: Apache-2.0
// replication/clock_watch: three regions in one process, whose clocks differ by what they tell each
// other.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <string.h>

static struct world w;
#define east (&w.regions[0])
#define west (&w.regions[1])
#define south (&w.regions[2])

// What the kernel says, and its wall clock: the linker puts these in front of the real ones.
static _Atomic enum clock_kernel kernel = CLOCK_KERNEL_SYNCHRONISED;
static _Atomic int64_t wall_shift_ms;
enum clock_kernel __wrap_clock_kernel_state(void);
int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
    return __real_clock_wall_ms() + wall_shift_ms;
}

enum clock_kernel __wrap_clock_kernel_state(void)
{
    return kernel;
}

// What the region says of its clock: its state, or "?".
static const char *state(struct test_region *r)
{
    static char text[32];
    json_t *doc = replication_clock_json(r->replicator);
    const char *s = json_string_value(json_object_get(doc, "state"));
    snprintf(text, sizeof text, "%s", s ? s : "?");
    json_decref(doc);
    return text;
}

static bool state_says(struct test_region *r, const char *want)
{
    return strcmp(state(r), want) == 0;
}

static bool reaches(struct test_region *r, const char *other)
{
    json_t *doc = replication_clock_json(r->replicator);
    bool reached = json_is_true(
        json_object_get(json_object_get(json_object_get(doc, "regions"), other), "reached"));
    json_decref(doc);
    return reached;
}

static void all_agree(void)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        for (size_t k = 0; k < N_REGIONS; k++)
            if (i != k)
                WAIT_FOR(reaches(&w.regions[i], w.regions[k].name) &&
                             state_says(&w.regions[i], "fine"),
                         15000);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 15000);
}

START_TEST(a_clock_that_is_off_closes_its_own_writes_only)
{
    world_up(&w);
    all_agree();
    for (int i = 0; i < 2; i++) {
        east->clock_ms = i ? -1500 : 2000;
        WAIT_FOR(!region_writes_open(east), 10000);
        ck_assert(state_says(east, "outvoted"));
        struct arena a;
        arena_init(&a, 0);
        const char *why = meta_closed_why(east->meta, &a);
        ck_assert_ptr_nonnull(strstr(why, i ? "behind" : "ahead of"));
        ck_assert_ptr_nonnull(strstr(why, "westeurope"));
        ck_assert_ptr_nonnull(strstr(why, "southeastasia"));
        arena_done(&a);
        WAIT_FOR(state_says(west, "differs") && state_says(south, "differs"), 10000);
        ck_assert(region_writes_open(west) && region_writes_open(south));
        east->clock_ms = 0;
        all_agree();
    }
    world_done(&w);
}
END_TEST

START_TEST(a_region_that_starts_with_a_bad_clock_never_opens)
{
    world_up(&w);
    all_agree();
    region_down(east);
    east->clock_ms = 5000;
    region_up(east);
    WAIT_FOR(state_says(east, "outvoted"), 10000);
    ck_assert(!region_writes_open(east));
    WAIT_FOR(!meta_gate_is_closed(east->meta, META_GATE_RECOVERY), 10000);
    ck_assert(!region_writes_open(east));
    east->clock_ms = 0;
    all_agree();
    world_done(&w);
}
END_TEST

// Two regions see each other only: nobody can tell.
START_TEST(with_one_region_reached_there_is_a_warning)
{
    world_up(&w);
    all_agree();
    region_cut(south, true);
    WAIT_FOR(!reaches(east, "southeastasia") && !reaches(west, "southeastasia"), 15000);
    east->clock_ms = 3000;
    WAIT_FOR(state_says(east, "differs") && state_says(west, "differs"), 10000);
    ck_assert(region_writes_open(east) && region_writes_open(west) && region_writes_open(south));
    ck_assert(state_says(south, "fine"));
    // then the kernel's word decides, at each of the two by itself
    kernel = CLOCK_KERNEL_UNSYNCHRONISED;
    WAIT_FOR(state_says(east, "unsynchronised") && state_says(west, "unsynchronised"), 10000);
    ck_assert(!region_writes_open(east) && !region_writes_open(west) && region_writes_open(south));
    kernel = CLOCK_KERNEL_SYNCHRONISED;
    WAIT_FOR(region_writes_open(east) && region_writes_open(west), 10000);
    region_cut(south, false); // a third one decides
    WAIT_FOR(!region_writes_open(east), 15000);
    ck_assert(region_writes_open(west) && region_writes_open(south));
    region_cut(east, true); // who is known to be wrong does not become right by being cut off
    WAIT_FOR(!reaches(east, "southeastasia") && !reaches(east, "westeurope"), 15000);
    ck_assert(state_says(east, "outvoted"));
    ck_assert(!region_writes_open(east));
    world_done(&w);
}
END_TEST

START_TEST(a_liar_hurts_nobody)
{
    static const char *const answers[] = {"{\"wallMs\":0}",
                                          "{\"wallMs\":140737488355328}",
                                          "{\"wallMs\":140737488355329}",
                                          "{\"wallMs\":9223372036854775807}",
                                          "{\"wallMs\":92233720368547758070}",
                                          "{\"wallMs\":-1}",
                                          "{\"wallMs\":1e300}",
                                          "{\"wallMs\":null}",
                                          "{\"wallMs\":1,\"wallMs\":2}",
                                          "{}",
                                          "[]",
                                          "[[[[[[[[",
                                          " "};
    world_up(&w);
    all_agree();
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        west->clock_answer = answers[i];
        WAIT_FOR(!reaches(east, "westeurope") || state_says(east, "differs"), 10000);
        ck_assert(region_writes_open(east) && region_writes_open(south));
        west->clock_answer = NULL;
        WAIT_FOR(reaches(east, "westeurope") && state_says(east, "fine"), 10000);
    }
    world_done(&w);
}
END_TEST

// One that takes the question and never answers: the others are compared all the same, and stopping
// does not wait.
START_TEST(who_hangs_delays_a_round_by_its_limit_only)
{
    world_up(&w);
    all_agree();
    west->clock_answer = "";
    WAIT_FOR(!reaches(east, "westeurope"), 15000);
    ck_assert(reaches(east, "southeastasia"));
    south->clock_ms = 1000;
    WAIT_FOR(state_says(east, "differs"), 15000);
    ck_assert(region_writes_open(east));
    south->clock_ms = 0;
    WAIT_FOR(state_says(east, "fine"), 15000);
    world_done(&w);
}
END_TEST

// A machine that slept: the monotonic clock stood still, and all wall clocks are ahead of it at
// once.
START_TEST(clocks_that_are_set_together_agree_all_the_time)
{
    world_up(&w);
    all_agree();
    for (int i = 0; i < 6; i++) {
        wall_shift_ms = i % 2 ? 0 : 7200000;
        for (int64_t until = clock_mono_ms() + 700; clock_mono_ms() < until; clock_sleep_ms(5))
            for (size_t k = 0; k < N_REGIONS; k++)
                if (!region_writes_open(&w.regions[k]))
                    ck_abort_msg("%s closed: %s", w.regions[k].name, state(&w.regions[k]));
    }
    world_done(&w);
}
END_TEST

static bool is_judged(struct test_region *r)
{
    struct clock_opinion o = {0};
    return replication_clock_opinion(r->replicator, &o) && o.compared && !o.set_since;
}

// From the very moment on, before anybody was asked again.
START_TEST(a_clock_that_was_set_is_not_judged_by_what_was_measured_before)
{
    struct clock_opinion o;
    world_up(&w);
    all_agree();
    WAIT_FOR(is_judged(&w.regions[0]), 15000);
    wall_shift_ms = 7200000;
    ck_assert(replication_clock_opinion(w.regions[0].replicator, &o) && o.set_since);
    WAIT_FOR(is_judged(&w.regions[0]), 15000);
    wall_shift_ms = 0;
    world_done(&w);
}
END_TEST

static void refuse_certificate(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    plan->kind = HTTP_PLAN_REPLY;
    http_response_json(req, &plan->response, 400,
                       json_pack("{s:[{s:s, s:s}]}", "errors", "code", "DENIED", "message",
                                 "region westeurope refuses the certificate shown: "
                                 "FAILED:certificate is not yet valid"));
}

// An edge that finds our certificate's time not yet come says so, and we say whose clock is
// suspect.
START_TEST(a_certificate_refused_for_its_dates_names_the_suspect_clock)
{
    world_up(&w);
    all_agree();
    region_down(west);
    struct pool *pool =
        pool_new(&(struct pool_options){.name = "edge", .n_threads = 1, .max_waiting = 8});
    char path[512];
    snprintf(path, sizeof path, "%s/1.from.0.sock", w.dir);
    const struct http_server_options o = {.socket_path = path,
                                          .socket_mode = 0600,
                                          .socket_gid = -1,
                                          .listener = LISTENER_PEER,
                                          .pool = pool};
    const struct http_app app = {.begin = refuse_certificate};
    struct http_server *edge;
    ck_assert_int_eq(http_server_start(&o, &app, &edge), 0);
    WAIT_FOR(error_has(east, "westeurope",
                       "answered 400: region westeurope refuses the certificate shown: "
                       "FAILED:certificate is not yet "
                       "valid; the clocks of this region and westeurope agree to 0."),
             20000);
    http_server_stop(edge, 500);
    pool_free(pool);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/clocks", a_clock_that_is_off_closes_its_own_writes_only,
           a_region_that_starts_with_a_bad_clock_never_opens,
           with_one_region_reached_there_is_a_warning, a_liar_hurts_nobody,
           who_hangs_delays_a_round_by_its_limit_only,
           clocks_that_are_set_together_agree_all_the_time,
           a_clock_that_was_set_is_not_judged_by_what_was_measured_before,
           a_certificate_refused_for_its_dates_names_the_suspect_clock)
