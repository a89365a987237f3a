// SPDX-License-Identifier: Apache-2.0
// GET and HEAD of a blob. A link in this repository is what makes it exist; the bytes, Range and
// the length are the edge's. A blob that is here but not linked in this repository and one that is
// nowhere take the same way: the link is asked, and nothing else. Runs on the pool.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"

void blob_read(struct op *op, struct http_response *resp)
{
    const struct digest *d = &op->route.digest;
    char relative[192], text[DIGEST_TEXT_SIZE];
    static struct log_limit limit = LOG_LIMIT(1000);
    uint64_t size, is = 0;
    int rc = meta_link_get(op->s->meta, op->registry, op->route.name, d, &size);
    if (!rc && ((rc = blob_stat(op->s->blobs, d, &is)) == ERR_NOTFOUND || (!rc && is != size))) {
        // A file that was cut is as good as none: a push finds it absent and replaces it, a peer
        // asks another region.
        log_limited(&limit, LOG_ERROR, "registry: %s/%s links %s, which %s", op->registry,
                    op->route.name, digest_format(d, text),
                    rc ? "is not in the store" : "is damaged in the store: its size is wrong");
        if (op->s->on_lost)
            op->s->on_lost(op->s->on_lost_ctx, op->registry, op->route.name, d);
        rc = ERR_NOTFOUND;
    }
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_BLOB_UNKNOWN, NULL, "no such blob in this repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a blob");
        return;
    }
    if (answer_validators(op, resp, d))
        return;
    blob_relative_path(d, relative);
    const char *path = arena_printf(&op->req->arena, "/_blob/%s", relative);
    if (!path) {
        op->failed = ERR_NOMEM;
        return;
    }
    http_response_accel(resp, 200, path);
    answer_header(op, resp, "Content-Type", "application/octet-stream");
}
