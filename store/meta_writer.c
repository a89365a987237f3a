// SPDX-License-Identifier: Apache-2.0
// The one thread that writes: takes what is queued, runs each request in a savepoint, commits them
// together, then wakes their callers. See meta_priv.h.
//
// Invariants
//   1. A caller is woken with 0 only after the commit that holds its change has returned.
//   2. A request that fails leaves nothing, and its neighbours in the group unharmed; own sequence
//      numbers and stamps it took are given to the next one, because nobody saw them.
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/fd.h"

#include <assert.h>
#include <stdatomic.h>

#define GROUP_MAX 64
#define GROUP_US 2000

static struct request *request_take(struct meta *m, bool wait)
{
    pthread_mutex_lock(&m->lock);
    while (wait && !m->head && !m->stopping)
        pthread_cond_wait(&m->queued, &m->lock);
    struct request *r = m->head;
    if (r) {
        m->head = r->next;
        if (!m->head)
            m->tail = &m->head;
        r->next = NULL;
    }
    bool closed = r && r->announces && gates_closed(m),
         handed_over = r && r->announces && m->handed_over;
    pthread_mutex_unlock(&m->lock);
    if (closed)
        r->rc = ERR_BUSY;
    else if (handed_over)
        r->rc = ERR_CLOSED;
    return r;
}

struct place { // where the own feed stands
    struct feed_mark own;
    uint64_t epoch;
    struct hlc hlc;
};

static struct place place_of(const struct meta *m)
{
    return (struct place){m->own, m->epoch, m->hlc};
}

static void place_restore(struct meta *m, const struct place *at)
{
    m->own = at->own;
    m->epoch = at->epoch;
    m->hlc = at->hlc;
}

static void request_run(struct meta *m, struct request *r)
{
    if (r->rc) // refused: writes are closed
        return;
    struct place at = place_of(m);
    int rc = db_exec(&m->w, "SAVEPOINT request");
    if (!rc) {
        rc = r->run(m, r->arg);
        // After a full disk or an end of memory SQLite may have rolled everything back by itself.
        if (!sqlite3_get_autocommit(m->w.h)) {
            if (rc)
                (void)db_exec(&m->w, "ROLLBACK TO request");
            int rc2 = db_exec(&m->w, "RELEASE request");
            if (!rc)
                rc = rc2;
        }
    }
    if (rc)
        place_restore(m, &at);
    r->rc = rc;
}

static void group_wake(struct meta *m, struct request **group, size_t n)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < n; i++)
        group[i]->done = true;
    pthread_cond_broadcast(&m->finished);
    pthread_mutex_unlock(&m->lock);
}

static void group_fail(struct request **group, size_t n, int rc)
{
    for (size_t i = 0; i < n; i++)
        if (!group[i]->rc)
            group[i]->rc = rc;
}

static void group_run(struct meta *m, struct request *first)
{
    struct request *group[GROUP_MAX];
    size_t n = 0;
    struct place at = place_of(m);
    int64_t end_us = clock_mono_us() + GROUP_US;
    m->group_stamp = m->hlc.last;
    m->notify = false;
    int rc = db_exec(&m->w, "BEGIN IMMEDIATE");
    if (!rc && m->handed_over)
        rc = schema_is_ours(&m->w);
    for (struct request *r = first; r;
         r = n < GROUP_MAX && clock_mono_us() < end_us ? request_take(m, false) : NULL) {
        group[n++] = r;
        if (!rc)
            request_run(m, r);
        if (!rc && sqlite3_get_autocommit(m->w.h)) {
            if (r->rc)
                rc = r->rc;
            else
                rc = ERR_IO;
        }
        if (rc)
            break;
    }
    if (!rc)
        rc = db_exec(&m->w, "COMMIT");
    if (rc) {
        if (!sqlite3_get_autocommit(m->w.h))
            (void)db_exec(&m->w, "ROLLBACK");
        group_fail(group, n, rc);
        place_restore(m, &at);
    }
    atomic_store(&m->clock_last, m->hlc.last);
    bool notify = !rc && m->notify;
    group_wake(m, group, n);
    if (notify && m->o.on_commit)
        m->o.on_commit(m->o.on_commit_ctx);
}

static int nothing_run(struct meta *m, void *arg)
{
    (void)m, (void)arg;
    return 0;
}

void meta_hand_over(struct meta *m)
{
    m->handed_over = true;
    // what minted just before is committed with it, or ahead of it
    (void)writer_submit(m, nothing_run, NULL, false);
    fd_auto_close(&m->lock_fd);
}

static void *writer_main(void *arg)
{
    struct meta *m = arg;
    for (struct request *r; (r = request_take(m, true));)
        group_run(m, r);
    return NULL;
}

int writer_start(struct meta *m)
{
    m->tail = &m->head;
    if (pthread_create(&m->thread, NULL, writer_main, m))
        return ERR_NOMEM;
    m->thread_runs = true;
    return 0;
}

void writer_stop(struct meta *m)
{
    if (!m->thread_runs)
        return;
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_signal(&m->queued);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->thread_runs = false;
    assert(!m->head);
}

int writer_submit(struct meta *m, int (*run)(struct meta *, void *), void *arg, bool announces)
{
    struct request r = {.run = run, .arg = arg, .announces = announces};
    pthread_mutex_lock(&m->lock);
    if (m->stopping) {
        pthread_mutex_unlock(&m->lock);
        return ERR_CLOSED;
    }
    *m->tail = &r;
    m->tail = &r.next;
    pthread_cond_signal(&m->queued);
    while (!r.done)
        pthread_cond_wait(&m->finished, &m->lock);
    pthread_mutex_unlock(&m->lock);
    return r.rc;
}
