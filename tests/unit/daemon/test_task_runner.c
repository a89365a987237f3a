// SPDX-License-Identifier: Apache-2.0
// daemon/task_runner: what a step's outcome does to its task, turns, schedules, stopping. Over a
// store in memory.
#include "daemon/task_runner.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/meta.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_backend.h"
#include "tests/support/wait_for.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_MS 10000

static struct memory_db *db;
static struct meta *m;
static struct task_runner *runner;

static void begin(void)
{
    const struct meta_options o = {.region = "eastus"};
    db = memory_db_new("eastus");
    ck_assert_int_eq(memory_meta_open(db, &o, &m), 0);
    ck_assert_int_eq(task_runner_new(m, &runner), 0);
}

static void end(void)
{
    task_runner_stop(runner);
    task_runner_free(runner);
    meta_close(m);
    memory_db_free(db);
}

static void ask(enum task_kind kind, const char *registry, const char *key)
{
    const struct task_new t = {.kind = kind, .key = key, .registry = registry};
    ck_assert_int_eq(meta_task_add(m, &t), 0);
    task_runner_wake(runner);
}

// The task as it is queued now. False: it is not.
static bool is_queued(enum task_kind kind, const char *key, struct task *out)
{
    static char reason[TASK_REASON_MAX + 1], payload[TASK_PAYLOAD_MAX + 1];
    struct arena a;
    arena_init(&a, 0);
    int rc = meta_task_get(m, kind, key, &a, out);
    if (!rc) {
        snprintf(reason, sizeof reason, "%s", out->reason ? out->reason : "");
        snprintf(payload, sizeof payload, "%s", out->payload);
        out->reason = reason;
        out->payload = payload;
    }
    arena_done(&a);
    return rc == 0;
}

// What a step is told to do, and what it saw.
struct script {
    int rc;
    int64_t again_ms;
    const char *payload, *reason;
    _Atomic int n_runs;
    // until a test lets it go on
    _Atomic bool held;
    _Atomic bool saw_stop;
    char saw_payload[64];
};

static int scripted(void *ctx, struct task_step *s)
{
    struct script *c = ctx;
    snprintf(c->saw_payload, sizeof c->saw_payload, "%s", s->task->payload);
    c->n_runs++;
    while (c->held && !task_stops(s))
        clock_sleep_ms(1);
    c->saw_stop = task_stops(s);
    if (c->saw_stop)
        return ERR_CANCELED;
    s->again_ms = c->again_ms;
    if (c->payload)
        snprintf(s->payload, sizeof s->payload, "%s", c->payload);
    if (c->reason)
        snprintf(s->reason, sizeof s->reason, "%s", c->reason);
    return c->rc;
}

START_TEST(a_task_runs_to_its_end)
{
    struct script c = {.again_ms = -1};
    struct task t;
    struct task_stats stats;
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ask(TASK_RETAIN, "contoso", "contoso/app"); // before it starts: it was queued by an earlier run
    ck_assert_int_eq(task_runner_start(runner), 0);
    WAIT_FOR(!is_queued(TASK_RETAIN, "contoso/app", &t), LIMIT_MS);
    ask(TASK_RETAIN, "contoso", "contoso/web"); // woken, not after its idle time
    WAIT_FOR(!is_queued(TASK_RETAIN, "contoso/web", &t), LIMIT_MS);
    ck_assert_int_eq(c.n_runs, 2);
    task_runner_stats(runner, TASK_RETAIN, &stats);
    ck_assert(stats.registered && stats.n_done == 2 && stats.n_more == 0 && stats.n_failed == 0);
    task_runner_stats(runner, TASK_COLLECT, &stats);
    ck_assert(!stats.registered);
    end();
}
END_TEST

START_TEST(a_step_that_has_more_to_do_keeps_its_place)
{
    struct script c = {.again_ms = 3600000, .payload = "page 2"};
    struct task t = {0};
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ck_assert_int_eq(task_runner_start(runner), 0);
    ask(TASK_RETAIN, "contoso", "contoso/app");
    WAIT_FOR(is_queued(TASK_RETAIN, "contoso/app", &t) && strcmp(t.payload, "page 2") == 0,
             LIMIT_MS);
    ck_assert(t.attempts == 0 && t.due_ms > clock_mono_ms() + 3000000);
    ask(TASK_RETAIN, "contoso", "contoso/app"); // now, not in an hour
    WAIT_FOR(c.n_runs == 2, LIMIT_MS);
    ck_assert_str_eq(c.saw_payload, "page 2");
    end();
}
END_TEST

