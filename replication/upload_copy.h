// SPDX-License-Identifier: Apache-2.0
// Copies of uploads that still run in another region, made while their bytes come there (that
// region serves them by replication/upload_serve.c). A copy is kept under the upload's id, which no
// client of this region can name, and is no blob: it becomes one when the other region says which
// digest its commit has verified, if the bytes here have it too. Else they are thrown away, and the
// blob comes by its digest as ever.
//
//   rc = upload_copy_begin(copies, &key);            // on its way, or why not
//   …
//   upload_copy_known(copies, &key, &digest, size);  // the upload was committed
//
// From upload_copy_known on the copy is the flight of that digest (content/flight.h): who wants the
// blob waits for it, and looks for itself if it fails.
//
// What a copy takes counts against the bound of copies ahead (replication/ahead.h): in windows while
// its size is not known, and from then on as a note of that size, which the copy holds until it
// ends. It is given up when the stream breaks, says nothing or is slow (replication/copy_pace.h),
// when the bound or the disk is full, when the size cannot be noted, and when no digest follows its
// end.
//
// Threads: any; nothing here blocks but upload_copies_new and upload_copies_stop. Each copy has a thread while it runs.
//
// Invariants
//   1. A copy whose digest is not known, or does not match, is never published.
//   2. At most UPLOAD_COPIES_MAX run, and no more of one registry and of one region than their
//      shares. One upload is copied once.
//   3. A flight that a copy leads ends when the copy does.
//   4. No byte of a copy is kept that is not counted, until the copy ends.
#ifndef MERIDIAN_REPLICATION_UPLOAD_COPY_H
#define MERIDIAN_REPLICATION_UPLOAD_COPY_H

#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

#define UPLOAD_COPIES_MAX 16
// of these, of one registry, and from one region
#define UPLOAD_COPIES_OF_REGISTRY 4
#define UPLOAD_COPIES_OF_REGION 8

struct replicator;
struct upload_copies;

struct upload_copy_key { // borrowed
    const char *registry, *repository;
    // the region where it runs, and its id there (upload_copy_id_ok)
    const char *origin, *upload;
};
// "<origin>." and hex digits, as that region makes them.
bool upload_copy_id_ok(const char *id, const char *origin);

// Removes what copies of a process that was killed have left. Blocks.
int upload_copies_new(struct replicator *r, struct upload_copies **out);
// All that run end soon, and none begins.
void upload_copies_drain(struct upload_copies *all);
void upload_copies_stop(struct upload_copies *all); // joins their threads. NULL is ignored
void upload_copies_free(struct upload_copies *all); // NULL is ignored

// 0: it is on its way, or was already. ERR_FULL: as many as may run do, in all or of its registry or
// region. ERR_CANCELED, ERR_NOMEM.
int upload_copy_begin(struct upload_copies *all, const struct upload_copy_key *key);
// The upload has become this blob. Nothing happens where no copy of it runs.
void upload_copy_known(struct upload_copies *all, const struct upload_copy_key *key,
                       const struct digest *digest, uint64_t size);
// It is not needed.
void upload_copy_drop(struct upload_copies *all, const struct upload_copy_key *key);

#endif
