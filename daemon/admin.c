// SPDX-License-Identifier: Apache-2.0
// The admin API: a unix socket of its own, 0600, judged by peer credentials, never routed by the
// edge (design section 11); and from afar, as far as each row of the table says, the admin listener
// (daemon/admin_listener.c).
//
//   GET  /v1/status                              what runs here, since when, with which topology
//   GET  /v1/health                              verdicts on all regions
//   GET  /v1/health/peers                        the other resolvers and the regions' deep
//                                                documents
//   GET  /v1/health/orders                       what operators ordered, and when a drain is safe
//   POST /v1/health/orders?order=drain|impair&region=R[&registry=NAME]&on=true|false
//   GET  /v1/drills                              fault drills, the latest first
//   POST /v1/drills?region=R&for_ms=N[&registry=NAME]
//                                               takes the region out of the global names so long
//   POST /v1/drills/stop[?id=ID]                 before its time
//   POST /v1/health/force?region=R&state=up|down|auto
//   GET  /v1/config                              topology and principals in force, and why a later
//                                                edit is not
//   POST /v1/config/reload                       look at the files now
//   GET  /v1/topology[?version=N]                the whole document in force, or as it was
//   GET  /v1/topology/history[?n=COUNT]          (daemon/admin_topology.h)
//   GET  /v1/principals                          users, tokens, scope maps: no hash of a password
//   GET  /v1/principals/judge?registry=&repository=&principal=   (daemon/admin_principals.h)
//   GET  /v1/replication?registry=NAME
//   POST /v1/replication/repair-clock?apply=true|false   stamps of the future are mended
//                                                        (daemon/admin_repair.c)
//   POST /v1/replication/alone                   an empty store waits for nobody (likewise)
//   GET  /v1/tasks?kind=NAME[&after=KEY][&n=COUNT]   the durable queue (daemon/admin_tasks.c)
//   POST /v1/tasks/run?kind=NAME&key=KEY
//   GET  /v1/collect[?registry=NAME]   POST /v1/collect   GET /v1/usage
//                                                blobs that go, what is used
//                                                (daemon/admin_collect.c)
//   GET  /v1/tokens/issued?registry=NAME[&principal=NAME][&n=COUNT][&cursor=TEXT]
//                                                refresh tokens of this region
//                                                (daemon/admin_tokens.c)
//   GET  /v1/fleet[?timeout_ms=N]                how every node is (daemon/admin_fleet.h)
//   GET  /v1/join-tokens                         the CA, and join tokens (daemon/joining.h)
//   POST /v1/requests                            changes of the fleet, and what became of them
//   GET  /v1/operations[?object=&state=&max=]    (daemon/admin_requests.h)
//   GET  /v1/operations/ID[?wait_ms=N]   GET /v1/names
//   GET  /v1/private-endpoints[?name=&registry=&view=]      (daemon/admin_private.h)
//   GET  /v1/private-zone?view=V[&registry=]                (likewise)
//   GET  /v1/control   POST /v1/control/draft   POST /v1/control/signed
//                                                the control feed (daemon/admin_control.h)
//   GET  /v1/certs      POST /v1/certs/renew?kind=region|shared|peer
//   GET  /v1/certs/ca   POST /v1/certs/ca?do=begin|cancel|without-away|drop-old|back
//                                                the private CA's replacement (daemon/admin_ca.h)
//   GET  /v1/dns/explain?name=N&client=ADDR[&view=NAME][&subnet=CIDR]
//   POST /v1/node/restart                        a new worker, of the program now installed, takes
//                                                over
//   GET  /v1/log                                 what the worker logged lately (daemon/admin_log.h)
//   GET  /v1/metrics                             what /metrics says, where that listener is off
#include "daemon/admin_route.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/entry.h"
#include "control/request.h"
#include "control/source.h"
#include "daemon/admin_ca.h"
#include "daemon/admin_collect.h"
#include "daemon/admin_control.h"
#include "daemon/admin_drill.h"
#include "daemon/admin_fleet.h"
#include "daemon/admin_log.h"
#include "daemon/admin_principals.h"
#include "daemon/admin_private.h"
#include "daemon/admin_requests.h"
#include "daemon/admin_tasks.h"
#include "daemon/admin_tokens.h"
#include "daemon/admin_topology.h"
#include "daemon/joining.h"
#include "daemon/metrics.h"
#include "daemon/supervisor_ipc.h"
#include "net/refuse.h"
#include "resolver/answer/explain.h"
#include "resolver/route/geo_watch.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static void reply_diag(struct http_request *req, struct http_response *resp, int rc,
                       const struct diag *d)
{
    AUTO_FREE char *text = diag_text(d);
    http_response_text(req, resp, rc == ERR_NOTFOUND ? 404 : 409, "%s\n",
                       text && *text ? text : err_text(rc));
}

