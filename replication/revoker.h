// SPDX-License-Identifier: Apache-2.0
// Feed keys that the topology revokes: the store is told before anything is read by that topology,
// then a thread sweeps out what the store holds of them, in pieces.
//
// Threads: any. revoker_tell blocks on the store.
//
// Invariants (design section 9)
//   3. All regions end with the same registers, whoever had read or applied what: what is void
//      counts nowhere, and what is good is read again from the place of the revocation on.
//   8. Our own key: nothing is written until another one signs; then in a new epoch.
#ifndef MERIDIAN_REPLICATION_REVOKER_H
#define MERIDIAN_REPLICATION_REVOKER_H

#include "config/topology.h"

struct replicator;
struct revoker;

int revoker_new(struct replicator *r, struct revoker **out);
int revoker_start(struct revoker *v);
// Tells the store which keys this topology revokes, if it was not told yet.
int revoker_tell(struct revoker *v, const struct topology *t);
// The topology is another one.
void revoker_kick(struct revoker *v);
// After life_end: joins the thread. NULL is ignored.
void revoker_stop(struct revoker *v);
void revoker_free(struct revoker *v);

#endif
