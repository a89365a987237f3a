// SPDX-License-Identifier: Apache-2.0
// Jobs: entries that were read and are not applied yet. See meta_jobs.h.
//
// Invariants (design section 9)
//   5. A job ends only in the transaction that applies its entry (job_end), or makes it void, or
//      when its registry is no more (meta_job_drop); a failed try only moves its time. Deadlines
//      are of the monotonic clock and hold in this process only: a wrong wall clock delays no job,
//      and when a store opens all jobs are due.
//   6. Fair by registry: as all tasks are (meta_queue.c).
#include "store/meta_jobs.h"

#include "base/err.h"
#include "store/kind_rules.h"
#include "store/meta_priv.h"

int job_end(struct tx *tx, int64_t id)
{
    int rc = job_remove(tx, id);
    if (rc)
        return rc;
    return log_content_drop(tx, id);
}

static int drop_run(struct tx *tx, void *arg)
{
    const int64_t *id = arg;
    int rc = job_exists(tx, *id);
    if (rc)
        return rc;
    return job_end(tx, *id); // 5
}

int meta_job_drop(struct meta *m, int64_t id)
{
    return meta_write(m, drop_run, &id, false);
}

static int wake_run(struct tx *tx, void *arg)
{
    (void)arg;
    return jobs_wake_all(tx);
}

void meta_jobs_wake(struct meta *m)
{
    (void)meta_write(m, wake_run, NULL, false); // if it fails, they come up at their own time
}

struct later {
    const int64_t *ids;
    const char *const *registries;
    size_t n;
    int64_t due_ms;
};

static int later_run(struct tx *tx, void *arg)
{
    const struct later *l = arg;
    for (size_t i = 0; i < l->n; i++) {
        int rc = job_postpone(tx, l->ids[i], l->due_ms);
        if (rc)
            return rc;
    }
    return 0;
}

int meta_jobs_later(struct meta *m, const int64_t *ids, size_t n, int64_t due_ms)
{
    struct later l = {.ids = ids, .n = n, .due_ms = due_ms};
    return meta_write(m, later_run, &l, false);
}

static int retry_now_run(struct tx *tx, void *arg)
{
    const struct later *l = arg;
    for (size_t i = 0; i < l->n; i++) {
        int rc = jobs_wake_registry(tx, l->registries[i], l->due_ms);
        if (rc)
            return rc;
    }
    return 0;
}

int meta_jobs_retry_now(struct meta *m, const char *const *registries, size_t n)
{
    struct later l = {.registries = registries, .n = n, .due_ms = clock_mono_ms()};
    return meta_write(m, retry_now_run, &l, false);
}

// --- what is not applied ---

static int pending_read(struct tx *tx, const char *registry, size_t max, struct arena *a,
                        struct job **out, size_t *out_n)
{
    int64_t *ids = arena_array(a, max + 1, sizeof *ids);
    struct job *list = arena_array(a, max + 1, sizeof *list);
    size_t n = 0;
    if (!ids || !list)
        return ERR_NOMEM;
    int rc = tasks_due(tx, TASK_APPLY, registry, INT64_MAX, max, ids, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = job_get(tx, ids[i], a, &list[i]);
    *out = list;
    *out_n = n;
    return rc;
}

int meta_pending(struct meta *m, const char *registry, size_t max, struct arena *a,
                 struct job **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = pending_read(tx, registry, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

// --- a try failed, or another entry is missing ---

struct retry {
    int64_t id, due_ms;
    int grade;
    const char *error;
};

static int failed_run(struct tx *tx, void *arg)
{
    const struct retry *r = arg;
    struct job_failure f = {r->due_ms, clock_mono_ms(), r->grade, r->error};
    return job_fail(tx, r->id, &f);
}

static bool waits_for_digest(const struct feed_entry *e)
{
    const struct kind_rules *rules = kind_rules(e->kind);
    return rules && rules->waits == KIND_WAITS_FOR_DIGEST;
}

// Is the content of the manifest of the entry's digest here?
static int digest_is_here(struct tx *tx, const struct feed_entry *e, bool *out)
{
    struct manifest_now m;
    int64_t repo;
    int rc = repo_find(tx, e->registry, e->repository, &repo);
    if (!rc)
        rc = manifest_look(tx, repo, &e->digest, &m);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == 0 && m.here;
    return 0;
}

// The manifest that a job waits for may have come between the try and now: then nothing would wake
// the job.
static int can_be_applied(struct tx *tx, int64_t id, bool *out)
{
    struct arena a;
    struct job job;
    bool can = false;
    arena_init(&a, 0);
    int rc = job_get(tx, id, &a, &job);
    if (!rc && waits_for_digest(&job.entry))
        rc = digest_is_here(tx, &job.entry, &can);
    arena_done(&a);
    if (!rc)
        *out = can;
    return rc;
}

static int wait_run(struct tx *tx, void *arg)
{
    const struct retry *r = arg;
    bool can;
    int rc = can_be_applied(tx, r->id, &can);
    if (rc)
        return rc;
    return job_wait(tx, r->id, can ? 0 : r->due_ms, !can);
}

int meta_job_failed(struct meta *m, int64_t id, int64_t due_ms, int grade, const char *error)
{
    struct retry r = {id, due_ms, grade, error};
    return meta_write(m, error ? failed_run : wait_run, &r, false);
}

int meta_job_retry(struct meta *m, int64_t id, int64_t due_ms, const char *error)
{
    return meta_job_failed(m, id, due_ms, 0, error);
}

// --- which jobs are due ---

static int due_read(struct tx *tx, const struct task_pick *p, struct arena *a, struct job **out,
                    size_t *out_n, int64_t *out_next_ms)
{
    int64_t *ids;
    size_t n;
    int rc = tasks_pick(tx, p, a, &ids, &n, out_next_ms);
    if (rc)
        return rc;
    struct job *jobs = arena_array(a, n + 1, sizeof *jobs);
    if (!jobs)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        rc = job_get(tx, ids[i], a, &jobs[i]);
        if (rc)
            return rc;
    }
    *out = jobs;
    *out_n = n;
    return 0;
}

int meta_jobs_due(struct meta *m, int64_t now_ms, size_t max, struct arena *a, struct job **out,
                  size_t *out_n, int64_t *out_next_ms)
{
    const struct task_pick p = {
        .kind = TASK_APPLY, .now_ms = now_ms, .max = max, .turn = &m->turn[TASK_APPLY]};
    struct tx *tx;
    struct job *jobs;
    size_t n;
    int64_t next_ms;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = due_read(tx, &p, a, &jobs, &n, &next_ms);
    tx_end(tx);
    if (rc)
        return rc;
    *out = jobs;
    *out_n = n;
    *out_next_ms = next_ms;
    return 0;
}
