// SPDX-License-Identifier: Apache-2.0
// Wiring of the rooms; see worker.h. Threads: the main thread waits for signals and messages from
// the supervisor; housekeeping has a thread of its own; the rooms bring theirs.
#include "daemon/worker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/file_source.h"
#include "daemon/app.h"
#include "daemon/headroom.h"
#include "daemon/judge.h"
#include "daemon/late.h"
#include "daemon/metrics.h"
#include "daemon/preflight.h"
#include "daemon/supervisor_ipc.h"
#include "net/refusals.h"
#include "net/tunnel.h"
#include "registry/oci_error.h"
#include "resolver/sign/signing.h"
#include "resolver/zone/zone_maintainer.h"
#include "store/files/files.h"
#include "store/spare.h"
#include "store/sqlite/sqlite_store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define VITALS_EVERY_MS 2000
#define LATE_THREADS 16     // that wait for a successor to answer
#define FORERUNNER_MS 15000 // beyond `drain` a forerunner is gone
#define PLACES_LEAST 4096 // connections of the public server, at least (net/http.h max_connections)
#define METRICS_CONNECTIONS 16 // a few scrapers; anyone who reaches the listener may connect
#define METRICS_IDLE_S 15

struct worker {
    const struct node *node;
    const struct paths *paths;
    const struct identity *id;
    int ipc_fd;
    struct app app;
    struct vitals vitals;
    struct snapshot topology, principals, verdicts, frontend;
    struct signing *signing;
    // of fe.D; set once it runs
    _Atomic(struct zone_maintainer *) zone_maintainer;
    struct pool *pool;
    struct fetcher *fetcher;
    struct region_keys *keys;
    struct blob_store *blobs;
    // of the store's disk; NULL without a store
    struct space *space;
    // housekeeping's, once it runs
    bool spare_kept;
    // set once it runs: commits come from the writer thread before that
    _Atomic(struct replicator *) replicator;
    // those not handed to a room yet
    struct sockets *sockets;
    // set before the replicator starts, which tells of silence
    struct tunnels *tunnels;
    struct http_server *public_server, *peer_server, *admin_server, *metrics_server;
    pthread_t housekeeping;
    bool housekeeping_runs;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_cond;
    // under stop_lock
    bool stopping, identity_due;
    // when it is judged next; housekeeping's
    int64_t identity_at_ms;
    // the main thread's
    bool ready, edge_runs, told_up;
    // a forerunner still ends what it has begun
    bool beside;
    // it handed the store over with writes open
    bool continues;
    // mono; 0: no successor
    int64_t yield_ms;
};

static void on_commit(void *ctx)
{
    struct worker *w = ctx;
    replicator_committed(atomic_load(&w->replicator));
}

static void on_away(void *ctx, const char *region, bool away)
{
    struct worker *w = ctx;
    tunnels_peer(w->tunnels, region, away);
}

// ---- what is thought of clocks (replication/clock_rule.h), for rooms that judge dates ----

static int clock_ok(void *ctx, char *why, size_t cap)
{
    struct worker *w = ctx;
    struct clock_opinion o;
    if (!(w->node->roles & ROLE_REPLICATOR))
        return 0; // nobody compares it
    if (!replication_clock_opinion(atomic_load(&w->replicator), &o) || !o.compared)
        return ERR_BUSY;
    if (!o.far)
        return 0;
    snprintf(why, cap, "%s", o.ours);
    return ERR_CONFLICT;
}

static void clock_suspected(void *ctx, const char *region, char *out, size_t cap)
{
    struct worker *w = ctx;
    char text[CLOCK_SENTENCE_SIZE];
    replication_clock_suspect(atomic_load(&w->replicator), region, text);
    snprintf(out, cap, "%s", text);
}

static void orders_of(void *ctx, const char *region, const char *label, char *out, size_t cap)
{
    struct worker *w = ctx;
    if (w->app.health)
        health_orders_text(w->app.health, region, label, out, cap);
}

static void reload_edge(void *ctx)
{
    struct worker *w = ctx;
    if (ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_RELOAD}))
        log_warn("daemon: the supervisor did not take the word to reload the edge");
}

// Another topology may name other keys: housekeeping judges ours at once.
static void identity_wake(struct worker *w)
{
    pthread_mutex_lock(&w->stop_lock);
    w->identity_due = true;
    pthread_cond_broadcast(&w->stop_cond);
    pthread_mutex_unlock(&w->stop_lock);
}

