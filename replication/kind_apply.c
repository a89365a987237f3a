// SPDX-License-Identifier: Apache-2.0
// The table of how each kind of entry is brought about; see kind_apply.h.
#include "replication/kind_apply.h"

#include "replication/apply_manifest.h"
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
    .show = tag_show,
};

const struct kind_apply *kind_apply(enum entry_kind kind)
{
    switch (kind) {
#define APPLY_OF(constant, number, ident) \
    case constant:                        \
        return &apply_##ident;
        ENTRY_KINDS(APPLY_OF)
#undef APPLY_OF
    }
    return NULL; // a number of a later version
}
