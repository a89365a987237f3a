// SPDX-License-Identifier: Apache-2.0
// See task_runner.h. One thread, one lock: the lock covers `stopping`, `woken`, `look_due` and the
// stats; all else belongs to the thread once it runs.
//
// Invariants
//   1. One step runs at a time, so a task never runs twice at once.
//   2. What becomes of a task is written after its step has returned, or not at all: a step that was
//      cut off by the end of the process runs again.
#include "daemon/task_runner.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"

#include <assert.h>
#include <pthread.h>

#define IDLE_MS 15000   // what nobody wakes us for waits no longer
#define TROUBLE_MS 5000 // the store could not be read or written
#define PER_TURN 4      // tasks of one kind before the next kind has its turn
#define SCHEDULES_MAX 4
#define SLOW_MS 5000 // a step that takes longer is told
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 3600000

struct schedule {
    int64_t every_ms, next_ms;
    void (*fn)(void *ctx);
    void *ctx;
};

struct task_runner {
    struct meta *m;
    struct {
        task_fn *fn;
        void *ctx;
    } kinds[TASK_N_KINDS];
    struct schedule schedules[SCHEDULES_MAX];
    size_t n_schedules;
    // the kind whose turn is first in the next round
    int first;
    pthread_t thread;
    bool runs;
    // the store failed, and that was told
    bool trouble_told;
    _Atomic bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    bool woken, look_due;
    struct task_stats stats[TASK_N_KINDS];
};

int task_runner_new(struct meta *m, struct task_runner **out)
{
    struct task_runner *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->m = m;
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->wake);
    *out = r;
    return 0;
}

void task_runner_free(struct task_runner *r)
{
    if (!r)
        return;
    assert(!r->runs);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
    free(r);
}

void task_runner_register(struct task_runner *r, enum task_kind kind, task_fn *fn, void *ctx)
{
    assert(!r->runs && kind != TASK_APPLY && !r->kinds[kind].fn);
    r->kinds[kind].fn = fn;
    r->kinds[kind].ctx = ctx;
    r->stats[kind].registered = true;
}

void task_runner_every(struct task_runner *r, int64_t every_ms, void (*fn)(void *ctx), void *ctx)
{
    assert(!r->runs && r->n_schedules < SCHEDULES_MAX);
    r->schedules[r->n_schedules++] = (struct schedule){.every_ms = every_ms, .fn = fn, .ctx = ctx};
}

bool task_stops(const struct task_step *s)
{
    return s->runner->stopping;
}

// --- one task ---