static const char *edge_state_name(enum edge_state s)
{
    if (s == EDGE_RUNNING)
        return "running";
    if (s == EDGE_BACKOFF)
        return "restarting";
    return "stopped";
}

// "eastus: drained by an operator since …", for each region with orders.
static json_t *orders_json(struct app *app, const struct topology *t)
{
    json_t *list = json_array();
    for (size_t i = 0; list && app->health && i < t->n_regions; i++) {
        char text[1024];
        health_orders_text(app->health, t->regions[i].name, NULL, text, sizeof text);
        if (*text)
            json_array_append_new(list, json_sprintf("%s: %s", t->regions[i].name, text));
    }
    return list;
}

static void get_status(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct topology *t = snapshot_get(app->topology);
    char since[CLOCK_TEXT_SIZE];
    struct conditions *conditions = &app->vitals->conditions;
    bool writable = !condition_holds(conditions, CONDITION_METADATA) &&
                    !condition_holds(conditions, CONDITION_STORE);
    app_judge_writes(app);
    struct space_view disk;
    app_disk_get(app, &disk);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:b, s:I, s:I, s:I, s:I}", "region", app->node->region,
        "stamp", app->node->stamp, "domain", t->domain, "version", MERIDIAN_VERSION, "since",
        clock_format(app->started_ms, since), "topologyVersion", (json_int_t)t->version, "pid",
        (int)getpid(), "storeWritable", writable, "diskFreeBytes", (json_int_t)disk.disk.free_bytes,
        "diskReserveBytes", (json_int_t)disk.reserve_bytes, "diskPromisedBytes",
        (json_int_t)disk.outstanding_bytes, "contentRefused", (json_int_t)disk.n_refused);
    if (doc)
        json_object_set_new(doc, "source", json_string(app->feed ? "feed" : "files"));
    if (doc && app->feed)
        json_object_set_new(doc, "control", fleet_control_json(app->fleet));
    if (doc)
        json_object_set_new(doc, "orders", orders_json(app, t));
    snapshot_unref(t);
    struct arena a;
    arena_init(&a, 0);
    const char *why = NULL;
    if (app->meta)
        why = meta_closed_why(app->meta, &a);
    if (doc && app->meta)
        json_object_set_new(doc, "writesClosed", why ? json_string(why) : json_null());
    if (doc && app->keys) // since the start: keys are read once
        json_object_set_new(doc, "signs",
                            json_pack("{s:s, s:s}", "tokenKey", region_keys_token_id(app->keys),
                                      "feedKey", region_keys_feed_id(app->keys)));
    if (doc)
        json_object_set_new(doc, "faults", replicator_faults_json(app->replicator));
    if (doc)
        json_object_set_new(doc, "tasks", tasks_json(app));
    if (doc)
        json_object_set_new(doc, "conditions", conditions_json(conditions));
    arena_done(&a);
    json_t *clock = replication_clock_json(app->replicator);
    if (doc && clock)
        json_object_set(doc, "clock", clock);
    json_decref(clock);
    pthread_mutex_lock(&app->vitals->lock);
    struct edge_status e = app->vitals->edge;
    json_t *failed = NULL;
    if (app->vitals->restart_error[0])
        failed = json_string(app->vitals->restart_error);
    pthread_mutex_unlock(&app->vitals->lock);
    if (doc && failed)
        json_object_set_new(doc, "restartError", failed);
    else
        json_decref(failed);
    if (doc)
        json_object_set_new(doc, "edge",
                            json_pack("{s:s, s:i, s:i, s:s}", "state", edge_state_name(e.state),
                                      "pid", (int)e.pid, "restarts", (int)e.n_restarts, "lastError",
                                      e.last_error));
    if (doc && app->resolver) {
        struct resolver_stats s;
        resolver_stats_get(app->resolver, &s);
        json_object_set_new(doc, "resolver",
                            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "udpQueries",
                                      (json_int_t)s.udp_queries, "tcpQueries",
                                      (json_int_t)s.tcp_queries, "noerror", (json_int_t)s.noerror,
                                      "nxdomain", (json_int_t)s.nxdomain, "refused",
                                      (json_int_t)s.refused, "formerr", (json_int_t)s.formerr,
                                      "truncated", (json_int_t)s.truncated));
    }
    serve_json(req, resp, doc);
}

