// SPDX-License-Identifier: Apache-2.0
// Manifests by tag or digest (distribution-spec 1.1). What is stored is what is sent back, byte for
// byte and under its own media type, whatever Accept says: converting would change the digest, and
// refusing would tell a client that a manifest does not exist which does. Reads that are hot
// (store/hot.h) are answered on the HTTP thread, the others run on the pool; manifest_put.c has the
// writes.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"

int op_manifest_get(struct op *op, struct manifest_row *out)
{
    const struct route *r = &op->route;
    return meta_manifest_get(op->s->meta, op->registry, r->name, r->tag, r->tag ? NULL : &r->digest,
                             &op->req->arena, out);
}

static void manifest_answer(struct op *op, struct http_response *resp,
                            const struct manifest_row *row)
{
    bool pulled = op->req->method == HTTP_GET && op->req->listener != LISTENER_PEER;
    if (pulled)
        meta_pulled(op->s->meta, op->registry, op->route.name, &row->digest);
    if (answer_validators(op, resp, &row->digest))
        return;
    http_response_bytes(resp, 200, NULL, row->content);
    answer_header_text(op, resp, "Content-Type", row->media_type);
}

// What stands in the metadata is not what its digest says. It is not sent: the region fetches it anew.
static void manifest_damaged(struct op *op, struct http_response *resp)
{
    static struct log_limit limit = LOG_LIMIT(1000);
    struct manifest_row row;
    char text[DIGEST_TEXT_SIZE];
    if (!op_manifest_get(op, &row)) {
        log_limited(&limit, LOG_ERROR, "registry: manifest %s of %s/%s is damaged in the metadata",
                    digest_format(&row.digest, text), op->registry_name, op->route.name);
        if (op->s->on_lost)
            op->s->on_lost(op->s->on_lost_ctx, op->registry, op->route.name, &row.digest);
    }
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
              "this manifest is damaged in region %s, which fetches it anew from another region: "
              "try again, or ask another region",
              op->s->region);
    answer_header(op, resp, "Retry-After", "5");
}

static void manifest_read(struct op *op, struct http_response *resp)
{
    struct manifest_row row;
    const struct hot_key key = op_hot_key(op);
    int rc = hot_manifest_read(op->s->hot, &key, &op->req->arena, &row);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "no such manifest in this repository");
        return;
    }
    if (rc == ERR_DIGEST) {
        manifest_damaged(op, resp);
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a manifest");
        return;
    }
    manifest_answer(op, resp, &row);
}

void manifest_read_begin(struct op *op, struct http_plan *plan)
{
    struct manifest_row row;
    const struct hot_key key = op_hot_key(op);
    op_manifests_fit(op);
    if (!hot_manifest(op->s->hot, &key, &op->req->arena, &row)) {
        manifest_answer(op, &plan->response, &row);
        return;
    }
    op_plan(op, plan, HTTP_PLAN_RUN, manifest_read);
}
