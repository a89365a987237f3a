// SPDX-License-Identifier: Apache-2.0
// Routing of requests to rooms; see app.h.
#include "daemon/app.h"

#include "config/endpoints.h"
#include "daemon/auditing.h"
#include "daemon/ca_rolling.h"
#include "daemon/joining.h"
#include "daemon/rolling.h"
#include "fleet/ca_roll.h"
#include "fleet/peer_roll.h"
#include "net/refuse.h"
#include "net/traffic.h"

#include <string.h>

static bool path_is(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static void refuse(struct http_request *req, struct http_plan *plan, int status, enum refusal kind,
                   const char *sentence)
{
    plan->kind = HTTP_PLAN_REPLY;
    http_refuse(req, &plan->response, status, kind, "%s", sentence);
}

// `public_access` is judged by the transport address: CIDRs, and always the networks of the
// registry's private endpoints, and who came by the address of one of them (`by`; NULL: by none).
static bool access_from(const struct topology *t, const struct registry *r, const struct ip *client,
                        const char *by)
{
    if (r->public_access == ACCESS_ENABLED)
        return true;
    if (r->public_access == ACCESS_CIDRS)
        for (size_t i = 0; i < r->n_public_cidrs; i++)
            if (cidr_contains(&r->public_cidrs[i], client))
                return true;
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        if (by && !strcmp(by, r->private_endpoints[i]->name))
            return true;
        const struct view *v = &t->views[r->private_endpoints[i]->view];
        for (size_t j = 0; j < v->n_sources; j++)
            if (cidr_contains(&v->sources[j], client))
                return true;
    }
    return false;
}

// The endpoint that was called: its registry, when it lives in this region. Otherwise fills a
// refusal and gives NULL. *h stays the name that was called, a privatelink one too: answers lead on
// to where the client is.
static const struct registry *endpoint_of(struct app *app, struct http_request *req,
                                          const struct topology *t, struct hostname *h,
                                          struct http_plan *plan)
{
    enum name_kind kind = hostname_public_of(hostname_parse_http_host(req->host, t->domain, h));
    if (kind != NAME_GLOBAL && kind != NAME_REGIONAL && kind != NAME_DATA) {
        refuse(req, plan, 421, REFUSED_HOST,
               "this host name is not a registry endpoint of this service");
        return NULL;
    }
    const struct region *here = topology_region(t, app->node->region);
    const struct registry *r = topology_by_label(t, h->label);
    const struct replica *rep = NULL;
    if (r && here)
        rep = registry_replica(r, here->index);
    if (!rep || !registry_offers(r, kind) ||
        (kind != NAME_GLOBAL && strcmp(h->region, here->name) != 0)) {
        refuse(req, plan, 421, REFUSED_HOST, "no such registry endpoint lives in this region");
        return NULL;
    }
    if (req->listener == LISTENER_PUBLIC &&
        !access_from(t, r, &req->client, req->private_endpoint)) {
        refuse(req, plan, 403, REFUSED_DENIED,
               "this registry's network rules do not admit your address");
        auditing_refused(app, req, r->key);
        return NULL;
    }
    return r;
}

// A region passes on what its own clients ask of a registry that it holds: of others it has none, and
// its word on a client's address counts for nothing there.
static bool may_pass_on(const struct registry *r, const struct region *by, struct http_request *req,
                        struct http_plan *plan)
{
    if (!by || registry_replica(r, by->index))
        return true;
    refuse(req, plan, 403, REFUSED_DENIED,
           "the region that passed this request on does not hold the registry");
    return false;
}

