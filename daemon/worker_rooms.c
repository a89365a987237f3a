// SPDX-License-Identifier: Apache-2.0
// How the worker starts the rooms that one process alone has, lowest first; see worker_priv.h.
#include "daemon/worker_priv.h"

#include "auth/admin_login.h"
#include "auth/issued.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/feed.h"
#include "daemon/admin_fleet.h"
#include "daemon/admin_requests.h"
#include "daemon/auditing.h"
#include "daemon/ca_rolling.h"
#include "daemon/collector.h"
#include "daemon/drill_watch.h"
#include "daemon/joining.h"
#include "daemon/operations.h"
#include "daemon/rolling.h"
#include "daemon/scrub.h"
#include "daemon/supervisor_ipc.h"
#include "daemon/task_runner.h"
#include "registry/oci_error.h"
#include "resolver/zone/zone_maintainer.h"
#include "store/files/files.h"
#include "store/spare.h"
#include "store/sqlite/sqlite_store.h"

#include <sys/statvfs.h>

#define FORERUNNER_MS 15000 // beyond `drain` a forerunner is gone
#define FEED_WAIT_MS 5000   // a forerunner that was killed may still be ending
#define OPERATOR_THREADS 4  // calls of the admin listener at once
#define OPERATOR_WAITING 64

// What was fetched in part may fill the disk, and the metadata writes when it is opened: a fetch
// begins anew.
static void partials_make_room(struct worker *w)
{
    struct space_view v;
    size_t n;
    uint64_t bytes;
    if (space_look(w->app.space, &v) || !v.is_short ||
        blob_partials_drop(w->app.blobs, &n, &bytes) || !n)
        return;
    log_warn("daemon: the disk is short: %zu partial fetches with %.1f MiB were given up; they "
             "begin anew when there "
             "is room",
             n, (double)bytes / (1024 * 1024));
}

static void use_spare(struct worker *w)
{
    struct space_view v;
    if (space_look(w->app.space, &v) || v.disk.free_bytes >= SPARE_START_BYTES)
        return;
    log_warn("daemon: the disk of %s is full (%llu bytes free)%s", w->paths->store,
             (unsigned long long)v.disk.free_bytes,
             spare_use(w->paths->spare) ? ": what was kept for a start is used"
                                        : ", and nothing is kept for a start");
}

static int start_store(struct worker *w, struct diag *d)
{
    int rc = blob_files_open(w->paths->store, &w->app.blobs);
    if (rc) {
        diag_add(d, NULL, 0, "%s: the blob store cannot be opened: %s", w->paths->store,
                 err_text(rc));
        return rc;
    }
    const struct space_options so = {.dir = w->paths->store,
                                     .reserve_bytes = w->node->disk_reserve_bytes,
                                     .reserve_percent = w->node->disk_reserve_percent};
    rc = space_open(&so, &w->app.space);
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
                                   .on_commit = worker_on_commit,
                                   .on_commit_ctx = w};
    rc = sqlite_meta_open(w->paths->meta_db, &o, d, &w->app.meta);
    if (!rc)
        meta_set_lease_grace(w->app.meta, (int64_t)w->node->collect_grace_s * 1000);
    return rc;
}

// How the edge's passed-on requests reach other regions.
static int start_tunnels(struct worker *w)
{
    const struct tunnels_options o = {.listen_fd = fd_take(&w->sockets->tunnel),
                                      .topology = &w->topology,
                                      .region = w->node->region,
                                      .stamp = w->node->stamp,
                                      .ca_file = w->node->ca_file,
                                      .peer_pem = w->paths->peer_pem,
                                      .words = &oci_words};
    return tunnels_start(&o, &w->tunnels);
}

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

static bool peer_ready(void *ctx, const char *fingerprint)
{
    struct worker *w = ctx;
    return rolling_ready(atomic_load(&w->app.rolling), fingerprint);
}

static void peer_waits(void *ctx, char *out, size_t cap)
{
    struct worker *w = ctx;
    rolling_waits(atomic_load(&w->app.rolling), out, cap);
}

static int start_certs(struct worker *w, struct diag *d)
{
    const struct certs_options o = {.certs_dir = w->paths->certs,
                                    .region = w->node->region,
                                    .topology = &w->topology,
                                    .fetcher = w->app.fetcher,
                                    .keys = w->keys,
                                    .ca_dir = w->node->ca_dir,
                                    .check_s = w->node->cert_check_s,
                                    .on_renewed = worker_reload_edge,
                                    .clock_ok = worker_clock_ok,
                                    .clock_suspect = worker_clock_suspected,
                                    .peer_ready = w->app.feed ? peer_ready : NULL,
                                    .peer_waits = w->app.feed ? peer_waits : NULL,
                                    .ctx = w};
    return certs_start(&o, d, &w->app.certs);
}

