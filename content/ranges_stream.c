// SPDX-License-Identifier: Apache-2.0
// The streams beside the leader's; see ranges.h. Each is a thread of the pool for as long as there is
// something to fetch.
#include "content/ranges_priv.h"

#include "base/err.h"

// All that it can get from one source; how that went.
static int stream_from(struct ranges *rs, size_t source)
{
    char error[CONTENT_TEXT_SIZE];
    struct run r;
    int rc = 0;
    while (!rc && !rs->stop && run_take(rs, &r))
        rc = run_fetch(rs, source, &r, NULL, &rs->stop, error);
    return rc;
}

// May another source have what this one did not give? Under no lock.
static bool goes_on(struct ranges *rs, int rc)
{
    pthread_mutex_lock(&rs->lock);
    bool on = rc && !rs->own_rc && !rs->closed;
    pthread_mutex_unlock(&rs->lock);
    return on && !rs->stop && rc != ERR_NOMEM && rc != ERR_CANCELED;
}

static void stream(struct ranges *rs, size_t first)
{
    const struct content_want *w = rs->get->want;
    int rc = ERR_UNREACHABLE;
    for (size_t k = 0; k < w->n_sources && goes_on(rs, rc); k++) {
        size_t i = (first + k) % w->n_sources;
        int64_t again;
        if (source_enter_besides(w->sources[i], &again) != SOURCE_READY)
            continue;
        rc = stream_from(rs, i);
        source_leave_besides(w->sources[i], ranges_own_error(rs) ? ERR_CANCELED : rc);
    }
}

static void stream_run(void *arg)
{
    const struct offer *o = arg;
    struct ranges *rs = o->ranges;
    pthread_mutex_lock(&rs->lock);
    if (!rs->closed && !rs->stop) {
        size_t first = rs->source;
        rs->n_running++;
        pthread_mutex_unlock(&rs->lock);
        stream(rs, first);
        pthread_mutex_lock(&rs->lock);
        rs->n_running--;
        pthread_cond_broadcast(&rs->changed);
    }
    ranges_leave(rs);
}

static void stream_lost(void *arg)
{
    const struct offer *o = arg;
    pthread_mutex_lock(&o->ranges->lock);
    ranges_leave(o->ranges);
}

// What nobody waits for never has all threads.
static enum pool_lane lane_of(const struct ranges *rs)
{
    if (*flight_urgent(rs->get->flight))
        return POOL_REGIONS;
    return POOL_CLIENTS;
}

// Once, as far as the pool takes offers.
void streams_offer(struct ranges *rs, size_t source)
{
    if (rs->offered)
        return;
    rs->offered = true;
    const struct content_want *w = rs->get->want;
    struct pool *pool = rs->get->content->streams;
    enum pool_lane lane = lane_of(rs);
    pthread_mutex_lock(&rs->lock);
    rs->source = source;
    pthread_mutex_unlock(&rs->lock);
    for (unsigned i = 0; i + 1 < w->streams && i < CONTENT_STREAMS_MAX; i++) {
        struct offer *o = &rs->offers[i];
        o->ranges = rs;
        o->job = (struct pool_job){
            .run = stream_run, .lost = stream_lost, .arg = o, .lane = lane, .name = w->registry};
        pthread_mutex_lock(&rs->lock);
        rs->refs++;
        pthread_mutex_unlock(&rs->lock);
        if (pool_submit(pool, &o->job)) {
            stream_lost(o);
            break;
        }
    }
    pool_settle(pool);
}
