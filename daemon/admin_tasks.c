// SPDX-License-Identifier: Apache-2.0
// What the admin socket and the metrics say of the durable queue (store/meta_queue.h):
//
//   GET  /v1/tasks?kind=NAME[&after=KEY][&n=COUNT]   its tasks, by key
//   POST /v1/tasks/run?kind=NAME&key=KEY             one that is queued is due now
//
// On the pool: they block on the store.
#include "daemon/admin_tasks.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "daemon/task_runner.h"
#include "net/refuse.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define REGISTRIES_MAX 4096 // that are counted
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

// Counts of a kind in all registries.
static int kind_count(const struct app *app, enum task_kind kind, struct task_count *out)
{
    struct arena a;
    struct task_count *list, sum = {0};
    size_t n;
    arena_init(&a, 0);
    int rc = meta_tasks_count(app->meta, kind, clock_mono_ms(), REGISTRIES_MAX, &a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        sum.n_all += list[i].n_all;
        sum.n_due += list[i].n_due;
        sum.n_failing += list[i].n_failing;
    }
    arena_done(&a);
    if (!rc)
        *out = sum;
    return rc;
}

static json_t *kind_json(const struct app *app, enum task_kind kind)
{
    struct task_count c;
    struct task_stats s;
    int rc = kind_count(app, kind, &c);
    task_runner_stats(app->tasks, kind, &s);
    if (rc || !s.registered)
        return NULL;
    return json_pack("{s:I, s:I, s:I, s:b, s:I, s:I}", "queued", (json_int_t)c.n_all, "due",
                     (json_int_t)c.n_due, "failing", (json_int_t)c.n_failing, "runs", s.runs,
                     "steps", (json_int_t)(s.n_done + s.n_more + s.n_failed), "failed",
                     (json_int_t)s.n_failed);
}

json_t *tasks_json(const struct app *app)
{
    json_t *kinds = json_object();
    for (int kind = TASK_APPLY + 1; kinds && app->tasks && kind < TASK_N_KINDS; kind++) {
        json_t *o = kind_json(app, (enum task_kind)kind);
        if (o)
            json_object_set_new(kinds, task_kind_name((enum task_kind)kind), o);
    }
    return kinds;
}

// --- metrics ---

static void gauge_row(struct buf *b, const char *family, enum task_kind kind, uint64_t value)
{
    exposition_begin(b, family);
    exposition_label(b, "kind", task_kind_name(kind));
    exposition_value(b, (double)value);
}

static void counts_write(const struct app *app, struct buf *b)
{
    struct task_count c[TASK_N_KINDS];
    bool counted[TASK_N_KINDS] = {false};
    for (int k = TASK_APPLY + 1; k < TASK_N_KINDS; k++)
        counted[k] = kind_count(app, (enum task_kind)k, &c[k]) == 0;
    exposition_family(b, "meridian_tasks", "gauge", "Tasks in the durable queue.");
    for (int k = 0; k < TASK_N_KINDS; k++)
        if (counted[k])
            gauge_row(b, "meridian_tasks", (enum task_kind)k, c[k].n_all);
    exposition_family(b, "meridian_tasks_due", "gauge", "Of them, those that are due.");
    for (int k = 0; k < TASK_N_KINDS; k++)
        if (counted[k])
            gauge_row(b, "meridian_tasks_due", (enum task_kind)k, c[k].n_due);
    exposition_family(b, "meridian_tasks_failing", "gauge",
                      "Of them, those whose last try failed.");
    for (int k = 0; k < TASK_N_KINDS; k++)
        if (counted[k])
            gauge_row(b, "meridian_tasks_failing", (enum task_kind)k, c[k].n_failing);
}

static void steps_row(struct buf *b, enum task_kind kind, const char *outcome, uint64_t n)
{
    exposition_begin(b, "meridian_task_steps_total");
    exposition_label(b, "kind", task_kind_name(kind));
    exposition_label(b, "outcome", outcome);
    exposition_value(b, (double)n);
}

