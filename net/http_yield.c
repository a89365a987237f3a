// SPDX-License-Identifier: Apache-2.0
// A server that yields to its successor; see http_server_yield_begin in http.h. Called by the
// daemon's main thread.
//
// Whether an exchange delays the wait is decided once, under its lock: its beginning and the end of
// its body read `yielded` there, and the wait looks after `yielded` was set. So no exchange begins
// in the old way after the wait has looked.
#include "net/http_priv.h"

#include "base/clock.h"

#include <time.h>

#define PATIENCE_MS 1000 // for bodies that can neither go on nor run late

void http_server_yield_begin(struct http_server *s, struct pool *late)
{
    int64_t now = clock_mono_ms();
    s->late_pool = late;
    MHD_quiesce_daemon(s->daemon);
    atomic_store(&s->draining, true);
    atomic_store(&s->yielded, true);
    pthread_mutex_lock(&s->lock);
    s->yield_ms = now;
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next) {
        if (!atomic_load(&ex->refs))
            continue;
        pthread_mutex_lock(&ex->lock);
        ex->yield_bytes = ex->body_bytes;
        pthread_mutex_unlock(&ex->lock);
    }
    pthread_mutex_unlock(&s->lock);
    http_server_arm(s, now + HTTP_YIELD_JUDGE_MS);
}

// True when all are over; `impatient`: bodies are not waited for.
static bool look(struct http_server *s, bool impatient) // under the lock
{
    bool all = true;
    for (struct http_exchange *ex = s->exchanges; ex; ex = ex->next) {
        if (!atomic_load(&ex->refs) || http_exchange_is_over(ex))
            continue;
        all = false;
        if (impatient)
            http_exchange_give_up(ex, 503);
    }
    return all;
}

void http_server_yield_wait(struct http_server *s)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    pthread_mutex_lock(&s->lock);
    while (!look(s, clock_mono_ms() >= until)) {
        http_server_resume_all(s, false); // streams, which see that they end
        int64_t at = clock_mono_ms() + 10;
        const struct timespec ts = {at / 1000, at % 1000 * 1000000};
        pthread_cond_timedwait(&s->idle_cond, &s->lock, &ts);
    }
    pthread_mutex_unlock(&s->lock);
}
