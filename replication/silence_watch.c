// SPDX-License-Identifier: Apache-2.0
// The thread that watches for silence; see silence_watch.h.
#include "replication/silence_watch.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdlib.h>

#define LOOK_MS 250

struct silence_watch {
    struct replicator *r;
    pthread_t thread;
    bool started;
    struct lock lock;
    bool due;
};

int silence_watch_new(struct replicator *r, struct silence_watch **out)
{
    struct silence_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->r = r;
    lock_init(&w->lock, LOCK_SILENCE);
    *out = w;
    return 0;
}

void silence_watch_kick(struct silence_watch *w)
{
    lock_take(&w->lock);
    w->due = true;
    lock_wake(&w->lock);
    lock_give(&w->lock);
}

static void peer_turned(struct replicator *r, struct peer *p, enum peer_turn turn)
{
    switch (turn) {
    case PEER_AS_BEFORE:
        return;
    case PEER_GONE:
        log_warn("replication: %s is silent, three beats were missed: what runs to it is given up "
                 "until it is heard again",
                 peer_name(p));
        fetcher_peer_lost(r->o.fetcher, peer_name(p));
        if (r->o.probes != r->o.fetcher)
            fetcher_peer_lost(r->o.probes, peer_name(p));
        break;
    case PEER_BACK:
        log_info("replication: %s is heard again", peer_name(p));
        job_queue_kick(r->jobs);
        break;
    case PEER_MET:
        job_queue_kick(r->jobs);
        break;
    }
    if (r->o.on_away)
        r->o.on_away(r->o.on_away_ctx, peer_name(p), turn == PEER_GONE);
}

static void rest(struct silence_watch *w)
{
    int64_t until = clock_mono_ms() + LOOK_MS;
    lock_take(&w->lock);
    while (!w->due && !life_stopping(w->r->life)) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        lock_wait(&w->lock, left);
    }
    w->due = false;
    lock_give(&w->lock);
}

static void *watch_main(void *arg)
{
    struct silence_watch *w = arg;
    struct replicator *r = w->r;
    pthread_setname_np(pthread_self(), "beats");
    while (!life_stopping(r->life)) {
        size_t n = peers_count(r->peers);
        for (size_t i = 0; i < n && !life_stopping(r->life); i++) {
            struct peer *p = peers_at(r->peers, i);
            peer_turned(r, p, peer_judge_silence(p));
        }
        rest(w);
    }
    return NULL;
}

int silence_watch_start(struct silence_watch *w)
{
    w->started = pthread_create(&w->thread, NULL, watch_main, w) == 0;
    if (!w->started)
        return ERR_NOMEM;
    return 0;
}

void silence_watch_stop(struct silence_watch *w)
{
    if (!w || !w->started)
        return;
    assert(life_stopping(w->r->life));
    silence_watch_kick(w);
    pthread_join(w->thread, NULL);
    w->started = false;
}

void silence_watch_free(struct silence_watch *w)
{
    if (!w)
        return;
    lock_done(&w->lock);
    free(w);
}
