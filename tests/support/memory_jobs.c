// SPDX-License-Identifier: Apache-2.0
// Jobs in memory; see store/backend_jobs.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define NEVER INT64_MAX // due_ms of a parked job

typedef const struct m_task *job_ptr;

#define EACH_JOB(tx, j)                     \
    EACH_ROW(tx, T_TASKS, struct m_task, j) \
    if (j->kind == TASK_APPLY)

static const struct m_task *job_at(struct tx *tx, int64_t id)
{
    return row_find(tx, T_TASKS, &(struct m_task){.id = id});
}

static bool is_parked(const struct m_task *j)
{
    return j->room && j->due_ms == NEVER;
}

static bool is_in(const struct m_task *j, const char *registry, const char *repository)
{
    return !strcmp(j->registry, registry) && !strcmp(j->repository, repository);
}

static int add(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    if (job_at(tx, id))
        return ERR_CONFLICT;
    return row_put(tx, T_TASKS,
                   &(struct m_task){.id = id,
                                    .origin = e->origin,
                                    .registry = e->registry,
                                    .repository = e->repository,
                                    .epoch = e->epoch,
                                    .seq = e->seq,
                                    .stamp = e->stamp,
                                    .part = e->partition});
}

static int remove_job(struct tx *tx, int64_t id)
{
    int rc = row_remove(tx, T_TASKS, &(struct m_task){.id = id});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int exists(struct tx *tx, int64_t id)
{
    return job_at(tx, id) ? 0 : ERR_NOTFOUND;
}

static int get(struct tx *tx, int64_t id, struct arena *a, struct job *out)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    struct job j = {.id = id, .attempts = is->attempts, .due_ms = is->due_ms, .room = is->room};
    int rc = entry_out(a, &feed_by_id(tx, id)->e, true, &j.entry);
    if (!rc)
        rc = text_out(a, is->reason, &j.last_error);
    if (!rc)
        *out = j;
    return rc;
}

// --- one job's state ---

static int postpone(struct tx *tx, int64_t id, int64_t due_ms)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return 0;
    struct m_task j = *is;
    j.due_ms = due_ms;
    j.room = 0;
    return row_put(tx, T_TASKS, &j);
}

static int fail(struct tx *tx, int64_t id, const struct job_failure *f)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    struct m_task j = *is;
    j.due_ms = f->due_ms;
    j.attempts++;
    j.waiting = false;
    j.room = 0;
    j.reason = f->error;
    j.failed_ms = f->failed_ms;
    j.grade = f->grade;
    return row_put(tx, T_TASKS, &j);
}

static int wait_job(struct tx *tx, int64_t id, int64_t due_ms, bool waits)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    struct m_task j = *is;
    j.due_ms = due_ms;
    j.waiting = waits;
    j.room = 0;
    return row_put(tx, T_TASKS, &j);
}

static int park(struct tx *tx, int64_t id, uint64_t needed_bytes, const struct job_failure *f)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    if (needed_bytes > INT64_MAX)
        return ERR_TOOBIG;
    struct m_task j = *is;
    j.due_ms = NEVER;
    j.waiting = false;
    j.room = needed_bytes;
    j.reason = f->error;
    j.grade = f->grade;
    j.failed_ms = f->failed_ms;
    return row_put(tx, T_TASKS, &j);
}

static int unpark(struct tx *tx, int64_t id)
{
    const struct m_task *is = job_at(tx, id);
    if (!is)
        return 0;
    struct m_task j = *is;
    j.room = 0;
    j.reason = NULL;
    j.grade = 0;
    return row_put(tx, T_TASKS, &j);
}

static int make_due(struct tx *tx, const struct m_task *is)
{
    struct m_task j = *is;
    j.due_ms = 0;
    j.waiting = false;
    return row_put(tx, T_TASKS, &j);
}

static int try_parked(struct tx *tx, int64_t id)
{
    const struct m_task *is = job_at(tx, id);
    return is && is->room ? make_due(tx, is) : 0;
}