// How old the principals in force may be.
static int64_t principals_age(void *ctx)
{
    struct worker *w = ctx;
    return fleet_stale_ms(w->app.fleet);
}

static int start_auth(struct worker *w)
{
    const struct auth_service_options o = {.topology = &w->topology,
                                           .principals = &w->principals,
                                           .keys = w->keys,
                                           .outbound = w->app.outbound,
                                           .state_dir = w->paths->state,
                                           .audit = w->app.audit,
                                           .throttle = w->app.throttle,
                                           .issued = w->app.issued,
                                           .region = w->node->region,
                                           .principals_age_ms = w->app.feed ? principals_age : NULL,
                                           .age_ctx = w};
    return auth_service_start(&o, &w->app.auth);
}

// The admin listener has a pool of its own: neither clients nor operators wait for the others.
static int start_operators(struct worker *w)
{
    const struct admin_login_options o = {.topology = &w->topology,
                                          .principals = &w->principals,
                                          .keys = w->keys,
                                          .audit = w->app.audit,
                                          .region = w->node->region,
                                          .principals_age_ms = w->app.feed ? principals_age : NULL,
                                          .age_ctx = w};
    const struct pool_options pool = {
        .name = "admin", .n_threads = OPERATOR_THREADS, .max_waiting = OPERATOR_WAITING};
    w->operator_pool = pool_new(&pool);
    if (!w->operator_pool)
        return ERR_NOMEM;
    return admin_login_start(&o, &w->app.operators);
}

static int start_registry(struct worker *w)
{
    const struct node *n = w->node;
    w->others = (struct elsewhere){.ops = &worker_others, .ctx = w};
    const struct registry_service_options o = {
        .region = n->region,
        .blobs = w->app.blobs,
        .meta = w->app.meta,
        .space = w->app.space,
        .pool = w->app.pool,
        .elsewhere = n->roles & ROLE_REPLICATOR ? &w->others : NULL,
        .principals = &w->principals,
        .waiting = w->app.waiting,
        .on_fault = worker_on_fault,
        .on_fault_ctx = w,
        .on_lost = worker_on_lost,
        .on_lost_ctx = w,
        .audit = w->app.audit,
        .throttle = w->app.throttle,
        .url_key = region_keys_url_key(w->keys),
        .manifest_max_bytes = n->manifest_max_bytes,
        .uploads = {.of_principal = n->uploads_per_principal,
                    .of_registry = n->uploads_per_registry,
                    .bytes_of_principal = upload_bytes(n)},
        .forerunner_ms = w->beside ? n->drain_s * 1000 + FORERUNNER_MS : 0,
        .upload_idle_s = n->upload_idle_s};
    return registry_service_new(&o, &w->app.registry);
}

static int start_replicator(struct worker *w)
{
    const struct node *n = w->node;
    const struct replicator_options o = {.region = n->region,
                                         .topology = &w->topology,
                                         .principals = &w->principals,
                                         .meta = w->app.meta,
                                         .blobs = w->app.blobs,
                                         .space = w->app.space,
                                         .pool = w->app.pool,
                                         .fetcher = w->app.fetcher,
                                         .probes = w->app.probes,
                                         .ca_file = n->ca_file,
                                         .peer_pem = w->paths->peer_pem,
                                         .state_dir = w->paths->state,
                                         .ahead_bytes = n->ahead_bytes,
                                         .partial_bytes = n->partial_bytes,
                                         .fetch_rates = n->fetch,
                                         .compare_every_ms = (int64_t)n->compare_every_s * 1000,
                                         .compare_rate = n->compare_rate,
                                         .on_away = worker_on_away,
                                         .on_away_ctx = w,
                                         .orders = worker_orders_of,
                                         .orders_ctx = w,
                                         .continues = w->continues,
                                         .verify = ed25519_verify};
    int rc = replicator_start(&o, &w->app.replicator);
    atomic_store(&w->replicator, w->app.replicator);
    return rc;
}

static int start_fleet(struct worker *w)
{
    const struct fleet_options o = {.region = w->node->region,
                                    .stamp = w->node->stamp,
                                    .topology = &w->topology,
                                    .principals = &w->principals,
                                    .fetcher = w->app.fetcher,
                                    .ca_file = w->node->ca_file,
                                    .peer_pem = w->paths->peer_pem,
                                    .feed = w->app.feed,
                                    .keys = w->keys,
                                    .state_dir = w->paths->state,
                                    .hooks = {.report = admin_fleet_report,
                                              .request = admin_forwarded_request,
                                              .ctx = &w->app}};
    return fleet_new(&o, &w->app.fleet);
}

