// SPDX-License-Identifier: Apache-2.0
// Feed keys that the topology revokes: the store is told before anything is read by that topology,
// then a thread of its own sweeps out what the store holds of them, in pieces. GET
// /replication/v1/revoked lists what became void.
//
// Invariants (design section 9)
//   3. All regions end with the same registers, whoever had read or applied what: what is void
//      counts nowhere, and what is good is read again from the place of the revocation on.
//   8. Our own key: nothing is written until another one signs; then in a new epoch.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_PIECE 64
#define LIST_MAX 500 // rows of one answer

static size_t revocations(const struct topology *t, struct meta_revocation *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_revoked; k++, n++) {
            const struct feed_revocation *v = &t->regions[i].revoked[k];
            if (n >= cap)
                continue;
            out[n] = (struct meta_revocation){
                .origin = t->regions[i].name, .key = v->key, .epoch = v->epoch, .seq = v->seq};
            memcpy(out[n].hash, v->hash, sizeof out[n].hash);
        }
    return n;
}

static void gate_see_to(struct replicator *r)
{
    if (meta_key_revoked(r->o.meta))
        meta_gate_close(r->o.meta, META_GATE_KEY,
                        "the feed key that this region signs with is revoked in the topology: take "
                        "its feed.pem away, let "
                        "meridian init add another key, and start it again");
    else
        meta_gate_open(r->o.meta, META_GATE_KEY);
}

int revoked_tell(struct replicator *r, const struct topology *t)
{
    if (atomic_load(&r->revoked_version) == t->version)
        return 0;
    size_t n = revocations(t, NULL, 0);
    AUTO_FREE struct meta_revocation *list = mem_zalloc_array(n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    revocations(t, list, n);
    struct meta_revoked told = {0};
    int rc = 0;
    if (n)
        rc = meta_revoke(r->o.meta, list, n, &told);
    gate_see_to(r);
    if (rc)
        return rc;
    if (told.n_new)
        log_warn("replication: %zu feed keys are revoked by version %" PRIu64
                 " of the topology: what they signed after "
                 "their last good entries is void",
                 told.n_new, t->version);
    if (told.n_ignored)
        log_warn("replication: version %" PRIu64
                 " of the topology revokes %zu feed keys at later places than before: a "
                 "revocation is final, and stays as it was",
                 t->version, told.n_ignored);
    atomic_store(&r->revoked_version, t->version);
    return 0;
}

static void sweep(struct replicator *r)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    struct meta_swept piece = {.more = true};
    size_t n = 0;
    int rc = 0;
    while (!rc && piece.more && !r->stopping) {
        rc = meta_revoke_sweep(r->o.meta, SWEEP_PIECE, &piece);
        if (!rc)
            n += piece.n_void;
    }
    if (n)
        log_warn("replication: %zu entries of revoked feed keys are void; their registers fell "
                 "back: meridian "
                 "replication revoked -r REGISTRY lists them",
                 n);
    if (rc && !r->stopping)
        log_limited(
            &limit, LOG_ERROR,
            "replication: entries of revoked feed keys cannot be swept out: %s; it is tried "
            "again",
            err_text(rc));
}

void *revoker_main(void *arg)
{
    struct replicator *r = arg;
    static struct log_limit limit = LOG_LIMIT(10000);
    while (!r->stopping) {
        struct topology *t = snapshot_get(r->o.topology);
        int rc = 0;
        if (t)
            rc = revoked_tell(r, t);
        snapshot_unref(t);
        if (rc)
            log_limited(&limit, LOG_ERROR,
                        "replication: revoked feed keys cannot be noted: %s; it is tried again",
                        err_text(rc));
        sweep(r);
        pthread_mutex_lock(&r->lock);
        if (!r->stopping)
            wait_cond(&r->changed, &r->lock, 1000);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

// --- the list ---

struct revoked_ask {
    struct replicator *r;
    const char *registry;
    int64_t after;
};

static json_t *row_json(const struct voided_row *v)
{
    char at[CLOCK_TEXT_SIZE], now[DIGEST_TEXT_SIZE];
    json_t *o = entry_json(&v->entry);
    if (!o)
        return NULL;
    json_object_set_new(o, "reason", json_string(v->reason));
    json_object_set_new(o, "was", json_string(v->was));
    json_object_set_new(o, "voidedAt", json_string(clock_format(v->at_ms, at)));
    json_object_set_new(o, "now",
                        v->there ? json_string(digest_format(&v->now, now)) : json_null());
    return o;
}

static void *list_json(void *ask, struct arena *a)
{
    const struct revoked_ask *q = ask;
    struct voided_row *rows = NULL;
    size_t n = 0;
    if (meta_voided(q->r->o.meta, q->registry, q->after, LIST_MAX, a, &rows, &n))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, row_json(&rows[i]));
    json_t *root = json_pack("{s:s, s:s, s:o}", "region", q->r->o.region, "registry", q->registry,
                             "voided", list);
    if (root && n == LIST_MAX)
        json_object_set_new(root, "next", json_integer((json_int_t)rows[n - 1].id));
    return root;
}

static void revoked_run(struct http_request *req, struct http_response *resp)
{
    struct revoked_ask *q = req->ctx;
    serve_list(q->r, req, resp, list_json, "the list cannot be read now");
}

static bool number_ok(const char *s, int64_t *out)
{
    char *end;
    if (*s < '0' || *s > '9' || strlen(s) > 18)
        return false;
    *out = strtoll(s, &end, 10);
    return !*end;
}

void revoked_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                   struct http_plan *plan)
{
    struct revoked_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *name = arena_strdup(&req->arena, reg->name),
               *after = http_query_get(req, "after", 0);
    if (!q || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct revoked_ask){.r = r, .registry = name};
    if (after && !number_ok(after, &q->after)) {
        serve_refuse(req, &plan->response, 400, "after: not a number");
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = revoked_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
