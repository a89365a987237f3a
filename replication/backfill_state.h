// SPDX-License-Identifier: Apache-2.0
// Which registries of each origin this region has read without a gap up to its read mark. A feed
// carries only what both ends share, so when a registry becomes shared, its past lies behind the
// mark: the feed must be read from the start once more (design section 9; ingest is idempotent).
// Kept in <state_dir>/replication.json, written before the mark moves past anything that it would
// make untrue; a lost or damaged file only means that all is read again.
//
// Used by one reader thread per origin; the file is shared, under a lock of its own.
#ifndef MERIDIAN_REPLICATION_BACKFILL_STATE_H
#define MERIDIAN_REPLICATION_BACKFILL_STATE_H

#include "replication/replication_priv.h"

// Names hang off the arena. None: *out_n 0.
int backfill_state_get(struct replicator *r, const char *origin, struct arena *a, const char ***out,
                       size_t *out_n);
// durable on 0
int backfill_state_set(struct replicator *r, const char *origin, const char *const *names,
                       size_t n);
bool name_in(const char *name, const char *const *names, size_t n);

#endif
