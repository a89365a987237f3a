// SPDX-License-Identifier: Apache-2.0
// The server's alarm clock: when its timer looks next, and the connections whose refusal may still
// be under way. Any thread.
#include "net/http_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

// The oldest first.
void http_linger_end(struct http_server *s, int64_t now)
{
    while (s->n_lingering && s->lingering[s->lingering_at].until_ms <= now) {
        close(s->lingering[s->lingering_at].fd);
        s->lingering_at = (s->lingering_at + 1) % HTTP_LINGERING_MAX;
        s->n_lingering--;
    }
    if (s->n_lingering && s->lingering[s->lingering_at].until_ms < s->timer_ms)
        s->timer_ms = s->lingering[s->lingering_at].until_ms;
}

void http_server_linger(struct http_server *s, int conn_fd)
{
    int fd = fcntl(conn_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->n_lingering == HTTP_LINGERING_MAX) // a flood of refusals: the oldest has had its time
        s->lingering[s->lingering_at].until_ms = 0;
    http_linger_end(s, 0);
    assert(s->n_lingering < HTTP_LINGERING_MAX);
    size_t at = (s->lingering_at + s->n_lingering++) % HTTP_LINGERING_MAX;
    s->lingering[at] = (struct http_lingering){fd, clock_mono_ms() + HTTP_LINGER_MS};
    if (s->lingering[at].until_ms < s->timer_ms) {
        s->timer_ms = s->lingering[at].until_ms;
        pthread_cond_signal(&s->timer_cond);
    }
    pthread_mutex_unlock(&s->lock);
}

void http_server_arm(struct http_server *s, int64_t when_ms)
{
    pthread_mutex_lock(&s->lock);
    if (when_ms < s->timer_ms) {
        s->timer_ms = when_ms;
        pthread_cond_signal(&s->timer_cond);
    }
    pthread_mutex_unlock(&s->lock);
}
