// SPDX-License-Identifier: Apache-2.0
// A tag's row of kind_apply.h: it needs nothing but its manifest, which another entry brings.
#ifndef MERIDIAN_REPLICATION_APPLY_TAG_H
#define MERIDIAN_REPLICATION_APPLY_TAG_H

#include "replication/kind_apply.h"

enum apply_result tag_apply_local(struct replicator *r, const struct feed_entry *e,
                                  struct apply_batch *batch, struct digest *out_missing,
                                  int *out_rc);

#endif
