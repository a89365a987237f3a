// SPDX-License-Identifier: Apache-2.0
// How the worker starts what only reads, and the servers; see worker_priv.h. The rooms in between are
// worker_rooms.c's.
#include "daemon/worker_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/feed.h"
#include "control/file_source.h"
#include "daemon/admin_requests.h"
#include "daemon/admin_route.h"
#include "daemon/late.h"
#include "daemon/metrics.h"
#include "registry/oci_error.h"
#include "resolver/sign/signing.h"
#include "resolver/zone/zone_maintainer.h"

#define PLACES_LEAST 4096 // connections of the public server, at least (net/http.h max_connections)
#define WAITING_THREADS 16      // requests that wait for another region at once
#define OPERATOR_CONNECTIONS 80 // more than the edge lets through
#define METRICS_CONNECTIONS 16  // a few scrapers; anyone who reaches the listener may connect
#define METRICS_IDLE_S 15

// One client network may have a third of all places (net/share.h): so many that the edge's settings
// hold here too.
static unsigned public_places(const struct node *n)
{
    unsigned one = n->edge_per_network;
    if (n->edge_per_client > one)
        one = n->edge_per_client;
    if (3 * one > PLACES_LEAST)
        return 3 * one;
    return PLACES_LEAST;
}

static int open_source(struct worker *w, enum topology_form form, struct diag *d)
{
    const struct node *n = w->node;
    const struct file_source_options files = {.topology = n->topology,
                                              .form = form,
                                              .principals = n->principals,
                                              .state_dir = w->paths->state};
    const struct control_feed_options feed = {.state_dir = w->paths->state,
                                              .region = n->region,
                                              .form = form,
                                              .topology = n->topology,
                                              .principals = n->principals,
                                              .keys = w->keys,
                                              .clock = worker_feed_clock,
                                              .clock_ctx = w};
    if (n->from == NODE_SOURCE_FILES)
        return file_source_open(&files, &w->app.source);
    int rc = control_feed_open(&feed, d, &w->app.feed);
    if (!rc)
        w->app.source = control_feed_source(w->app.feed);
    return rc;
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
    int rc = open_source(w, form, d);
    if (rc)
        return rc;
    rc = topology_source_load(w->app.source, &(struct source_cells){&w->topology, &w->principals},
                              d);
    if (!rc)
        rc = topology_source_follow(w->app.source, worker_on_topology, w);
    if (rc) {
        topology_source_close(take_ptr(w->app.source));
        return rc;
    }
    struct topology *t = snapshot_get(&w->topology);
    const struct region *r = topology_region(t, n->region);
    if (!r) {
        diag_add(d, n->source, 0, "region %s is not in the topology %s", n->region, t->source);
        rc = ERR_NOTFOUND;
    } else if (!region_stamp(r, n->stamp)) {
        diag_add(d, n->source, 0, "stamp %s is not a stamp of region %s in %s", n->stamp, n->region,
                 t->source);
        rc = ERR_NOTFOUND;
    }
    snapshot_unref(t);
    if (!rc)
        worker_leave_frame(w);
    if (!rc)
        members_leave(&w->members);
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

// Of DNS over TLS; NULL: no listener speaks it.
static const char *dns_certificate(const struct worker *w)
{
    if (!w->node->n_dns_tls)
        return NULL;
    if (w->node->resolver.certificate)
        return w->node->resolver.certificate;
    return w->paths->region_pem;
}

static int start_resolver(struct worker *w, struct diag *d)
{
    const struct health_options h = {.topology = &w->topology,
                                     .verdicts = &w->verdicts,
                                     .fetcher = w->app.probes,
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
                                       .pem = dns_certificate(w),
                                       .diag = d};
    return resolver_start(&o, take_ptr(w->sockets->dns), &w->app.resolver);
}

// What only reads, and so can run beside a forerunner.
int worker_start_answering(struct worker *w, struct diag *d)
{
    w->housekeeping.requests_max = public_places(w->node);
    int rc = start_keys(w, d);
    if (!rc)
        rc = start_config(w, d);
    if (rc)
        return rc;
    const struct pool_options po = {.name = "work",
                                    .n_threads = w->node->pool_threads,
                                    .max_waiting = w->node->pool_queue,
                                    .kept = w->node->pool_threads > 1 ? 1 : 0};
    w->app.pool = pool_new(&po);
    const struct pool_options waiting = {.name = "waiting",
                                         .n_threads = WAITING_THREADS,
                                         .max_waiting = w->node->pool_queue,
                                         .kept = WAITING_THREADS / 4};
    w->app.waiting = pool_new(&waiting);
    if (!w->app.pool || !w->app.waiting)
        return ERR_NOMEM;
    rc = fetcher_new(&w->app.fetcher);
    if (rc)
        return rc;
    fetcher_set_suspect(w->app.fetcher, worker_clock_suspected, w);
    rc = fetcher_new_named("probes", &w->app.probes);
    if (rc)
        return rc;
    fetcher_set_suspect(w->app.probes, worker_clock_suspected, w);
    if (!w->sockets->dns)
        return 0;
    return start_resolver(w, d);
}

// ---- servers ----

typedef void begin_fn(void *app, struct http_request *req, struct http_plan *plan);

static int serve(struct worker *w, int *fd, enum http_listener listener, begin_fn *begin,
                 begin_fn *late, struct http_server **out)
{
    unsigned max = 0;
    if (listener == LISTENER_METRICS)
        max = METRICS_CONNECTIONS;
    if (listener == LISTENER_PUBLIC)
        max = public_places(w->node);
    struct pool *pool = w->app.pool;
    if (listener == LISTENER_OPERATOR) {
        max = OPERATOR_CONNECTIONS;
        pool = w->operator_pool;
    }
    const struct http_app http = {.begin = begin,
                                  .finish = app_finish,
                                  .begin_late = late,
                                  .run_late = late ? late_run : NULL,
                                  .ctx = &w->app,
                                  .words = &oci_words};
    const struct http_server_options o = {.listen_fd = fd_take(fd),
                                          .listener = listener,
                                          .pool = pool,
                                          .n_threads = 1,
                                          .max_connections = max,
                                          .body_bytes_s = w->node->body_rate,
                                          .idle_timeout_s =
                                              listener == LISTENER_METRICS ? METRICS_IDLE_S : 0};
    return http_server_start(&o, &http, out);
}

int worker_start_servers(struct worker *w)
{
    struct sockets *s = w->sockets;
    int rc = serve(w, &s->public, LISTENER_PUBLIC, app_begin_public, late_begin_public,
                   &w->public_server);
    w->housekeeping.requests = w->public_server;
    if (!rc)
        rc = serve(w, &s->peer, LISTENER_PEER, app_begin_peer, late_begin_peer, &w->peer_server);
    if (!rc)
        rc = serve(w, &s->admin, LISTENER_ADMIN, app_begin_admin, NULL, &w->admin_server);
    if (!rc && s->operator>= 0)
        rc = serve(w, &s->operator, LISTENER_OPERATOR, app_begin_operator, NULL,
                   &w->operator_server);
    if (!rc && s->metrics >= 0)
        rc = serve(w, &s->metrics, LISTENER_METRICS, app_begin_metrics, NULL, &w->metrics_server);
    return rc;
}
