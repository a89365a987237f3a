// SPDX-License-Identifier: Apache-2.0
// Runs that wait for something outside without a thread: see http_response_park. The exchange stays
// suspended as while its run is on the pool; a wake, the clock or the server's end gives it a job
// again.
//
// Locks: a handle's lock is innermost. Whoever wakes takes the exchange out of the handle, and lets
// go of the handle before it takes the exchange's lock; a wake between the two is seen by `woken`.
#include "net/http_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

struct http_parked {
    pthread_mutex_t lock;
    _Atomic uint32_t refs;
    _Atomic bool woken;
    // a reference; NULL while its run is not parked
    struct http_exchange *exchange;
};

int http_response_park(struct http_response *resp, int64_t until_mono, struct http_parked **out)
{
    struct http_parked *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    atomic_store(&p->refs, 2);
    *resp = (struct http_response){.parked = p, .parked_until = until_mono};
    *out = p;
    return 0;
}

void http_parked_unref(struct http_parked *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    assert(!p->exchange); // its reference of the handle goes after that
    pthread_mutex_destroy(&p->lock);
    free(p);
}

// Its run is due. Under the exchange's lock; returns when the timer is to look, 0: not.
static int64_t unpark_locked(struct http_exchange *ex, bool ending)
{
    if (!ex->is_parked || !ex->conn)
        return 0;
    assert(!ex->job_active);
    ex->is_parked = false;
    ex->ran = false;
    ex->req.ending = ex->req.ending || ending;
    if (http_schedule_locked(ex))
        return http_retry_locked(ex);
    return 0;
}

void http_parked_wake(struct http_parked *p)
{
    atomic_store(&p->woken, true);
    pthread_mutex_lock(&p->lock);
    struct http_exchange *ex = p->exchange;
    if (ex)
        atomic_fetch_add(&ex->refs, 1);
    pthread_mutex_unlock(&p->lock);
    if (!ex)
        return;
    int64_t arm = 0;
    pthread_mutex_lock(&ex->lock);
    if (ex->parked == p)
        arm = unpark_locked(ex, false);
    pthread_mutex_unlock(&ex->lock);
    pool_settle(http_pool_of(ex));
    if (arm)
        http_server_arm(ex->server, arm);
    http_exchange_unref(ex);
}

bool http_parked_woken(const struct http_parked *p)
{
    return atomic_load(&p->woken);
}

void http_park(struct http_exchange *ex, const struct http_response *resp)
{
    struct http_parked *p = resp->parked;
    pthread_mutex_lock(&p->lock);
    p->exchange = ex;
    atomic_fetch_add(&ex->refs, 1);
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_lock(&ex->lock);
    assert(!ex->parked && !ex->req.ending);
    ex->parked = p;
    ex->park_until = resp->parked_until;
    bool over = atomic_load(&ex->server->draining);
    if (over)
        ex->req.ending = true;
    ex->is_parked = !over && !atomic_load(&p->woken);
    ex->ran = ex->is_parked || !ex->conn;
}

void http_park_end(struct http_exchange *ex)
{
    struct http_parked *p = take_ptr(ex->parked);
    ex->is_parked = false;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->exchange = NULL;
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_sub(&ex->refs, 1); // never the last: the job holds one
    http_parked_unref(p);
}

int64_t http_park_tick(struct http_exchange *ex, int64_t now_ms)
{
    if (!ex->is_parked || !ex->conn)
        return INT64_MAX;
    if (now_ms < ex->park_until)
        return ex->park_until;
    int64_t arm = unpark_locked(ex, false);
    return arm ? arm : INT64_MAX;
}

int64_t http_park_hurry(struct http_exchange *ex)
{
    return unpark_locked(ex, true);
}
