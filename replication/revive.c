// SPDX-License-Identifier: Apache-2.0
// Fetching the content of manifests that are recorded without it; see revive.h.
#include "replication/revive.h"

#include "base/err.h"
#include "replication/apply_content.h"

#include <stdio.h>

#define REVIVE_ARENA_MAX (64u << 20)
#define REVIVE_DEPTH_MAX 8
#define REVIVE_MAX 200 // manifests of one try: the children of an index, and theirs

bool revive_helps(struct replicator *r, const struct feed_entry *e, const struct digest *missing)
{
    return missing->n && meta_content_lacks(r->o.meta, e->registry, e->repository, missing, NULL);
}

struct revive { // one manifest
    struct attempt *w;
    const struct topology *t;
    const struct registry *reg;
    struct digest digest;
    // no region that could be asked has its content, or that of a blob, yet
    bool absent;
    int64_t *out_not_before;
    char *error;
};

static int content_add(struct revive *v, struct arena *a, const struct manifest_want *want,
                       struct digest *out_missing)
{
    const struct feed_entry *e = &v->w->job.entry;
    AUTO_BUF struct buf fetched = {0};
    struct bytes content;
    struct manifest m;
    int rc =
        want_get(v->w, v->t, v->reg, want, a, &fetched, &content, &m, v->out_not_before, v->error);
    v->absent = rc == ERR_NOTFOUND;
    if (rc)
        return rc;
    rc = meta_manifest_content_add(v->w->r->o.meta, e->registry, e->repository, &v->digest,
                                   m.media_type, content, m.refs, m.n_refs, out_missing);
    room_wrote(v->w->r->room, rc);
    return rc;
}

// One manifest. APPLY_WAITS: for *out_missing.
static enum apply_result revive_one(struct revive *v, struct digest *out_missing)
{
    const struct feed_entry *e = &v->w->job.entry;
    char media_type[MEDIA_TYPE_SIZE];
    struct arena a;
    *out_missing = (struct digest){0};
    if (!meta_content_lacks(v->w->r->o.meta, e->registry, e->repository, &v->digest, media_type))
        return APPLY_DONE; // it came meanwhile
    const struct manifest_want want = {.registry = e->registry,
                                       .repository = e->repository,
                                       .digest = v->digest,
                                       .media_type = media_type};
    arena_init(&a, REVIVE_ARENA_MAX);
    int rc = content_add(v, &a, &want, out_missing);
    arena_done(&a);
    if (!rc)
        return APPLY_DONE;
    if (rc == ERR_NOTFOUND && !v->absent)
        return APPLY_WAITS;
    return want_lacks(v->w, rc, v->error);
}

enum apply_result revive_content(struct attempt *w, const struct topology *t,
                                 const struct registry *reg, const struct digest *d,
                                 int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    struct revive v = {
        .w = w, .t = t, .reg = reg, .out_not_before = out_not_before_mono, .error = error};
    // the manifest last, and before it what it turned out to lack
    struct digest path[REVIVE_DEPTH_MAX];
    size_t n = 1;
    path[0] = *d;
    for (int i = 0; n && i < REVIVE_MAX; i++) {
        struct digest missing;
        v.digest = path[n - 1];
        enum apply_result result = revive_one(&v, &missing);
        if (result == APPLY_DONE) {
            n--;
            continue;
        }
        bool deeper = result == APPLY_WAITS && n < REVIVE_DEPTH_MAX;
        if (!deeper || !revive_helps(w->r, &w->job.entry, &missing))
            return result;
        path[n++] = missing;
    }
    return n ? APPLY_WAITS : APPLY_DONE; // the next try goes on
}