static void steps_write(const struct app *app, struct buf *b)
{
    struct task_stats s[TASK_N_KINDS];
    for (int k = 0; k < TASK_N_KINDS; k++)
        task_runner_stats(app->tasks, (enum task_kind)k, &s[k]);
    exposition_family(b, "meridian_task_steps_total", "counter",
                      "Steps of tasks that were run, by how they ended.");
    for (int k = 0; k < TASK_N_KINDS; k++) {
        if (!s[k].registered)
            continue;
        steps_row(b, (enum task_kind)k, "done", s[k].n_done);
        steps_row(b, (enum task_kind)k, "more", s[k].n_more);
        steps_row(b, (enum task_kind)k, "failed", s[k].n_failed);
    }
    exposition_family(b, "meridian_task_step_seconds_total", "counter",
                      "Time that steps of tasks took.");
    for (int k = 0; k < TASK_N_KINDS; k++) {
        if (!s[k].registered)
            continue;
        exposition_begin(b, "meridian_task_step_seconds_total");
        exposition_label(b, "kind", task_kind_name((enum task_kind)k));
        exposition_value(b, (double)s[k].run_ms / 1000);
    }
}

void tasks_metrics(const struct app *app, struct buf *b)
{
    if (!app->tasks)
        return;
    counts_write(app, b);
    steps_write(app, b);
}

// --- the calls ---

// TASK_N_KINDS: it was answered.
static enum task_kind kind_asked(struct app *app, struct http_request *req,
                                 struct http_response *resp)
{
    const char *name = http_query_get(req, "kind", 0);
    enum task_kind kind = TASK_N_KINDS;
    if (!app->tasks) {
        http_response_text(req, resp, 404, "this node has no store\n");
        return TASK_N_KINDS;
    }
    if (name)
        kind = task_kind_named(name);
    if (kind != TASK_N_KINDS && kind != TASK_APPLY)
        return kind;
    http_response_text(req, resp, 400,
                       "give kind=, one of those that GET /v1/status lists under tasks\n");
    return TASK_N_KINDS;
}

static json_t *task_json(const struct task *t, int64_t now_ms)
{
    int64_t in_ms = 0;
    if (t->due_ms > now_ms)
        in_ms = t->due_ms - now_ms;
    return json_pack("{s:s, s:s, s:I, s:I, s:s?}", "key", t->key, "registry", t->registry,
                     "dueInMs", (json_int_t)in_ms, "failures", (json_int_t)t->attempts, "lastError",
                     t->reason);
}

static json_t *page_json(const struct task *list, size_t n, bool more)
{
    json_t *tasks = json_array();
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; tasks && i < n; i++)
        json_array_append_new(tasks, task_json(&list[i], now_ms));
    json_t *doc = json_pack("{s:o?}", "tasks", tasks);
    if (doc && more)
        json_object_set_new(doc, "next", json_string(list[n - 1].key));
    return doc;
}

void admin_get_tasks(struct app *app, struct http_request *req, struct http_response *resp)
{
    enum task_kind kind = kind_asked(app, req, resp);
    const char *count = http_query_get(req, "n", 0);
    struct task *list;
    size_t n, max = PAGE_DEFAULT;
    if (kind == TASK_N_KINDS)
        return;
    if (count)
        max = (size_t)strtoul(count, NULL, 10);
    if (max < 1 || max > PAGE_MAX) {
        http_response_text(req, resp, 400, "n is from 1 to %d\n", PAGE_MAX);
        return;
    }
    int rc = meta_tasks_list(app->meta, kind, http_query_get(req, "after", 0), max + 1, &req->arena,
                             &list, &n);
    if (rc) {
        http_response_text(req, resp, 503, "the queue cannot be read: %s\n", err_text(rc));
        return;
    }
    bool more = n > max;
    serve_json(req, resp, page_json(list, more ? max : n, more));
}

void admin_post_task_run(struct app *app, struct http_request *req, struct http_response *resp)
{
    enum task_kind kind = kind_asked(app, req, resp);
    const char *key = http_query_get(req, "key", 0);
    struct task t;
    if (kind == TASK_N_KINDS)
        return;
    if (!key) {
        http_response_text(req, resp, 400, "give key=, as GET /v1/tasks lists it\n");
        return;
    }
    int rc = meta_task_get(app->meta, kind, key, &req->arena, &t);
    if (rc == ERR_NOTFOUND) {
        http_response_text(req, resp, 404, "no task of that kind and key is queued\n");
        return;
    }
    const struct task_new now = {.kind = kind, .key = key, .registry = t.registry};
    if (!rc)
        rc = meta_task_add(app->meta, &now);
    if (rc) {
        http_response_text(req, resp, 503, "the queue cannot be written: %s\n", err_text(rc));
        return;
    }
    task_runner_wake(app->tasks);
    serve_json(req, resp, json_pack("{s:s, s:s}", "kind", task_kind_name(kind), "key", key));
}
