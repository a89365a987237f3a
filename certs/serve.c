// SPDX-License-Identifier: Apache-2.0
// Answering renewals where the CA is; see certs.h. `certs_begin` runs on HTTP threads and only routes; issuing runs on
// the pool. The region is the one that mutual TLS proved (its fingerprint is in the topology): nothing in the request
// can name another.
#include "certs/certs_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/oci_error.h"

#include <string.h>

struct renewal { // one request; hangs off its arena
    struct certs *c;
    const char *region;
    enum cert_kind kind;
};

static void renewal_refuse(struct http_request *req, struct http_response *resp, int rc, const struct diag *diag,
                           const struct renewal *r)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *why = text && *text ? text : err_text(rc);
    log_warn("certs: renewal of the %s certificate of %s: %s", cert_kind_name(r->kind), r->region, why);
    if (rc == ERR_DENIED)
        oci_error(req, resp, 403, "DENIED", NULL, "%s", why);
    else
        oci_error(req, resp, 500, "UNKNOWN", NULL, "the CA could not issue: %s", err_text(rc));
}

static void renewal_run(struct http_request *req, struct http_response *resp)
{
    struct renewal *r = req->ctx;
    struct topology *t = snapshot_get(r->c->topology);
    struct cert_plan plan;
    struct diag diag;
    diag_init(&diag);
    AUTO_BUF struct buf pem;
    buf_init(&pem, PEM_MAX_BYTES);
    int rc = t ? cert_plan(t, r->region, r->kind, &req->arena, &plan) : ERR_NOTFOUND;
    if (!rc)
        rc = ca_issue(r->c->ca, &plan, req->body, 0, &diag, &pem);
    uint8_t *copy = rc ? NULL : arena_copy(&req->arena, pem.p, pem.n);
    if (!rc && !copy)
        rc = ERR_NOMEM;
    if (rc) {
        renewal_refuse(req, resp, rc, &diag, r);
    } else {
        log_info("certs: issued the %s certificate of %s", cert_kind_name(r->kind), r->region);
        http_response_bytes(resp, 200, "application/x-pem-file", bytes_of(copy, pem.n));
    }
    diag_done(&diag);
    snapshot_unref(t);
}

void certs_begin(struct certs *c, struct http_request *req, const struct region *peer, struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    struct http_response *resp = &plan->response;
    enum cert_kind kind;
    if (strcmp(req->path, "/certs/v1/renew") || !c || !c->ca) {
        oci_error(req, resp, 404, "UNSUPPORTED", NULL, "this node does not answer for the CA");
        return;
    }
    if (req->method != HTTP_POST) {
        oci_error(req, resp, 405, "UNSUPPORTED", NULL, "renewal takes POST");
        http_response_header(req, resp, "Allow", "POST");
        return;
    }
    const char *region = http_query_get(req, "region", 0), *text = http_query_get(req, "kind", 0);
    if (req->listener != LISTENER_PEER || !peer || (region && strcmp(region, peer->name))) {
        oci_error(req, resp, 403, "DENIED", NULL,
                  "a region may renew its own certificates only, by its peer certificate");
        return;
    }
    if (!text || cert_kind_parse(text, &kind)) {
        oci_error(req, resp, 400, "UNSUPPORTED", NULL, "kind is region, shared or peer");
        return;
    }
    struct renewal *r = arena_alloc(&req->arena, sizeof *r);
    const char *name = arena_strdup(&req->arena, peer->name); // the peer's topology may be gone when this runs
    if (!r || !name) {
        oci_error(req, resp, 503, "UNAVAILABLE", NULL, "out of memory");
        return;
    }
    *r = (struct renewal){c, name, kind};
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = CERT_REQUEST_MAX_BYTES;
    plan->run = renewal_run;
    plan->ctx = r;
}
