// SPDX-License-Identifier: Apache-2.0
// Applying a tag; see apply_tag.h.
#include "replication/apply_tag.h"

#include "replication/apply_priv.h"

#include <assert.h>

enum apply_result tag_apply_local(struct replicator *r, const struct feed_entry *e,
                                  struct apply_batch *batch, struct digest *out_missing,
                                  int *out_rc)
{
    assert(entry_has(e, ENTRY_HAS_TAG));
    return apply_add(r, e, (struct bytes){0}, NULL, batch, out_missing, out_rc);
}