static void on_topology(void *ctx, bool frame)
{
    struct worker *w = ctx;
    struct replicator *r = atomic_load(&w->replicator);
    if (r)
        replicator_reconfigure(r);
    if (frame)
        zone_maintainer_poke(atomic_load(&w->zone_maintainer));
    if (frame)
        identity_wake(w);
    if (frame)
        reload_edge(w); // peers and their addresses stand in its configuration
}

// One client network may have a third of all places (net/share.h): so many that the edge's settings
// hold here too.
static unsigned public_places(const struct node *n)
{
    unsigned one;
    if (n->edge_per_client > n->edge_per_network)
        one = n->edge_per_client;
    else
        one = n->edge_per_network;
    if (3 * one > PLACES_LEAST)
        return 3 * one;
    return PLACES_LEAST;
}

// ---- housekeeping ----

static bool signs_tokens(struct worker *w)
{
    uint8_t sig[64];
    return !(w->node->roles & ROLE_AUTH) || !region_keys_sign_token(w->keys, "health", 6, sig);
}

static unsigned headroom(struct worker *w)
{
    struct load l = {.waiting = pool_waiting(w->pool),
                     .waiting_max = w->node->pool_queue,
                     .active = w->public_server ? http_server_active(w->public_server) : 0,
                     .active_max = public_places(w->node)};
    struct space_view disk;
    app_disk_get(&w->app, &disk);
    l.disk_room_bytes = disk.room_bytes;
    l.disk_bytes = disk.disk.total_bytes;
    headroom_measure(&l);
    return headroom_percent(&l);
}

static const char *entries_cure(int rc)
{
    if (rc == ERR_AHEAD)
        return "set this machine's clock right, or see `meridian replication repair-clock`";
    if (rc == ERR_CRYPTO)
        return "see the feed key under keys/, and restart the node";
    if (rc == ERR_CORRUPT)
        return "restart the node with a good copy of it, or without it, to have it rebuilt from "
               "the other regions";
    return "see the disk that holds it";
}

// Made while there is plenty, so that a start on a full disk has it.
static void keep_spare(struct worker *w, const struct space_view *v)
{
    static struct log_limit limit = LOG_LIMIT(3600000);
    uint64_t n = spare_size(v->reserve_bytes);
    // it must not make the disk short
    uint64_t after = v->reserve_bytes / 4 + 2 * (uint64_t)SPACE_WINDOW_BYTES;
    if (w->spare_kept || !n || v->is_short || v->room_bytes < n + after)
        return;
    int rc = spare_keep(w->paths->spare, n);
    w->spare_kept = !rc;
    if (rc)
        log_limited(&limit, LOG_WARN,
                    "daemon: %s: no room can be kept for a start on a full disk: %s",
                    w->paths->spare, err_text(rc));
}

static void use_spare(struct worker *w)
{
    struct space_view v;
    if (space_look(w->space, &v) || v.disk.free_bytes >= SPARE_START_BYTES)
        return;
    log_warn("daemon: the disk of %s is full (%llu bytes free)%s", w->paths->store,
             (unsigned long long)v.disk.free_bytes,
             spare_use(w->paths->spare) ? ": what was kept for a start is used"
                                        : ", and nothing is kept for a start");
}

// Content stops at the reserve. True: it has.
static bool judge_disk(struct worker *w)
{
    struct space_view v;
    if (!w->space)
        return false;
    int rc = space_look(w->space, &v);
    static struct log_limit limit = LOG_LIMIT(60000);
    if (rc)
        log_limited(&limit, LOG_WARN, "daemon: the free space of %s cannot be found out: %s",
                    w->paths->store, err_text(rc));
    pthread_mutex_lock(&w->vitals.lock);
    w->vitals.disk = v;
    pthread_mutex_unlock(&w->vitals.lock);
    keep_spare(w, &v);
    if (v.is_short)
        condition_set(
            &w->vitals.conditions, CONDITION_DISK, CONDITION_SHORT,
            "%s; make room on the disk of %s, or make it larger (disk.reserve is the reserve)",
            v.text, w->paths->store);
    else
        condition_clear(&w->vitals.conditions, CONDITION_DISK);
    return v.is_short;
}

