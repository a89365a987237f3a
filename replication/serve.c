// SPDX-License-Identifier: Apache-2.0
// The routes below /replication/v1/ : who may ask what. The feed, the marks and the time are for
// peers only; status and have are for tokens. What the answers mean on the wire is chosen here. On
// HTTP threads; nothing blocks.
#include "replication/clock_watch.h"
#include "replication/damage_notice.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void serve_list(struct replicator *r, struct http_request *req, struct http_response *resp,
                void *(*make)(void *ask, struct arena *a), const char *sorry)
{
    if (!replicator_enter(r)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    struct arena a;
    arena_init(&a, 0);
    json_t *root = make(req->ctx, &a);
    arena_done(&a);
    replicator_leave(r);
    if (root)
        http_response_json(req, resp, 200, root);
    else
        serve_refuse(req, resp, 503, sorry);
}

// Any grant of this registry will do: the figures are about the registry as a whole.
static bool may_see_status(const struct access *a)
{
    if (a->anonymous)
        return false;
    unsigned all = a->everywhere;
    for (size_t i = 0; i < a->n_grants; i++)
        all |= a->grants[i].actions;
    return a->peer || (all & (ACTION_PULL | ACTION_CATALOG));
}

static void public_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                         const struct registry *reg, const struct hostname *host, bool have,
                         struct http_plan *plan)
{
    const char *name = http_query_get(req, "registry", 0),
               *repository = http_query_get(req, "repository", 0);
    if (name && strcmp(name, reg->name) != 0) {
        serve_refuse(req, &plan->response, 404, "registry: not the one of this host");
        return;
    }
    if (have && (!repository || !entry_repository_ok(repository))) {
        serve_refuse(req, &plan->response, 400, "repository: a repository name is needed");
        return;
    }
    struct access acc = {0};
    int rc = auth_check(t, reg, req, clock_wall_ms(), &acc);
    bool may = !rc && (have ? (access_actions(&acc, repository) & ACTION_PULL) != 0
                            : may_see_status(&acc));
    if (!may) {
        char scope[320];
        if (have)
            snprintf(scope, sizeof scope, "repository:%s:pull", repository);
        else
            snprintf(scope, sizeof scope, "registry:catalog:*");
        auth_challenge(req, t, host, scope,
                       rc              ? rc
                       : acc.anonymous ? 0
                                       : ERR_DENIED,
                       &plan->response);
        return;
    }
    if (have)
        content_probe_begin(r, req, reg, repository, plan);
    else if (strcmp(req->path, "/replication/v1/revoked") == 0)
        revoked_begin(r, req, reg, plan);
    else if (strcmp(req->path, "/replication/v1/entries") == 0)
        entries_begin(r, req, t, reg, plan);
    else
        status_begin(r, req, reg, plan);
}

void replication_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, const struct registry *reg,
                       const struct hostname *host, struct http_plan *plan)
{
    const char *base = "/replication/v1/";
    const char *route = "";
    if (strncmp(req->path, base, strlen(base)) == 0)
        route = req->path + strlen(base);
    bool feed = strcmp(route, "feed") == 0, mark = strcmp(route, "mark") == 0;
    bool clock = strcmp(route, "clock") == 0, have = strcmp(route, "have") == 0;
    bool damaged = strcmp(route, "damaged") == 0;
    bool status = strcmp(route, "status") == 0 || strcmp(route, "revoked") == 0 ||
                  strcmp(route, "entries") == 0;
    plan->kind = HTTP_PLAN_REPLY;
    if (!feed && !mark && !clock && !status && !have && !damaged)
        serve_refuse(req, &plan->response, 404, "no such path");
    else if (damaged && req->method != HTTP_POST)
        serve_method(req, &plan->response, "POST", "damage is told by POST");
    else if (!damaged && req->method != HTTP_GET)
        serve_method(req, &plan->response, "GET", "only GET is answered here");
    else if (!r || r->stopping)
        serve_refuse(req, &plan->response, 503, "replication does not run on this node");
    else if ((feed || mark || clock || damaged) && (req->listener != LISTENER_PEER || !peer))
        serve_refuse(req, &plan->response, 403, "for regions only, by their peer certificate");
    else if (feed)
        feed_begin(r, req, t, peer, plan);
    else if (mark)
        mark_begin(r, req, peer, plan);
    else if (clock)
        clock_serve(r, req, &plan->response);
    else if (damaged)
        damaged_begin(r, req, t, peer, plan);
    else if (!reg || !host)
        serve_refuse(req, &plan->response, 404, "ask at an endpoint of a registry");
    else
        public_begin(r, req, t, reg, host, have, plan);
}