// `peer`: the region that asks; `by`: the one whose edge passed a client's request on. NULL: none.
static void begin_endpoint(struct app *app, struct http_request *req, const struct topology *t,
                           const struct region *peer, const struct region *by,
                           struct http_plan *plan)
{
    struct hostname host;
    const struct registry *r = endpoint_of(app, req, t, &host, plan);
    if (!r || !may_pass_on(r, by, req, plan))
        return;
    bool content = path_is(req->path, "/v2") || path_is(req->path, "/registry");
    req->kind = TRAFFIC_OTHER; // until a room takes it
    if (content && app->registry)
        registry_service_begin(app->registry, req, t, r, &host, plan);
    else if (path_is(req->path, "/oauth2") && app->auth && req->listener == LISTENER_PUBLIC)
        auth_service_begin(app->auth, req, t, r, &host, plan);
    else if (path_is(req->path, "/replication") && app->replicator) {
        req->kind = TRAFFIC_REPLICATION;
        replication_begin(app->replicator, req, t, peer, r, &host, plan);
    } else
        refuse(req, plan, 404, REFUSED_UNSUPPORTED,
               "nothing is served under this path; the registry API begins with /v2/");
}

void app_begin_public(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct app *app = ctx;
    if (strcmp(req->path, "/healthz") == 0) {
        req->kind = TRAFFIC_HEALTHZ;
        app_begin_healthz(app, req, plan, false);
        return;
    }
    struct topology *t = snapshot_get(app->topology);
    begin_endpoint(app, req, t, NULL, NULL, plan);
    snapshot_unref(t);
}

void app_begin_peer(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct app *app = ctx;
    struct topology *t = snapshot_get(app->topology);
    const struct region *peer = NULL;
    if (req->peer_cert_fingerprint)
        peer = topology_region_by_fingerprint(t, req->peer_cert_fingerprint);
    const char *passed = http_header_get(req, EDGE_HEADER_PASSED);
    req->kind = TRAFFIC_PEER;
    if (peer && !passed) {
        req->principal = arena_printf(&req->arena, "peer:%s", peer->name);
        replicator_inbound_contact(app->replicator, peer->name);
    }
    // a client's request that the peer's edge handed on: judged as that client's
    if (peer && passed) {
        req->listener = LISTENER_PUBLIC;
        req->peer_cert_fingerprint = NULL;
        req->private_endpoint = http_header_get(req, EDGE_HEADER_PASSED_PRIVATE);
        if (ip_parse(passed, &req->client))
            refuse(req, plan, 400, REFUSED_UNSUPPORTED, "the request is malformed");
        else
            begin_endpoint(app, req, t, NULL, peer, plan);
    } else if (joining_is_path(req->path))
        joining_begin(app, req, peer, plan);
    else if (!peer)
        refuse(req, plan, 403, REFUSED_DENIED,
               "this certificate is not a region's: its fingerprint is not in the topology");
    else if (strcmp(req->path, "/healthz") == 0)
        app_begin_healthz(app, req, plan, true);
    else if (path_is(req->path, "/health"))
        health_begin(app->health, req, peer, plan);
    else if (path_is(req->path, "/certs"))
        certs_begin(app->certs, req, peer, plan);
    else if (peer_roll_is_path(req->path))
        rolling_begin(atomic_load(&app->rolling), req, peer, plan);
    else if (strcmp(req->path, CA_ROLL_PATH) == 0)
        ca_rolling_begin(atomic_load(&app->ca_rolling), req, peer, plan);
    else if (path_is(req->path, "/control"))
        fleet_begin(app->fleet, req, peer, plan);
    else if (path_is(req->path, "/replication") && app->replicator) {
        req->kind = TRAFFIC_REPLICATION;
        replication_begin(app->replicator, req, t, peer, NULL, NULL, plan);
    } else
        begin_endpoint(app, req, t, peer, NULL, plan);
    snapshot_unref(t);
}

void app_finish(void *ctx, const struct http_request *req, struct http_response *resp)
{
    const struct app *app = ctx;
    struct http_request *r = (struct http_request *)req; // its arena carries the header text
    traffic_answered(req, resp->status);
    http_response_header_text(r, resp, "X-Meridian-Region", app->node->region);
    http_response_header_text(r, resp, "X-Meridian-Stamp", app->node->stamp);
    http_response_header_text(r, resp, "X-Meridian-Request-Id", req->request_id);
}