// A disk on which nothing at all can be written for want of space still serves what is there:
// short, not down.
static void judge_store(struct worker *w)
{
    struct conditions *c = &w->vitals.conditions;
    uint64_t free_bytes = 0;
    bool is_short = judge_disk(w);
    bool blobs_ok = !w->blobs || blob_store_writable(w->blobs, &free_bytes);
    int rc = 0;
    if (w->app.meta)
        rc = meta_probe(w->app.meta);
    if (rc)
        condition_set(c, CONDITION_METADATA, rc == ERR_NOSPACE ? CONDITION_SHORT : CONDITION_DOWN,
                      "no entry can be written to %s: %s; %s", w->paths->meta_db, err_text(rc),
                      entries_cure(rc));
    else
        condition_clear(c, CONDITION_METADATA);
    if (!blobs_ok)
        condition_set(c, CONDITION_STORE, is_short ? CONDITION_SHORT : CONDITION_DOWN,
                      "no blob can be written under %s, where %llu bytes are free; see that disk",
                      w->node->data_dir, (unsigned long long)free_bytes);
    else
        condition_clear(c, CONDITION_STORE);
}

static void judge_blobs(struct worker *w)
{
    char text[CONDITION_SENTENCE_SIZE];
    if (replicator_damaged(w->app.replicator, text, sizeof text))
        condition_set(&w->vitals.conditions, CONDITION_BLOBS, CONDITION_WARNING, "%s", text);
    else
        condition_clear(&w->vitals.conditions, CONDITION_BLOBS);
}

static void judge_token_signing(struct worker *w)
{
    if (signs_tokens(w))
        condition_clear(&w->vitals.conditions, CONDITION_TOKEN_SIGNING);
    else
        condition_set(&w->vitals.conditions, CONDITION_TOKEN_SIGNING, CONDITION_DOWN,
                      "tokens cannot be signed with %s; look at the key in %s and restart the node",
                      region_keys_token_id(w->keys), w->paths->keys);
}

static void check_vitals(struct worker *w)
{
    judge_store(w);
    judge_blobs(w);
    judge_token_signing(w);
    app_judge_writes(&w->app);
    judge_clocks(&w->app);
    atomic_store(&w->vitals.headroom, headroom(w));
    atomic_store(&w->vitals.checked_ms, clock_wall_ms());
    if (clock_mono_ms() < w->identity_at_ms)
        return;
    w->identity_at_ms = clock_mono_ms() + JUDGE_EVERY_MS;
    judge_identity(&w->app);
}

static void on_lost(void *ctx, const char *registry, const char *repository, const struct digest *d)
{
    struct worker *w = ctx;
    replicator_suspect(atomic_load(&w->replicator), registry, repository, d);
}

static void on_fault(void *ctx, const char *label)
{
    struct worker *w = ctx;
    impairment_fault(&w->vitals.impairment, label, clock_mono_ms());
}

// True: the worker stops.
static bool wait_for_work(struct worker *w, int64_t ms)
{
    int64_t until_us = clock_mono_us() + ms * 1000;
    struct timespec ts = {until_us / 1000000, until_us % 1000000 * 1000};
    pthread_mutex_lock(&w->stop_lock);
    while (!w->stopping && !w->identity_due &&
           pthread_cond_timedwait(&w->stop_cond, &w->stop_lock, &ts) != ETIMEDOUT)
        ;
    bool stop = w->stopping;
    if (w->identity_due)
        w->identity_at_ms = 0;
    w->identity_due = false;
    pthread_mutex_unlock(&w->stop_lock);
    return stop;
}

static void *housekeeping_main(void *ctx)
{
    struct worker *w = ctx;
    int64_t expire_at = clock_mono_ms();
    while (!wait_for_work(w, VITALS_EVERY_MS)) {
        check_vitals(w);
        refusals_tell();
        if (!w->app.registry)
            continue;
        registry_uploads_rest(w->app.registry);
        if (clock_mono_ms() < expire_at)
            continue;
        expire_at = clock_mono_ms() + registry_uploads_sweep_ms(w->node->upload_idle_s);
        size_t n = 0;
        int rc =
            registry_uploads_expire(w->app.registry, (int64_t)w->node->upload_idle_s * 1000, &n);
        if (rc)
            log_warn("daemon: idle uploads could not be discarded: %s", err_text(rc));
        else if (n)
            log_info("daemon: discarded %zu idle uploads", n);
    }
    return NULL;
}