// The zone's maintainer reads keys anew.
static void on_secrets(void *ctx)
{
    struct worker *w = ctx;
    zone_maintainer_poke(atomic_load(&w->zone_maintainer));
}

static int start_joining(struct worker *w)
{
    const struct joining_tell tell = {.secrets = on_secrets, .ctx = w};
    return joining_start(&w->app, &tell, &w->app.joining);
}

static int start_rolling(struct worker *w)
{
    const struct rolling_options o = {.app = &w->app, .clock_ok = worker_clock_ok, .ctx = w};
    struct rolling *r = NULL;
    int rc = rolling_start(&o, &r);
    atomic_store(&w->app.rolling, r);
    return rc;
}

static int start_ca_rolling(struct worker *w)
{
    const struct ca_rolling_options o = {.app = &w->app, .clock_ok = worker_clock_ok, .ctx = w};
    struct ca_rolling *r = NULL;
    int rc = ca_rolling_start(&o, &r);
    atomic_store(&w->app.ca_rolling, r);
    return rc;
}

// It has forerunners no more: only one process runs tasks.
static int start_tasks(struct worker *w)
{
    const struct scrub_options scrub = {.blobs = w->app.blobs,
                                        .meta = w->app.meta,
                                        .bytes_per_s = w->node->scrub_rate,
                                        .every_ms = SCRUB_EVERY_MS,
                                        .topology = &w->topology,
                                        .on_damaged = worker_on_lost,
                                        .ctx = w};
    struct task_runner *r = NULL;
    int rc = task_runner_new(w->app.meta, &r);
    w->app.tasks = r;
    if (!rc)
        rc = collector_new(w->app.blobs, w->app.meta, &w->app.collector);
    if (!rc)
        rc = scrub_start(&scrub, &w->app.scrub);
    if (rc)
        return rc;
    collector_register(w->app.collector, r);
    retention_init(&w->retention, w->app.meta, &w->topology, w->node->region);
    task_runner_register(r, TASK_RETAIN, retention_step, &w->retention);
    task_runner_every(r, RETENTION_LOOK_MS, retention_schedule, &w->retention);
    retire_init(&w->retire, w->app.meta, &w->topology, operations_content_due, &w->app);
    task_runner_register(r, TASK_RETIRE, retire_step, &w->retire);
    task_runner_every(r, RETIRE_LOOK_MS, retire_schedule, &w->retire);
    rc = task_runner_start(r);
    if (!rc)
        atomic_store(&w->tasks, r);
    return rc;
}

// From here on this process writes the feed's log; a forerunner has let go of it by now.
static int own_feed(struct worker *w, struct diag *d)
{
    if (!w->app.feed)
        return 0;
    return control_feed_own(w->app.feed, FEED_WAIT_MS, d);
}

int worker_start_rooms(struct worker *w, struct diag *d)
{
    unsigned roles = w->node->roles;
    w->app.throttle = throttle_new();
    if (!w->app.throttle)
        return ERR_NOMEM;
    int rc = own_feed(w, d);
    if (!rc)
        rc = auditing_start(w->node, d, &w->app.audit);
    if (!rc)
        rc = start_certs(w, d);
    if (!rc)
        rc = guard_start(&w->guard, w->node, &w->topology);
    w->app.outbound = w->guard.outbound;
    if (!rc && (roles & (ROLE_REGISTRY | ROLE_REPLICATOR)))
        rc = start_store(w, d);
    if (!rc && (roles & ROLE_AUTH))
        rc = issued_open(w->paths->state, w->node->region, d, &w->app.issued);
    if (!rc && (roles & ROLE_AUTH))
        rc = start_auth(w);
    if (!rc && w->node->admin.port)
        rc = start_operators(w);
    if (!rc && (roles & ROLE_REGISTRY))
        rc = start_registry(w);
    if (!rc)
        rc = start_tunnels(w);
    if (!rc)
        rc = start_fleet(w);
    if (rc)
        return rc;
    if (roles & ROLE_REPLICATOR)
        rc = start_replicator(w);
    else if (w->app.meta)
        meta_gate_open(w->app.meta, META_GATE_RECOVERY); // nobody to ask
    if (!rc && w->app.meta)
        rc = start_tasks(w);
    if (!rc && w->app.health)
        rc = drill_watch_start(&w->app, w->paths->drills, &w->app.drill_watch);
    if (!rc)
        rc = fleet_start(w->app.fleet); // it says how all that is
    if (!rc)
        rc = operations_start(&w->app, &w->app.operations);
    if (!rc)
        rc = start_joining(w);
    if (!rc)
        rc = start_rolling(w);
    if (!rc)
        rc = start_ca_rolling(w);
    return rc;
}
