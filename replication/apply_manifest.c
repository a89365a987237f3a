// SPDX-License-Identifier: Apache-2.0
// Applying a manifest; see apply_manifest.h.
#include "replication/apply_manifest.h"

#include "base/err.h"
#include "replication/apply_content.h"
#include "replication/apply_priv.h"

#include <assert.h>
#include <stdio.h>

#define MANIFEST_ARENA_MAX (64u << 20)

static enum apply_result local_with(struct replicator *r, const struct feed_entry *e,
                                    struct apply_batch *batch, struct arena *a,
                                    struct digest *out_missing, int *out_rc)
{
    struct bytes content;
    struct manifest m;
    struct manifest_want want;
    manifest_want_of(e, &want);
    *out_rc = want_content_local(r, &want, a, &content);
    if (*out_rc == ERR_NOTFOUND)
        return APPLY_NEEDS;
    if (!*out_rc)
        *out_rc = want_parse(&want, content, a, &m);
    if (*out_rc)
        return APPLY_FAILED;
    for (size_t i = 0; i < m.n_refs; i++) {
        if (want_ref_here(r, &want, &m.refs[i]))
            continue;
        *out_missing = m.refs[i].digest;
        return APPLY_NEEDS;
    }
    return apply_add(r, e, content, &m, batch, out_missing, out_rc);
}

// Deleted since, by an entry that stands above it: it is noted, and needs nothing.
static bool is_superseded(struct replicator *r, const struct feed_entry *e)
{
    enum meta_needs needs;
    return meta_apply_needs(r->o.meta, e, &needs) == 0 && needs == META_NEEDS_NOTHING;
}

enum apply_result manifest_apply_local(struct replicator *r, const struct feed_entry *e,
                                       struct apply_batch *batch, struct digest *out_missing,
                                       int *out_rc)
{
    struct arena a;
    assert(entry_has(e, ENTRY_HAS_CONTENT));
    if (is_superseded(r, e))
        return apply_add(r, e, (struct bytes){0}, NULL, batch, out_missing, out_rc);
    arena_init(&a, MANIFEST_ARENA_MAX);
    enum apply_result result = local_with(r, e, batch, &a, out_missing, out_rc);
    arena_done(&a);
    return result;
}

static enum apply_result fetching_with(struct attempt *w, const struct topology *t,
                                       const struct registry *reg, struct arena *a,
                                       struct digest *out_missing, int64_t *out_not_before,
                                       char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &w->job.entry;
    struct bytes content;
    AUTO_BUF struct buf fetched = {0};
    struct manifest m;
    struct manifest_want want;
    int rc;
    if (is_superseded(w->r, e)) // while it waited for a worker
        return apply_finish(w->r, e, (struct bytes){0}, NULL, out_missing, &rc);
    manifest_want_of(e, &want);
    rc = want_get(w, t, reg, &want, a, &fetched, &content, &m, out_not_before, error);
    if (rc)
        return want_lacks(w, rc, error);
    enum apply_result result = apply_finish(w->r, e, content, &m, out_missing, &rc);
    if (result == APPLY_FAILED) {
        w->grade = GRADE_NONE;
        if (w->own_fault)
            w->grade = GRADE_OWN;
        if (!*error) {
            snprintf(error, ERROR_TEXT_SIZE, "manifest: %s", err_text(rc));
            w->grade = grade_of(rc);
        }
    }
    return result;
}

enum apply_result manifest_apply_fetching(struct attempt *w, const struct topology *t,
                                          const struct registry *reg, struct digest *out_missing,
                                          int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    struct arena a;
    arena_init(&a, MANIFEST_ARENA_MAX);
    enum apply_result result =
        fetching_with(w, t, reg, &a, out_missing, out_not_before_mono, error);
    arena_done(&a);
    return result;
}
