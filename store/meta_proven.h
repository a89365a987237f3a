// SPDX-License-Identifier: Apache-2.0
// Is an entry that the log lacks one that its origin really wrote there, whoever tells it? A signature
// does not say so: the key may have been stolen, and a place that is passed may be filled by a thief.
// What is held here says it.
//
//   - version 2: an entry of the same origin and registry is held that names it as the one before;
//   - version 1, which knows no such chain: its neighbours in the feed are both held, and the running
//     hash leads from the one over it to the other.
//
// What merely goes on from an entry that is held is not proven: anybody with the key can write that.
#ifndef MERIDIAN_STORE_META_PROVEN_H
#define MERIDIAN_STORE_META_PROVEN_H

#include "store/backend.h"
#include "store/entry.h"

struct meta;

// In any transaction. ERR_NOTFOUND: nothing here proves it.
int entry_proven(struct tx *tx, const struct feed_entry *e);
// As meta_snapshot_take, of one entry. ERR_GAP: nothing here proves it.
int meta_proven_take(struct meta *m, const struct feed_entry *e);

#endif
