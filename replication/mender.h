// SPDX-License-Identifier: Apache-2.0
// Damaged blobs: who gave wrong bytes is told so, whoever is told verifies, and what is damaged is
// fetched anew.
//
// A region that fetches a blob, or a manifest, and gets bytes that are not the digest's, notes that
// of the source (its row in status) and tells it, over the peer listener:
//   POST /replication/v1/damaged?registry=&repository=&digest=
//       202: will be looked at; 429: too many, or too many that were not so; 403: not a registry of
//       both
// The source reads its file, slowly. If the bytes are wrong indeed, or the file is lost, it sets
// the file aside: the blob is absent from then on, so that pushes bring it again and other regions
// ask elsewhere; and it fetches it anew itself from another region, again and again until it is
// whole. What is to be mended is on the disk (store/blob.h), so it outlives restarts.
//
// A notice is a claim. It costs the region that believes it one paced read of one file: one is read
// at a time, few wait, and a region whose claims were not so is not listened to for a while, each
// time longer, up to an hour. A region of a version before answers 404 to notices, and is not told
// again for a while.
//
// One thread; what others call only notes things under r->lock.
#ifndef MERIDIAN_REPLICATION_MENDER_H
#define MERIDIAN_REPLICATION_MENDER_H

#include "replication/replication_priv.h"

struct mender;
int mender_start(struct replicator *r, struct mender **out);
void mender_stop(struct mender *m); // joins; NULL is ignored
void mender_free(struct mender *m); // after everybody who might call has ended
// The blob may be damaged or lost here: found by ourselves (by NULL), or said by a region.
// ERR_FULL: too many wait, or that region is not listened to now. Any thread.
int mender_suspect(struct mender *m, struct peer *by, const char *registry, const char *repository,
                   const struct digest *d);
// a sentence for each blob that is to be mended; under no lock
void mender_faults(struct mender *m, json_t *list);
void mender_metrics(struct mender *m, struct buf *out);

#endif
