// SPDX-License-Identifier: Apache-2.0
// The routes below /replication/v1/ : who may ask what. The feed, the marks and the time are for
// peers only; status and have are for tokens. What the answers mean on the wire is chosen here. On
// HTTP threads; nothing blocks.
#include "replication/damage_notice.h"
#include "replication/digest_serve.h"
#include "replication/marks.h"
#include "replication/replication_priv.h"
#include "replication/snapshot_serve.h"
#include "replication/speech.h"
#include "replication/words.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ROUTES_BELOW "/replication/v1/"

// Any grant of this registry with one of the actions will do: what is told is about the registry as
// a whole.
static bool holds_any(const struct access *a, unsigned actions)
{
    if (a->anonymous)
        return false;
    unsigned all = a->everywhere;
    for (size_t i = 0; i < a->n_grants; i++)
        all |= a->grants[i].actions;
    return a->peer || (all & actions);
}

static bool may_pull(const struct access *a, const char *repository)
{
    return (access_actions(a, repository) & ACTION_PULL) != 0;
}

// --- the routes ---

struct ask { // a request, after it was judged
    struct replicator *r;
    struct http_request *req;
    const struct topology *topology;
    // of the peer certificate; NULL on the public listener
    const struct region *peer;
    // of the endpoint that was called, and the repository that is asked about
    const struct registry *registry;
    const char *repository;
    // who asks on the public listener, or a region about a registry
    struct access access;
    struct http_plan *plan;
};

