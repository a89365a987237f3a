// SPDX-License-Identifier: Apache-2.0
// What a job fetches: manifests and blobs, from the regions that hold the registry: of a new entry its
// origin first, of an older one the nearest (content/content.h); blobs of a registry of many members
// by relays before (relay.h). On fetch workers and their helpers.
//
// Invariants (design section 9)
//   6. A source that cannot be reached never has all the workers, and a worker does not wait for
//      another one's fetch when no worker would be left for other jobs.
#include "replication/absence.h"
#include "replication/bandwidth.h"
#include "replication/job_outcome.h"
#include "replication/job_queue.h"
#include "replication/peer.h"
#include "replication/peer_source.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/publish.h"

#include <stdio.h>
#include <string.h>

#define SPREAD_MS 60000

struct job_fetch {
    struct attempt *w;
    struct digest digest;
    // the fetch has given the repository its lease
    bool published;
    // as the manifest says
    uint64_t size;
    const struct blob_fetch_how *how;
    // Of the relay that is asked: until when; for how long fetches from it were held back for
    // bandwidth before; and that its time is over.
    struct peer *relay;
    int64_t relay_until_mono;
    uint64_t held_before_us;
    bool relay_late;
    // relays that had not got it, or not in time
    const char *late[RELAY_TRIES];
    size_t n_late;
};

static bool may_wait(void *ctx)
{
    const struct job_fetch *j = ctx;
    return !j->how->helps && job_queue_has_idle(j->w->r->jobs);
}

static void arrived(void *ctx, uint64_t bytes)
{
    struct job_fetch *j = ctx;
    uint64_t left = 0;
    if (bytes < j->size)
        left = j->size - bytes;
    j->how->arrived(j->how->ctx, left);
}

static void no_space(void *ctx, uint64_t bytes)
{
    struct job_fetch *j = ctx;
    uint64_t after = j->how->left_after(j->how->ctx);
    j->w->lacks = room_failed(j->w->r->room, &j->digest, j->size, bytes, after);
}

static int published(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct job_fetch *j = ctx;
    struct replicator *r = j->w->r;
    const struct lease_add add = {.registry = j->w->job.entry.registry,
                                  .repository = j->w->job.entry.repository,
                                  .digest = j->digest,
                                  .published = name,
                                  .size = size};
    struct lease_result result;
    int rc = blob_publish(r->o.blobs, r->o.meta, &add, &result);
    room_wrote(r->room, rc);
    j->published = rc == 0;
    return rc;
}

// What the job's caller learns of it beside the code.
static void outcome_take(struct attempt *w, int rc, const struct content_outcome *out,
                         int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    w->own_fault = out->own_fault;
    if (out->not_before_mono)
        *out_not_before_mono = out->not_before_mono;
    if (*out->error)
        memcpy(error, out->error, sizeof out->error);
    else if (rc == ERR_UNREACHABLE)
        snprintf(error, ERROR_TEXT_SIZE, "%s: no region that has it can be reached",
                 w->job.entry.origin);
}

// Is the entry so old that the regions that were there have its content by now?
static bool is_spread(const struct feed_entry *e)
{
    return clock_wall_ms() - hlc_wall_ms(e->stamp) > SPREAD_MS;
}

int manifest_fetch(struct attempt *w, const struct topology *t, const struct registry *reg,
                   const struct digest *d, struct buf *out, int64_t *out_not_before_mono,
                   char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &w->job.entry;
    struct source *sources[TOPOLOGY_MAX_REGIONS];
    struct content_want want = {.registry = e->registry,
                                .repository = e->repository,
                                .digest = *d,
                                .sources = sources,
                                .n_sources =
                                    peer_sources(w->r, t, reg, e->origin, is_spread(e), sources),
                                .max_running = peer_source_max(w->r)};
    struct content_outcome outcome;
    int rc = content_manifest(w->r->content, &want, out, &outcome);
    outcome_take(w, rc, &outcome, out_not_before_mono, error);
    return rc;
}

// --- relays ---

static uint64_t relay_held_us(const struct job_fetch *j)
{
    struct bandwidth_line line;
    bandwidth_look(j->w->r->bandwidth, peer_line(j->relay), &line);
    return line.waited_us;
}

// A relay that gives a little now and then is given up like one that gives nothing. The time for which
// this region itself held back is not the relay's.
static bool relay_goes_on(void *ctx)
{
    struct job_fetch *j = ctx;
    int64_t held_ms = (int64_t)((relay_held_us(j) - j->held_before_us) / 1000);
    j->relay_late = clock_mono_ms() > j->relay_until_mono + held_ms;
    return !j->relay_late;
}

static int relay_ask(struct job_fetch *j, struct content_want *want, struct content_outcome *out)
{
    struct replicator *r = j->w->r;
    *out = (struct content_outcome){0};
    j->relay = peers_find(r->peers, source_name(want->sources[0]));
    if (!j->relay)
        return ERR_UNREACHABLE;
    j->held_before_us = relay_held_us(j);
    want->streams = peer_source_streams(r, want->sources, 1, want->size);
    return content_blob(r->content, want, out);
}

