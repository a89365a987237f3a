// SPDX-License-Identifier: Apache-2.0
// Manifests by tag or digest (distribution-spec 1.1). What is stored is what is sent back, byte for
// byte and under its own media type, whatever Accept says: converting would change the digest, and
// refusing would tell a client that a manifest does not exist which does. Reads run on the pool;
// manifest_put.c has the writes.
#include "registry/registry_priv.h"

#include "base/err.h"

int op_manifest_get(struct op *op, struct manifest_row *out)
{
    const struct route *r = &op->route;
    return meta_manifest_get(op->s->meta, op->registry, r->name, r->tag, r->tag ? NULL : &r->digest,
                             &op->req->arena, out);
}

static void manifest_read(struct op *op, struct http_response *resp)
{
    struct manifest_row row;
    int rc = op_manifest_get(op, &row);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "no such manifest in this repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a manifest");
        return;
    }
    bool pulled = op->req->method == HTTP_GET && op->req->listener != LISTENER_PEER;
    if (pulled)
        meta_pulled(op->s->meta, op->registry, op->route.name, &row.digest);
    if (answer_validators(op, resp, &row.digest))
        return;
    http_response_bytes(resp, 200, NULL, row.content);
    answer_header(op, resp, "Content-Type", "%s", row.media_type);
}

void manifest_read_begin(struct op *op, struct http_plan *plan)
{
    op_manifests_fit(op);
    op_plan(op, plan, HTTP_PLAN_RUN, manifest_read);
}