static json_t *config_json(struct topology_status *s)
{
    char when[CLOCK_TEXT_SIZE];
    json_t *doc =
        json_pack("{s:I, s:s, s:b, s:I, s:s?}", "version", (json_int_t)s->version, "loaded",
                  clock_format(s->loaded_at_ms, when), "fromLastGood", s->from_last_good,
                  "refusedEdits", (json_int_t)s->refused, "refusedWhy", s->refused_why);
    free(s->refused_why);
    return doc;
}

static json_t *changes_json(json_t *doc, struct topology_status *s)
{
    char when[CLOCK_TEXT_SIZE];
    json_t *c = json_pack("{s:I, s:s?, s:I, s:s?}", "taken", (json_int_t)s->n_changes, "last",
                          s->changed_at_ms ? clock_format(s->changed_at_ms, when) : NULL, "refused",
                          (json_int_t)s->changes_refused, "refusedWhy", s->changes_why);
    if (doc && c)
        json_object_set(doc, "changes", c);
    json_decref(c);
    free(s->changes_why);
    return doc;
}

static void get_config(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct topology_status topology = {0}, principals = {0};
    topology_source_status(app->source, &topology, &principals);
    json_t *a = changes_json(config_json(&topology), &topology), *b = config_json(&principals);
    // of the control feed they are not read any more
    if (a && !app->feed)
        json_object_set_new(a, "path", json_string(app->node->topology));
    if (b && !app->feed)
        json_object_set_new(b, "path", json_string(app->node->principals));
    serve_json(req, resp,
               json_pack("{s:s, s:o, s:o}", "source", app->feed ? "feed" : "files", "topology", a,
                         "principals", b));
}

static void post_reload(struct app *app, struct http_request *req, struct http_response *resp)
{
    topology_source_look(app->source);
    get_config(app, req, resp);
}

static void get_replication(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!app->replicator)
        http_response_text(req, resp, 404, "this node has no replicator role\n");
    else
        serve_json(req, resp,
                   replication_status_json(app->replicator, http_query_get(req, "registry", 0)));
}

static void get_certs(struct app *app, struct http_request *req, struct http_response *resp)
{
    serve_json(req, resp, certs_status_json(app->certs));
}

static void post_renew(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *text = http_query_get(req, "kind", 0);
    enum cert_kind kind = CERT_REGION;
    if (text && cert_kind_parse(text, &kind)) {
        http_response_text(req, resp, 400, "%s is not a certificate kind: region, shared or peer\n",
                           text);
        return;
    }
    struct diag d;
    diag_init(&d);
    int rc = certs_renew(app->certs, text ? &kind : NULL, &d);
    if (rc)
        reply_diag(req, resp, rc, &d);
    else
        get_certs(app, req, resp);
    diag_done(&d);
}

