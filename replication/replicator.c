// SPDX-License-Identifier: Apache-2.0
// Start, stop, peers that come and go. The daemon calls start, stop and reconfigure; the store's
// writer thread calls replicator_committed.
#include "replication/response_producer.h"

#include "replication/clock_watch.h"
#include "replication/mender.h"
#include "replication/peer_source.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

struct replicator *replicator_ref(struct replicator *r)
{
    r->refs++;
    return r;
}

static void replicator_free(struct replicator *r)
{
    for (size_t i = 0; i < r->n_peers; i++) {
        source_free(r->peers[i]->source);
        free(r->peers[i]);
    }
    content_free(r->content);
    room_free(r->room);
    free((char *)r->o.region);
    free((char *)r->o.ca_file);
    free((char *)r->o.peer_pem);
    free((char *)r->o.state_dir);
    free(r->workers);
    free(r->clock);
    mender_free(r->mender);
    pthread_mutex_destroy(&r->streams_lock);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void replicator_unref(struct replicator *r)
{
    if (--r->refs == 0)
        replicator_free(r);
}

bool replicator_enter(struct replicator *r)
{
    pthread_mutex_lock(&r->lock);
    bool go = !r->stopping;
    if (go)
        r->n_inside++;
    pthread_mutex_unlock(&r->lock);
    return go;
}

void replicator_leave(struct replicator *r)
{
    pthread_mutex_lock(&r->lock);
    r->n_inside--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

struct peer *replicator_peer(struct replicator *r, const char *region)
{
    struct peer *found = NULL;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_peers && !found; i++)
        if (strcmp(r->peers[i]->name, region) == 0)
            found = r->peers[i];
    pthread_mutex_unlock(&r->lock);
    return found;
}

void replicator_sleep(struct replicator *r, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms, left;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && (left = until - clock_mono_ms()) > 0)
        wait_cond(&r->changed, &r->lock, left);
    pthread_mutex_unlock(&r->lock);
}

// Makes the peer and its reader. Peers stay until the end: one that left the topology idles.
static void peer_add(struct replicator *r, const char *region)
{
    struct peer *p = mem_zalloc(sizeof *p);
    bool room = p && strlen(region) < sizeof p->name && r->n_peers < TOPOLOGY_MAX_REGIONS;
    if (room) {
        p->r = r;
        p->beat_ms = FEED_BEAT_OLD_MS;
        memcpy(p->name, region, strlen(region) + 1);
        room = peer_source_new(p, &p->source) == 0;
    }
    if (!room) {
        log_error("replication: no room to read region %s", region);
        free(p);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->peers[r->n_peers++] = p;
    // Under the lock, so that stop, which sets `stopping` under it, joins every reader there will
    // ever be.
    p->reader_started = !r->stopping && pthread_create(&p->reader, NULL, peer_reader_main, p) == 0;
    bool failed = !p->reader_started && !r->stopping;
    pthread_mutex_unlock(&r->lock);
    if (failed)
        log_error("replication: no thread to read region %s", region);
}

void replicator_peers_update(struct replicator *r)
{
    struct topology *t = snapshot_get(r->o.topology);
    if (t) {
        r->skew_ms = t->replication.clock_skew_ms;
        meta_set_skew(r->o.meta, t->replication.clock_skew_ms);
    }
    for (size_t i = 0; t && i < t->n_regions; i++)
        if (strcmp(t->regions[i].name, r->o.region) != 0 && !replicator_peer(r, t->regions[i].name))
            peer_add(r, t->regions[i].name);
    snapshot_unref(t);
}

void replicator_reconfigure(struct replicator *r)
{
    if (!r || !replicator_enter(r))
        return;
    replicator_peers_update(r);
    pthread_mutex_lock(&r->lock);
    r->reconfigured++;
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i]->strange_key[0]) // the key may be there now: looked at once more, at once
            r->peers[i]->recover_after_mono = 0;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    outstreams_wake(r); // they end when their filter is of another topology
    jobs_kick(r);
    replicator_leave(r);
}

void replicator_suspect(struct replicator *r, const char *registry, const char *repository,
                        const struct digest *d)
{
    if (!r || r->stopping)
        return;
    // if too many wait: when it is missed again
    (void)mender_suspect(r->mender, NULL, registry, repository, d);
}

size_t replicator_damaged(struct replicator *r, char *out, size_t cap)
{
    if (!r)
        return 0;
    return mender_damaged(r->mender, out, cap);
}

void replicator_committed(void *arg)
{
    struct replicator *r = arg;
    if (!r || r->stopping)
        return;
    outstreams_wake(r);
    jobs_kick(r);
}