static int outcome_write(struct task_runner *r, const struct task *t, const struct task_step *s,
                         int rc)
{
    if (rc) {
        int64_t delay_ms = wait_backoff_ms(t->attempts, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
        const char *reason = s->reason[0] ? s->reason : err_text(rc);
        return meta_task_retry(r->m, t->id, clock_mono_ms() + delay_ms, reason);
    }
    if (s->again_ms < 0)
        return meta_task_done(r->m, t->id, t->revision);
    const char *payload = s->payload[0] ? s->payload : NULL;
    return meta_task_later(r->m, t->id, t->revision, clock_mono_ms() + s->again_ms, payload);
}

static void stats_begin(struct task_runner *r, enum task_kind kind)
{
    pthread_mutex_lock(&r->lock);
    r->stats[kind].runs = true;
    pthread_mutex_unlock(&r->lock);
}

static void stats_end(struct task_runner *r, enum task_kind kind, const struct task_step *s, int rc,
                      int64_t took_ms)
{
    pthread_mutex_lock(&r->lock);
    struct task_stats *is = &r->stats[kind];
    is->runs = false;
    is->run_ms += (uint64_t)took_ms;
    if (rc)
        is->n_failed++;
    else if (s->again_ms < 0)
        is->n_done++;
    else
        is->n_more++;
    pthread_mutex_unlock(&r->lock);
}

static void failure_log(const struct task *t, const struct task_step *s, int rc)
{
    // The same failure again and again is in status and metrics: the log has the first ones.
    if (t->attempts >= 3)
        return;
    log_warn("daemon: %s of %s failed: %s; it is tried again", task_kind_name(t->kind), t->key,
             s->reason[0] ? s->reason : err_text(rc));
}

static int task_run(struct task_runner *r, const struct task *t)
{
    struct task_step *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->task = t;
    s->runner = r;
    s->again_ms = -1;
    int64_t from_ms = clock_mono_ms();
    stats_begin(r, t->kind);
    int rc = r->kinds[t->kind].fn(r->kinds[t->kind].ctx, s);
    int64_t took_ms = clock_mono_ms() - from_ms;
    stats_end(r, t->kind, s, rc, took_ms);
    if (took_ms > SLOW_MS)
        log_info("daemon: one step of %s of %s took %lld ms", task_kind_name(t->kind), t->key,
                 (long long)took_ms);
    bool cut_off = rc == ERR_CLOSED || (rc == ERR_CANCELED && r->stopping);
    if (!cut_off && rc)
        failure_log(t, s, rc);
    if (!cut_off)
        rc = outcome_write(r, t, s, rc);
    free(s);
    if (rc == ERR_NOTFOUND)
        return 0; // it was cancelled meanwhile
    return rc;
}

// --- turns ---

// Runs some tasks of one kind. *next_ms: lowered to when its next one is due.
static int kind_turn(struct task_runner *r, enum task_kind kind, int64_t *next_ms)
{
    struct arena a;
    struct task *tasks;
    size_t n = 0;
    int64_t its_next_ms = INT64_MAX;
    arena_init(&a, 0);
    int rc = meta_tasks_due(r->m, kind, clock_mono_ms(), PER_TURN, &a, &tasks, &n, &its_next_ms);
    for (size_t i = 0; !rc && i < n && !r->stopping; i++)
        rc = task_run(r, &tasks[i]);
    arena_done(&a);
    if (n) // one that ran may be due again
        its_next_ms = 0;
    if (its_next_ms < *next_ms)
        *next_ms = its_next_ms;
    return rc;
}

static void trouble_tell(struct task_runner *r, int rc)
{
    if (rc && !r->trouble_told)
        log_warn("daemon: the queue of tasks cannot be read or written: %s; it is tried again",
                 err_text(rc));
    r->trouble_told = rc != 0;
}

// Each kind has a turn. Returns when to come again, mono.
static int64_t round_run(struct task_runner *r)
{
    int64_t next_ms = clock_mono_ms() + IDLE_MS;
    int rc = 0;
    for (int i = 0; !rc && i < TASK_N_KINDS && !r->stopping; i++) {
        enum task_kind kind = (enum task_kind)((r->first + i) % TASK_N_KINDS);
        if (r->kinds[kind].fn)
            rc = kind_turn(r, kind, &next_ms);
    }
    r->first = (r->first + 1) % TASK_N_KINDS;
    if (r->stopping)
        return 0;
    trouble_tell(r, rc);
    if (rc)
        return clock_mono_ms() + TROUBLE_MS;
    return next_ms;
}

// *next_ms: lowered to when the next one is due.
static void schedules_run(struct task_runner *r, bool all, int64_t *next_ms)
{
    for (size_t i = 0; i < r->n_schedules && !r->stopping; i++) {
        struct schedule *s = &r->schedules[i];
        if (all || clock_mono_ms() >= s->next_ms) {
            s->fn(s->ctx);
            s->next_ms = clock_mono_ms() + s->every_ms;
        }
        if (s->next_ms < *next_ms)
            *next_ms = s->next_ms;
    }
}

// Until then, or until somebody wakes us. *out_look: the schedules are due. False: the end.
static bool wait_until(struct task_runner *r, int64_t until_ms, bool *out_look)
{
    pthread_mutex_lock(&r->lock);
    for (;;) {
        int64_t left_ms = until_ms - clock_mono_ms();
        if (r->stopping || r->woken || r->look_due || left_ms <= 0)
            break;
        wait_cond(&r->wake, &r->lock, left_ms);
    }
    *out_look = r->look_due;
    r->woken = r->look_due = false;
    pthread_mutex_unlock(&r->lock);
    return !r->stopping;
}

static void *runner_main(void *ctx)
{
    struct task_runner *r = ctx;
    bool look = true;
    int64_t next_ms;
    do {
        int64_t schedule_ms = INT64_MAX;
        schedules_run(r, look, &schedule_ms);
        next_ms = round_run(r);
        if (schedule_ms < next_ms)
            next_ms = schedule_ms;
    } while (wait_until(r, next_ms, &look));
    return NULL;
}

int task_runner_start(struct task_runner *r)
{
    assert(!r->runs);
    if (pthread_create(&r->thread, NULL, runner_main, r))
        return ERR_NOMEM;
    r->runs = true;
    return 0;
}

void task_runner_stop(struct task_runner *r)
{
    if (!r || !r->runs)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->runs = false;
}

static void tell(struct task_runner *r, bool look)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->woken = true;
    if (look)
        r->look_due = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

void task_runner_wake(struct task_runner *r)
{
    tell(r, false);
}

void task_runner_look(struct task_runner *r)
{
    tell(r, true);
}

void task_runner_stats(struct task_runner *r, enum task_kind kind, struct task_stats *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->stats[kind];
    pthread_mutex_unlock(&r->lock);
}
