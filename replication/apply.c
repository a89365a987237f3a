// SPDX-License-Identifier: Apache-2.0
// Applying an entry by its kind; see apply.h.
#include "replication/apply.h"

#include "base/err.h"
#include "replication/apply_priv.h"
#include "replication/kind_apply.h"
#include "replication/replication_priv.h"
#include "replication/revive.h"

#include <assert.h>
#include <stdio.h>

#define REVIVES_MAX 1000 // manifests that one entry leads to

enum apply_result apply_finish(struct replicator *r, const struct feed_entry *e,
                               struct bytes content, const struct manifest *m,
                               struct digest *out_missing, int *out_rc)
{
    const struct manifest_ref *refs = NULL;
    size_t n_refs = 0;
    if (m) {
        refs = m->refs;
        n_refs = m->n_refs;
    }
    int rc = meta_apply(r->o.meta, e, content, refs, n_refs, out_missing);
    room_wrote(r->room, rc);
    *out_rc = rc;
    if (!rc)
        return APPLY_DONE;
    if (rc == ERR_NOTFOUND)
        return APPLY_WAITS;
    return APPLY_FAILED;
}

static bool batch_takes(const struct apply_batch *b, size_t bytes)
{
    return b && b->n < APPLY_ITEMS_MAX && bytes <= APPLY_BATCH_BYTES - b->bytes;
}

enum apply_result apply_add(struct replicator *r, const struct feed_entry *e, struct bytes content,
                            const struct manifest *m, struct apply_batch *batch,
                            struct digest *out_missing, int *out_rc)
{
    size_t refs_n = 0;
    if (m)
        refs_n = m->n_refs * sizeof *m->refs;
    if (!batch_takes(batch, content.n + refs_n))
        return apply_finish(r, e, content, m, out_missing, out_rc);
    struct apply_item item = {.e = e};
    if (content.n)
        item.content = bytes_of(arena_copy(batch->arena, content.p, content.n), content.n);
    if (refs_n) {
        item.refs = arena_copy(batch->arena, m->refs, refs_n);
        item.n_refs = m->n_refs;
    }
    bool lacks = (content.n && !item.content.p) || (refs_n && !item.refs);
    if (lacks) {
        *out_rc = ERR_NOMEM;
        return APPLY_FAILED;
    }
    batch->items[batch->n++] = item;
    batch->bytes += content.n + refs_n;
    return APPLY_LATER;
}

// A registry that was deleted, and made anew perhaps, is another one: what was written to the old
// one is not applied any more, here or anywhere.
static bool is_held(struct replicator *r, const char *registry)
{
    struct topology *t = snapshot_get(r->o.topology);
    const struct registry *reg = NULL;
    const struct region *self = NULL;
    if (t) {
        reg = topology_registry_by_key(t, registry);
        self = topology_region(t, r->o.region);
    }
    bool held = reg && self && registry_replica(reg, self->index);
    snapshot_unref(t);
    return held;
}

enum apply_result apply_local(struct replicator *r, const struct job *job,
                              struct apply_batch *batch, struct digest *out_missing, int *out_rc)
{
    const struct feed_entry *e = &job->entry;
    const struct kind_apply *k = kind_apply(e->kind);
    *out_missing = (struct digest){0};
    *out_rc = 0;
    if (!k) {
        *out_rc = ERR_UNSUPPORTED;
        return APPLY_FAILED;
    }
    if (e->stamp > meta_stamp_limit(r->o.meta)) {
        *out_rc = ERR_AHEAD; // stored by an earlier version: nothing is fetched for it
        return APPLY_FAILED;
    }
    if (!is_held(r, e->registry))
        return APPLY_WAITS; // the topology may be on its way
    enum apply_result result = k->local(r, e, batch, out_missing, out_rc);
    assert(result != APPLY_NEEDS || k->fetching); // kind_apply.h, invariant 1
    if (result == APPLY_WAITS && revive_helps(r, e, out_missing))
        return APPLY_NEEDS;
    return result;
}

// One try. APPLY_WAITS: for *out_missing.
static enum apply_result try_once(struct attempt *a, const struct topology *t,
                                  const struct registry *reg, struct digest *out_missing,
                                  int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    const struct kind_apply *k = kind_apply(a->job.entry.kind);
    int rc = 0;
    *out_missing = (struct digest){0};
    assert(k); // apply_local said APPLY_NEEDS
    if (k->fetching)
        return k->fetching(a, t, reg, out_missing, out_not_before_mono, error);
    enum apply_result result = k->local(a->r, &a->job.entry, NULL, out_missing, &rc);
    if (result != APPLY_FAILED)
        return result;
    a->grade = grade_of(rc);
    snprintf(error, ERROR_TEXT_SIZE, "entry of %s: %s", a->job.entry.origin, err_text(rc));
    return result;
}

// Tries, and fetches what the entry waits for and nothing else brings, until it is applied.
static enum apply_result try_all(struct attempt *a, const struct topology *t,
                                 const struct registry *reg, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE])
{
    for (int i = 0; i < REVIVES_MAX; i++) {
        struct digest missing;
        enum apply_result result = try_once(a, t, reg, &missing, out_not_before_mono, error);
        if (result != APPLY_WAITS || !revive_helps(a->r, &a->job.entry, &missing))
            return result;
        result = revive_content(a, t, reg, &missing, out_not_before_mono, error);
        if (result != APPLY_DONE)
            return result;
    }
    return APPLY_WAITS;
}

enum apply_result apply_fetching(struct attempt *a, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &a->job.entry;
    struct topology *t = snapshot_get(a->r->o.topology);
    const struct registry *reg = NULL;
    enum apply_result result = APPLY_FAILED;
    error[0] = '\0';
    if (t)
        reg = topology_registry_by_key(t, e->registry);
    if (reg)
        result = try_all(a, t, reg, out_not_before_mono, error);
    else
        snprintf(error, ERROR_TEXT_SIZE, "registry %s is not in the topology", e->registry);
    snapshot_unref(t);
    return result;
}
