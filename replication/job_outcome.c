// SPDX-License-Identifier: Apache-2.0
// What becomes of a job after a try; see job_outcome.h.
#include "replication/job_outcome.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wait.h"
#include "replication/absence.h"
#include "replication/apply.h"
#include "replication/job_queue.h"
#include "replication/kind_apply.h"
#include "replication/relay.h"
#include "replication/replication_priv.h"

#include <assert.h>

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 30000
#define NOT_NOTED_MS 500
#define BLOB_JOBS_MAX 64 // that wait for one blob; more look again by themselves

// A store that does not take what is noted leaves the job due: do not spin on it.
static void noted(struct replicator *r, int rc)
{
    room_wrote(r->room, rc);
    if (rc && rc != ERR_NOTFOUND && !life_stopping(r->life))
        life_sleep(r->life, NOT_NOTED_MS);
}

static void again(struct replicator *r, const struct job *job, int64_t delay_ms, enum grade grade,
                  const char *error)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    int rc = meta_job_failed(r->o.meta, job->id, clock_mono_ms() + delay_ms, grade, error);
    if (error && !life_stopping(r->life))
        log_limited(&limit, LOG_WARN, "replication: %s/%s from %s: %s; it is tried again",
                    job->entry.registry, job->entry.repository, job->entry.origin, error);
    noted(r, rc);
}

void job_waits(struct replicator *r, const struct job *job)
{
    const struct kind_apply *k = kind_apply(job->entry.kind);
    assert(k); // it was tried
    again(r, job, k->waits_ms, GRADE_NONE, NULL);
}

void job_failed(struct replicator *r, const struct job *job, enum grade grade, const char *error)
{
    again(r, job, wait_backoff_ms(job->attempts, RETRY_FIRST_MS, RETRY_MAX_MS), grade, error);
}

static void parks(struct replicator *r, const struct job *job, uint64_t room, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (!job->room) // once, not at each look
        log_limited(&limit, LOG_WARN, "replication: %s", why);
    noted(r, meta_job_park(r->o.meta, job->id, room, GRADE_NO_SPACE, why));
}

// Quietly: nothing failed.
static void looks_again(struct replicator *r, const struct job *job, int64_t delay_ms)
{
    noted(r, meta_jobs_later(r->o.meta, &job->id, 1, clock_mono_ms() + delay_ms));
}

// When a failed try is made again. `not_before`: every source that could be asked is known to be
// down until then; 0: that is not known.
static int64_t retry_ms(const struct job *job, int64_t not_before)
{
    int64_t delay = wait_backoff_ms(job->attempts, RETRY_FIRST_MS, RETRY_MAX_MS);
    if (!not_before)
        return delay;
    int64_t source_ms = not_before - clock_mono_ms();
    if (source_ms >= delay)
        return delay;
    if (source_ms < RETRY_FIRST_MS)
        return RETRY_FIRST_MS;
    return source_ms;
}

struct
try { // how a try ended
    enum apply_result result;
    int64_t not_before;
    // a region came back meanwhile
    bool returned;
    char error[ERROR_TEXT_SIZE];
};

// A relay is to have it soon: looked for again, or at once when the blob comes by another way.
static void relayed(struct job_queue *q, struct attempt *a)
{
    struct absences *l = job_queue_absences(q);
    looks_again(a->r, &a->job, relay_look_ms(absence_age_ms(l, a->job.id)));
    absence_waits_for(l, a->job.id, a->relayed);
}

void job_blob_here(struct replicator *r, const struct digest *d)
{
    int64_t ids[BLOB_JOBS_MAX];
    size_t n = absences_of(job_queue_absences(r->jobs), absence_mark(d), ids, BLOB_JOBS_MAX);
    if (n)
        noted(r, meta_jobs_later(r->o.meta, ids, n, clock_mono_ms()));
    job_queue_kick(r->jobs);
}

static void failed(struct job_queue *q, struct attempt *a, const struct try *t)
{
    struct replicator *r = a->r;
    enum grade grade = a->grade;
    if (t->result == APPLY_ABSENT && a->relayed) {
        relayed(q, a);
        return;
    }
    if (t->result == APPLY_ABSENT) {
        int64_t ms = absence_wait_ms(job_queue_absences(q), a->job.id);
        if (ms >= 0) {
            looks_again(r, &a->job, ms);
            return;
        }
        grade = GRADE_ABSENT;
    }
    int64_t delay = retry_ms(&a->job, t->not_before);
    if (t->returned)
        delay = RETRY_FIRST_MS;
    again(r, &a->job, delay, grade, t->error);
}

static void ended(struct job_queue *q, struct attempt *a, const struct try *t)
{
    switch (t->result) {
    case APPLY_DONE: // the store wakes what waited for it
    case APPLY_BUSY: // it is due still, and is not given out while the other job fetches
        break;
    case APPLY_WAITS:
        job_waits(a->r, &a->job);
        break;
    case APPLY_NO_ROOM:
        assert(a->lacks);
        parks(a->r, &a->job, a->lacks, t->error);
        break;
    case APPLY_ABSENT:
    case APPLY_FAILED:
        failed(q, a, t);
        break;
    case APPLY_NEEDS: // a worker fetched what was needed
    case APPLY_LATER: // and has no batch
        assert(false);
    }
}

void job_run(struct job_queue *q, struct attempt *a)
{
    struct try t = {0};
    unsigned n_returns = job_queue_returns(q);
    t.result = apply_fetching(a, &t.not_before, t.error);
    t.returned = job_queue_returns(q) != n_returns;
    space_return(&a->charge);
    if (t.result != APPLY_ABSENT && t.result != APPLY_BUSY)
        absence_end(job_queue_absences(q), a->job.id);
    if (life_stopping(a->r->life))
        return; // as it was: the job is due again at the next start
    ended(q, a, &t);
}
