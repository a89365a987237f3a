// SPDX-License-Identifier: Apache-2.0
// The table of the kinds' rules; see kind_rules.h. Small functions that only fit a rule's arguments
// stand here, the rules themselves in the files that own them.
#include "store/kind_rules.h"

#include "store/meta_merge.h"
#include "store/register_set.h"

// Its register is made anew from the log when the entries of the future become void.
static int again_by_log(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    (void)tx;
    (void)repo;
    (void)e;
    return 0;
}

static uint64_t good_stamp(uint64_t stamp, uint64_t limit)
{
    return stamp <= limit ? stamp : 0;
}

// --- a manifest is present, or gone ---

static int manifest_merge(struct tx *tx, int64_t repo, const struct feed_entry *e,
                          struct bytes content, const struct manifest_ref *refs, size_t n_refs,
                          struct digest *out_missing)
{
    const struct manifest_with with = {content, refs, n_refs};
    return merge_manifest(tx, repo, e, &with, out_missing);
}

static int manifest_again_above(struct tx *tx, int64_t repo, const struct feed_entry *e,
                                uint64_t limit, uint64_t *out_above)
{
    struct manifest_now m;
    bool there;
    int rc = manifest_read(tx, repo, &e->digest, &m, &there);
    if (rc)
        return rc;
    *out_above =
        stamp_max(good_stamp(m.value.value.stamp, limit),
                  stamp_max(good_stamp(m.gone.value.stamp, limit), good_stamp(m.killed, limit)));
    return 0;
}

static int manifest_gone_merge(struct tx *tx, int64_t repo, const struct feed_entry *e,
                               struct bytes content, const struct manifest_ref *refs, size_t n_refs,
                               struct digest *out_missing)
{
    (void)content;
    (void)refs;
    (void)n_refs;
    return merge_manifest_gone(tx, repo, e, out_missing);
}

static int manifest_gone_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    return merge_manifest_gone(tx, repo, e, &missing);
}

static const struct kind_rules rules_manifest = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = manifest_merge,
    .merge_alone = manifest_merge_alone,
    .again_above = manifest_again_above,
    .again = again_by_log,
};

static const struct kind_rules rules_manifest_gone = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = manifest_gone_merge,
    .merge_alone = manifest_gone_merge_alone,
    .again_above = manifest_again_above,
    .again = again_by_log,
};

// --- a tag takes a value, or is gone ---

static int tag_merge(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                     const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    (void)content;
    (void)refs;
    (void)n_refs;
    return merge_tag(tx, repo, e, out_missing);
}

static int tag_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    return merge_tag(tx, repo, e, &missing);
}

// It wins over every good value that the tag had.
static int tag_again_above(struct tx *tx, int64_t repo, const struct feed_entry *e, uint64_t limit,
                           uint64_t *out_above)
{
    (void)repo;
    struct register_name name = register_of(e);
    return survey_history_highest(tx, &name, limit, out_above);
}

static const struct kind_rules rules_tag = {
    .waits = KIND_WAITS_FOR_DIGEST,
    .merge = tag_merge,
    .merge_alone = tag_merge_alone,
    .again_above = tag_again_above,
    // into the history: it wins when the others are void
    .again = tag_merge_alone,
};

static const struct kind_rules rules_tag_gone = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = tag_merge,
    .merge_alone = tag_merge_alone,
    .again_above = tag_again_above,
    .again = tag_merge_alone,
};

// --- what is locked ---

static int lock_merge(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                      const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    (void)content;
    (void)refs;
    (void)n_refs;
    return merge_lock(tx, repo, e, out_missing);
}

static int lock_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    return merge_lock(tx, repo, e, &missing);
}

// Above what makes locks void.
static int lock_again_above(struct tx *tx, int64_t repo, const struct feed_entry *e, uint64_t limit,
                            uint64_t *out_above)
{
    struct lock_facts is;
    struct subject s = subject_of(e);
    uint64_t above = 0;
    int rc = lock_read(tx, repo, &s, &is);
    if (!rc && *s.tag)
        rc = tag_again_above(tx, repo, e, limit, &above);
    if (!rc && s.digest.n)
        rc = manifest_again_above(tx, repo, e, limit, &above);
    if (!rc)
        *out_above = stamp_max(above, good_stamp(is.stamp, limit));
    return rc;
}

static const struct kind_rules rules_manifest_lock = {
    .waits = KIND_WAITS_FOR_DIGEST,
    .merge = lock_merge,
    .merge_alone = lock_merge_alone,
    .again_above = lock_again_above,
    .again = again_by_log,
};

static const struct kind_rules rules_tag_lock = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = lock_merge,
    .merge_alone = lock_merge_alone,
    .again_above = lock_again_above,
    .again = again_by_log,
};

static const struct kind_rules rules_repository_lock = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = lock_merge,
    .merge_alone = lock_merge_alone,
    .again_above = lock_again_above,
    .again = again_by_log,
};

// --- the table ---

const struct kind_rules *kind_rules(enum entry_kind kind)
{
#define RULES_OF(constant, number, ident) \
    if (kind == constant)                 \
        return &rules_##ident;
    ENTRY_KINDS(RULES_OF)
#undef RULES_OF
    return NULL;
}

int64_t kinds_that_wait(enum kind_waits waits)
{
    int64_t kinds = 0;
#define ADD(constant, number, ident)  \
    if (rules_##ident.waits == waits) \
        kinds |= (int64_t)1 << constant;
    ENTRY_KINDS(ADD)
#undef ADD
    return kinds;
}
