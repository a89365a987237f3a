// SPDX-License-Identifier: Apache-2.0
// A source gave bytes that are not what their digest says: noted here, and told to it; see
// mender.h. Notices are sent from workers and answered on the fetcher's thread, and taken on HTTP
// threads; nothing waits for them.
#include "replication/mender.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOTICE_MS 10000
#define TELL_AGAIN_MS 600000 // the same to the same source

struct notice { // on its way
    struct replicator *r;
    struct peer *p;
    char digest[DIGEST_TEXT_SIZE];
};

static void notice_answered(void *ctx, struct fetch_result *res)
{
    struct notice *n = ctx;
    if (!res->err && res->status == 202)
        log_info("replication: %s was told that its %s is damaged, and looks at it", n->p->name,
                 n->digest);
    else if (!res->err && res->status == 404)
        log_warn(
            "replication: %s cannot be told that its %s is damaged: its version does not know how",
            n->p->name, n->digest);
    else
        log_warn("replication: %s was not told that its %s is damaged: %s (status %d)", n->p->name,
                 n->digest, res->err ? res->message : "it does not listen now", res->status);
    replicator_unref(n->r);
    free(n);
}

static void notice_send(struct worker *w, const struct topology *t, struct peer *p,
                        const struct digest *d)
{
    const struct feed_entry *e = &w->job.entry;
    char target[768];
    struct dial dial;
    struct notice *n = mem_zalloc(sizeof *n);
    if (!n)
        return;
    n->p = p;
    digest_format(d, n->digest);
    snprintf(target, sizeof target, "/replication/v1/damaged?registry=%s&repository=%s&digest=%s",
             e->registry, e->repository, n->digest);
    int rc = peer_dial(w->r, t, p->name, target, NULL, &dial);
    dial.q.method = "POST";
    dial.q.timeout_ms = NOTICE_MS;
    dial.q.ctx = n;
    n->r = replicator_ref(w->r);
    if (!rc)
        rc = fetch_start(w->r->o.fetcher, &dial.q, notice_answered, NULL);
    if (rc) {
        replicator_unref(n->r);
        free(n);
    }
}

// Was this told to this source lately? Notes it. Under r->lock.
static bool told_lately(struct replicator *r, const struct peer *p, const struct digest *d)
{
    int64_t now = clock_mono_ms();
    struct told *oldest = &r->told[0];
    for (size_t i = 0; i < TOLD_MAX; i++) {
        struct told *t = &r->told[i];
        if (t->p == p && digest_equal(&t->digest, d) && now - t->at_mono < TELL_AGAIN_MS)
            return true;
        if (t->at_mono < oldest->at_mono)
            oldest = t;
    }
    *oldest = (struct told){.p = p, .digest = *d, .at_mono = now};
    return false;
}

void wrong_bytes(struct worker *w, const struct topology *t, struct peer *p, const char *what,
                 const struct digest *d, char error[ERROR_TEXT_SIZE])
{
    static struct log_limit limit = LOG_LIMIT(5000);
    const struct feed_entry *e = &w->job.entry;
    char text[DIGEST_TEXT_SIZE], when[CLOCK_TEXT_SIZE];
    snprintf(error, ERROR_TEXT_SIZE,
             "%s: wrong bytes for %s %.19s of %s/%s: its copy is damaged, or what lies between",
             p->name, what, digest_format(d, text), e->registry, e->repository);
    pthread_mutex_lock(&w->r->lock);
    p->n_wrong++;
    snprintf(p->wrong, sizeof p->wrong, "%s: %s %s of %s/%s", clock_format(clock_wall_ms(), when),
             what, text, e->registry, e->repository);
    bool told = told_lately(w->r, p, d);
    pthread_mutex_unlock(&w->r->lock);
    log_limited(&limit, LOG_ERROR, "replication: %s gave wrong bytes for %s %s of %s/%s", p->name,
                what, text, e->registry, e->repository);
    if (!told)
        notice_send(w, t, p, d);
}

// --- being told ---

// The registry of a notice, when both regions hold it.
static const struct registry *shared_of(struct replicator *r, const struct topology *t,
                                        const struct region *peer, const char *name)
{
    const struct region *self = topology_region(t, r->o.region);
    const struct registry *reg = NULL;
    if (name)
        reg = topology_registry(t, name);
    bool both =
        reg && self && registry_replica(reg, self->index) && registry_replica(reg, peer->index);
    if (both)
        return reg;
    return NULL;
}

void damaged_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct region *peer, struct http_plan *plan)
{
    const char *repository = http_query_get(req, "repository", 0),
               *text = http_query_get(req, "digest", 0);
    const struct registry *reg = shared_of(r, t, peer, http_query_get(req, "registry", 0));
    struct peer *by = replicator_peer(r, peer->name);
    struct digest d;
    if (!reg || !by) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return;
    }
    if (!repository || !entry_repository_ok(repository) || !text ||
        digest_parse(text, strlen(text), &d)) {
        serve_refuse(req, &plan->response, 400, "repository and digest: both are needed");
        return;
    }
    int rc = mender_suspect(r->mender, by, reg->name, repository, &d);
    if (rc)
        serve_refuse(req, &plan->response, 429, "enough is being looked at");
    else
        http_response_text(req, &plan->response, 202, "it is looked at\n");
}
