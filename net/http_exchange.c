// SPDX-License-Identifier: Apache-2.0
// One request as an object: made with its target, counted by reference, suspended and resumed; see
// http_priv.h for its invariants and locks. Below all other files of the exchange.
#include "net/http_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

struct http_exchange *http_exchange_new(struct http_server *s, const char *target)
{
    struct http_exchange *ex = mem_zalloc(sizeof *ex);
    if (!ex)
        return NULL;
    if (http_request_init(&ex->req)) {
        arena_done(&ex->req.arena);
        free(ex);
        return NULL;
    }
    ex->server = s;
    ex->req.words = s->app.words;
    atomic_store(&ex->refs, 1);
    pthread_mutex_init(&ex->lock, NULL);
    buf_init(&ex->body, 0);
    if (strlen(target) > HTTP_TARGET_MAX)
        ex->refuse = 414;
    else if (http_request_target(&ex->req, target) || http_dot_segments(ex->req.path))
        ex->refuse = 400;
    atomic_fetch_add(&s->active, 1);
    pthread_mutex_lock(&s->lock);
    ex->next = s->exchanges;
    if (ex->next)
        ex->next->prev = ex;
    s->exchanges = ex;
    pthread_mutex_unlock(&s->lock);
    return ex;
}

static void chunks_free(struct http_exchange *ex)
{
    while (ex->head) {
        struct http_chunk *c = ex->head;
        ex->head = c->next;
        http_chunk_give(ex->server, c);
    }
}

void http_exchange_unref(struct http_exchange *ex)
{
    if (atomic_fetch_sub(&ex->refs, 1) != 1)
        return;
    struct http_server *s = ex->server;
    assert(!ex->conn && !ex->job_active && !ex->parked); // all hold references
    if (ex->answer)
        MHD_destroy_response(ex->answer);
    chunks_free(ex);
    atomic_fetch_sub(&s->uploads_bytes, ex->reserved_bytes);
    buf_done(&ex->body);
    arena_done(&ex->req.arena);
    pthread_mutex_lock(&s->lock);
    if (ex->prev)
        ex->prev->next = ex->next;
    else
        s->exchanges = ex->next;
    if (ex->next)
        ex->next->prev = ex->prev;
    pthread_mutex_destroy(&ex->lock);
    free(ex);
    pthread_cond_broadcast(&s->idle_cond); // under the lock: the server may be freed right after
    pthread_mutex_unlock(&s->lock);
}

void http_resume_locked(struct http_exchange *ex)
{
    if (!ex->suspended || !ex->conn)
        return;
    ex->suspended = false;
    MHD_resume_connection(ex->conn);
}

void http_suspend_locked(struct http_exchange *ex, enum http_wait wait, int64_t for_ms)
{
    assert(ex->conn && !ex->suspended); // invariant 2
    ex->suspended = true;
    ex->wait = wait;
    ex->suspended_us = clock_mono_us();
    ex->deadline_ms = ex->suspended_us / 1000 + for_ms;
    MHD_suspend_connection(ex->conn);
}

void http_resume_from_locked(struct http_exchange *ex, enum http_wait wait)
{
    if (ex->wait == wait)
        http_resume_locked(ex);
}

// A suspended connection says nothing of a client that left; one that sends nothing would be kept
// for ever.
bool http_client_gone(const struct http_exchange *ex)
{
    char c;
    return recv(ex->conn_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

struct pool *http_pool_of(const struct http_exchange *ex)
{
    struct pool *moved = atomic_load(&ex->moved_to);
    if (moved)
        return moved;
    if (ex->plan.pool)
        return ex->plan.pool;
    return ex->server->options.pool;
}

int http_busy_status(const struct http_exchange *ex)
{
    if (ex->plan.busy_status)
        return ex->plan.busy_status;
    return 503;
}

void http_exchange_wake(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    http_resume_from_locked(ex, WAIT_STREAM);
    pthread_mutex_unlock(&ex->lock);
}

void http_exchange_resume(struct http_exchange *ex, bool cut)
{
    pthread_mutex_lock(&ex->lock);
    int64_t arm = http_park_hurry(ex);
    if (arm && arm < ex->server->timer_ms) {
        ex->server->timer_ms = arm;
        pthread_cond_signal(&ex->server->timer_cond);
    }
    if (cut)
        http_resume_locked(ex);
    else
        http_resume_from_locked(ex, WAIT_STREAM);
    pthread_mutex_unlock(&ex->lock);
}

// The plan's handlers are called with the whole body only, and another can be called in their
// place.
bool http_runs_late(const struct http_exchange *ex)
{
    const struct http_plan *plan = &ex->plan;
    if (plan->kind != HTTP_PLAN_COLLECT || plan->goes_on)
        return false;
    if (plan->collected || plan->done)
        return false;
    return ex->server->app.run_late;
}
