// SPDX-License-Identifier: Apache-2.0
// The last word of an upload. When another region passed its requests on, the client talks to that
// region: docker asks there for the blob (HEAD) as soon as it has the answer, and the manifest
// follows there. A HEAD asks nobody, so the blob is copied there first, under a lease; the answer
// waits for that, but not for long: a client that then finds it absent sends it again. On the pool
// for what waits.
#include "registry/registry_priv.h"

#include "base/clock.h"

#define AHEAD_MS 10000

static void copied(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct elsewhere_item item = {
        .kind = CONTENT_BLOB, .digest = op->digest, .size = op->io.blob_size};
    const struct elsewhere_want want = {.registry = op->registry,
                                        .repository = op->route.name,
                                        .items = &item,
                                        .n_items = 1,
                                        .until_mono = clock_mono_ms() + AHEAD_MS};
    if (!op->req->hurried) // what comes of it changes nothing for the upload, which is over
        (void)e->ops->copy_ahead(e->ctx, op->req->passed_by, &want);
    upload_created(op, resp, &op->digest);
}

void upload_ended(struct op *op, struct http_response *resp)
{
    if (!op->req->passed_by || !op->s->elsewhere) {
        upload_created(op, resp, &op->digest);
        return;
    }
    op->act = copied;
    if (op->s->waiting)
        http_response_again(resp, op->s->waiting);
    else
        copied(op, resp);
}
