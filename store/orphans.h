// SPDX-License-Identifier: Apache-2.0
// Sweeps published files that no row names: those of a process that died between publishing a blob
// and noting it, those of generations that were replaced, those that a collection could not remove.
//
//   orphans_new(blobs, meta, ORPHANS_WAIT_MS, &o);
//   rc = orphans_step(o, 1024, &n_removed, &bytes);      // a piece of a walk over all files
//   orphans_free(o);
//
// A file goes when a walk found it without a row, and a walk that came at least the wait later did so
// again. Until then an upload that was committed and could not be noted may be repeated; and nobody
// is that slow between committing bytes and noting them. Times are monotonic; a start begins anew.
//
// While own entries are being recovered and miss their content, nothing goes.
//
// Threads: one at a time.
#ifndef MERIDIAN_STORE_ORPHANS_H
#define MERIDIAN_STORE_ORPHANS_H

#include "store/blob.h"
#include "store/meta.h"

// So many are kept in mind; others wait for a later walk.
#define ORPHANS_MAX 4096

struct orphans;
#define ORPHANS_WAIT_MS (24 * 3600 * 1000ll)
int orphans_new(struct blob_store *bs, struct meta *m, int64_t wait_ms, struct orphans **out);
void orphans_free(struct orphans *o); // NULL is accepted

// Looks at up to `max` files. Adds to *n_removed and *bytes. *out_ended: this walk is at its end; the
// next step begins another one.
int orphans_step(struct orphans *o, size_t max, uint64_t *n_removed, uint64_t *bytes,
                 bool *out_ended);

#endif
