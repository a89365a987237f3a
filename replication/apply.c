// SPDX-License-Identifier: Apache-2.0
// Applying an entry by its kind; see apply.h.
#include "replication/apply.h"

#include "base/err.h"
#include "replication/apply_priv.h"
#include "replication/kind_apply.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdio.h>

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

enum apply_result apply_local(struct replicator *r, const struct job *job,
                              struct digest *out_missing, int *out_rc)
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
    enum apply_result result = k->local(r, e, out_missing, out_rc);
    assert(result != APPLY_NEEDS || k->fetching); // kind_apply.h, invariant 1
    return result;
}

enum apply_result apply_fetching(struct attempt *a, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &a->job.entry;
    const struct kind_apply *k = kind_apply(e->kind);
    struct topology *t = snapshot_get(a->r->o.topology);
    const struct registry *reg = NULL;
    enum apply_result result = APPLY_FAILED;
    assert(k && k->fetching); // apply_local said APPLY_NEEDS
    error[0] = '\0';
    if (t)
        reg = topology_registry_by_key(t, e->registry);
    if (reg)
        result = k->fetching(a, t, reg, out_not_before_mono, error);
    else
        snprintf(error, ERROR_TEXT_SIZE, "registry %s is not in the topology", e->registry);
    snapshot_unref(t);
    return result;
}
