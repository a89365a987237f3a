// SPDX-License-Identifier: Apache-2.0
// Notices of damaged content, out and in; see damage_notice.h.
#include "replication/damage_notice.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/mender.h"
#include "replication/peer.h"
#include "replication/peers.h"

#include <stdio.h>
#include <string.h>

#define NOTICE_MS 10000

struct notice { // on its way
    struct replicator *r;
    struct peer *p;
    char digest[DIGEST_TEXT_SIZE];
};

static void notice_answered(void *ctx, struct fetch_result *res)
{
    struct notice *n = ctx;
    const char *to = peer_name(n->p);
    int status = 0;
    if (!res->err)
        status = res->status;
    switch (status) {
    case 202:
        log_info("replication: %s was told that its %s is damaged, and looks at it", to, n->digest);
        break;
    case 404:
        log_warn(
            "replication: %s cannot be told that its %s is damaged: its version does not know how",
            to, n->digest);
        break;
    default: {
        const char *why = "it does not listen now";
        if (res->err)
            why = res->message;
        log_warn("replication: %s was not told that its %s is damaged: %s (status %d)", to,
                 n->digest, why, res->status);
    }
    }
    replicator_unref(n->r);
    free(n);
}

void damage_notice_send(struct peer *p, const struct topology *t, const struct content_ask *ask)
{
    struct notice *n = mem_zalloc(sizeof *n);
    if (!n)
        return;
    n->p = p;
    digest_format(&ask->digest, n->digest);
    char target[768];
    snprintf(target, sizeof target, "/replication/v1/damaged?registry=%s&repository=%s&digest=%s",
             ask->registry, ask->repository, n->digest);
    struct dial dial;
    int rc = peer_dial(&peer_replicator(p)->dialer, t, peer_name(p), target, NULL, &dial);
    dial.q.method = "POST";
    dial.q.timeout_ms = NOTICE_MS;
    dial.q.ctx = n;
    n->r = replicator_ref(peer_replicator(p));
    if (!rc)
        rc = fetch_start(n->r->o.fetcher, &dial.q, notice_answered, NULL);
    if (rc) {
        replicator_unref(n->r);
        free(n);
    }
}

// --- being told ---

void damaged_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct region *peer, struct http_plan *plan)
{
    const char *repository = http_query_get(req, "repository", 0),
               *text = http_query_get(req, "digest", 0);
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    struct digest d;
    if (!reg || !peers_find(r->peers, peer->name)) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return;
    }
    if (!repository || !entry_repository_ok(repository) || !text ||
        digest_parse(text, strlen(text), &d)) {
        serve_refuse(req, &plan->response, 400, "repository and digest: both are needed");
        return;
    }
    int rc = mender_suspect(r->mender, peer->name, reg->key, repository, &d);
    if (rc)
        serve_refuse(req, &plan->response, 429, "enough is being looked at");
    else
        http_response_text(req, &plan->response, 202, "it is looked at\n");
}
