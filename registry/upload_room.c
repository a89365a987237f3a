// SPDX-License-Identifier: Apache-2.0
// Uploads that make room for others of the same principal: the metadata asks here which may go
// (those without a request under way), and their bytes are removed once their rows are gone. On the
// pool; `yields` on a thread of the metadata's.
#include "registry/registry_priv.h"

#include "base/log.h"

#include <string.h>

static const struct busy_claim *claim_find(const struct room *r, const char *id)
{
    const struct busy_claim *c = r->claims.first;
    while (c && strcmp(c->id, id) != 0)
        c = c->next;
    return c;
}

// Asked again for the same upload when the transaction has to run again.
static bool yields(void *ctx, const char *id)
{
    struct room *r = ctx;
    if (claim_find(r, id))
        return true;
    // In a restart its request may be under way in the old process.
    if (blob_upload_elsewhere(r->s->blobs, id))
        return false;
    return busy_claim(&r->s->busy, id, &r->claims);
}

static void gone(void *ctx, const char *id)
{
    struct room *r = ctx;
    open_uploads_drop(&r->s->open_uploads, id);
    // what stays behind is found by blob_uploads_expire
    (void)blob_upload_discard(r->s->blobs, id);
    r->last = claim_find(r, id);
    r->n_gone++;
}

void room_init(struct room *r, struct registry_service *s)
{
    *r = (struct room){.s = s, .bounds = s->uploads};
    r->bounds.yields = yields;
    r->bounds.gone = gone;
    r->bounds.ctx = r;
}

size_t room_done(struct room *r)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    if (r->n_gone)
        log_limited(&limit, LOG_WARN,
                    "registry: %zu idle uploads were dropped, %s the last: their user left more "
                    "behind than is allowed "
                    "(uploads.per_principal, per_registry, bytes_per_principal)",
                    r->n_gone, r->last ? r->last->id : "");
    busy_release(&r->s->busy, &r->claims);
    return r->n_gone;
}
