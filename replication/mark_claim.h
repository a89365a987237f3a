// SPDX-License-Identifier: Apache-2.0
// What one other region says that it has read of us (design section 9, invariant 8), and what
// became of that: a mark that is no place in our log may mean that we lost entries, so what that
// region holds of us is looked at. A claim alone proves nothing, for a confused peer can send any.
//
//   if (mark_claim_ahead(claim, &mark))
//       write_gate_kick(gate);                  // the write gate looks at what the peer holds
//
// Threads: any; a lock of its own.
//
// Invariants
//   1. A claim that is ahead has a mark: it lies past the beginning of the feed.
//   2. A mark once settled stays settled until another one is: it is served from the next epoch on.
#ifndef MERIDIAN_REPLICATION_MARK_CLAIM_H
#define MERIDIAN_REPLICATION_MARK_CLAIM_H

#include "replication/cursor.h"

#include <stdbool.h>
#include <stddef.h>

struct mark_claim;

int mark_claim_new(struct mark_claim **out);
void mark_claim_free(struct mark_claim *c); // NULL is ignored

// It was never asked since the start.
bool mark_claim_unknown(struct mark_claim *c);
// It has read nothing that we do not hold.
void mark_claim_fine(struct mark_claim *c, const struct feed_mark *mark);
// It says that it has read past our log. true: that is due to be looked at; false: it said so
// before, proved nothing, and its next look is not due yet.
bool mark_claim_ahead(struct mark_claim *c, const struct feed_mark *mark);
// Recovery has dealt with this mark: what was read there is lost for good, and all that anybody had
// of it was announced again.
bool mark_claim_is_settled(struct mark_claim *c, const struct feed_mark *mark);

enum claim_due { CLAIM_FINE, CLAIM_LATER, CLAIM_DUE };
// Is the peer to be looked at? The mark that it claims goes to *out_mark unless the claim is fine; the
// zero mark: all that it holds of us is to be looked at (mark_claim_doubt). With CLAIM_DUE a look begins.
enum claim_due mark_claim_due(struct mark_claim *c, struct feed_mark *out_mark);

struct claim_look { // a look at what the peer holds of us
    struct feed_mark mark;
    // how it ended; ERR_AHEAD: at an entry of the future, which comes again with its cursor
    int rc;
    // it gave an entry of ours that we did not hold; its mark is a place in our log now; or lies in
    // a closed epoch
    bool proof, held, settled;
};
void mark_claim_looked(struct mark_claim *c, const struct claim_look *l);

// Another peer gave back entries of ours as ended, and nobody has signed that they have. So this one is
// looked at as well, from the start of our feed, when it was asked and whatever it has claimed.
void mark_claim_doubt(struct mark_claim *c);

// Signed entries of ours that it holds need this key, and the topology does not let it sign them.
void mark_claim_strange_key(struct mark_claim *c, const char *key);
// The key may be in the topology now: the next look is due at once, also after one that is under
// way.
void mark_claim_look_again(struct mark_claim *c);
// Why what `peer` holds of `self` cannot be taken back, and what mends that. false: nothing is
// known to be wrong.
bool mark_claim_fault(struct mark_claim *c, const char *peer, const char *self, char *out,
                      size_t cap);

#endif