// --- many jobs become due ---

struct wish {
    const char *registry, *repository, *tag;
    const struct digest *manifest;
    int64_t digest_kinds, after_ms;
};

static int wake(struct tx *tx,
                bool (*wanted)(struct tx *tx, const struct m_task *j, const struct wish *w),
                const struct wish *w)
{
    for (size_t i = 0; i < row_count(tx, T_TASKS); i++) {
        const struct m_task *j = row_at(tx, T_TASKS, i);
        if (j->kind != TASK_APPLY || !wanted(tx, j, w))
            continue;
        int rc = make_due(tx, j);
        if (rc)
            return rc;
    }
    return 0;
}

static bool any_wait(struct tx *tx, const struct m_task *j, const struct wish *w)
{
    (void)tx, (void)w;
    return j->waiting;
}

static int wake_all(struct tx *tx)
{
    return wake(tx, any_wait, NULL);
}

static bool is_postponed(struct tx *tx, const struct m_task *j, const struct wish *w)
{
    (void)tx;
    if (strcmp(j->registry, w->registry) != 0 || j->due_ms <= w->after_ms)
        return false;
    return !j->waiting && !j->room;
}

static int wake_registry(struct tx *tx, const char *registry, int64_t after_ms)
{
    return wake(tx, is_postponed, &(struct wish){.registry = registry, .after_ms = after_ms});
}

static bool may_wait_for(struct tx *tx, const struct m_task *j, const struct wish *w)
{
    if (!j->waiting || !is_in(j, w->registry, w->repository))
        return false;
    const struct feed_entry *e = &feed_by_id(tx, j->id)->e;
    if (!(w->digest_kinds >> e->kind & 1))
        return true;
    return digest_equal(&e->digest, w->manifest);
}

static int wake_for(struct tx *tx, const char *registry, const char *repository,
                    const struct digest *manifest, int64_t digest_kinds)
{
    return wake(tx, may_wait_for,
                &(struct wish){.registry = registry,
                               .repository = repository,
                               .manifest = manifest,
                               .digest_kinds = digest_kinds});
}

static bool is_of_tag(struct tx *tx, const struct m_task *j, const struct wish *w)
{
    if (!j->waiting || !is_in(j, w->registry, w->repository))
        return false;
    const struct feed_entry *e = &feed_by_id(tx, j->id)->e;
    return e->kind == ENTRY_TAG && strcmp(e->tag, w->tag) == 0;
}

static bool room_needed(struct tx *tx, const char *registry, const char *repository)
{
    EACH_JOB(tx, j)
    if (j->room && is_in(j, registry, repository))
        return true;
    return false;
}

static int wake_tag(struct tx *tx, const char *registry, const char *repository, const char *tag)
{
    if (!room_needed(tx, registry, repository))
        return 0;
    return wake(tx, is_of_tag,
                &(struct wish){.registry = registry, .repository = repository, .tag = tag});
}

static int by_failure(const void *a, const void *b)
{
    int64_t fa = (*(const job_ptr *)a)->failed_ms, fb = (*(const job_ptr *)b)->failed_ms;
    return (fa > fb) - (fa < fb);
}

// Parked jobs, those that failed longest ago first; freed by the caller.
static job_ptr *parked_sorted(struct tx *tx, size_t *out_n)
{
    size_t n = 0;
    job_ptr *list = malloc((row_count(tx, T_TASKS) + 1) * sizeof *list);
    EACH_JOB(tx, j)
    if (list && is_parked(j))
        list[n++] = j;
    if (list)
        qsort(list, n, sizeof *list, by_failure);
    *out_n = n;
    return list;
}

static bool asserts(struct tx *tx, const struct m_task *j, const struct wish *w)
{
    const struct m_feed *f = feed_by_id(tx, j->id);
    return j->room && is_in(j, w->registry, w->repository) && f->e.kind == ENTRY_MANIFEST &&
           digest_equal(&f->e.digest, w->manifest);
}

