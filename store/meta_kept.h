// SPDX-License-Identifier: Apache-2.0
// From where on the log has all entries of an origin in a registry: behind the last one that was
// dropped (store/meta_drop.h). For the files of store's metadata only.
#ifndef MERIDIAN_STORE_META_KEPT_H
#define MERIDIAN_STORE_META_KEPT_H

#include "store/meta_priv.h"

// The entry is dropped. *out_higher: none that was dropped before of its origin and registry has a higher
// place, so it stays as ended; *out_before is then the one that did so until now, 0: there was none.
int kept_move(struct tx *tx, const struct feed_entry *e, int64_t id, bool *out_higher,
              int64_t *out_before);
// The highest place that was dropped; registry NULL: in any. The zero mark: none was.
int kept_from(struct tx *tx, const char *origin, const char *registry, struct feed_mark *out);

#endif
