// SPDX-License-Identifier: Apache-2.0
// Anti-entropy: compares what clients see here with what they see in each other region, registry by
// registry, and puts this region right where it is wrong (store/meta_differ.h has the rule, and
// replication/digest_page.h the questions). What it finds stands in replication/differences.h.
//
//   comparer_new(r, &c); comparer_start(c);
//   …
//   comparer_kick(c);                       // a round begins now
//
// Threads: one of its own; the others only kick.
//
// Invariants
//   1. One question is under way at a time, and at most compare_rate subjects are looked at in a
//      second; it waits while jobs are under way, so that pushes and what is read go first.
//   2. A round goes over registries in the order of their keys and over regions in that of the
//      topology, so that two runs over the same state ask the same.
//   3. Nothing enters the store but an entry that a key of its origin signed, in time, that what is
//      held here proves (store/meta_proven.h), and of a registry whose feed of that origin was read
//      without a gap up to the read mark.
//   4. A difference that may be lag is passed over: it is looked at in the next round.
//   5. A round goes by one version of the topology: when another comes it ends, and one begins anew.
#ifndef MERIDIAN_REPLICATION_COMPARER_H
#define MERIDIAN_REPLICATION_COMPARER_H

struct comparer;
struct differences;
struct replicator;

int comparer_new(struct replicator *r, struct comparer **out);
int comparer_start(struct comparer *c);
void comparer_kick(struct comparer *c);
struct differences *comparer_differences(struct comparer *c);
// After life_end. NULL is ignored.
void comparer_stop(struct comparer *c);
void comparer_free(struct comparer *c);

#endif