static int try_manifest(struct tx *tx, const char *registry, const char *repository,
                        const struct digest *manifest)
{
    return wake(
        tx, asserts,
        &(struct wish){.registry = registry, .repository = repository, .manifest = manifest});
}

static int wake_parked(struct tx *tx, const char *registry, const char *repository, size_t max)
{
    size_t n, n_woken = 0;
    int rc = 0;
    job_ptr *list = parked_sorted(tx, &n);
    if (!list)
        return ERR_NOMEM;
    int64_t *ids = malloc((n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < n && n_woken < max; i++)
        if (is_in(list[i], registry, repository))
            ids[n_woken++] = list[i]->id;
    free(list);
    for (size_t i = 0; !rc && ids && i < n_woken; i++)
        rc = make_due(tx, job_at(tx, ids[i]));
    free(ids);
    return rc;
}

// --- parked jobs ---

static int parked_fitting(struct tx *tx, uint64_t free_bytes, size_t max, struct arena *a,
                          struct parked_job **out, size_t *out_n)
{
    size_t n = 0;
    struct parked_job *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_JOB(tx, j)
    if (n < max && is_parked(j) && j->room <= free_bytes)
        list[n++] = (struct parked_job){j->id, j->room};
    *out = list;
    *out_n = n;
    return 0;
}

static int parked_stale(struct tx *tx, int64_t failed_ms, size_t max, int64_t *out_ids,
                        size_t *out_n)
{
    size_t n, n_out = 0;
    job_ptr *list = parked_sorted(tx, &n);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n && n_out < max; i++)
        if (list[i]->failed_ms <= failed_ms)
            out_ids[n_out++] = list[i]->id;
    free(list);
    *out_n = n_out;
    return 0;
}

static int by_origin(const void *a, const void *b)
{
    return strcmp(((const struct parked *)a)->origin, ((const struct parked *)b)->origin);
}

static struct parked *parked_of(struct parked *list, size_t n, const char *origin)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].origin, origin) == 0)
            return &list[i];
    return NULL;
}