// One after the other, until the code says more than that one has not got it, or fails. ERR_NOTFOUND:
// somebody has not got it. ERR_UNREACHABLE: also, the time for it is over; what came is kept.
static int relays_ask(struct job_fetch *j, const struct content_want *all, struct source *sources[],
                      size_t n, struct content_outcome *out)
{
    struct content_want want = *all;
    bool absent = false;
    int rc = ERR_UNREACHABLE;
    want.n_sources = 1;
    want.goes_on = relay_goes_on;
    j->relay_until_mono =
        clock_mono_ms() + relay_patience_ms(j->w->r->o.relay_patience_ms, j->size);
    for (size_t i = 0; i < n; i++) {
        want.sources = &sources[i];
        rc = relay_ask(j, &want, out);
        if (rc == 0)
            relays_brought(j->w->r->relays, source_name(sources[i]));
        if (rc == ERR_NOTFOUND || j->relay_late)
            j->late[j->n_late++] = source_name(sources[i]);
        if (j->relay_late)
            return ERR_UNREACHABLE;
        if (rc == ERR_NOTFOUND)
            absent = true;
        else if (out->own_fault || relay_next(rc, 0, 0) == RELAY_DONE)
            return rc;
    }
    return absent ? ERR_NOTFOUND : rc;
}

// ERR_UNREACHABLE: no relay brings it, and all are to be asked. ERR_NOTFOUND with w->relayed: one
// will have it soon.
static int by_relays(struct job_fetch *j, const struct topology *t, const struct registry *reg,
                     const struct content_want *all, struct content_outcome *out)
{
    struct attempt *w = j->w;
    const struct feed_entry *e = &w->job.entry;
    struct source *sources[RELAY_TRIES];
    size_t n = relays_sources(w->r, t, reg, e->repository, e->origin, sources);
    w->relayed = 0;
    if (!n)
        return ERR_UNREACHABLE;
    int rc = relays_ask(j, all, sources, n, out);
    int64_t age_ms = 0;
    if (rc == ERR_NOTFOUND)
        age_ms = absence_age_ms(job_queue_absences(w->r->jobs), w->job.id);
    enum relay_next next = RELAY_DONE;
    if (!out->own_fault)
        next = relay_next(rc, age_ms, relay_patience_ms(w->r->o.relay_patience_ms, j->size));
    relays_count(w->r->relays, rc, next);
    if (next == RELAY_LOOK_AGAIN)
        w->relayed = absence_mark(&j->digest);
    if (next == RELAY_ASK_ORIGIN)
        return ERR_UNREACHABLE;
    return rc;
}

// The origin gave what the relays did not.
static void relays_note_late(const struct job_fetch *j)
{
    for (size_t i = 0; i < j->n_late; i++)
        relays_late(j->w->r->relays, j->late[i], clock_mono_ms());
}

int blob_fetch(struct attempt *w, const struct topology *t, const struct registry *reg,
               const struct manifest_ref *ref, const struct blob_fetch_how *how,
               bool *out_published, int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &w->job.entry;
    struct job_fetch j = {.w = w, .digest = ref->digest, .size = ref->size, .how = how};
    struct source *sources[TOPOLOGY_MAX_REGIONS];
    struct content_want want = {.registry = e->registry,
                                .repository = e->repository,
                                .digest = ref->digest,
                                .size = ref->size,
                                .sources = sources,
                                .n_sources =
                                    peer_sources(w->r, t, reg, e->origin, is_spread(e), sources),
                                .max_running = peer_source_max(w->r),
                                .besides = how->helps,
                                .charge = &w->charge,
                                .stop = how->stop,
                                .published = published,
                                .may_wait = may_wait,
                                .arrived = arrived,
                                .no_space = no_space,
                                .ctx = &j};
    struct content_outcome outcome;
    want.streams = peer_source_streams(w->r, sources, want.n_sources, ref->size);
    int rc = by_relays(&j, t, reg, &want, &outcome);
    if (rc == ERR_UNREACHABLE) {
        rc = content_blob(w->r->content, &want, &outcome);
        if (!rc)
            relays_note_late(&j);
    }
    outcome_take(w, rc, &outcome, out_not_before_mono, error);
    *out_published = j.published;
    job_blob_here(w->r, &ref->digest);
    return rc;
}

bool blob_in_flight(struct replicator *r, const struct digest *d)
{
    return flights_have(content_flights(r->content), d);
}

bool sources_free(struct replicator *r, const struct topology *t, const struct registry *reg)
{
    unsigned max = peer_source_max(r);
    for (size_t i = 0; i < reg->n_replicas; i++) {
        const struct peer *p = peers_find(r->peers, t->regions[reg->replicas[i].region].name);
        if (p && source_ready(peer_source(p), max))
            return true;
    }
    return false;
}
