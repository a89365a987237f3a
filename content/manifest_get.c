// SPDX-License-Identifier: Apache-2.0
// Fetches one manifest, whole, into memory. On the caller's thread. The invariants are content.h's.
#include "content/content_priv.h"

#include "base/err.h"

#include <stdio.h>

#define PIECE_BYTES (16u << 10)

struct manifest_get {
    struct content *content;
    struct content_ask ask;
    // what came of the source that is asked
    struct buf body;
};

static int body_collect(struct manifest_get *g, struct source *s, struct source_body *body,
                        char error[CONTENT_TEXT_SIZE])
{
    uint8_t piece[PIECE_BYTES];
    for (;;) {
        ssize_t n = source_read(s, body, piece, sizeof piece, error);
        if (n <= 0)
            return (int)n;
        buf_add(&g->body, piece, (size_t)n);
        if (g->body.err) {
            snprintf(error, CONTENT_TEXT_SIZE, "%s: manifest: %s", source_name(s),
                     err_text(g->body.err));
            return g->body.err;
        }
    }
}

static bool is_the_digests(const struct manifest_get *g)
{
    struct digest d;
    int rc = digest_of(g->ask.digest.alg, g->body.p, g->body.n, &d);
    return !rc && digest_equal(&d, &g->ask.digest);
}

static int ask_source(void *arg, struct source *s, struct content_outcome *out,
                      char error[CONTENT_TEXT_SIZE])
{
    struct manifest_get *g = arg;
    struct source_body *body = NULL;
    uint64_t from = 0;
    (void)out;
    int rc = source_open(s, &g->ask, &g->content->stopping, &body, &from, error);
    if (rc)
        return rc;
    buf_init(&g->body, CONTENT_MANIFEST_MAX);
    rc = body_collect(g, s, body, error);
    source_close(s, body);
    if (!rc && !is_the_digests(g)) {
        rc = ERR_DIGEST; // invariant 1
        source_wrong(s, &g->ask, error);
    }
    if (rc)
        buf_done(&g->body);
    return rc;
}

int content_manifest(struct content *c, const struct content_want *w, struct buf *out_body,
                     struct content_outcome *out)
{
    struct manifest_get g = {.content = c,
                             .ask = {.kind = CONTENT_MANIFEST,
                                     .registry = w->registry,
                                     .repository = w->repository,
                                     .digest = w->digest}};
    *out = (struct content_outcome){0};
    int rc = sources_try(w, &c->stopping, ask_source, &g, out);
    if (!rc)
        *out_body = g.body;
    return rc;
}