static void locks_init(struct worker *w)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->stop_lock, NULL);
    pthread_cond_init(&w->stop_cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->vitals.lock, NULL);
}

static int housekeeping_start(struct worker *w)
{
    if (pthread_create(&w->housekeeping, NULL, housekeeping_main, w))
        return ERR_NOMEM;
    w->housekeeping_runs = true;
    return 0;
}

// ---- starting, room by room ----

// A disk that cannot be measured now bounds nothing; its faults show elsewhere.
static uint64_t upload_bytes(const struct node *n)
{
    struct statvfs v;
    if (!n->upload_bytes_percent)
        return n->upload_bytes_amount;
    if (statvfs(n->data_dir, &v))
        return 0;
    return (uint64_t)v.f_blocks * v.f_frsize / 100 * n->upload_bytes_percent;
}

static int start_config(struct worker *w, struct diag *d)
{
    const struct node *n = w->node;
    snapshot_init(&w->topology);
    snapshot_init(&w->principals);
    snapshot_init(&w->verdicts);
    snapshot_init(&w->frontend);
    // nobody else asks
    enum topology_form form = TOPOLOGY_FULL;
    if (n->roles == ROLE_RESOLVER)
        form = TOPOLOGY_COMPACT;
    const struct file_source_options files = {.topology = n->topology,
                                              .form = form,
                                              .principals = n->principals,
                                              .state_dir = w->paths->state};
    int rc = file_source_open(&files, &w->app.source);
    if (rc)
        return rc;
    rc = topology_source_load(w->app.source, &(struct source_cells){&w->topology, &w->principals},
                              d);
    if (!rc)
        rc = topology_source_follow(w->app.source, on_topology, w);
    if (rc) {
        topology_source_close(take_ptr(w->app.source));
        return rc;
    }
    struct topology *t = snapshot_get(&w->topology);
    const struct region *r = topology_region(t, n->region);
    if (!r)
        diag_add(d, n->source, 0, "region %s is not in the topology %s", n->region, t->source);
    else if (!region_stamp(r, n->stamp))
        diag_add(d, n->source, 0, "stamp %s is not a stamp of region %s in %s", n->stamp, n->region,
                 t->source);
    if (r && region_stamp(r, n->stamp))
        rc = 0;
    else
        rc = ERR_NOTFOUND;
    snapshot_unref(t);
    return rc;
}

static int start_keys(struct worker *w, struct diag *d)
{
    int rc = region_keys_open(w->paths->keys, w->node->region, d, &w->keys);
    if (rc)
        return rc;
    w->app.keys = w->keys;
    return 0;
}

// What was fetched in part may fill the disk, and the metadata writes when it is opened: a fetch
// begins anew.
static void partials_make_room(struct worker *w)
{
    struct space_view v;
    size_t n;
    uint64_t bytes;
    if (space_look(w->space, &v) || !v.is_short || blob_partials_drop(w->blobs, &n, &bytes) || !n)
        return;
    log_warn("daemon: the disk is short: %zu partial fetches with %.1f MiB were given up; they "
             "begin anew when there "
             "is room",
             n, (double)bytes / (1024 * 1024));
}

static int start_store(struct worker *w, struct diag *d)
{
    int rc = blob_files_open(w->paths->store, &w->blobs);
    if (rc) {
        diag_add(d, NULL, 0, "%s: the blob store cannot be opened: %s", w->paths->store,
                 err_text(rc));
        return rc;
    }
    const struct space_options so = {.dir = w->paths->store,
                                     .reserve_bytes = w->node->disk_reserve_bytes,
                                     .reserve_percent = w->node->disk_reserve_percent};
    rc = space_open(&so, &w->space);
    if (rc) {
        diag_add(d, NULL, 0, "%s: the free space of its disk cannot be found out: %s",
                 w->paths->store, err_text(rc));
        return rc;
    }
    partials_make_room(w);
    use_spare(w);
    const struct meta_options o = {.region = w->node->region,
                                   .key_id = region_keys_feed_id(w->keys),
                                   .sign = region_keys_sign_feed,
                                   .sign_ctx = w->keys,
                                   .on_commit = on_commit,
                                   .on_commit_ctx = w};
    return sqlite_meta_open(w->paths->meta_db, &o, d, &w->app.meta);
}

static int take_fd(int *fd)
{
    int keep = *fd;
    *fd = -1;
    return keep;
}

