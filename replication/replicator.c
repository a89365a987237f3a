// SPDX-License-Identifier: Apache-2.0
// The replicator: makes the room's objects, wires them, starts and stops them. The daemon calls
// start, stop and reconfigure; the store's writer thread calls replicator_committed.
#include "replication/comparer.h"
#include "replication/replication.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "content/fence.h"
#include "replication/ahead.h"
#include "replication/bandwidth.h"
#include "replication/blob_group.h"
#include "replication/clock_watch.h"
#include "replication/dropper.h"
#include "replication/gather.h"
#include "replication/join.h"
#include "replication/mender.h"
#include "replication/peer.h"
#include "replication/peer_source.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"
#include "replication/response_producer.h"
#include "replication/revoker.h"
#include "replication/silence_watch.h"
#include "replication/speech.h"
#include "replication/upload_copy.h"
#include "replication/words.h"
#include "replication/write_gate.h"
#include "store/meta_speaks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define START_ASK_MS 3000
#define RECOVER_PATIENCE_MS 60000
#define ABSENT_MS 30000
#define N_FETCHES 4

struct replicator *replicator_ref(struct replicator *r)
{
    r->refs++;
    return r;
}

static void replicator_free(struct replicator *r)
{
    upload_copies_free(r->copies);
    gather_free(r->gather);
    ahead_free(r->ahead);
    relays_free(r->relays);
    peers_free(r->peers);
    bandwidth_free(r->bandwidth);
    content_free(r->content);
    comparer_free(r->comparer);
    mender_free(r->mender);
    job_queue_free(r->jobs);
    helpers_free(r->helpers);
    room_free(r->room);
    clock_watch_free(r->clock);
    clock_report_free(r->clocks);
    revoker_free(r->revoker);
    words_free(r->words);
    dropper_free(r->dropper);
    write_gate_free(r->gate);
    silence_watch_free(r->silence);
    speech_free(r->speech);
    reading_hold_free(r->hold);
    streams_free(r->streams);
    life_free(r->life);
    free((char *)r->o.region);
    free((char *)r->o.ca_file);
    free((char *)r->o.peer_pem);
    free((char *)r->o.state_dir);
    free(r);
}

void replicator_unref(struct replicator *r)
{
    if (--r->refs == 0)
        replicator_free(r);
}

// --- the start ---

// NULL stays NULL.
static int text_copy(const char *from, const char **to)
{
    *to = NULL;
    if (!from)
        return 0;
    *to = mem_strdup(from);
    if (!*to)
        return ERR_NOMEM;
    return 0;
}

static int options_copy(const struct replicator_options *o, struct replicator *r)
{
    r->o = *o;
    int rc = text_copy(o->region, &r->o.region);
    // all four are set, whatever fails: they are freed
    if (text_copy(o->ca_file, &r->o.ca_file))
        rc = ERR_NOMEM;
    if (text_copy(o->peer_pem, &r->o.peer_pem))
        rc = ERR_NOMEM;
    if (text_copy(o->state_dir, &r->o.state_dir))
        rc = ERR_NOMEM;
    if (!r->o.recover_patience_ms) // then writes open in a new epoch, and recovery goes on later
        r->o.recover_patience_ms = RECOVER_PATIENCE_MS;
    if (!r->o.start_ask_ms)
        r->o.start_ask_ms = START_ASK_MS;
    if (!r->o.join_feed_min)
        r->o.join_feed_min = JOIN_FEED_MIN;
    if (!r->o.clock_every_ms)
        r->o.clock_every_ms = CLOCK_EVERY_MS;
    if (!r->o.words_every_ms)
        r->o.words_every_ms = WORDS_EVERY_MS;
    if (!r->o.drop_every_ms)
        r->o.drop_every_ms = DROP_EVERY_MS;
    if (!r->o.absent_ms)
        r->o.absent_ms = ABSENT_MS;
    if (!r->o.fence)
        r->o.fence = fence_allows;
    if (!r->o.probes)
        r->o.probes = r->o.fetcher;
    if (!r->o.n_fetches)
        r->o.n_fetches = N_FETCHES;
    return rc;
}

