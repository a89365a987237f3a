// SPDX-License-Identifier: Apache-2.0
// The router of the public and the peer listener: which registry's endpoint was called, whether it
// lives here, and which room answers. A regional name never means another region: what does not
// live here is 421 (RFC 9110 section 15.5.20). begin runs on HTTP threads; nothing here blocks.
#ifndef MERIDIAN_DAEMON_APP_H
#define MERIDIAN_DAEMON_APP_H

#include "auth/audit.h"
#include "auth/service.h"
#include "certs/certs.h"
#include "config/node.h"
#include "daemon/conditions.h"
#include "daemon/impairment.h"
#include "daemon/paths.h"
#include "fleet/fleet.h"
#include "health/health.h"
#include "net/edge.h"
#include "net/http.h"
#include "net/outbound.h"
#include "registry/registry.h"
#include "replication/replication.h"
#include "resolver/serve/resolver.h"

#include <stdatomic.h>

// How a region is, for /healthz and the admin socket. Written by housekeeping and the supervisor's
// link.
struct members; // daemon/members.h
struct vitals {
    // all that is wrong with it
    struct conditions conditions;
    // daemon/headroom.h
    _Atomic unsigned headroom;
    // wall
    _Atomic int64_t checked_ms;
    struct impairment impairment;
    // what the audit log was told last of versions in force; housekeeping's own
    bool audit_told;
    uint64_t audit_topology, audit_principals;
    // that room for a start on a full disk is kept (store/spare.h); housekeeping's own
    bool spare_kept;
    // of those below
    pthread_mutex_t lock;
    struct edge_status edge;
    // total_bytes 0: this node has no store
    struct space_view disk;
    // why the last restart came to nothing; "" none
    char restart_error[512];
};

struct app { // everything a request may need; made once by the worker, then only read
    const struct node *node;
    const struct paths *paths;
    struct snapshot *topology, *principals, *verdicts;
    struct topology_source *source;
    // the source, where it is the control feed; NULL: files. Ends with it
    struct control_feed *feed;
    // limits of requests
    struct throttle *throttle;
    // NULL: off
    struct audit *audit;
    // refresh tokens of this region; NULL without that role
    struct issued *issued;
    // NULL without that role
    struct auth_service *auth;
    // logins at the admin listener; NULL without one
    struct admin_login *operators;
    // NULL without that role
    struct registry_service *registry;
    // NULL without that role
    struct replicator *replicator;
    struct certs *certs;
    const struct region_keys *keys;
    struct health *health;
    // what is seen of fault drills; NULL without that role, or while it starts
    struct drill_watch *drill_watch;
    // between the nodes; always there
    struct fleet *fleet;
    // NULL where files are the source
    struct joining *joining;
    // likewise; peer certificates are replaced over the feed. Set while the certificates' thread runs
    _Atomic(struct rolling *) rolling;
    // likewise; the private CA
    _Atomic(struct ca_rolling *) ca_rolling;
    // this node's part in private endpoints; NULL without one
    struct members *members;
    // changes of the fleet (daemon/operations.h); NULL: files are the source
    struct operations *operations;
    struct resolver *resolver;
    struct fetcher *fetcher;
    // What measures other nodes goes by this one: health, members, clocks. Transfers, however many
    // there are, hold it up by nothing but their share of the machine.
    struct fetcher *probes;
    // for addresses that users name
    struct outbound *outbound;
    struct pool *pool;
    // for requests that wait for another region
    struct pool *waiting;
    // for what waits for a successor; NULL before there is one
    struct pool *late_pool;
    // the region's store; NULL without the role of a registry or a replicator
    struct meta *meta;
    struct blob_store *blobs;
    // of the store's disk
    struct space *space;
    // runs the durable queue of `meta`; NULL without it
    struct task_runner *tasks;
    // take what nobody needs, and find what is damaged; NULL without the store
    struct collector *collector;
    struct scrub *scrub;
    struct vitals *vitals;
    // wall
    int64_t started_ms;
    // to the supervisor (daemon/supervisor_ipc.h)
    int ipc_fd;
};

void app_disk_get(const struct app *app, struct space_view *out); // vitals.disk
void app_begin_public(void *app, struct http_request *req, struct http_plan *plan);
// Whether writes are open, as of now: sets or clears CONDITION_WRITES. Any thread.
void app_judge_writes(struct app *app); // healthz.c
// "up", "short" or "down", and the few words why (NULL: up). Any thread.
const char *app_state(struct app *app, const char **out_reason); // healthz.c
// healthz.c
void app_begin_healthz(struct app *app, struct http_request *req, struct http_plan *plan,
                       bool deep);
void app_begin_peer(void *app, struct http_request *req, struct http_plan *plan);
void app_begin_admin(void *app, struct http_request *req, struct http_plan *plan); // admin.c
// admin_health.c
void admin_get_health(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_health_peers(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_health_orders(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_force(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_order(struct app *app, struct http_request *req, struct http_response *resp);
// admin_repair.c
void admin_post_repair_clock(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_alone(struct app *app, struct http_request *req, struct http_response *resp);
// Every response names its region, stamp and request id.
void app_finish(void *app, const struct http_request *req, struct http_response *resp);

#endif