static int options_copy(const struct replicator_options *o, struct replicator *r)
{
    r->o = *o;
    r->o.region = mem_strdup(o->region);
    if (o->ca_file)
        r->o.ca_file = mem_strdup(o->ca_file);
    else
        r->o.ca_file = NULL;
    if (o->peer_pem)
        r->o.peer_pem = mem_strdup(o->peer_pem);
    else
        r->o.peer_pem = NULL;
    if (o->state_dir)
        r->o.state_dir = mem_strdup(o->state_dir);
    else
        r->o.state_dir = NULL;
    if (!r->o.recover_patience_ms) // then writes open in a new epoch, and recovery goes on later
        r->o.recover_patience_ms = 60000;
    if (!r->o.start_ask_ms)
        r->o.start_ask_ms = 3000;
    if (!r->o.clock_every_ms)
        r->o.clock_every_ms = CLOCK_EVERY_MS;
    if (!r->o.absent_ms)
        r->o.absent_ms = 30000;
    if (!r->o.n_fetches)
        r->o.n_fetches = 4;
    bool all = r->o.region && (r->o.ca_file || !o->ca_file) && (r->o.peer_pem || !o->peer_pem) &&
               (r->o.state_dir || !o->state_dir);
    if (all)
        return 0;
    return ERR_NOMEM;
}

static size_t mender_sources(void *ctx, const struct topology *t, const struct registry *reg,
                             struct source *out[TOPOLOGY_MAX_REGIONS], unsigned *out_max_running)
{
    struct replicator *r = ctx;
    *out_max_running = peer_source_max(r);
    return peer_sources(r, t, reg, r->o.region, out);
}

static bool mender_may_wait(void *ctx)
{
    return worker_is_idle(ctx);
}

// What is fetched, where it goes, and who mends it. No thread yet.
static int content_start(struct replicator *r)
{
    // each worker fetches one blob at a time, and so does the mender
    struct content_options content = {
        .blobs = r->o.blobs, .region = r->o.region, .max_flights = r->o.n_fetches + 1};
    int rc = content_new(&content, &r->content);
    if (rc)
        return rc;
    struct room_options room = {
        .region = r->o.region, .meta = r->o.meta, .blobs = r->o.blobs, .space = r->o.space};
    rc = room_new(&room, &r->room);
    if (rc)
        return rc;
    struct mender_options mender = {.region = r->o.region,
                                    .topology = r->o.topology,
                                    .meta = r->o.meta,
                                    .blobs = r->o.blobs,
                                    .content = r->content,
                                    .room = r->room,
                                    .stop = &r->stopping,
                                    .sources = mender_sources,
                                    .may_wait = mender_may_wait,
                                    .ctx = r};
    return mender_new(&mender, &r->mender);
}

static int threads_start(struct replicator *r)
{
    int rc = content_start(r);
    if (rc)
        return rc;
    rc = clock_watch_start(r, &r->clock);
    if (rc)
        return rc;
    struct topology *t = snapshot_get(r->o.topology);
    if (t)
        (void)revoked_tell(r, t); // if it cannot be noted, nothing is read; the revoker says so
    snapshot_unref(t);
    r->workers = mem_zalloc_array(r->o.n_fetches, sizeof *r->workers);
    if (!r->workers)
        return ERR_NOMEM;
    r->n_workers = r->o.n_fetches;
    for (size_t i = 0; i < r->n_workers; i++) {
        struct worker *w = &r->workers[i];
        w->r = r;
        w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
        if (!w->started)
            return ERR_NOMEM;
    }
    replicator_peers_update(r);
    rc = mender_start(r->mender);
    if (rc)
        return rc;
    r->revoker_started = pthread_create(&r->revoker, NULL, revoker_main, r) == 0;
    keeper_begin(r);
    r->keeper_started = pthread_create(&r->keeper, NULL, keeper_main, r) == 0;
    r->dispatcher_started = pthread_create(&r->dispatcher, NULL, dispatcher_main, r) == 0;
    r->beats_started = pthread_create(&r->beats, NULL, beats_main, r) == 0;
    if (r->revoker_started && r->keeper_started && r->dispatcher_started && r->beats_started)
        return 0;
    return ERR_NOMEM;
}

int replicator_start(const struct replicator_options *o, struct replicator **out)
{
    struct replicator *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->refs = 1;
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->changed);
    outstreams_init(r);
    int rc = options_copy(o, r);
    if (!rc)
        rc = threads_start(r);
    if (rc) {
        replicator_stop(r);
        return rc;
    }
    *out = r;
    return 0;
}

void replicator_drain(struct replicator *r)
{
    if (!r)
        return;
    r->draining = true;
    outstreams_wake(r);
}

void replicator_stop(struct replicator *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    if (r->content)
        content_stop(r->content);
    for (size_t i = 0; i < r->n_peers; i++)
        r->peers[i]->hang_up = true;
    pthread_cond_broadcast(&r->changed);
    while (r->n_inside)
        wait_cond(&r->changed, &r->lock, 1000);
    pthread_mutex_unlock(&r->lock);
    outstreams_wake(r); // they end now
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i]->reader_started)
            pthread_join(r->peers[i]->reader, NULL);
    clock_watch_stop(r->clock);
    mender_stop(r->mender);
    if (r->revoker_started)
        pthread_join(r->revoker, NULL);
    if (r->keeper_started)
        pthread_join(r->keeper, NULL);
    if (r->dispatcher_started)
        pthread_join(r->dispatcher, NULL);
    if (r->beats_started)
        pthread_join(r->beats, NULL);
    for (size_t i = 0; i < r->n_workers; i++)
        if (r->workers[i].started)
            pthread_join(r->workers[i].thread, NULL);
    for (size_t i = 0; i < r->n_workers; i++)
        if (r->workers[i].busy) // given, and not begun when the stop came
            arena_done(&r->workers[i].arena);
    replicator_unref(r);
}