static int parked_by_origin(struct tx *tx, size_t max, struct arena *a, struct parked **out,
                            size_t *out_n)
{
    size_t n = 0;
    struct parked *list = arena_array(a, row_count(tx, T_TASKS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_JOB(tx, j)
    {
        if (!j->room)
            continue;
        struct parked *p = parked_of(list, n, j->origin);
        if (!p) {
            p = &list[n++];
            p->least = UINT64_MAX;
            int rc = text_out(a, j->origin, &p->origin);
            if (rc)
                return rc;
        }
        p->n++;
        p->bytes += j->room;
        if (j->room < p->least)
            p->least = j->room;
    }
    qsort(list, n, sizeof *list, by_origin);
    *out = list;
    *out_n = n < max ? n : max;
    return 0;
}

static bool digest_has_job(struct tx *tx, const char *registry, const char *repository,
                           const struct digest *d)
{
    EACH_JOB(tx, j)
    if (is_in(j, registry, repository) && digest_equal(&feed_by_id(tx, j->id)->e.digest, d))
        return true;
    return false;
}

static int parked_for(struct tx *tx, const char *registry, const char *repository,
                      const struct digest *d, uint64_t *out_bytes)
{
    uint64_t most = 0;
    EACH_JOB(tx, j)
    if (is_in(j, registry, repository) && j->room > most)
        most = j->room;
    if (!most || !digest_has_job(tx, registry, repository, d))
        return ERR_NOTFOUND;
    *out_bytes = most;
    return 0;
}

// --- jobs of one origin ---

static int any_of(struct tx *tx, const char *origin)
{
    EACH_JOB(tx, j)
    if (strcmp(j->origin, origin) == 0)
        return 0;
    return ERR_NOTFOUND;
}

static bool holds(struct tx *tx, const struct m_task *j)
{
    if (j->room)
        return false;
    return !j->waiting || !room_needed(tx, j->registry, j->repository);
}

static bool is_before(const struct m_task *a, const struct m_task *b)
{
    return a->epoch < b->epoch || (a->epoch == b->epoch && a->seq < b->seq);
}

static int first_holding(struct tx *tx, const char *origin, uint32_t partition,
                         struct feed_mark *out)
{
    const struct m_task *first = NULL;
    EACH_JOB(tx, j)
    {
        if (strcmp(j->origin, origin) != 0 || j->part != partition || !holds(tx, j))
            continue;
        if (!first || is_before(j, first))
            first = j;
    }
    if (!first)
        return ERR_NOTFOUND;
    *out = (struct feed_mark){.epoch = first->epoch, .partition = partition, .seq = first->seq};
    return 0;
}

static int held_compare(const void *a, const void *b)
{
    return strcmp(((const struct held_row *)a)->registry, ((const struct held_row *)b)->registry);
}

static int held(struct tx *tx, const char *origin, size_t max, struct arena *a,
                struct held_row **out, size_t *out_n)
{
    struct held_row *list = arena_array(a, max + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    EACH_JOB(tx, j)
    {
        size_t i = 0;
        if (strcmp(j->origin, origin) != 0 || !holds(tx, j))
            continue;
        while (i < n && strcmp(list[i].registry, j->registry) != 0)
            i++;
        if (i == max)
            return ERR_TOOBIG;
        if (i == n)
            list[n++] = (struct held_row){arena_strdup(a, j->registry), j->stamp};
        if (!list[i].registry)
            return ERR_NOMEM;
        if (j->stamp < list[i].stamp)
            list[i].stamp = j->stamp;
    }
    qsort(list, n, sizeof *list, held_compare);
    *out = list;
    *out_n = n;
    return 0;
}

static bool is_of(const struct m_task *j, const char *origin, const char *registry)
{
    return !strcmp(j->origin, origin) && (!registry || !strcmp(j->registry, registry));
}

static int counts(struct tx *tx, const char *origin, const char *registry, struct job_counts *out)
{
    struct job_counts c = {0};
    EACH_JOB(tx, j)
    {
        if (!is_of(j, origin, registry))
            continue;
        c.n_all++;
        c.n_retrying += j->attempts && !j->room;
        c.n_parked += j->room > 0;
        c.parked_bytes += j->room;
        c.n_waiting += j->waiting && !j->attempts;
        if (!c.lowest_stamp || j->stamp < c.lowest_stamp)
            c.lowest_stamp = j->stamp;
    }
    *out = c;
    return 0;
}

static bool is_worse(const struct m_task *a, const struct m_task *b)
{
    if (a->grade != b->grade)
        return a->grade > b->grade;
    if (a->failed_ms != b->failed_ms)
        return a->failed_ms > b->failed_ms;
    return a->id > b->id;
}

static int worst_error(struct tx *tx, const char *origin, const char *registry, struct arena *a,
                       const char **out_error, int *out_grade)
{
    const struct m_task *worst = NULL;
    EACH_JOB(tx, j)
    if (j->reason && is_of(j, origin, registry) && (!worst || is_worse(j, worst)))
        worst = j;
    if (!worst)
        return ERR_NOTFOUND;
    int rc = text_out(a, worst->reason, out_error);
    if (!rc)
        *out_grade = worst->grade;
    return rc;
}

const struct job_ops memory_job_ops = {
    .add = add,
    .remove = remove_job,
    .exists = exists,
    .get = get,
    .postpone = postpone,
    .fail = fail,
    .wait = wait_job,
    .park = park,
    .unpark = unpark,
    .try_parked = try_parked,
    .wake_all = wake_all,
    .wake_registry = wake_registry,
    .wake_for = wake_for,
    .wake_tag = wake_tag,
    .wake_parked = wake_parked,
    .try_manifest = try_manifest,
    .parked_fitting = parked_fitting,
    .parked_stale = parked_stale,
    .parked_by_origin = parked_by_origin,
    .parked_for = parked_for,
    .any_of = any_of,
    .first_holding = first_holding,
    .held = held,
    .counts = counts,
    .worst_error = worst_error,
};