static int start_resolver(struct worker *w, struct diag *d)
{
    const struct health_options h = {.topology = &w->topology,
                                     .verdicts = &w->verdicts,
                                     .fetcher = w->fetcher,
                                     .ca_file = w->node->ca_file,
                                     .state_path = w->paths->health_state,
                                     .region = w->node->region,
                                     .stamp = w->node->stamp,
                                     .peer_pem = w->paths->peer_pem,
                                     .sign = region_keys_sign_feed,
                                     .sign_ctx = w->keys,
                                     .key_id = region_keys_feed_id(w->keys),
                                     .verify = ed25519_verify};
    int rc = health_start(&h, &w->app.health);
    if (rc)
        return rc;
    rc = signing_new(&w->node->resolver, &w->signing);
    if (rc)
        return rc;
    const struct zone_maintainer_options ko = {.topology = &w->topology,
                                               .frontend = &w->frontend,
                                               .zones_dir = w->paths->zones,
                                               .tsig_dir = w->node->resolver.tsig_dir,
                                               .listen = w->node->dns,
                                               .n_listen = w->node->n_dns,
                                               .builder = {signing_build, w->signing}};
    struct zone_maintainer *zone_maintainer;
    rc = zone_maintainer_start(&ko, &zone_maintainer);
    if (rc)
        return rc;
    atomic_store(&w->zone_maintainer, zone_maintainer);
    const struct resolver_options o = {.topology = &w->topology,
                                       .health = &w->verdicts,
                                       .frontend = &w->frontend,
                                       .signing = w->signing,
                                       .settings = &w->node->resolver,
                                       .pem = !w->node->n_dns_tls ? NULL
                                              : w->node->resolver.certificate
                                                  ? w->node->resolver.certificate
                                                  : w->paths->region_pem,
                                       .diag = d};
    return resolver_start(&o, take_ptr(w->sockets->dns), &w->app.resolver);
}

// What only reads, and so can run beside a forerunner.
static int start_answering(struct worker *w, struct diag *d)
{
    int rc = start_config(w, d);
    if (!rc)
        rc = start_keys(w, d);
    if (rc)
        return rc;
    const struct pool_options po = {.name = "work",
                                    .n_threads = w->node->pool_threads,
                                    .max_waiting = w->node->pool_queue,
                                    .kept = w->node->pool_threads > 1 ? 1 : 0};
    w->pool = pool_new(&po);
    if (w->pool)
        rc = fetcher_new(&w->fetcher);
    else
        rc = ERR_NOMEM;
    w->app.fetcher = w->fetcher;
    if (!rc)
        fetcher_set_suspect(w->fetcher, clock_suspected, w);
    if (!rc && w->sockets->dns)
        return start_resolver(w, d);
    return rc;
}

// How the edge's passed-on requests reach other regions.
static int start_tunnels(struct worker *w)
{
    const struct tunnels_options o = {.listen_fd = take_fd(&w->sockets->tunnel),
                                      .topology = &w->topology,
                                      .region = w->node->region,
                                      .stamp = w->node->stamp,
                                      .ca_file = w->node->ca_file,
                                      .peer_pem = w->paths->peer_pem,
                                      .words = &oci_words};
    return tunnels_start(&o, &w->tunnels);
}