static size_t mender_sources(void *ctx, const struct topology *t, const struct registry *reg,
                             struct source *out[TOPOLOGY_MAX_REGIONS], unsigned *out_max_running)
{
    struct replicator *r = ctx;
    *out_max_running = peer_source_max(r);
    return peer_sources(r, t, reg, r->o.region, true, out);
}

static bool mender_may_wait(void *ctx)
{
    struct replicator *r = ctx;
    return job_queue_has_idle(r->jobs);
}

static int blob_find(void *ctx, const struct digest *d, struct blob_name *out, uint64_t *out_size)
{
    return meta_blob_find(ctx, d, out, out_size);
}

// What is fetched, where it goes, and who mends it.
static int content_objects_new(struct replicator *r)
{
    // each worker fetches one blob at a time, and so do the mender and each thread of the gather and
    // each helper
    const struct content_options content = {.blobs = r->o.blobs,
                                            .find = blob_find,
                                            .find_ctx = r->o.meta,
                                            .region = r->o.region,
                                            .max_flights = r->o.n_fetches + 1 + GATHER_THREADS +
                                                           AHEAD_THREADS + HELPER_THREADS,
                                            .n_streams = STREAM_THREADS};
    const struct room_options room = {.region = r->o.region,
                                      .meta = r->o.meta,
                                      .blobs = r->o.blobs,
                                      .space = r->o.space,
                                      .partial_bytes = r->o.partial_bytes};
    int rc = content_new(&content, &r->content);
    if (rc)
        return rc;
    rc = room_new(&room, &r->room);
    if (rc)
        return rc;
    const struct mender_options mender = {.region = r->o.region,
                                          .topology = r->o.topology,
                                          .meta = r->o.meta,
                                          .blobs = r->o.blobs,
                                          .content = r->content,
                                          .room = r->room,
                                          .stop = life_stop_flag(r->life),
                                          .sources = mender_sources,
                                          .may_wait = mender_may_wait,
                                          .ctx = r};
    return mender_new(&mender, &r->mender);
}

// Inside transactions of the store, as is the next one.
static bool behind(void *ctx, const char *registry, char out_region[HOSTNAME_REGION_SIZE])
{
    struct replicator *r = ctx;
    return speech_is_behind(r->speech, registry, out_region);
}

// Nobody hears any more what others speak, while what is under way may still write.
static bool behind_stopped(void *ctx, const char *registry, char out_region[HOSTNAME_REGION_SIZE])
{
    (void)ctx;
    (void)registry;
    out_region[0] = '\0';
    return true;
}

// Nobody asks this replicator any more afterwards.
static void behind_end(struct replicator *r)
{
    if (!r->speech)
        return;
    meta_set_behind(r->o.meta, behind_stopped, NULL);
    (void)meta_probe(r->o.meta); // a transaction that had begun to ask is over then
}

