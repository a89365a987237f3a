// SPDX-License-Identifier: Apache-2.0
// The table of how each kind of entry is brought about; see kind_apply.h.
#include "replication/kind_apply.h"

#include "replication/apply_manifest.h"
#include "replication/apply_priv.h"
#include "replication/apply_tag.h"

static const struct kind_apply apply_manifest = {
    .local = manifest_apply_local,
    .fetching = manifest_apply_fetching,
    // an index waits for its children, and nothing wakes it
    .waits_ms = 2000,
};

static const struct kind_apply apply_tag = {
    .local = tag_apply_local,
    // its manifest wakes it sooner
    .waits_ms = 30000,
};

// Nothing is fetched for what is deleted or locked.
static enum apply_result plain_apply_local(struct replicator *r, const struct feed_entry *e,
                                           struct apply_batch *batch, struct digest *out_missing,
                                           int *out_rc)
{
    return apply_add(r, e, (struct bytes){0}, NULL, batch, out_missing, out_rc);
}

static const struct kind_apply apply_manifest_gone = {
    .local = plain_apply_local,
    .waits_ms = 30000,
};

static const struct kind_apply apply_tag_gone = {
    .local = plain_apply_local,
    .waits_ms = 30000,
};

static const struct kind_apply apply_manifest_lock = {
    .local = plain_apply_local,
    .waits_ms = 30000,
};

static const struct kind_apply apply_tag_lock = {
    .local = plain_apply_local,
    .waits_ms = 30000,
};

static const struct kind_apply apply_repository_lock = {
    .local = plain_apply_local,
    .waits_ms = 30000,
};

const struct kind_apply *kind_apply(enum entry_kind kind)
{
    switch (kind) {
#define APPLY_OF(constant, number, ident) \
    case constant:                        \
        return &apply_##ident;
        ENTRY_KINDS(APPLY_OF)
#undef APPLY_OF
    case ENTRY_UNKNOWN:
        break;
    }
    return NULL; // a number of a later version
}