static void feed(const struct ask *a)
{
    feed_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void mark(const struct ask *a)
{
    mark_begin(a->r, a->req, a->peer, a->plan);
}

static void clock_now(const struct ask *a)
{
    struct http_response *resp = &a->plan->response;
    json_t *doc = json_pack("{s:s, s:I, s:i}", "region", a->r->o.region, "wallMs",
                            (json_int_t)clock_wall_ms(), "speaks", SPEECH_NOW);
    speech_heard(a->r->speech, a->peer->name, speech_asked(a->req)); // kept by whoever may block
    if (!doc || http_response_json(a->req, resp, 200, doc))
        serve_refuse(a->req, resp, 503, "no memory for the time");
}

static void origin(const struct ask *a)
{
    origin_word_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void reach(const struct ask *a)
{
    reach_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void damaged(const struct ask *a)
{
    damaged_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void marks(const struct ask *a)
{
    words_begin(a->r, a->req, a->peer, a->plan);
}

static void holds(const struct ask *a)
{
    holds_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void ahead(const struct ask *a)
{
    ahead_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void upload(const struct ask *a)
{
    upload_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void differences(const struct ask *a)
{
    differences_begin(a->r, a->req, a->registry, &a->access, a->plan);
}

static void digests(const struct ask *a)
{
    digests_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void snapshot(const struct ask *a)
{
    snapshot_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void stored(const struct ask *a)
{
    stored_begin(a->r, a->req, a->topology, a->peer, a->plan);
}

static void have(const struct ask *a)
{
    content_probe_begin(a->r, a->req, a->registry, a->repository, a->plan);
}

static void status(const struct ask *a)
{
    status_begin(a->r, a->req, a->registry, a->plan);
}

static void revoked(const struct ask *a)
{
    revoked_begin(a->r, a->req, a->registry, &a->access, a->plan);
}

static void entries(const struct ask *a)
{
    entries_begin(a->r, a->req, a->topology, a->registry, &a->access, a->plan);
}

enum whom {
    // regions, by their peer certificate
    FOR_PEERS,
    // whoever may pull from or list the registry: figures
    FOR_REGISTRY,
    // whoever may read lists in the registry: names of repositories and tags, of those that he sees
    FOR_READERS,
    // whoever may pull from the repository
    FOR_REPOSITORY,
};

struct route {
    const char *name;
    enum whom whom;
    bool posts;
    void (*begin)(const struct ask *a);
};

static const struct route routes[] = {
    {"feed", FOR_PEERS, false, feed},         {"mark", FOR_PEERS, false, mark},
    {"clock", FOR_PEERS, false, clock_now},   {"damaged", FOR_PEERS, true, damaged},
    {"reach", FOR_PEERS, false, reach},       {"holds", FOR_PEERS, true, holds},
    {"ahead", FOR_PEERS, true, ahead},        {"stored", FOR_PEERS, true, stored},
    {"have", FOR_REPOSITORY, false, have},    {"status", FOR_REGISTRY, false, status},
    {"revoked", FOR_READERS, false, revoked}, {"entries", FOR_READERS, false, entries},
    {"snapshot", FOR_PEERS, false, snapshot}, {"digests", FOR_PEERS, false, digests},
    {"marks", FOR_PEERS, true, marks},        {"differences", FOR_READERS, false, differences},
    {"upload", FOR_PEERS, false, upload},     {"origin", FOR_PEERS, false, origin},
};

static const struct route *route_of(const char *path)
{
    size_t n = strlen(ROUTES_BELOW);
    if (strncmp(path, ROUTES_BELOW, n) != 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (strcmp(routes[i].name, path + n) == 0)
            return &routes[i];
    return NULL;
}

// --- who may ask on the public listener ---

// May the token that came with it? Else it is answered.
static bool token_may(struct ask *a, const struct hostname *host, enum whom whom)
{
    char scope[320] = "registry:catalog:*";
    bool may = false, of_repository = whom == FOR_REPOSITORY;
    unsigned actions = ACTION_META_READ | ACTION_CATALOG;
    if (whom == FOR_REGISTRY)
        actions |= ACTION_PULL;
    int rc = auth_check(a->topology, a->registry, a->req, clock_wall_ms(), a->r->o.principals,
                        &a->access);
    if (of_repository)
        snprintf(scope, sizeof scope, "repository:%s:pull", a->repository);
    if (!rc && of_repository)
        may = may_pull(&a->access, a->repository);
    else if (!rc)
        may = holds_any(&a->access, actions);
    if (may)
        return true;
    if (!rc && !a->access.anonymous)
        rc = ERR_DENIED;
    auth_challenge(a->req, a->topology, host, scope, rc, &a->plan->response);
    return false;
}

static void public_begin(struct ask *a, const struct route *route, const struct hostname *host)
{
    struct http_response *resp = &a->plan->response;
    const char *name = http_query_get(a->req, "registry", 0);
    bool of_repository = route->whom == FOR_REPOSITORY;
    a->repository = http_query_get(a->req, "repository", 0);
    if (name && strcmp(name, a->registry->name) != 0) {
        serve_refuse(a->req, resp, 404, "registry: not the one of this host");
        return;
    }
    if (of_repository && (!a->repository || !entry_repository_ok(a->repository))) {
        serve_refuse(a->req, resp, 400, "repository: a repository name is needed");
        return;
    }
    if (token_may(a, host, route->whom))
        route->begin(a);
}

// Is the method another one than the route's? Then it is answered.
static bool method_refused(struct http_request *req, const struct route *route,
                           struct http_response *resp)
{
    if (route->posts && req->method != HTTP_POST) {
        serve_method(req, resp, "POST", "only POST is answered here");
        return true;
    }
    if (!route->posts && req->method != HTTP_GET) {
        serve_method(req, resp, "GET", "only GET is answered here");
        return true;
    }
    return false;
}

void replication_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, const struct registry *reg,
                       const struct hostname *host, struct http_plan *plan)
{
    struct http_response *resp = &plan->response;
    const struct route *route = route_of(req->path);
    struct ask a = {.r = r, .req = req, .topology = t, .peer = peer, .registry = reg, .plan = plan};
    plan->kind = HTTP_PLAN_REPLY;
    if (!route) {
        serve_refuse(req, resp, 404, "no such path");
        return;
    }
    if (method_refused(req, route, resp))
        return;
    if (!r || life_stopping(r->life)) {
        serve_refuse(req, resp, 503, "replication does not run on this node");
        return;
    }
    if (route->whom == FOR_PEERS) {
        if (req->listener != LISTENER_PEER || !peer)
            serve_refuse(req, resp, 403, "for regions only, by their peer certificate");
        else if (peer->sealed)
            serve_forgotten(req, resp, peer);
        else
            route->begin(&a);
        return;
    }
    if (!reg || !host) {
        serve_refuse(req, resp, 404, "ask at an endpoint of a registry");
        return;
    }
    public_begin(&a, route, host);
}