START_TEST(a_step_that_fails_is_tried_again_later)
{
    struct script c = {.rc = ERR_NOSPACE, .reason = "the disk of the store is full"};
    struct task t = {0};
    struct task_stats stats;
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ck_assert_int_eq(task_runner_start(runner), 0);
    ask(TASK_RETAIN, "contoso", "contoso/app");
    WAIT_FOR(is_queued(TASK_RETAIN, "contoso/app", &t) && t.attempts == 1, LIMIT_MS);
    ck_assert_str_eq(t.reason, "the disk of the store is full");
    int64_t delay_ms = t.due_ms - clock_mono_ms();
    ck_assert(delay_ms > 0 && delay_ms <= 1000);
    c.reason = NULL;
    WAIT_FOR(is_queued(TASK_RETAIN, "contoso/app", &t) && t.attempts == 2, LIMIT_MS);
    ck_assert_str_eq(t.reason, err_text(ERR_NOSPACE));
    ck_assert(t.due_ms > clock_mono_ms());
    task_runner_stats(runner, TASK_RETAIN, &stats);
    ck_assert(stats.n_failed >= 2 && stats.n_done == 0);
    end();
}
END_TEST

// A kind that always has more to do, and a registry with many tasks, hold nobody up.
START_TEST(kinds_and_registries_take_turns)
{
    struct script busy = {.again_ms = 0}, quick = {.again_ms = -1};
    struct task t;
    begin();
    task_runner_register(runner, TASK_COLLECT, scripted, &busy);
    task_runner_register(runner, TASK_RETAIN, scripted, &quick);
    for (int i = 0; i < 16; i++) {
        char key[16];
        snprintf(key, sizeof key, "all/%d", i);
        ask(TASK_COLLECT, "contoso", key);
    }
    ask(TASK_COLLECT, "fabrikam", "other");
    ask(TASK_RETAIN, "contoso", "contoso/app");
    ck_assert_int_eq(task_runner_start(runner), 0);
    WAIT_FOR(!is_queued(TASK_RETAIN, "contoso/app", &t), LIMIT_MS);
    int seen = busy.n_runs;
    WAIT_FOR(busy.n_runs > seen + 20, LIMIT_MS);
    ck_assert_int_eq(quick.n_runs, 1);
    end();
}
END_TEST

START_TEST(stopping_lets_a_step_end_and_its_task_stay)
{
    struct script c = {.again_ms = -1, .held = true};
    struct task t;
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ck_assert_int_eq(task_runner_start(runner), 0);
    ask(TASK_RETAIN, "contoso", "contoso/app");
    WAIT_FOR(c.n_runs == 1, LIMIT_MS);
    task_runner_stop(runner);
    ck_assert(c.saw_stop);
    ck_assert(is_queued(TASK_RETAIN, "contoso/app", &t));
    ck_assert_int_eq(t.attempts, 0);
    task_runner_stop(runner); // once more is no harm
    end();
}
END_TEST

// Cut off without having been told to stop: that is a failure like any other, not a loop.
START_TEST(a_step_that_cancels_itself_is_delayed)
{
    struct script c = {.rc = ERR_CANCELED};
    struct task t = {0};
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ck_assert_int_eq(task_runner_start(runner), 0);
    ask(TASK_RETAIN, "contoso", "contoso/app");
    WAIT_FOR(is_queued(TASK_RETAIN, "contoso/app", &t) && t.attempts == 1, LIMIT_MS);
    end();
}
END_TEST

START_TEST(what_is_cancelled_while_it_runs_is_gone)
{
    struct script c = {.again_ms = 0, .held = true};
    struct task t;
    begin();
    task_runner_register(runner, TASK_RETAIN, scripted, &c);
    ck_assert_int_eq(task_runner_start(runner), 0);
    ask(TASK_RETAIN, "contoso", "contoso/app");
    WAIT_FOR(c.n_runs == 1, LIMIT_MS);
    ck_assert_int_eq(meta_task_cancel(m, TASK_RETAIN, "contoso/app"), 0);
    c.held = false;
    ask(TASK_RETAIN, "contoso", "contoso/web"); // it goes on
    WAIT_FOR(c.n_runs > 2, LIMIT_MS);
    ck_assert(!is_queued(TASK_RETAIN, "contoso/app", &t));
    end();
}
END_TEST

static _Atomic int n_looks;

static void look(void *ctx)
{
    (void)ctx;
    n_looks++;
}

START_TEST(schedules_are_asked_at_the_start_and_when_something_changed)
{
    begin();
    task_runner_every(runner, 3600000, look, NULL);
    task_runner_look(NULL);
    task_runner_wake(NULL);
    ck_assert_int_eq(task_runner_start(runner), 0);
    WAIT_FOR(n_looks == 1, LIMIT_MS);
    task_runner_wake(runner); // nothing changed
    task_runner_look(runner);
    WAIT_FOR(n_looks == 2, LIMIT_MS);
    end();
}
END_TEST

CHECK_MAIN("daemon/task_runner", a_task_runs_to_its_end, a_step_that_has_more_to_do_keeps_its_place,
           a_step_that_fails_is_tried_again_later, kinds_and_registries_take_turns,
           stopping_lets_a_step_end_and_its_task_stay, a_step_that_cancels_itself_is_delayed,
           what_is_cancelled_while_it_runs_is_gone,
           schedules_are_asked_at_the_start_and_when_something_changed)
