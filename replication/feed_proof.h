// SPDX-License-Identifier: Apache-2.0
// Which entries of a revoked key are good: a revocation names the running hash of the last one, and
// that hash commits to all entries before it. So a reader goes over a feed twice: first only to
// follow the hashes up to that place, then to take what it has seen proven. What lies behind a gap
// (entries that the sender filters out) cannot be proven so.
//
//   rc = feed_proof_new(origin, &mark, &p);   // p NULL: nothing is to be proven
//   …feed_proof_line for each entry from the mark on, until feed_proof_past says that all places
//    are passed…
//   rules.proof = p;   // feed_line_accept asks feed_proof_judge
//
// The hashes of a long feed are too many to be kept. Then the proof holds for a first stretch, and
// at its end (feed_proof_ends) the reader begins a new proof from there.
//
// Not thread-safe; one per reading.
#ifndef MERIDIAN_REPLICATION_FEED_PROOF_H
#define MERIDIAN_REPLICATION_FEED_PROOF_H

#include "config/topology.h"
#include "store/entry.h"

#define FEED_PROOF_MAX 1000000u // entries of a stretch that are remembered, of 48 octets

struct feed_proof;

// For the part of `origin`'s feed from `from` on; origin is of a topology that outlives it. *out is
// NULL when none of its keys is revoked at a place past that.
int feed_proof_new(const struct region *origin, const struct feed_mark *from,
                   struct feed_proof **out);
void feed_proof_free(struct feed_proof *p);
// Another length of a stretch than FEED_PROOF_MAX, before the first line.
void feed_proof_bound(struct feed_proof *p, size_t max);
// The next entry, in order, after its signature was verified. ERR_NOMEM.
int feed_proof_line(struct feed_proof *p, const struct feed_entry *e);
// no place to be proven lies past m
bool feed_proof_past(const struct feed_proof *p, const struct feed_mark *m);
// The stretch ends at m or before: what is proven behind it is not known any more.
bool feed_proof_ends(const struct feed_proof *p /* may be NULL */, const struct feed_mark *m);

enum proof {
    PROOF_UNKNOWN, // not seen in an unbroken run up to the place
    PROOF_GOOD,
    PROOF_OTHER, // another entry is proven to stand in its place
};
enum proof feed_proof_judge(const struct feed_proof *p /* may be NULL */,
                            const struct feed_entry *e);

#endif