// All objects, before any thread runs.
static int objects_new(struct replicator *r)
{
    int rc = reading_hold_new(r->life, &r->hold);
    if (rc)
        return rc;
    rc = streams_new(&r->streams);
    if (rc)
        return rc;
    rc = peers_new(r, &r->peers);
    if (rc)
        return rc;
    rc = silence_watch_new(r, &r->silence);
    if (rc)
        return rc;
    rc = speech_new(r->o.region, r->o.topology, r->o.meta, &r->speech);
    if (rc)
        return rc;
    meta_set_behind(r->o.meta, behind, r);
    rc = write_gate_new(r, &r->gate);
    if (rc)
        return rc;
    rc = revoker_new(r, &r->revoker);
    if (rc)
        return rc;
    rc = words_new(r, &r->words);
    if (rc)
        return rc;
    rc = dropper_new(r, &r->dropper);
    if (rc)
        return rc;
    rc = clock_report_new(&r->clocks);
    if (rc)
        return rc;
    rc = helpers_new(&r->helpers);
    if (rc)
        return rc;
    rc = job_queue_new(r, r->o.n_fetches, &r->jobs);
    if (rc)
        return rc;
    rc = bandwidth_new(&r->o.fetch_rates, &r->bandwidth);
    if (rc)
        return rc;
    rc = relays_new(&r->relays);
    if (rc)
        return rc;
    rc = ahead_new(r->o.ahead_bytes, &r->ahead);
    if (rc)
        return rc;
    rc = gather_new(r, &r->gather);
    if (rc)
        return rc;
    rc = upload_copies_new(r, &r->copies);
    if (rc)
        return rc;
    rc = comparer_new(r, &r->comparer);
    if (rc)
        return rc;
    return content_objects_new(r);
}

static int clock_start(struct replicator *r)
{
    const struct clock_watch_options o = {.region = r->o.region,
                                          .topology = r->o.topology,
                                          .meta = r->o.meta,
                                          .dialer = &r->probes,
                                          .life = r->life,
                                          .report = r->clocks,
                                          .speech = r->speech,
                                          .every_ms = r->o.clock_every_ms,
                                          .continues = r->o.continues};
    return clock_watch_start(&o, &r->clock);
}

// What the topology in force says of regions, keys and skew.
static void topology_take(struct replicator *r)
{
    struct topology *t = snapshot_get(r->o.topology);
    if (t) {
        r->skew_ms = t->replication.clock_skew_ms;
        meta_set_skew(r->o.meta, t->replication.clock_skew_ms);
        peers_update(r->peers, t);
    }
    snapshot_unref(t);
}

// Before anything is read. If it cannot be noted nothing is read; the revoker says so.
static void revoked_tell(struct replicator *r)
{
    struct topology *t = snapshot_get(r->o.topology);
    if (t)
        (void)revoker_tell(r->revoker, t);
    snapshot_unref(t);
}

static int threads_start(struct replicator *r)
{
    int rc = clock_start(r);
    if (rc)
        return rc;
    revoked_tell(r);
    rc = job_queue_start_workers(r->jobs);
    if (rc)
        return rc;
    rc = mender_start(r->mender);
    if (rc)
        return rc;
    topology_take(r);
    rc = revoker_start(r->revoker);
    if (rc)
        return rc;
    rc = words_start(r->words);
    if (rc)
        return rc;
    rc = dropper_start(r->dropper);
    if (rc)
        return rc;
    rc = write_gate_start(r->gate);
    if (rc)
        return rc;
    rc = job_queue_start_dispatcher(r->jobs);
    if (rc)
        return rc;
    rc = comparer_start(r->comparer);
    if (rc)
        return rc;
    return silence_watch_start(r->silence);
}

int replicator_start(const struct replicator_options *o, struct replicator **out)
{
    assert(o->state_dir);
    struct replicator *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->refs = 1;
    int rc = life_new(&r->life);
    if (rc) {
        free(r);
        return rc;
    }
    rc = options_copy(o, r);
    r->dialer = (struct dialer){.fetcher = r->o.fetcher,
                                .ca_file = r->o.ca_file,
                                .peer_pem = r->o.peer_pem,
                                .stop = life_stop_flag(r->life),
                                .dial_socket = r->o.dial_socket,
                                .dial_ctx = r->o.dial_ctx};
    r->probes = r->dialer;
    r->probes.fetcher = r->o.probes;
    if (!rc)
        rc = objects_new(r);
    if (!rc)
        rc = threads_start(r);
    if (rc) {
        replicator_stop(r);
        return rc;
    }
    *out = r;
    return 0;
}

// --- the stop ---

void replicator_drain(struct replicator *r)
{
    if (!r)
        return;
    streams_drain(r->streams);
    upload_copies_drain(r->copies);
    gather_drain(r->gather);
}

