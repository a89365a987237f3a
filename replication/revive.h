// SPDX-License-Identifier: Apache-2.0
// Content of a manifest that is recorded here without it: it was deleted before its content came,
// and something that lives leads to it now (a tag that was set after the delete, a lock). No other
// entry brings it, so the job that needs it fetches it by digest.
//
//   if (result == APPLY_WAITS && revive_helps(r, entry, &missing))
//       result = revive_content(attempt, topology, registry, &missing, &not_before, error);
//
// revive_content is a worker's and blocks on sources; revive_helps blocks on the store.
#ifndef MERIDIAN_REPLICATION_REVIVE_H
#define MERIDIAN_REPLICATION_REVIVE_H

#include "replication/apply.h"
#include "replication/replication_priv.h"

// Is what the entry waits for such a manifest? Else its own entry will come.
bool revive_helps(struct replicator *r, const struct feed_entry *e, const struct digest *missing);
// Makes the manifest's content be here, with its blobs, and that of its children that are recorded
// in the same way. APPLY_DONE: the entry can be tried again. APPLY_WAITS: for another entry.
enum apply_result revive_content(struct attempt *w, const struct topology *t,
                                 const struct registry *reg, const struct digest *d,
                                 int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE]);

#endif