static void get_explain(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *name = http_query_get(req, "name", 0), *client = http_query_get(req, "client", 0);
    struct ip ip;
    const char *subnet = http_query_get(req, "subnet", 0);
    const char *view = http_query_get(req, "view", 0);
    struct cidr net;
    bool good = name && (client || view) && !(client && ip_parse(client, &ip)) &&
                !(subnet && cidr_parse(subnet, &net));
    if (!good || (!client && ip_parse("127.0.0.1", &ip))) {
        http_response_text(req, resp, 400,
                           "give name=, client= (an IP address) or view= (its name) or both, and "
                           "perhaps subnet= (a "
                           "network without host bits)\n");
        return;
    }
    struct geo_watch *watch = NULL;
    if (app->resolver)
        watch = resolver_geo(app->resolver);
    char geo_error[1024] = "";
    if (watch)
        geo_watch_error(watch, geo_error, sizeof geo_error);
    struct geo *geo = NULL;
    if (watch)
        geo = snapshot_get(geo_watch_cell(watch));
    struct topology *t = snapshot_get(app->topology);
    struct health_verdicts *v = snapshot_get(app->verdicts);
    struct zone *frontend = NULL;
    if (app->resolver)
        frontend = resolver_frontend(app->resolver);
    struct explain_query q = {.topology = t,
                              .health = v,
                              .checker = app->health,
                              .geo = geo,
                              .geo_error = geo_error,
                              .frontend = frontend,
                              .name = name,
                              .client = ip,
                              .subnet = subnet ? &net : NULL,
                              .listener = app->node->n_dns ? &app->node->dns[0] : NULL};
    if (explain_place(&q, view, client != NULL))
        http_response_text(req, resp, 404, "%s: no such view in the topology\n", view);
    else
        serve_json(req, resp, dns_explain_json(&q));
    snapshot_unref(geo);
    snapshot_unref(frontend);
    snapshot_unref(v);
    snapshot_unref(t);
}

static void post_restart(struct app *app, struct http_request *req, struct http_response *resp)
{
    pthread_mutex_lock(&app->vitals->lock);
    app->vitals->restart_error[0] = 0;
    pthread_mutex_unlock(&app->vitals->lock);
    if (ipc_send(app->ipc_fd, &(struct ipc_message){.kind = IPC_RESTART}))
        http_response_text(req, resp, 503, "the supervisor cannot be told\n");
    else
        serve_json(req, resp, json_pack("{s:i}", "pid", (int)getpid()));
}

static void get_metrics(struct app *app, struct http_request *req, struct http_response *resp)
{
    metrics_reply(app, req, resp);
}

