// SPDX-License-Identifier: Apache-2.0
// The collection of blobs, in turns of bounded work: what store/meta_collect.h says of rows, and the
// files. Pushes go on in between.
//
//   rc = collect_turn(blobs, meta, &counts);
//   if (counts.more) …soon again…
//
// A turn that fails, or whose process dies, leaves nothing that a later one does not find: a deleted
// blob keeps its row until its file is gone.
#ifndef MERIDIAN_STORE_COLLECT_H
#define MERIDIAN_STORE_COLLECT_H

#include "store/blob.h"
#include "store/meta_collect.h"

// rows that one transaction touches, files that one turn removes
#define COLLECT_TURN_MAX 256

// One turn; adds to *c, also when it fails. A file that cannot be removed fails it only when nothing
// else could be removed. Any thread; two at once do no harm.
int collect_turn(struct blob_store *bs, struct meta *m, struct collect_counts *c);

#endif