// What one process alone has open.
static int start_rooms(struct worker *w, struct diag *d)
{
    const struct node *n = w->node;
    int rc = 0;
    const struct certs_options co = {.certs_dir = w->paths->certs,
                                     .region = n->region,
                                     .topology = &w->topology,
                                     .fetcher = w->fetcher,
                                     .keys = w->keys,
                                     .ca_dir = n->ca_dir,
                                     .check_s = n->cert_check_s,
                                     .on_renewed = reload_edge,
                                     .clock_ok = clock_ok,
                                     .clock_suspect = clock_suspected,
                                     .ctx = w};
    if (!rc)
        rc = certs_start(&co, d, &w->app.certs);
    if (!rc && (n->roles & (ROLE_REGISTRY | ROLE_REPLICATOR)))
        rc = start_store(w, d);
    const struct auth_service_options ao = {.topology = &w->topology,
                                            .principals = &w->principals,
                                            .keys = w->keys,
                                            .region = n->region};
    if (!rc && (n->roles & ROLE_AUTH))
        rc = auth_service_start(&ao, &w->app.auth);
    const struct registry_service_options ro = {
        .region = n->region,
        .blobs = w->blobs,
        .meta = w->app.meta,
        .space = w->space,
        .pool = w->pool,
        .on_fault = on_fault,
        .on_fault_ctx = w,
        .on_lost = on_lost,
        .on_lost_ctx = w,
        .url_key = region_keys_url_key(w->keys),
        .manifest_max_bytes = n->manifest_max_bytes,
        .uploads = {.of_principal = n->uploads_per_principal,
                    .of_registry = n->uploads_per_registry,
                    .bytes_of_principal = upload_bytes(n)},
        .forerunner_ms = w->beside ? n->drain_s * 1000 + FORERUNNER_MS : 0,
        .upload_idle_s = n->upload_idle_s};
    if (!rc && (n->roles & ROLE_REGISTRY))
        rc = registry_service_new(&ro, &w->app.registry);
    const struct replicator_options po = {.region = n->region,
                                          .topology = &w->topology,
                                          .meta = w->app.meta,
                                          .blobs = w->blobs,
                                          .space = w->space,
                                          .pool = w->pool,
                                          .fetcher = w->fetcher,
                                          .ca_file = n->ca_file,
                                          .peer_pem = w->paths->peer_pem,
                                          .state_dir = w->paths->state,
                                          .on_away = on_away,
                                          .on_away_ctx = w,
                                          .orders = orders_of,
                                          .orders_ctx = w,
                                          .continues = w->continues,
                                          .verify = ed25519_verify};
    if (!rc)
        rc = start_tunnels(w);
    if (!rc && (n->roles & ROLE_REPLICATOR)) {
        rc = replicator_start(&po, &w->app.replicator);
        atomic_store(&w->replicator, w->app.replicator);
    } else if (!rc && w->app.meta) {
        meta_gate_open(w->app.meta, META_GATE_RECOVERY); // nobody to ask
    }
    return rc;
}

typedef void begin_fn(void *app, struct http_request *req, struct http_plan *plan);

static int serve(struct worker *w, int *fd, enum http_listener listener, begin_fn *begin,
                 begin_fn *late, struct http_server **out)
{
    unsigned max = 0;
    if (listener == LISTENER_METRICS)
        max = METRICS_CONNECTIONS;
    if (listener == LISTENER_PUBLIC)
        max = public_places(w->node);
    const struct http_app http = {.begin = begin,
                                  .finish = app_finish,
                                  .begin_late = late,
                                  .run_late = late ? late_run : NULL,
                                  .ctx = &w->app,
                                  .words = &oci_words};
    const struct http_server_options o = {.listen_fd = take_fd(fd),
                                          .listener = listener,
                                          .pool = w->pool,
                                          .n_threads = 1,
                                          .max_connections = max,
                                          .body_bytes_s = w->node->body_rate,
                                          .idle_timeout_s =
                                              listener == LISTENER_METRICS ? METRICS_IDLE_S : 0};
    return http_server_start(&o, &http, out);
}

static int start_servers(struct worker *w)
{
    struct sockets *s = w->sockets;
    int rc = serve(w, &s->public, LISTENER_PUBLIC, app_begin_public, late_begin_public,
                   &w->public_server);
    if (!rc)
        rc = serve(w, &s->peer, LISTENER_PEER, app_begin_peer, late_begin_peer, &w->peer_server);
    if (!rc)
        rc = serve(w, &s->admin, LISTENER_ADMIN, app_begin_admin, NULL, &w->admin_server);
    if (!rc && s->metrics >= 0)
        rc = serve(w, &s->metrics, LISTENER_METRICS, app_begin_metrics, NULL, &w->metrics_server);
    return rc;
}

static void housekeeping_stop(struct worker *w)
{
    if (!w->housekeeping_runs)
        return;
    pthread_mutex_lock(&w->stop_lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->stop_cond);
    pthread_mutex_unlock(&w->stop_lock);
    pthread_join(w->housekeeping, NULL);
    w->housekeeping_runs = false;
}

// Rooms that write what one process alone may write, or call those that do.
static void rooms_stop(struct worker *w)
{
    // its thread calls into replicator, zone maintainer and supervisor_ipc
    topology_source_close(take_ptr(w->app.source));
    zone_maintainer_stop(atomic_exchange(&w->zone_maintainer, NULL));
    atomic_store(&w->replicator, NULL);
    if (w->app.meta)
        // behind it in the queue: the writer has left the replicator then
        (void)meta_probe(w->app.meta);
    certs_stop(take_ptr(w->app.certs));
    health_stop(take_ptr(w->app.health));
    replicator_stop(take_ptr(w->app.replicator));
}

