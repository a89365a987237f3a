// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on jobs: entries of the log that are not applied yet, the tasks of kind
// TASK_APPLY. See backend.h for what all operations keep to, and meta.h for what the rules do with
// jobs. Which are due is asked as of all tasks (backend_tasks.h).
//
//   rc = log_append(tx, e, e->content, &id);
//   rc = job_add(tx, id, e);                    // due at once
//   …
//   rc = job_remove(tx, id);                    // in the transaction that applied the entry
//
// A job has the id of its entry in the log, and an entry has at most one job. "Oldest" means the
// lowest id. The job goes before its entry: log_remove of an entry with a job is ERR_CONFLICT.
//
// Times are milliseconds of the monotonic clock of the process that opened the backend. When a
// backend is opened, all jobs become due: due_ms and failed_ms are 0 and no job waits; needed
// bytes, attempts and errors stay.
//
// States of a job: due (due_ms <= now), postponed (due_ms above now), waiting (postponed until
// another entry of its repository comes), parked (needs bytes that do not fit; due_ms INT64_MAX).
// A parked job that is tried again is due and keeps its needed bytes. An operation on a job that
// has ended does nothing, unless its comment says ERR_NOTFOUND.
#ifndef MERIDIAN_STORE_BACKEND_JOBS_H
#define MERIDIAN_STORE_BACKEND_JOBS_H

#include "store/backend.h"
#include "store/meta_jobs.h"

// How a try ended.
struct job_failure {
    // when to try again
    int64_t due_ms;
    int64_t failed_ms;
    // how bad it is: the worst of an origin's jobs is shown
    int grade;
    // NULL: no sentence
    const char *error;
};

struct parked_job {
    int64_t id;
    uint64_t needed_bytes;
};

// What one origin's jobs in a registry hold back.
struct held_row {
    const char *registry;
    // the lowest stamp of their entries
    uint64_t stamp;
};

// Jobs of one origin.
struct job_counts {
    uint64_t n_all;
    // failed at least once, and not parked
    uint64_t n_retrying;
    // with needed bytes, whether parked or tried again
    uint64_t n_parked, parked_bytes;
    // wait, and never failed
    uint64_t n_waiting;
    // 0: no job
    uint64_t lowest_stamp;
};

struct job_ops {
    int (*add)(struct tx *tx, int64_t id, const struct feed_entry *e);
    int (*remove)(struct tx *tx, int64_t id);
    int (*exists)(struct tx *tx, int64_t id);
    int (*get)(struct tx *tx, int64_t id, struct arena *a, struct job *out);
    int (*postpone)(struct tx *tx, int64_t id, int64_t due_ms);
    int (*fail)(struct tx *tx, int64_t id, const struct job_failure *f);
    int (*wait)(struct tx *tx, int64_t id, int64_t due_ms, bool waits);
    int (*park)(struct tx *tx, int64_t id, uint64_t needed_bytes, const struct job_failure *f);
    int (*unpark)(struct tx *tx, int64_t id);
    int (*try_parked)(struct tx *tx, int64_t id);
    int (*try_manifest)(struct tx *tx, const char *registry, const char *repository,
                        const struct digest *manifest);
    int (*wake_all)(struct tx *tx);
    int (*wake_registry)(struct tx *tx, const char *registry, int64_t after_ms);
    int (*wake_for)(struct tx *tx, const char *registry, const char *repository,
                    const struct digest *manifest, int64_t digest_kinds);
    int (*wake_tag)(struct tx *tx, const char *registry, const char *repository, const char *tag);
    int (*wake_parked)(struct tx *tx, const char *registry, const char *repository, size_t max);
    int (*parked_fitting)(struct tx *tx, uint64_t free_bytes, size_t max, struct arena *a,
                          struct parked_job **out, size_t *out_n);
    int (*parked_stale)(struct tx *tx, int64_t failed_ms, size_t max, int64_t *out_ids,
                        size_t *out_n);
    int (*parked_by_origin)(struct tx *tx, size_t max, struct arena *a, struct parked **out,
                            size_t *out_n);
    int (*parked_for)(struct tx *tx, const char *registry, const char *repository,
                      const struct digest *d, uint64_t *out_bytes);
    int (*any_of)(struct tx *tx, const char *origin);
    int (*first_holding)(struct tx *tx, const char *origin, uint32_t partition,
                         struct feed_mark *out);
    int (*held)(struct tx *tx, const char *origin, size_t max, struct arena *a,
                struct held_row **out, size_t *out_n);
    int (*counts)(struct tx *tx, const char *origin, const char *registry, struct job_counts *out);
    int (*worst_error)(struct tx *tx, const char *origin, const char *registry, struct arena *a,
                       const char **out_error, int *out_grade);
};

// --- one job ---

// `id`: of the entry in the log. ERR_CONFLICT: the entry has a job.
static inline int job_add(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    return tx->ops->jobs->add(tx, id, e);
}

static inline int job_remove(struct tx *tx, int64_t id)
{
    return tx->ops->jobs->remove(tx, id);
}

// 0 or ERR_NOTFOUND.
static inline int job_exists(struct tx *tx, int64_t id)
{
    return tx->ops->jobs->exists(tx, id);
}

// The job with its entry. ERR_NOTFOUND.
static inline int job_get(struct tx *tx, int64_t id, struct arena *a, struct job *out)
{
    return tx->ops->jobs->get(tx, id, a, out);
}

// --- one job's state ---

// It was not tried: only its time moves, and it needs no bytes.
static inline int job_postpone(struct tx *tx, int64_t id, int64_t due_ms)
{
    return tx->ops->jobs->postpone(tx, id, due_ms);
}

