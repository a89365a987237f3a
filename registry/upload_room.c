// SPDX-License-Identifier: Apache-2.0
// Uploads that make room for others of the same principal: which may go (no request of theirs is
// under way) is said to the metadata here, and their files are removed once their rows are. On the
// pool, and on the metadata's writer thread.
#include "registry/registry_priv.h"

#include "base/log.h"

static bool yields(void *ctx, const char *id)
{
    struct room *r = ctx;
    // In a restart its request may be under way in the old process.
    return !blob_upload_elsewhere(r->s->blobs, id) && busy_claim(&r->s->busy, id, &r->claims);
}

void room_init(struct room *r, struct registry_service *s)
{
    *r = (struct room){.s = s, .bounds = s->uploads};
    r->bounds.yields = yields;
    r->bounds.ctx = r;
}

static size_t files_remove(struct room *r)
{
    size_t n = 0;
    for (const struct busy_claim *c = r->claims.first; c; c = c->next, n++) {
        open_uploads_drop(&r->s->open_uploads, c->id);
        // what stays behind is found by blob_uploads_expire
        blob_upload_discard(r->s->blobs, c->id);
    }
    return n;
}

size_t room_done(struct room *r, int rc)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    size_t n = 0;
    if (!rc)
        n = files_remove(r);
    const char *id = "";
    if (n)
        id = r->claims.first->id;
    if (n)
        log_limited(&limit, LOG_WARN,
                    "registry: %zu idle uploads were dropped, %s the last: their user left more "
                    "behind than is allowed "
                    "(uploads.per_principal, per_registry, bytes_per_principal)",
                    n, id);
    busy_release(&r->s->busy, &r->claims);
    return n;
}
