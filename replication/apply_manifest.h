// SPDX-License-Identifier: Apache-2.0
// A manifest's row of kind_apply.h: its content is what the entry carried or what a source gives,
// and the blobs that it refers to are fetched and linked before the store is told.
#ifndef MERIDIAN_REPLICATION_APPLY_MANIFEST_H
#define MERIDIAN_REPLICATION_APPLY_MANIFEST_H

#include "replication/kind_apply.h"

enum apply_result manifest_apply_local(struct replicator *r, const struct feed_entry *e,
                                       struct apply_batch *batch, struct digest *out_missing,
                                       int *out_rc);
enum apply_result manifest_apply_fetching(struct attempt *w, const struct topology *t,
                                          const struct registry *reg, struct digest *out_missing,
                                          int64_t *out_not_before_mono,
                                          char error[ERROR_TEXT_SIZE]);

#endif
