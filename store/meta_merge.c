// SPDX-License-Identifier: Apache-2.0
// What an entry does to the state, whichever region wrote it: own writes, entries of peers and
// recovered ones all end here. In a transaction of backend_write. See meta_priv.h.
//
// Invariants (design section 9)
//   2. A manifest is put in only after its references were seen; a tag points only at a manifest
//      that is there.
//   3. Registers: the highest (stamp, origin, epoch, digest) wins (base/register.h), so the order
//      of arrival does not matter; of a manifest, whose digest is fixed, its media type stands in
//      the last place. A version that lost is in the history as if it had come first and been
//      replaced.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/register.h"
#include "store/backend_tags.h"

#include <assert.h>
#include <string.h>

static struct register_value entry_value(const struct feed_entry *e)
{
    return (struct register_value){entry_register_stamp(e), e->origin, e->epoch, e->digest};
}

// --- a manifest's presence ---

struct presence {
    struct register_now now;
    char media_type[MEDIA_TYPE_SIZE];
};

static bool presence_wins(const struct register_value *v, const char *media_type,
                          const struct presence *here)
{
    int order = register_order(v, &here->now.value);
    if (order)
        return order > 0;
    return strcmp(media_type, here->media_type) > 0;
}

static int manifest_put_in(struct tx *tx, int64_t repo, const struct feed_entry *e,
                           struct bytes content, const struct manifest_ref *refs, size_t n_refs,
                           struct digest *out_missing)
{
    struct register_value v = entry_value(e);
    struct manifest_new m = {e->media_type, content};
    if (!content.n)
        return ERR_INVAL;
    int rc = refs_check(tx, repo, refs, n_refs, out_missing);
    if (rc)
        return rc;
    rc = manifest_add(tx, repo, &v, &m);
    if (rc)
        return rc;
    rc = refs_add(tx, repo, &e->digest, refs, n_refs);
    if (rc)
        return rc;
    return links_manifest_live(tx, repo, &e->digest, out_missing);
}

static int presence_merge(struct tx *tx, int64_t repo, const struct feed_entry *e,
                          const struct presence *here)
{
    struct register_value v = entry_value(e);
    if (!presence_wins(&v, e->media_type, here))
        return 0;
    return presence_set(tx, repo, &v, e->media_type);
}

int merge_manifest(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                   const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    struct presence here;
    int rc = presence_get(tx, repo, &e->digest, &here.now, here.media_type);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND)
        rc = manifest_put_in(tx, repo, e, content, refs, n_refs, out_missing);
    else
        rc = presence_merge(tx, repo, e, &here);
    if (rc)
        return rc;
    rc = jobs_wake_for(tx, e->registry, e->repository, &e->digest,
                       kinds_that_wait(KIND_WAITS_FOR_DIGEST));
    if (rc)
        return rc;
    rc = parked_wake(tx, e->registry, e->repository);
    if (rc)
        return rc;
    tx->notify = true;
    return 0;
}

// --- a tag ---

// Which versions stay does not depend on the order of arrival: one that is dropped has
// META_HISTORY_MAX above it for good.
static int version_add(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v)
{
    int rc = tag_history_add(tx, repo, tag, v);
    if (rc)
        return rc;
    return tag_history_trim(tx, repo, tag, META_HISTORY_MAX);
}

// `was` (NULL: none): the value that the tag showed before.
static int tag_show(struct tx *tx, int64_t repo, const struct feed_entry *e,
                    const struct register_value *v, const struct register_now *was,
                    struct digest *out_missing)
{
    assert(!was || register_order(v, &was->value) > 0); // 3
    int rc = manifest_visible(tx, repo, &e->digest);    // 2
    if (rc == ERR_NOTFOUND)
        *out_missing = e->digest;
    if (rc)
        return rc;
    rc = tag_set(tx, repo, e->tag, v);
    if (rc)
        return rc;
    if (!was)
        rc = usage_tags(tx, repo, 1);
    if (rc)
        return rc;
    rc = version_add(tx, repo, e->tag, v);
    if (rc)
        return rc;
    rc = jobs_wake_tag(tx, e->registry, e->repository, e->tag);
    if (rc)
        return rc;
    if (!was || digest_equal(&was->value.digest, &e->digest))
        return 0;
    return presence_settle(tx, repo, &was->value.digest);
}

int merge_tag(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing)
{
    struct register_value v = entry_value(e);
    struct register_now here;
    int rc = tag_get(tx, repo, e->tag, &here);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND)
        rc = tag_show(tx, repo, e, &v, NULL, out_missing);
    else if (register_order(&v, &here.value) > 0)
        rc = tag_show(tx, repo, e, &v, &here, out_missing);
    else
        rc = version_add(tx, repo, e->tag, &v);
    if (rc)
        return rc;
    tx->notify = true;
    return 0;
}
