// SPDX-License-Identifier: Apache-2.0
// The table of the kinds' rules; see kind_rules.h. Small functions that only fit a rule's arguments
// stand here, the rules themselves in the files that own them.
#include "store/kind_rules.h"

#include "store/register_set.h"

// --- a manifest is present ---

// Presence has no history that it must stand above.
static int manifest_again_above(struct tx *tx, int64_t repo, const struct feed_entry *e,
                                uint64_t limit, uint64_t *out_above)
{
    (void)tx;
    (void)repo;
    (void)e;
    (void)limit;
    *out_above = 0;
    return 0;
}

// Its register is made anew from the log when the entries of the future become void.
static int manifest_again(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    (void)tx;
    (void)repo;
    (void)e;
    return 0;
}

static const struct kind_rules rules_manifest = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = merge_manifest,
    .merge_alone = manifest_merge_alone,
    .again_above = manifest_again_above,
    .again = manifest_again,
};

// --- a tag takes a value ---

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

// --- the table ---
// Kinds without rules here are kept as unknown ones are (meta_ingest).
#define RULED_KINDS(KIND)             \
    KIND(ENTRY_MANIFEST, 1, manifest) \
    KIND(ENTRY_TAG, 2, tag)

const struct kind_rules *kind_rules(enum entry_kind kind)
{
#define RULES_OF(constant, number, ident) \
    if (kind == constant)                 \
        return &rules_##ident;
    RULED_KINDS(RULES_OF)
#undef RULES_OF
    return NULL;
}

int64_t kinds_that_wait(enum kind_waits waits)
{
    int64_t kinds = 0;
#define ADD(constant, number, ident)  \
    if (rules_##ident.waits == waits) \
        kinds |= (int64_t)1 << constant;
    RULED_KINDS(ADD)
#undef ADD
    return kinds;
}
