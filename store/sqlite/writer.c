// SPDX-License-Identifier: Apache-2.0
// The one thread that writes: takes what is queued, runs each request in a savepoint, commits them
// together, then wakes their callers. See sqlite_priv.h.
//
// Invariants
//   1. A caller is woken with 0 only after the commit that holds its change has returned.
//   2. A request that fails leaves nothing, and its neighbours in the group unharmed; own sequence
//      numbers and stamps that it took are given to the next one, because nobody saw them.
#include "store/sqlite/sqlite_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/wait.h"
#include "store/sqlite/sqlite_test.h"

#include <assert.h>
#include <semaphore.h>
#include <stdatomic.h>

#define GROUP_MAX 64
// So long a group takes more, and so long it waits for the next one, while more are expected.
#define GROUP_US 4000
#define GROUP_GAP_US 1000

// On the stack of its caller, who owns it again as soon as `done` is posted.
struct request {
    tx_run *run;
    void *arg;
    sem_t done;
    int rc;
    struct request *next;
};

struct group {
    struct request *list[GROUP_MAX];
    size_t n;
    int64_t end_us;
    bool notify;
    // more were expected, and nobody came
    bool in_vain;
};

#define FOR_EVER INT64_MAX

// Under the lock. False: it has waited for long enough.
static bool request_await(struct sqlite_backend *b, int64_t wait_us)
{
    if (wait_us <= 0)
        return false;
    if (wait_us < FOR_EVER)
        return wait_cond_us(&b->queued, &b->lock, wait_us);
    pthread_cond_wait(&b->queued, &b->lock);
    return true;
}

// The next one, for which it waits so long.
static struct request *request_take(struct sqlite_backend *b, int64_t wait_us)
{
    pthread_mutex_lock(&b->lock);
    while (!b->head && !b->stopping && request_await(b, wait_us))
        ;
    struct request *r = b->head;
    if (r) {
        b->head = r->next;
        if (!b->head)
            b->tail = &b->head;
        r->next = NULL;
    }
    pthread_mutex_unlock(&b->lock);
    return r;
}

// No transaction is open. After a full disk or an end of memory SQLite may have rolled everything
// back by itself.
static bool none_open(struct sqlite_backend *b)
{
    return sqlite3_get_autocommit(b->w.db.h);
}

// Ends a savepoint by the outcome of what ran in it. What can neither be kept nor taken back by
// itself takes the whole group with it: nothing half done is ever committed.
static int savepoint_end(struct sqlite_backend *b, int rc, const char *back, const char *release)
{
    if (none_open(b))
        return rc;
    int end = 0;
    if (rc)
        end = db_exec(&b->w.db, back);
    if (!end)
        end = db_run(&b->w.db, release, "");
    if (!end)
        return rc;
    (void)db_exec(&b->w.db, "ROLLBACK");
    return end;
}

static int request_run(struct sqlite_backend *b, struct request *r)
{
    struct own_head at = b->own;
    assert(!none_open(b)); // in the transaction of its group
    b->w.tx.notify = false;
    b->w.tx.mints = !b->handed_over;
    int rc = db_run(&b->w.db, "SAVEPOINT request", "");
    if (!rc) {
        rc = r->run(&b->w.tx, r->arg);
        rc = savepoint_end(b, rc, "ROLLBACK TO request", "RELEASE request");
    }
    if (rc)
        b->own = at; // 2
    return rc;
}

int writer_attempt(struct tx *tx, tx_run *run, void *arg)
{
    struct sqlite_backend *b = sqlite_tx(tx)->of;
    struct own_head at = b->own;
    bool notify = tx->notify;
    assert(tx == &b->w.tx && !b->attempts); // a reader changes nothing; attempts do not nest
    int rc = db_run(&b->w.db, "SAVEPOINT attempt", "");
    if (rc)
        return rc;
    b->attempts = true;
    rc = run(tx, arg);
    b->attempts = false;
    rc = savepoint_end(b, rc, "ROLLBACK TO attempt", "RELEASE attempt");
    if (rc) {
        b->own = at; // 2
        tx->notify = notify;
    }
    return rc;
}

static int group_begin(struct sqlite_backend *b)
{
    b->own.committed = b->own.stamp;
    int rc = db_run(&b->w.db, "BEGIN IMMEDIATE", "");
    if (!rc && b->handed_over)
        rc = schema_is_ours(&b->w.db);
    return rc;
}

// The first of a group needs no savepoint: when it fails, nothing else is in the transaction. So a
// writer who is alone makes no journal of the pages that it changes, which would be a temporary file
// from the seventeenth page on. Not 0: the whole group has failed.
static int request_run_first(struct sqlite_backend *b, struct request *r)
{
    struct own_head at = b->own;
    assert(!none_open(b));
    b->w.tx.notify = false;
    b->w.tx.mints = !b->handed_over;
    r->rc = r->run(&b->w.tx, r->arg);
    if (!r->rc)
        return 0;
    if (!none_open(b))
        (void)db_exec(&b->w.db, "ROLLBACK");
    b->own = at; // 2
    return group_begin(b);
}

