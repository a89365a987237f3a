// SPDX-License-Identifier: Apache-2.0
// How the worker stops its rooms, and how it hands the store over to a successor; see
// worker_priv.h.
#include "daemon/worker_priv.h"

#include "auth/admin_login.h"
#include "auth/issued.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/source.h"
#include "daemon/ca_rolling.h"
#include "daemon/collector.h"
#include "daemon/drill_watch.h"
#include "daemon/joining.h"
#include "daemon/operations.h"
#include "daemon/rolling.h"
#include "daemon/scrub.h"
#include "daemon/supervisor_ipc.h"
#include "daemon/task_runner.h"
#include "resolver/sign/signing.h"
#include "resolver/zone/zone_maintainer.h"

#define LATE_THREADS 16 // that wait for a successor to answer

// Rooms that write what one process alone may write, or call those that do.
static void rooms_stop(struct worker *w)
{
    joining_end(w->app.joining);
    rolling_end(atomic_load(&w->app.rolling));
    ca_rolling_end(atomic_load(&w->app.ca_rolling));
    fleet_stop(w->app.fleet); // its thread looks at all the rest
    drill_watch_stop(take_ptr(w->app.drill_watch));
    task_runner_stop(w->app.tasks); // it asks the feed
    // its thread calls into replicator, zone maintainer and supervisor_ipc
    topology_source_close(take_ptr(w->app.source));
    w->app.feed = NULL;
    scrub_stop(w->app.scrub);
    zone_maintainer_stop(atomic_exchange(&w->zone_maintainer, NULL));
    pthread_mutex_lock(&w->replicator_lock);
    atomic_store(&w->replicator, NULL);
    pthread_mutex_unlock(&w->replicator_lock);
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

static size_t requests_active(const struct worker *w)
{
    size_t n = 0;
    if (w->public_server)
        n += http_server_active(w->public_server);
    if (w->peer_server)
        n += http_server_active(w->peer_server);
    return n;
}

// A successor waits for the store. What can end here without what it takes over (uploads, logins,
// TCP clients of DNS, tunnels) goes on after this.
static void hand_over(struct worker *w)
{
    unsigned drain_ms = w->node->drain_s * 1000;
    const struct pool_options late = {
        .name = "late", .n_threads = LATE_THREADS, .max_waiting = w->node->pool_queue};
    w->yield_ms = clock_mono_ms();
    w->app.late_pool = pool_new(&late);
    operations_end(w->app.operations);
    certs_end(w->app.certs); // one that is being asked for would hold the hand-over up
    resolver_drain(w->app.resolver, drain_ms);
    replicator_drain(w->app.replicator);
    if (w->public_server)
        http_server_yield_begin(w->public_server, w->app.late_pool);
    if (w->peer_server)
        http_server_yield_begin(w->peer_server, w->app.late_pool);
    tunnels_drain(w->tunnels, drain_ms);
    housekeeping_stop(&w->housekeeping);
    members_stop(&w->members);
    http_server_stop(take_ptr(w->admin_server), 1000);
    http_server_stop(take_ptr(w->operator_server), 1000);
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
             (long long)(clock_mono_ms() - w->yield_ms), requests_active(w));
}

// Of the time that requests in flight have.
static unsigned drain_left(const struct worker *w)
{
    int64_t all = (int64_t)w->node->drain_s * 1000, gone = 0;
    if (w->yield_ms)
        gone = clock_mono_ms() - w->yield_ms;
    if (gone >= all)
        return 0;
    return (unsigned)(all - gone);
}

// What has to do with names ends last: TCP clients of a resolver that yields are served on while
// the store is long the successor's.
void worker_stop(struct worker *w, bool yields)
{
    if (yields)
        hand_over(w);
    operations_end(w->app.operations);
    housekeeping_stop(&w->housekeeping);
    members_stop(&w->members); // its probes need the fetcher
    if (!yields)
        tunnels_drain(w->tunnels, drain_left(w));
    http_server_stop(w->admin_server, 1000);
    http_server_stop(w->operator_server, 1000);
    http_server_stop(w->metrics_server, 1000);
    http_server_stop(w->public_server, drain_left(w));
    http_server_stop(w->peer_server, yields ? drain_left(w) : 1000);
    rooms_stop(w);
    auth_service_stop(w->app.auth);
    admin_login_stop(w->app.operators);
    issued_close(w->app.issued);
    outbound_free(w->app.outbound);
    fetcher_free(w->app.probes);
    fetcher_free(w->app.fetcher);
    pool_free(w->app.late_pool);
    pool_free(w->operator_pool);
    pool_free(w->app.waiting);
    pool_free(w->app.pool);
    registry_service_free(w->app.registry);
    audit_stop(w->app.audit);
    throttle_free(w->app.throttle);
    joining_stop(w->app.joining);
    rolling_stop(atomic_load(&w->app.rolling));
    ca_rolling_stop(atomic_load(&w->app.ca_rolling));
    operations_free(w->app.operations);
    fleet_free(w->app.fleet);
    task_runner_free(w->app.tasks);
    collector_free(w->app.collector);
    scrub_free(w->app.scrub);
    retention_done(&w->retention);
    meta_close(w->app.meta);
    blob_store_close(w->app.blobs);
    space_close(w->app.space);
    region_keys_free(w->keys);
    tunnels_stop(w->tunnels); // what they carry needs no store of ours
    resolver_stop(w->app.resolver);
    signing_free(w->signing);
    snapshot_done(&w->frontend);
    snapshot_done(&w->verdicts);
    snapshot_done(&w->principals);
    snapshot_done(&w->topology);
}