// A try failed: one more attempt is counted, the job neither waits nor needs bytes. ERR_NOTFOUND.
static inline int job_fail(struct tx *tx, int64_t id, const struct job_failure *f)
{
    return tx->ops->jobs->fail(tx, id, f);
}

// Whether it waits; it needs no bytes. ERR_NOTFOUND.
static inline int job_wait(struct tx *tx, int64_t id, int64_t due_ms, bool waits)
{
    return tx->ops->jobs->wait(tx, id, due_ms, waits);
}

// Parks it: needed_bytes is above 0, f->due_ms is not used. No attempt is counted, and the job does
// not wait. ERR_NOTFOUND.
static inline int job_park(struct tx *tx, int64_t id, uint64_t needed_bytes,
                           const struct job_failure *f)
{
    return tx->ops->jobs->park(tx, id, needed_bytes, f);
}

// It needs no bytes, and its error is gone. Its time stays.
static inline int job_unpark(struct tx *tx, int64_t id)
{
    return tx->ops->jobs->unpark(tx, id);
}

// Makes it due, if it needs bytes.
static inline int job_try_parked(struct tx *tx, int64_t id)
{
    return tx->ops->jobs->try_parked(tx, id);
}

// The same of the jobs of entries that assert this manifest.
static inline int jobs_try_manifest(struct tx *tx, const char *registry, const char *repository,
                                    const struct digest *manifest)
{
    return tx->ops->jobs->try_manifest(tx, registry, repository, manifest);
}

// --- many jobs become due ---

// All jobs that wait.
static inline int jobs_wake_all(struct tx *tx)
{
    return tx->ops->jobs->wake_all(tx);
}

// The jobs of one registry that are due after after_ms, do not wait, and need no bytes.
static inline int jobs_wake_registry(struct tx *tx, const char *registry, int64_t after_ms)
{
    return tx->ops->jobs->wake_registry(tx, registry, after_ms);
}

// The jobs that wait in a repository, perhaps for this manifest. An entry whose kind has its bit
// (1 << kind) in digest_kinds waits for it only when it has this digest. In a long backlog there
// are thousands of others, and none of their rows is written.
static inline int jobs_wake_for(struct tx *tx, const char *registry, const char *repository,
                                const struct digest *manifest, int64_t digest_kinds)
{
    return tx->ops->jobs->wake_for(tx, registry, repository, manifest, digest_kinds);
}

// Jobs of this tag that wait, if any job of the repository needs bytes.
static inline int jobs_wake_tag(struct tx *tx, const char *registry, const char *repository,
                                const char *tag)
{
    return tx->ops->jobs->wake_tag(tx, registry, repository, tag);
}

// At most max jobs that are parked in a repository, the ones that failed longest ago.
static inline int jobs_wake_parked(struct tx *tx, const char *registry, const char *repository,
                                   size_t max)
{
    return tx->ops->jobs->wake_parked(tx, registry, repository, max);
}

// --- parked jobs ---

// Parked jobs that need at most free_bytes each, the oldest first.
static inline int jobs_parked_fitting(struct tx *tx, uint64_t free_bytes, size_t max,
                                      struct arena *a, struct parked_job **out, size_t *out_n)
{
    return tx->ops->jobs->parked_fitting(tx, free_bytes, max, a, out, out_n);
}

// Parked jobs that failed at or before failed_ms, the earliest first, in out_ids[max].
static inline int jobs_parked_stale(struct tx *tx, int64_t failed_ms, size_t max, int64_t *out_ids,
                                    size_t *out_n)
{
    return tx->ops->jobs->parked_stale(tx, failed_ms, max, out_ids, out_n);
}

// Jobs that need bytes, per origin, by its name.
static inline int jobs_parked_by_origin(struct tx *tx, size_t max, struct arena *a,
                                        struct parked **out, size_t *out_n)
{
    return tx->ops->jobs->parked_by_origin(tx, max, a, out, out_n);
}

// The most bytes that a job of this repository needs, if an entry of this digest has a job there.
// ERR_NOTFOUND: no such entry, or no job needs bytes.
static inline int jobs_parked_for(struct tx *tx, const char *registry, const char *repository,
                                  const struct digest *d, uint64_t *out_bytes)
{
    return tx->ops->jobs->parked_for(tx, registry, repository, d, out_bytes);
}

// --- jobs of one origin ---

// 0, or ERR_NOTFOUND when it has none.
static inline int jobs_any_of(struct tx *tx, const char *origin)
{
    return tx->ops->jobs->any_of(tx, origin);
}

// The lowest place of a job that holds back the applied mark: of one that needs no bytes, and that
// does not wait in a repository in which a job needs bytes. The mark has no hash. ERR_NOTFOUND.
static inline int jobs_first_holding(struct tx *tx, const char *origin, uint32_t partition,
                                     struct feed_mark *out)
{
    return tx->ops->jobs->first_holding(tx, origin, partition, out);
}

// Of the same jobs, by registry. ERR_TOOBIG: they are in more than `max` registries.
static inline int jobs_held(struct tx *tx, const char *origin, size_t max, struct arena *a,
                            struct held_row **out, size_t *out_n)
{
    return tx->ops->jobs->held(tx, origin, max, a, out, out_n);
}

// `registry` NULL: of all.
static inline int jobs_count(struct tx *tx, const char *origin, const char *registry,
                             struct job_counts *out)
{
    return tx->ops->jobs->counts(tx, origin, registry, out);
}

// Of the errors with the highest grade the one that came last, of these that of the youngest job.
// `registry` NULL: of all. ERR_NOTFOUND: no job has an error.
static inline int jobs_worst_error(struct tx *tx, const char *origin, const char *registry,
                                   struct arena *a, const char **out_error, int *out_grade)
{
    return tx->ops->jobs->worst_error(tx, origin, registry, a, out_error, out_grade);
}

#endif