void replicator_stop(struct replicator *r)
{
    if (!r)
        return;
    behind_end(r);
    life_end(r->life);
    if (r->content)
        content_stop(r->content);
    if (r->gather)
        gather_drain(r->gather);
    if (r->copies)
        upload_copies_drain(r->copies);
    if (r->peers)
        peers_hang_up(r->peers);
    if (r->hold)
        reading_hold_wake(r->hold);
    life_wait_empty(r->life);
    if (r->streams)
        streams_wake(r->streams); // they end now
    if (r->peers)
        peers_stop(r->peers);
    clock_watch_stop(r->clock);
    comparer_stop(r->comparer);
    mender_stop(r->mender);
    revoker_stop(r->revoker);
    dropper_stop(r->dropper);
    words_stop(r->words);
    write_gate_stop(r->gate);
    job_queue_stop(r->jobs);
    helpers_free(take_ptr(r->helpers)); // offers that nobody took up end: their workers have
    gather_stop(r->gather);
    upload_copies_stop(r->copies);
    silence_watch_stop(r->silence);
    assert(life_stopping(r->life));
    replicator_unref(r);
}

// --- from outside ---

void replicator_reconfigure(struct replicator *r)
{
    if (!r || !life_enter(r->life))
        return;
    topology_take(r);
    peers_reconfigured(r->peers);
    revoker_kick(r->revoker);
    write_gate_kick(r->gate);
    streams_wake(r->streams); // they end when their filter is of another topology
    job_queue_kick(r->jobs);
    life_leave(r->life);
}

int replicator_alone(struct replicator *r)
{
    if (!r || !life_enter(r->life))
        return ERR_CLOSED;
    int rc = write_gate_alone(r->gate);
    life_leave(r->life);
    return rc;
}

void replicator_committed(void *arg)
{
    struct replicator *r = arg;
    if (!r || life_stopping(r->life))
        return;
    streams_wake(r->streams);
    job_queue_kick(r->jobs);
}

void replicator_suspect(struct replicator *r, const char *registry, const char *repository,
                        const struct digest *d)
{
    if (!r || life_stopping(r->life))
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

void replicator_inbound_contact(struct replicator *r, const char *region)
{
    if (!r)
        return;
    struct peer *p = peers_find(r->peers, region);
    if (p)
        peer_inbound_contact(p);
}

// --- what files share ---

const struct registry *shared_registry(struct replicator *r, const struct topology *t,
                                       const struct region *peer, const char *key)
{
    const struct region *self = topology_region(t, r->o.region);
    if (!self || !key)
        return NULL;
    const struct registry *reg = topology_registry_by_key(t, key);
    if (!reg)
        return NULL;
    bool both = registry_replica(reg, self->index) && registry_replica(reg, peer->index);
    if (!both)
        return NULL;
    return reg;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool topology_outdated(struct replicator *r, const struct topology *t, uint64_t *generation)
{
    uint64_t g = snapshot_generation(r->o.topology);
    if (g == *generation)
        return false;
    struct topology *now = snapshot_get(r->o.topology);
    bool outdated = !now || now->version != t->version;
    snapshot_unref(now);
    if (!outdated)
        *generation = g;
    return outdated;
}

size_t shared_registries(const struct topology *t, uint8_t a, uint8_t b, const char **out,
                         size_t cap)
{
    region_set both = (region_set)1 << a | (region_set)1 << b;
    size_t n = 0;
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(t, &it));) {
        if ((r->replica_set & both) != both)
            continue;
        if (out && n < cap)
            out[n] = r->key;
        n++;
    }
    if (out)
        qsort(out, n < cap ? n : cap, sizeof *out, by_name);
    return n;
}

region_set members_of(const struct topology *t, const struct registry *reg)
{
    return reg->replica_set & ~topology_sealed(t);
}
