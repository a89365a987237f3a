// SPDX-License-Identifier: Apache-2.0
// GET and HEAD of a blob. A link in this repository is what makes it exist; the bytes, Range and the length are the
// edge's. A blob that is here but not linked in this repository and one that is nowhere take the same way: the link is
// asked, and nothing else. Runs on the pool.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"

void blob_read(struct op *op, struct http_response *resp)
{
    const struct digest *d = &op->route.digest;
    char relative[192], text[DIGEST_TEXT_SIZE];
    uint64_t size;
    int rc = meta_link_get(op->s->meta, op->registry, op->route.name, d, &size);
    if (!rc && (rc = blob_stat(op->s->blobs, d, &size)) == ERR_NOTFOUND)
        log_error("registry: %s/%s links %s, which is not in the store", op->registry, op->route.name,
                  digest_format(d, text));
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, "BLOB_UNKNOWN", NULL, "no such blob in this repository");
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
