// SPDX-License-Identifier: Apache-2.0
// What time does to an exchange: deadlines of suspensions, bodies that come too slowly, bodies that
// are given up by a stop or a yield. On the server's timer, or under the server's lock.
#include "net/http_priv.h"

#include "base/clock.h"

#include <sys/socket.h>

static int64_t earlier(int64_t a, int64_t b)
{
    if (a < b)
        return a;
    return b;
}

static void give_up_locked(struct http_exchange *ex, int status, int64_t *next)
{
    ex->give_up = status;
    ex->reading = false;
    if (http_schedule_locked(ex))
        *next = earlier(*next, http_retry_locked(ex));
}

void http_exchange_give_up(struct http_exchange *ex, int status)
{
    struct http_server *s = ex->server;
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&ex->lock);
    if (ex->reading && !ex->give_up)
        give_up_locked(ex, status, &next);
    pthread_mutex_unlock(&ex->lock);
    if (next < s->timer_ms) {
        s->timer_ms = next;
        pthread_cond_signal(&s->timer_cond);
    }
}

bool http_exchange_is_over(struct http_exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    bool over = !ex->begun || ex->late || ex->sent || ex->told;
    if (ex->planned && !over)
        over = ex->plan.goes_on || (ex->reading && http_runs_late(ex));
    pthread_mutex_unlock(&ex->lock);
    return over;
}

// Once the server has yielded, what a body brought since then decides.
static int64_t tick_yield_locked(struct http_exchange *ex, int64_t now_ms)
{
    const struct http_server *s = ex->server;
    int64_t next = INT64_MAX;
    if (!s->yield_ms || !ex->reading || ex->yield_judged || ex->req.arrived_ms > s->yield_ms)
        return next;
    if (now_ms < s->yield_ms + HTTP_YIELD_JUDGE_MS)
        return s->yield_ms + HTTP_YIELD_JUDGE_MS;
    ex->yield_judged = true;
    uint64_t least = (uint64_t)s->options.body_bytes_s * HTTP_YIELD_JUDGE_MS / 1000;
    if (!ex->suspended && ex->body_bytes - ex->yield_bytes < (least ? least : 1))
        give_up_locked(ex, 408, &next);
    return next;
}

// Is the body too slow; has the other side had its time to hang up?
static int64_t tick_body_locked(struct http_exchange *ex, int64_t now_ms)
{
    int64_t next = tick_yield_locked(ex, now_ms);
    if (ex->reading && !ex->suspended && ex->pace.until_us != INT64_MAX) {
        if (pace_over(&ex->pace, now_ms * 1000))
            give_up_locked(ex, 408, &next);
        else
            next = earlier(next, ex->pace.until_us / 1000 + 1);
    }
    if (ex->told && ex->conn) {
        if (ex->hang_up_ms <= now_ms)
            shutdown(ex->conn_fd, SHUT_RDWR);
        else
            next = earlier(next, ex->hang_up_ms);
    }
    return next;
}

// What came slowly has waited for more for long enough.
static int64_t tick_flush_locked(struct http_exchange *ex, int64_t now_ms)
{
    if (!ex->flush_ms)
        return INT64_MAX;
    if (now_ms < ex->flush_ms)
        return ex->flush_ms;
    if (!http_schedule_locked(ex))
        return INT64_MAX;
    ex->flush_ms = 0;
    return http_retry_locked(ex);
}

int64_t http_exchange_tick(struct http_exchange *ex, int64_t now_ms, bool *out_release)
{
    pthread_mutex_lock(&ex->lock);
    int64_t next = tick_body_locked(ex, now_ms);
    if (ex->retry_pending) {
        bool over = ex->done_called && (ex->ran || !ex->give_up);
        int rc = 0;
        if (!over)
            rc = http_schedule_locked(ex);
        if (!rc) {
            ex->retry_pending = false;
            *out_release = true;
        } else
            next = earlier(next, now_ms + HTTP_RETRY_MS);
    }
    next = earlier(next, tick_flush_locked(ex, now_ms));
    next = earlier(next, http_park_tick(ex, now_ms));
    if (ex->suspended) {
        if (ex->deadline_ms <= now_ms) {
            ex->timed_out = ex->timed_out || ex->wait == WAIT_RUN;
            ex->cut = ex->cut || ex->wait == WAIT_SINK;
            http_resume_locked(ex);
        } else
            next = earlier(next, ex->deadline_ms);
    }
    pthread_mutex_unlock(&ex->lock);
    return next;
}
