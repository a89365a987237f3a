// SPDX-License-Identifier: Apache-2.0
// Asking the region that answers for the CA; see certs.h. Called by renew.c with `work` held;
// blocks.
#include "certs/certs_priv.h"
#include "certs/signed_request.h"
#include "certs/signed_text.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ASK_TIMEOUT_MS 15000

struct ask {
    struct certs *c;
    const struct region *to;
    const char *host, *kind;
    struct arena *arena;
    struct diag *diag;
};

// The sentence in the OCI error JSON of a refusal, cut to printable ASCII.
static void refusal_text(const struct fetch_result *r, char *out, size_t cap)
{
    json_t *root = json_loadb(buf_cstr(&r->body), r->body.n, 0, NULL);
    const char *message = json_string_value(
        json_object_get(json_array_get(json_object_get(root, "errors"), 0), "message"));
    snprintf(out, cap, "%s", message ? message : "no reason given");
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    json_decref(root);
}

static int ask_begin(struct ask *q, const struct topology *t, const struct cert_plan *plan)
{
    if (t->ca_region)
        q->to = topology_region(t, t->ca_region);
    else
        q->to = NULL;
    q->kind = cert_kind_name(plan->kind);
    if (!q->to) {
        diag_add(q->diag, NULL, 0,
                 "the topology names no ca_region: renewals are by hand, where the CA is");
        return ERR_UNSUPPORTED;
    }
    if (!strcmp(q->to->name, q->c->region)) {
        diag_add(q->diag, NULL, 0,
                 "this region answers for the CA, but its ca_dir is not set or cannot be used");
        return ERR_UNSUPPORTED;
    }
    return cert_peer_name(t->domain, q->to->name, q->arena, &q->host);
}

static int answer_judge(const struct ask *q, const struct fetch_result *r, const char *what)
{
    char why[512];
    if (r->err) {
        diag_add(q->diag, NULL, 0, "asking %s for %s: %s", q->to->name, what, r->message);
        return r->err;
    }
    if (r->status == 200)
        return 0;
    refusal_text(r, why, sizeof why);
    diag_add(q->diag, NULL, 0, "%s refuses %s (status %d): %s%s", q->to->name, what, r->status, why,
             r->status == 404 ? "; its ca_dir must be set there, and its version as new as this one"
                              : "");
    if (r->status == 403)
        return ERR_DENIED;
    return ERR_PROTO;
}

// POSTs; the answer's body into `out`.
static int ask_post(const struct ask *q, const char *route, struct bytes body, const char *what,
                    struct buf *out)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    const struct fetch_request f = {
        .method = "POST",
        .url =
            arena_printf(q->arena, "https://%s:%u/certs/v1/%s", q->host, q->to->peer.port, route),
        .connect_to = &q->to->peer,
        .ca_file = arena_printf(q->arena, "%s/ca.pem", q->c->dir),
        .client_pem = arena_printf(q->arena, "%s/peer.pem", q->c->dir),
        .peer = q->to->name,
        .pinned = true,
        .pins = q->to->peer_fingerprints,
        .n_pins = q->to->n_peer_fingerprints,
        .headers = headers,
        .n_headers = ARRAY_LEN(headers),
        .body = body,
        .timeout_ms = ASK_TIMEOUT_MS,
        .max_bytes = PEM_MAX_BYTES,
        .stop = &q->c->stop,
        .fresh_connection = true, // the peer certificate may have changed since the last one
    };
    if (!f.url || !f.ca_file || !f.client_pem)
        return ERR_NOMEM;
    struct fetch_result r;
    fetch_run(q->c->fetcher, &f, &r);
    int rc = answer_judge(q, &r, what);
    if (!rc) {
        buf_add(out, r.body.p, r.body.n);
        rc = out->err;
    }
    fetch_result_done(&r);
    return rc;
}

static int ask_nonce(const struct ask *q, const char **out)
{
    AUTO_BUF struct buf body;
    buf_init(&body, PEM_MAX_BYTES);
    int rc = ask_post(q, "nonce", bytes_str("{}"), "a nonce", &body);
    if (rc)
        return rc;
    json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(root, "nonce"));
    bool good = text && strlen(text) == NONCE_TEXT_SIZE - 1;
    if (good)
        *out = arena_strdup(q->arena, text);
    else
        *out = NULL;
    json_decref(root);
    if (!good) {
        diag_add(q->diag, NULL, 0, "asking %s for a nonce: what came is none", q->to->name);
        return ERR_PROTO;
    }
    if (*out)
        return 0;
    return ERR_NOMEM;
}

int cert_ask(struct certs *c, const struct topology *t, const struct cert_plan *plan,
             const char *csr, struct arena *a, struct diag *diag, struct buf *out_pem)
{
    struct ask q = {.c = c, .arena = a, .diag = diag};
    struct signed_request sr = {
        .domain = t->domain, .region = c->region, .kind = plan->kind, .csr = csr};
    int rc = ask_begin(&q, t, plan);
    if (!rc)
        rc = ask_nonce(&q, &sr.nonce);
    if (rc)
        return rc;
    AUTO_BUF struct buf body;
    buf_init(&body, SIGNED_TEXT_MAX_BYTES);
    rc = signed_request_format(&sr, c->keys, &body);
    const char *what = arena_printf(a, "the %s certificate", q.kind);
    if (rc || !what) {
        if (rc)
            return rc;
        return ERR_NOMEM;
    }
    return ask_post(&q, "renew", bytes_of(body.p, body.n), what, out_pem);
}
