// SPDX-License-Identifier: Apache-2.0
// What entries do to a tag, and to locks; see meta_merge.h for the invariants.
#include "store/meta_merge.h"

#include "base/err.h"
#include "store/backend_tags.h"

#include <assert.h>

// --- a tag takes a value, or is gone ---

// Which versions stay does not depend on the order of arrival: one that is dropped has
// META_HISTORY_MAX above it for good.
static int version_add(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct register_value v = entry_value(e);
    char by[BY_SIZE];
    by_put(by, e->by);
    int rc = tag_history_add(tx, repo, e->tag, &v, by);
    if (rc)
        return rc;
    return tag_history_trim(tx, repo, e->tag, META_HISTORY_MAX);
}

int merge_tag(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing)
{
    struct tag_now was, t;
    bool there;
    int rc = tag_read(tx, repo, e->tag, &was, &there);
    if (rc)
        return rc;
    t = was;
    register_put(&t.value, &was.value.value); // a copy has its own strings
    register_put(&t.gone, &was.gone.value);
    if (tag_register_take(&t, e))
        rc = tag_settle(tx, repo, &t, there ? &was : NULL, out_missing);
    if (!rc)
        rc = version_add(tx, repo, e);
    if (!rc)
        rc = jobs_wake_tag(tx, e->registry, e->repository, e->tag);
    if (!rc)
        tx->notify = true;
    return rc;
}

// --- locks ---

// Its delete lock may hold it, and tags to it.
static int manifest_relock(struct tx *tx, int64_t repo, const struct digest *digest,
                           const struct lock_now *l, struct digest *out_missing)
{
    struct manifest_now m;
    struct lock_facts facts = {l->value.value.stamp, l->write, l->del};
    bool there;
    int rc = manifest_read(tx, repo, digest, &m, &there);
    if (rc)
        return rc;
    if (lock_keeps(&facts, m.killed) && !m.live)
        rc = manifest_raise(tx, repo, digest, out_missing);
    if (!rc && m.killed)
        rc = tags_settle(tx, repo, digest, out_missing);
    if (rc)
        return rc;
    return manifest_lower(tx, repo, digest);
}

int merge_lock(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing)
{
    struct lock_now l;
    struct subject s = subject_of(e);
    int rc = lock_get(tx, repo, &s, &l);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND) {
        static const struct register_value none = {.origin = ""};
        register_put(&l.value, &none);
        l.write = l.del = false;
        l.by[0] = '\0';
    }
    if (!lock_register_take(&l, e))
        return 0;
    rc = lock_save(tx, repo, &s, &l);
    if (!rc && *s.tag)
        rc = tag_settle_again(tx, repo, s.tag, out_missing);
    if (!rc && s.digest.n)
        rc = manifest_relock(tx, repo, &s.digest, &l, out_missing);
    if (!rc)
        tx->notify = true;
    return rc;
}
