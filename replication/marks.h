// SPDX-License-Identifier: Apache-2.0
// How far regions have read each other (design section 9, invariants 7 and 8): our own marks of
// others' feeds, and what others say of ours. GET /replication/v1/mark answers the one, mark_ask
// asks for the other.
//
// mark_ask blocks, on the reader's thread; the others on any.
#ifndef MERIDIAN_REPLICATION_MARKS_H
#define MERIDIAN_REPLICATION_MARKS_H

#include "config/topology.h"
#include "net/http.h"
#include "store/entry.h"

struct peer;
struct replicator;

// How far this region has read `origin`, or for itself its head. Blocks on the store.
int read_mark(struct replicator *r, const char *origin, struct feed_mark *out);
// Asks the peer how far it has read us, and notes what it claims (mark_claim.h).
int mark_ask(struct replicator *r, struct peer *p, const struct topology *t);
// The peer came with a mark that is no place in our log: it is asked to prove that it has read it.
void mark_want_proof(struct replicator *r, struct peer *p, const struct feed_mark *mark);
// GET …/mark?origin=R, by the region R itself.
void mark_begin(struct replicator *r, struct http_request *req, const struct region *peer,
                struct http_plan *plan);

#endif