// Not 0: the whole group has failed.
static int group_add(struct sqlite_backend *b, struct group *g, struct request *r)
{
    int rc = 0;
    assert(g->n < GROUP_MAX);
    g->list[g->n++] = r;
    if (g->n == 1)
        rc = request_run_first(b, r);
    else
        r->rc = request_run(b, r);
    if (rc)
        return rc;
    if (!r->rc && b->w.tx.notify)
        g->notify = true;
    if (!none_open(b))
        return 0;
    return r->rc ? r->rc : ERR_IO;
}

// Who has come, or who comes soon where more are expected.
static struct request *group_next(struct sqlite_backend *b, struct group *g)
{
    int64_t now_us = clock_mono_us();
    if (g->n == GROUP_MAX || now_us >= g->end_us)
        return NULL;
    struct request *r = request_take(b, 0);
    if (r || g->n >= company_expected(&b->company))
        return r;
    int64_t wait_us = g->end_us - now_us;
    if (wait_us > GROUP_GAP_US)
        wait_us = GROUP_GAP_US;
    r = request_take(b, wait_us);
    g->in_vain = !r;
    return r;
}

static void group_fail(struct sqlite_backend *b, struct group *g, int rc)
{
    if (!none_open(b))
        (void)db_exec(&b->w.db, "ROLLBACK");
    g->notify = false;
    for (size_t i = 0; i < g->n; i++)
        if (!g->list[i]->rc)
            g->list[i]->rc = rc;
}

static void group_wake(const struct group *g)
{
    for (size_t i = 0; i < g->n; i++)
        sem_post(&g->list[i]->done);
}

static int group_commit(struct sqlite_backend *b, struct group *g, struct request *first)
{
    int rc = group_begin(b);
    if (rc) {
        g->list[g->n++] = first;
        return rc;
    }
    for (struct request *r = first; r; r = group_next(b, g)) {
        rc = group_add(b, g, r);
        if (rc)
            return rc;
    }
    changes_begin(&b->changes, &b->w.tx.touched);
    return db_run(&b->w.db, "COMMIT", "");
}

static void group_run(struct sqlite_backend *b, struct request *first)
{
    struct group g = {.end_us = clock_mono_us() + GROUP_US};
    struct own_head at = b->own;
    if (atomic_load(&b->beside) && !atomic_load(&b->handed_over))
        beside_look(b);
    int rc = group_commit(b, &g, first);
    if (rc) {
        group_fail(b, &g, rc);
        b->own = at;
    }
    changes_end(&b->changes, &b->w.tx.touched); // ahead of those who wait
    assert(rc || none_open(b));                 // 1: the commit has returned
    atomic_store(&b->base.clock, b->own.stamp);
    atomic_fetch_add(&b->base.n_writes, g.n);
    if (!rc)
        atomic_fetch_add(&b->base.n_commits, 1);
    company_learn(&b->company, g.n, g.in_vain);
    group_wake(&g);
    if (g.notify && b->base.on_commit)
        b->base.on_commit(b->base.on_commit_ctx);
}

static int nothing_run(struct tx *tx, void *arg)
{
    (void)tx, (void)arg;
    return 0;
}

void writer_hand_over(struct backend *backend)
{
    struct sqlite_backend *b = (struct sqlite_backend *)backend;
    b->handed_over = true;
    // what minted just before is committed with it, or ahead of it
    (void)writer_write(backend, nothing_run, NULL);
    leaving_begin(b);
    fd_auto_close(&b->lock_fd);
}

static void *writer_main(void *arg)
{
    struct sqlite_backend *b = arg;
    for (struct request *r; (r = request_take(b, FOR_EVER));)
        group_run(b, r);
    return NULL;
}

int writer_start(struct sqlite_backend *b)
{
    b->tail = &b->head;
    if (pthread_create(&b->thread, NULL, writer_main, b))
        return ERR_NOMEM;
    b->thread_runs = true;
    return 0;
}

void writer_stop(struct sqlite_backend *b)
{
    if (!b->thread_runs)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->queued);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    b->thread_runs = false;
    assert(!b->head);
}

int writer_write(struct backend *backend, tx_run *run, void *arg)
{
    struct sqlite_backend *b = (struct sqlite_backend *)backend;
    struct request r = {.run = run, .arg = arg};
    pthread_mutex_lock(&b->lock);
    if (b->stopping) {
        pthread_mutex_unlock(&b->lock);
        return ERR_CLOSED;
    }
    sem_init(&r.done, 0, 0);
    *b->tail = &r;
    b->tail = &r.next;
    pthread_cond_signal(&b->queued);
    pthread_mutex_unlock(&b->lock);
    while (sem_wait(&r.done)) // a signal
        ;
    sem_destroy(&r.done);
    return r.rc;
}

size_t sqlite_n_queued(struct backend *backend)
{
    struct sqlite_backend *b = (struct sqlite_backend *)backend;
    size_t n = 0;
    pthread_mutex_lock(&b->lock);
    for (const struct request *r = b->head; r; r = r->next)
        n++;
    pthread_mutex_unlock(&b->lock);
    return n;
}
