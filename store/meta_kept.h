// SPDX-License-Identifier: Apache-2.0
// From where on the log has all entries of an origin in a registry: behind the last one that was
// dropped (store/meta_drop.h). For the files of store's metadata only.
#ifndef MERIDIAN_STORE_META_KEPT_H
#define MERIDIAN_STORE_META_KEPT_H

#include "store/meta_priv.h"

// The entry leaves the log; or stays as ended, when none that was dropped before of its origin and
// registry has a higher place, and the one that stayed so until now leaves it. ERR_CONFLICT: it has a
// job.
int kept_drop(struct tx *tx, const struct feed_entry *e, int64_t id);
// An own entry that a peer gave back as ended stays so: no feed of the registry begins before it. It does
// not count as dropped here (kept_from): another peer may give it back whole.
int kept_end(struct tx *tx, const struct feed_entry *e, int64_t id);
// The highest place that was dropped; registry NULL: in any. The zero mark: none was.
int kept_from(struct tx *tx, const char *origin, const char *registry, struct feed_mark *out);

#endif