static bool writes_are_open(const struct worker *w)
{
    struct arena a;
    arena_init(&a, 4096);
    bool open = w->app.meta && !meta_closed_why(w->app.meta, &a);
    arena_done(&a);
    return open;
}

// A successor waits for the store. What can end here without what it takes over (uploads, logins,
// TCP clients of DNS, tunnels) goes on after this.
static void yield(struct worker *w)
{
    unsigned drain_ms = w->node->drain_s * 1000;
    const struct pool_options late = {
        .name = "late", .n_threads = LATE_THREADS, .max_waiting = w->node->pool_queue};
    w->yield_ms = clock_mono_ms();
    w->app.late_pool = pool_new(&late);
    certs_end(w->app.certs); // one that is being asked for would hold the hand-over up
    resolver_drain(w->app.resolver, drain_ms);
    replicator_drain(w->app.replicator);
    if (w->public_server)
        http_server_yield_begin(w->public_server, w->app.late_pool);
    if (w->peer_server)
        http_server_yield_begin(w->peer_server, w->app.late_pool);
    tunnels_drain(w->tunnels, drain_ms);
    housekeeping_stop(w);
    http_server_stop(take_ptr(w->admin_server), 1000);
    http_server_stop(take_ptr(w->metrics_server), 1000);
    if (w->public_server)
        http_server_yield_wait(w->public_server);
    if (w->peer_server)
        http_server_yield_wait(w->peer_server);
    bool open = writes_are_open(w);
    rooms_stop(w);
    registry_yield(w->app.registry);
    if (w->app.meta)
        meta_hand_over(w->app.meta);
    if (open)
        ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_OPEN});
    ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_RELEASED});
    log_info("daemon: the store is handed over after %lld ms; %zu requests end here",
             (long long)(clock_mono_ms() - w->yield_ms),
             (w->public_server ? http_server_active(w->public_server) : 0) +
                 (w->peer_server ? http_server_active(w->peer_server) : 0));
}

// Of the time that requests in flight have.
static unsigned drain_left(const struct worker *w)
{
    int64_t gone = w->yield_ms ? clock_mono_ms() - w->yield_ms : 0,
            all = (int64_t)w->node->drain_s * 1000;
    if (gone < all)
        return (unsigned)(all - gone);
    return 0;
}

// What has to do with names ends last: TCP clients of a resolver that yields are served on while
// the store is long the successor's.
static void stop_all(struct worker *w, bool yields)
{
    if (yields)
        yield(w);
    housekeeping_stop(w);
    if (!yields)
        tunnels_drain(w->tunnels, drain_left(w));
    http_server_stop(w->admin_server, 1000);
    http_server_stop(w->metrics_server, 1000);
    http_server_stop(w->public_server, drain_left(w));
    http_server_stop(w->peer_server, yields ? drain_left(w) : 1000);
    rooms_stop(w);
    auth_service_stop(w->app.auth);
    fetcher_free(w->fetcher);
    pool_free(w->app.late_pool);
    pool_free(w->pool);
    registry_service_free(w->app.registry);
    meta_close(w->app.meta);
    blob_store_close(w->blobs);
    space_close(w->space);
    region_keys_free(w->keys);
    tunnels_stop(w->tunnels); // what they carry needs no store of ours
    resolver_stop(w->app.resolver);
    signing_free(w->signing);
    snapshot_done(&w->frontend);
    snapshot_done(&w->verdicts);
    snapshot_done(&w->principals);
    snapshot_done(&w->topology);
}

// Once all is served: names by this process, the rest through the edge.
static void tell_up(struct worker *w)
{
    if (w->told_up || !w->ready || (edge_wanted(w->node) && !w->edge_runs))
        return;
    w->told_up = true;
    log_info("daemon: region %s, stamp %s is up", w->node->region, w->node->stamp);
}