static const struct admin_route routes[] = {
    {HTTP_GET, "/v1/status", ADMIN_READ, get_status},
    {HTTP_GET, "/v1/fleet", ADMIN_READ, admin_get_fleet},
    {HTTP_GET, "/v1/join-tokens", ADMIN_READ, joining_get_tokens},
    {HTTP_POST, "/v1/requests", ADMIN_SIGNED, admin_post_request, CONTROL_ENVELOPE_MAX_BYTES},
    {HTTP_GET, "/v1/operations", ADMIN_READ, admin_get_operations},
    {HTTP_GET, "/v1/operations/", ADMIN_BY_ID, admin_get_operation},
    {HTTP_GET, "/v1/names", ADMIN_READ, admin_get_names},
    {HTTP_GET, "/v1/private-endpoints", ADMIN_READ, admin_get_private_endpoints},
    {HTTP_GET, "/v1/private-zone", ADMIN_READ, admin_get_private_zone},
    {HTTP_GET, "/v1/control", ADMIN_READ, admin_get_control},
    {HTTP_POST, "/v1/control/draft", ADMIN_LOCAL, admin_post_control_draft,
     ADMIN_CONTROL_DRAFT_MAX_BYTES},
    {HTTP_POST, "/v1/control/signed", ADMIN_LOCAL, admin_post_control_signed,
     CONTROL_ENTRY_MAX_BYTES},
    {HTTP_GET, "/v1/health", ADMIN_READ, admin_get_health},
    {HTTP_GET, "/v1/health/peers", ADMIN_READ, admin_get_health_peers},
    {HTTP_GET, "/v1/health/orders", ADMIN_READ, admin_get_health_orders},
    {HTTP_POST, "/v1/health/orders", ADMIN_DRAIN, admin_post_order},
    {HTTP_POST, "/v1/health/force", ADMIN_LOCAL, admin_post_force},
    {HTTP_GET, "/v1/drills", ADMIN_READ, admin_get_drills},
    {HTTP_POST, "/v1/drills", ADMIN_DRAIN, admin_post_drill},
    {HTTP_POST, "/v1/drills/stop", ADMIN_DRAIN, admin_post_drill_stop},
    {HTTP_GET, "/v1/config", ADMIN_READ, get_config},
    {HTTP_POST, "/v1/config/reload", ADMIN_LOCAL, post_reload},
    {HTTP_GET, "/v1/topology", ADMIN_READ, admin_get_topology},
    {HTTP_GET, "/v1/topology/history", ADMIN_READ, admin_get_topology_history},
    {HTTP_GET, "/v1/principals", ADMIN_READ, admin_get_principals},
    {HTTP_GET, "/v1/principals/judge", ADMIN_READ, admin_get_judgement},
    {HTTP_GET, "/v1/replication", ADMIN_READ, get_replication},
    {HTTP_POST, "/v1/replication/repair-clock", ADMIN_LOCAL, admin_post_repair_clock},
    {HTTP_POST, "/v1/replication/alone", ADMIN_LOCAL, admin_post_alone},
    {HTTP_GET, "/v1/tasks", ADMIN_READ, admin_get_tasks},
    {HTTP_POST, "/v1/tasks/run", ADMIN_LOCAL, admin_post_task_run},
    {HTTP_GET, "/v1/collect", ADMIN_READ, admin_get_collect},
    {HTTP_POST, "/v1/collect", ADMIN_LOCAL, admin_post_collect},
    {HTTP_GET, "/v1/usage", ADMIN_READ, admin_get_usage},
    {HTTP_GET, "/v1/tokens/issued", ADMIN_READ, admin_get_issued},
    {HTTP_GET, "/v1/certs", ADMIN_READ, get_certs},
    {HTTP_POST, "/v1/certs/renew", ADMIN_LOCAL, post_renew},
    {HTTP_GET, "/v1/certs/ca", ADMIN_READ, admin_get_ca},
    {HTTP_POST, "/v1/certs/ca", ADMIN_LOCAL, admin_post_ca},
    {HTTP_GET, "/v1/dns/explain", ADMIN_READ, get_explain},
    {HTTP_GET, "/v1/log", ADMIN_READ, admin_get_log},
    {HTTP_GET, "/v1/metrics", ADMIN_READ, get_metrics},
    {HTTP_POST, "/v1/node/restart", ADMIN_LOCAL, post_restart},
};

struct admin_call {
    struct app *app;
    const struct admin_route *route;
};

static void admin_run(struct http_request *req, struct http_response *resp)
{
    struct admin_call *call = req->ctx;
    call->route->run(call->app, req, resp);
}

static bool path_fits(const struct admin_route *r, const char *path)
{
    size_t n = strlen(r->path);
    if (r->path[n - 1] == '/')
        return !strncmp(r->path, path, n) && path[n];
    return !strcmp(r->path, path);
}

const struct admin_route *admin_route_find(const struct http_request *req)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].method == req->method && path_fits(&routes[i], req->path))
            return &routes[i];
    return NULL;
}

void app_begin_admin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct app *app = ctx;
    plan->kind = HTTP_PLAN_REPLY;
    if (req->peer_uid != 0 && req->peer_uid != (unsigned)geteuid()) {
        http_response_text(req, &plan->response, 403,
                           "the admin socket is for root and for the daemon's own user\n");
        return;
    }
    const struct admin_route *route = admin_route_find(req);
    if (!route) {
        http_response_text(req, &plan->response, 404, "no such call: %s %s\n", req->method_text,
                           req->path);
        return;
    }
    struct admin_call *call = arena_alloc(&req->arena, sizeof *call);
    if (!call) {
        http_response_text(req, &plan->response, 500, "out of memory\n");
        return;
    }
    *call = (struct admin_call){app, route};
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = admin_run, .ctx = call};
    if (route->body_max)
        plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = route->body_max;
}
