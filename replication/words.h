// SPDX-License-Identifier: Apache-2.0
// The words of the members of registries (replication/horizon.h): this region tells each other one,
// every few seconds, how far it has applied all origins in the registries that both hold, and what it
// promises as an origin; and it keeps what the others tell.
//
//   POST /replication/v1/marks                    peer listener
//   {"word":{"head":CURSOR,"stamp":"N","key":ID,"sig":BASE64URL},
//    "registries":{KEY:{"floor":"N","applied":{REGION:"N",…},"seals":{REGION:CURSOR,…}},…}}
//
//   {"region":NAME,"taken":N}                     rows of registries that both hold
//
// The signed word is the origin's promise: entries of its own with a stamp at or below `stamp` stand
// at or before `head`, and no other ones will come. Signed text: "meridian-word-1\n", origin, head,
// stamp, each followed by "\n". A region counts an origin's promise once its read mark is at `head`.
//
// `seals` are those of the topology that the row was made by, of regions that hold the registry; left
// out, there are none. A row counts only where they are the same: one that was made without a seal says
// nothing of what its member lacks of the region that is sealed.
//
// Nothing of it is durable: after a restart all is told anew within one round.
//
// Threads: one that tells; words_take on the pool; looking on any thread. Invariants of horizon.h.
#ifndef MERIDIAN_REPLICATION_WORDS_H
#define MERIDIAN_REPLICATION_WORDS_H

#include "base/bytes.h"
#include "config/topology.h"
#include "replication/horizon.h"

#define WORDS_EVERY_MS 5000 // between two rounds, unless the options say otherwise
// For so many rounds a word counts: HORIZON_LEASE_MS
#define WORDS_LEASE_ROUNDS (HORIZON_LEASE_MS / WORDS_EVERY_MS)
#define WORDS_PROMISE_ROUNDS 3 // a promise may be a write, so it is not made in each round

struct http_plan;
struct http_request;
struct replicator;
struct words;

int words_new(struct replicator *r, struct words **out);
int words_start(struct words *w);
void words_kick(struct words *w); // a round is due at once
// After life_end: joins the thread. NULL is ignored.
void words_stop(struct words *w);
void words_free(struct words *w);

// Takes what `peer` tells. ERR_PROTO: it is malformed, and nothing of it was taken; ERR_AUTH: its
// promise has no good signature.
int words_take(struct words *w, const struct topology *t, const struct region *peer,
               struct bytes body, size_t *out_taken);

// A registry as the members see it: horizon_floor of it into *out_floor, and horizon_tombstones into
// *out_tombstones, which may be NULL.
void words_horizon(struct words *w, const struct topology *t, const struct registry *reg,
                   struct horizon *out_floor, struct horizon *out_tombstones);
// Up to which stamp this region has applied every origin in that registry, as it told last; 0: of some
// origin nothing, or it has told nothing yet since the start.
uint64_t words_applied_here(struct words *w, const char *key);
// For status: {"registry","appliedByAll","floor","refused","time"?,"heldBy"?,"of"?,"why"?,"standsSince"?}; json_t *, a new reference;
// NULL: out of memory.
void *words_horizon_json(struct words *w, const struct topology *t, const struct registry *reg);

// Metrics.
void words_metrics(struct words *w, struct buf *out);

// POST …/marks, by `peer`.
void words_begin(struct replicator *r, struct http_request *req, const struct region *peer,
                 struct http_plan *plan);

#endif
