// SPDX-License-Identifier: Apache-2.0
// Silence of other regions. A feed's stream carries something every FEED_BEAT_MS; one thread looks
// at when each was heard last, and when three beats in a row are missed the region is away: what
// runs to it is ended at once, and whoever else holds connections to it is told. Beats decide, and
// not how long a single request takes: a region may sync ten gigabytes before it answers, and beats
// meanwhile.
//
// No beat touches a store: the sender repeats a line that it has, and a mark that did not move is
// not written.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/log.h"

#define LOOK_MS 250
#define MISSED_SILENT 2
#define MISSED_AWAY 3

int64_t peer_silence_ms(const struct peer *p)
{
    int64_t heard = p->heard_mono, now = clock_mono_ms();
    if (!p->shares || !heard || heard >= now) // INT64_MAX: it is we who do not listen
        return 0;
    return now - heard;
}

bool peer_silent(const struct peer *p)
{
    return peer_silence_ms(p) >= MISSED_SILENT * (int64_t)p->beat_ms + FEED_SLACK_MS;
}

int64_t peer_patience_ms(const struct peer *p)
{
    return MISSED_AWAY * (int64_t)p->beat_ms + FEED_SLACK_MS;
}

// Has it gone, or come back, or is it heard for the first time?
static bool peer_turned(struct peer *p, bool *out_away, bool *out_first)
{
    pthread_mutex_lock(&p->r->lock);
    // The reader may have met silence and then a new connection between two looks: what else runs
    // is lost all the same.
    *out_away = p->missed || peer_silence_ms(p) >= peer_patience_ms(p);
    p->missed = false;
    *out_first = !p->known && p->heard_mono;
    bool turned = p->away != *out_away || *out_first;
    p->away = *out_away;
    p->known = p->known || *out_first;
    pthread_mutex_unlock(&p->r->lock);
    return turned;
}

static void peer_look(struct peer *p)
{
    struct replicator *r = p->r;
    bool away, first;
    if (!peer_turned(p, &away, &first))
        return;
    if (away) {
        log_warn("replication: %s is silent, three beats were missed: what runs to it is given up "
                 "until it is heard again",
                 p->name);
        fetcher_peer_lost(r->o.fetcher, p->name);
    } else {
        if (!first)
            log_info("replication: %s is heard again", p->name);
        jobs_kick(r);
    }
    if (r->o.on_away)
        r->o.on_away(r->o.on_away_ctx, p->name, away);
}

void beats_kick(struct replicator *r)
{
    r->beats_due = true;
    pthread_cond_broadcast(&r->changed);
}

static void beats_rest(struct replicator *r)
{
    int64_t until = clock_mono_ms() + LOOK_MS, left;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && !r->beats_due && (left = until - clock_mono_ms()) > 0)
        wait_cond(&r->changed, &r->lock, left);
    r->beats_due = false;
    pthread_mutex_unlock(&r->lock);
}

void *beats_main(void *arg)
{
    struct replicator *r = arg;
    pthread_setname_np(pthread_self(), "beats");
    while (!r->stopping) {
        pthread_mutex_lock(&r->lock);
        size_t n = r->n_peers; // they are only ever added
        pthread_mutex_unlock(&r->lock);
        for (size_t i = 0; i < n && !r->stopping; i++)
            peer_look(r->peers[i]);
        beats_rest(r);
    }
    return NULL;
}
