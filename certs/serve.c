// SPDX-License-Identifier: Apache-2.0
// Answering requests where the CA is; see certs.h. `certs_begin` runs on HTTP threads: it routes,
// and hands out nonces; requests are judged and certificates issued on the pool. The region is the
// one whose peer certificate the edge says it has verified; since the edge's word is not enough,
// the request is signed by that region besides, and nothing in it can name another.
#include "certs/certs_priv.h"
#include "certs/signed_request.h"
#include "certs/signed_text.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/refuse.h"

#include <jansson.h>
#include <string.h>

struct renewal { // one request; hangs off its arena
    struct certs *c;
    const char *region;
};

static void renewal_refuse(struct http_request *req, struct http_response *resp, int rc,
                           const struct diag *diag, const struct renewal *r)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *why = text;
    if (!text || !*text)
        why = err_text(rc);
    static struct log_limit lim = LOG_LIMIT(1000);
    log_limited(&lim, LOG_WARN, "certs: a certificate asked for as %s: %s", r->region, why);
    if (rc == ERR_DENIED)
        http_refuse(req, resp, 403, REFUSED_DENIED, "%s", why);
    else if (rc == ERR_CONFLICT || rc == ERR_BUSY)
        // our clock is wrong, or not compared yet: the asker shall know
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", why);
    else
        http_refuse(req, resp, 500, REFUSED_FAILED, "the CA could not issue: %s", err_text(rc));
}

// The signature first: only the region itself can use its nonces up.
static int renewal_issue(const struct renewal *r, const struct topology *t,
                         struct http_request *req, struct diag *diag, struct signed_request *q,
                         struct buf *out_pem)
{
    struct cert_plan plan;
    int rc = signed_request_parse(t, r->region, req->body, &req->arena, diag, q);
    if (rc)
        return rc;
    if (!nonces_take(&r->c->nonces, r->region, q->nonce, clock_mono_ms())) {
        diag_add(diag, NULL, 0,
                 "the request is refused: its nonce was used, is too old or was not given out "
                 "here; ask anew");
        return ERR_DENIED;
    }
    rc = cert_clock_judge(r->c, diag);
    if (!rc)
        rc = cert_plan(t, r->region, q->kind, &req->arena, &plan);
    if (rc)
        return rc;
    return cert_issue(r->c, &plan, bytes_str(q->csr), diag, out_pem);
}

static void renewal_run(struct http_request *req, struct http_response *resp)
{
    struct renewal *r = req->ctx;
    struct topology *t = snapshot_get(r->c->topology);
    struct signed_request q = {0};
    struct diag diag;
    diag_init(&diag);
    AUTO_BUF struct buf pem;
    buf_init(&pem, PEM_MAX_BYTES);
    int rc = ERR_NOTFOUND;
    if (t)
        rc = renewal_issue(r, t, req, &diag, &q, &pem);
    uint8_t *copy = NULL;
    if (!rc)
        copy = arena_copy(&req->arena, pem.p, pem.n);
    if (!rc && !copy)
        rc = ERR_NOMEM;
    if (rc) {
        renewal_refuse(req, resp, rc, &diag, r);
    } else {
        log_info("certs: issued the %s certificate of %s", cert_kind_name(q.kind), r->region);
        http_response_bytes(resp, 200, "application/x-pem-file", bytes_of(copy, pem.n));
    }
    diag_done(&diag);
    snapshot_unref(t);
}

static void give_nonce(struct certs *c, struct http_request *req, const char *region,
                       struct http_response *resp)
{
    char text[NONCE_TEXT_SIZE];
    int rc = nonces_give(&c->nonces, region, clock_mono_ms(), text);
    if (rc)
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "no nonce can be given: %s", err_text(rc));
    else
        http_response_json(req, resp, 200, json_pack("{s:s}", "nonce", text));
    http_response_header(req, resp, "Cache-Control", "no-store");
}

void certs_begin(struct certs *c, struct http_request *req, const struct region *peer,
                 struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    struct http_response *resp = &plan->response;
    bool nonce = !strcmp(req->path, "/certs/v1/nonce"),
         renew = !strcmp(req->path, "/certs/v1/renew");
    if ((!nonce && !renew) || !c || !c->ca_dir) {
        http_refuse(req, resp, 404, REFUSED_UNSUPPORTED, "this node does not answer for the CA");
        return;
    }
    if (req->method != HTTP_POST) {
        serve_method(req, resp, "POST", "certificates and nonces are asked for by POST");
        return;
    }
    if (req->listener != LISTENER_PEER || !peer) {
        http_refuse(req, resp, 403, REFUSED_DENIED,
                    "a region may renew its own certificates only, by its peer certificate and its "
                    "feed key");
        return;
    }
    if (nonce) {
        give_nonce(c, req, peer->name, resp);
        return;
    }
    struct renewal *r = arena_alloc(&req->arena, sizeof *r);
    // the peer's topology may be gone when this runs
    const char *name = arena_strdup(&req->arena, peer->name);
    if (!r || !name) {
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "out of memory");
        return;
    }
    *r = (struct renewal){c, name};
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = SIGNED_TEXT_MAX_BYTES;
    plan->run = renewal_run;
    plan->ctx = r;
}
