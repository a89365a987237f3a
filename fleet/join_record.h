// SPDX-License-Identifier: Apache-2.0
// What the fleet knows of a join token: the ledger's record `join/<id>`, and what it says to a
// request. The record holds no secret: `key` is the public half of the token's key.
//
//   {"id","region","replace":bool,"key":SPKI,"created":ms,"expires":ms,"by":"operator:ada",
//    "state":"open"|"used"|"joined"|"revoked","joiner":identity,"used":ms,"certificate":PEM,
//    "refused":ms}
//
// open → used, when the first good request comes: from then on the token is that joiner's, whatever
// happens to it or to the writer. used → joined, when the region's identities stand in the topology
// and its peer certificate in the record. The same joiner may ask again until the token expires, and
// gets the same answer. Another one is refused, which `refused` notes, once, for an alarm. The ledger
// forgets a token some time after it has expired (control/sweep.h).
//
//   struct join_verdict v = join_record_judge(&record, &request, identity, now_ms, &diag);
//
// Pure; any thread. Strings hang off the arena given.
#ifndef MERIDIAN_FLEET_JOIN_RECORD_H
#define MERIDIAN_FLEET_JOIN_RECORD_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "fleet/join_request.h"

#include <stdbool.h>
#include <stdint.h>

#define JOIN_RECORD_PREFIX "join/"
#define JOIN_LIFE_MS 3600000      // of a token, when nothing is said
#define JOIN_LIFE_MAX_MS 86400000 // a short time: a day at most

enum join_state { JOIN_OPEN, JOIN_USED, JOIN_JOINED, JOIN_REVOKED };

struct join_record {
    const char *id, *region, *key, *by;
    // the region is there already, and its old keys end with the join
    bool replace;
    // wall
    int64_t created_ms, expires_ms;
    enum join_state state;
    // JOIN_USED, JOIN_JOINED: who it was (join_request_identity)
    const char *joiner;
    int64_t used_ms;
    // JOIN_JOINED: the peer certificate, PEM
    const char *certificate;
    // when another joiner showed it; 0: none did
    int64_t refused_ms;
};

const char *join_state_name(enum join_state s);
int join_record_format(const struct join_record *r, struct buf *out);
int join_record_parse(const char *json, struct arena *a, struct join_record *out); // ERR_INVAL

enum join_verdict {
    JOIN_TAKE,    // the first good request: note the use
    JOIN_GO_ON,   // the same joiner, not through yet
    JOIN_AGAIN,   // the same joiner, through: the same answer
    JOIN_REFUSE,  // with a sentence
    JOIN_CONTEST, // refused: another joiner has it; an alarm, and to be noted if refused_ms is 0
};

// `identity`: of q. The signatures must be verified already. now_ms: the writer's clock.
enum join_verdict join_record_judge(const struct join_record *r, const struct join_request *q,
                                    const char *identity, int64_t now_ms, struct diag *diag);

#endif