static void take_message(struct worker *w, const struct ipc_message *m)
{
    pthread_mutex_lock(&w->vitals.lock);
    if (m->kind == IPC_EDGE) {
        w->vitals.edge = m->edge;
        w->edge_runs = m->edge.state == EDGE_RUNNING;
    } else if (m->kind == IPC_FAILED)
        memcpy(w->vitals.restart_error, m->edge.last_error, sizeof w->vitals.restart_error);
    pthread_mutex_unlock(&w->vitals.lock);
    tell_up(w);
    if (m->kind == IPC_DRAIN)
        replicator_drain(w->app.replicator);
}

// Names are answered; the forerunner has the rest until the supervisor says otherwise.
// ERR_CANCELED: told to end.
static int wait_alone(struct worker *w, int sig_fd)
{
    ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_SERVING});
    for (;;) {
        struct pollfd fds[2] = {{.fd = sig_fd, .events = POLLIN},
                                {.fd = w->ipc_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return err_from_errno(errno);
        struct signalfd_siginfo si;
        if (fds[0].revents && read(sig_fd, &si, sizeof si) == (ssize_t)sizeof si &&
            si.ssi_signo != SIGHUP)
            return ERR_CANCELED;
        struct ipc_message m;
        int rc = ERR_BUSY;
        if (fds[1].revents)
            rc = ipc_receive(w->ipc_fd, &m);
        w->continues = !rc && m.kind == IPC_GO_ON;
        if (rc == ERR_CLOSED || w->continues || (!rc && m.kind == IPC_ALONE))
            return rc;
        if (!rc)
            take_message(w, &m);
    }
}

// Waits for SIGTERM, SIGINT, SIGHUP and the supervisor's messages. True: a successor serves
// already.
static bool wait_for_end(struct worker *w, int sig_fd)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = sig_fd, .events = POLLIN},
                                {.fd = w->ipc_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        struct signalfd_siginfo si;
        if (fds[0].revents && read(sig_fd, &si, sizeof si) == (ssize_t)sizeof si) {
            if (si.ssi_signo != SIGHUP)
                return false;
            topology_source_look(w->app.source);
            resolver_reopen_logs(w->app.resolver);
        }
        struct ipc_message m;
        int rc = ERR_BUSY;
        if (fds[1].revents)
            rc = ipc_receive(w->ipc_fd, &m);
        if (rc == ERR_CLOSED)
            return false; // the supervisor is gone
        if (!rc && m.kind == IPC_YIELD)
            return true;
        if (!rc)
            take_message(w, &m);
    }
}

int worker_run(const struct node *n, const struct paths *p, const struct identity *id,
               struct sockets *sockets, int ipc_fd, bool beside)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    int sig_fd = signalfd(-1, &set, SFD_CLOEXEC);

    struct worker w = {.node = n, .paths = p, .id = id, .sockets = sockets, .ipc_fd = ipc_fd};
    locks_init(&w);
    impairment_init(&w.vitals.impairment);
    conditions_init(&w.vitals.conditions);
    w.app.node = n;
    w.app.topology = &w.topology;
    w.app.principals = &w.principals;
    w.app.verdicts = &w.verdicts;
    w.app.vitals = &w.vitals;
    w.app.ipc_fd = ipc_fd;
    w.app.paths = p;
    w.app.started_ms = clock_wall_ms();
    struct diag d;
    diag_init(&d);
    bool yields = false;
    int rc = start_answering(&w, &d);
    w.beside = beside;
    if (!rc && beside)
        rc = wait_alone(&w, sig_fd);
    if (!rc)
        rc = start_rooms(&w, &d);
    if (!rc) {
        check_vitals(&w); // before anybody asks
        rc = start_servers(&w);
    }
    if (!rc)
        rc = housekeeping_start(&w);
    for (size_t i = 0; i < d.n; i++)
        log_error("%s", d.lines[i]);
    diag_done(&d);
    if (!rc) {
        if (edge_wanted(n) && !w.edge_runs)
            log_info("daemon: region %s, stamp %s is ready, and waits for its edge", n->region,
                     n->stamp);
        w.ready = true;
        tell_up(&w);
        ipc_send(ipc_fd, &(struct ipc_message){.kind = IPC_READY});
        yields = wait_for_end(&w, sig_fd);
        log_info("daemon: %s", yields ? "a new worker takes over" : "stopping");
    } else {
        log_error("daemon: cannot start: %s", err_text(rc));
    }
    stop_all(&w, yields);
    sockets_close(sockets);
    close(sig_fd);
    if (rc)
        return 1;
    return 0;
}
