// SPDX-License-Identifier: Apache-2.0
// What the other regions are told of an upload. A large one they copy while it runs, so that little
// is left when it ends: they are told once it has ELSEWHERE_UPLOAD_MIN bytes.
//
// The last word of an upload. The other members of the registry are told that the blob is here, and
// copy it ahead of its manifest, under a lease, so that the manifest finds its blobs there (unless
// the registry has `copy_ahead: disabled`). Nobody waits for that.
//
// But a client of the global name may be led to another region by its next request: docker asks for
// the blob (HEAD) as soon as it has the answer, and gives its push up when it is unknown there. A
// HEAD asks nobody, so then the others are told in any case, and the answer waits until they know
// of it, and not for the copies, for which a HEAD there waits (blobs.c). Who has cut itself off
// from the others, or is too busy, is not waited for.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/mem.h"

#define TOLD_MS 1000

static void told(struct op *op, struct http_response *resp, int64_t until_mono)
{
    const struct elsewhere *e = op->s->elsewhere;
    e->ops->told(take_ptr(op->told), until_mono);
    upload_created(op, resp, &op->digest);
}

// On the pool for what waits.
static void told_later(struct op *op, struct http_response *resp)
{
    int64_t until = 0;
    if (!op->req->hurried)
        until = clock_mono_ms() + TOLD_MS;
    told(op, resp, until);
}

void upload_grew(struct op *op, uint64_t before)
{
    const struct elsewhere *e = op->s->elsewhere;
    uint64_t now = blob_upload_size(op->io.u);
    bool crosses = before < ELSEWHERE_UPLOAD_MIN && now >= ELSEWHERE_UPLOAD_MIN;
    // one of a single request has no row: nobody could ask for it
    if (!crosses || op->io.fresh || !e || op->sole_replica || !op->copies_ahead)
        return;
    const struct elsewhere_want want = {
        .registry = op->registry, .repository = op->route.name, .later = true, .upload = op->io.id};
    e->ops->told(e->ops->tell(e->ctx, &want), 0);
}

// Its id, if others may have begun to copy it.
static const char *upload_copied(const struct op *op)
{
    if (op->io.fresh || op->io.blob_size < ELSEWHERE_UPLOAD_MIN)
        return NULL;
    return op->io.id;
}

void upload_ended(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct elsewhere_item item = {
        .kind = CONTENT_BLOB, .digest = op->digest, .size = op->io.blob_size};
    const struct elsewhere_want want = {.registry = op->registry,
                                        .repository = op->route.name,
                                        .items = &item,
                                        .n_items = 1,
                                        .later = !op->may_go_anywhere,
                                        .upload = upload_copied(op)};
    bool tells = op->may_go_anywhere || op->copies_ahead;
    if (tells && e && !op->sole_replica)
        op->told = e->ops->tell(e->ctx, &want);
    if (e && op->told && !op->may_go_anywhere)
        e->ops->told(take_ptr(op->told), 0);
    if (!op->told) {
        upload_created(op, resp, &op->digest);
        return;
    }
    if (!op_may_wait(op)) {
        told(op, resp, 0);
        return;
    }
    op->act = told_later;
    http_response_again(resp, op->s->waiting);
}
