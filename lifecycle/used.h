// SPDX-License-Identifier: Apache-2.0
// Was a request carried out already? Whoever has seen a signed request can hand it in again until it
// expires, at this writer or at the next one: the ledger knows it by its nonce. An operation's id is
// made of the nonce of its request, so it tells by itself what it was made by.
//
//   switch (request_used(&l->deps, r, own_id, &u)) { … }
//   request_use_done(&u);
//
// A request that was refused was not carried out: nothing is noted of it, and until it expires it
// may be handed in again.
#ifndef MERIDIAN_LIFECYCLE_USED_H
#define MERIDIAN_LIFECYCLE_USED_H

#include "lifecycle/lifecycle.h"

enum request_used {
    REQUEST_NEW,
    REQUEST_USED,      // for the operation whose record is in `record`
    REQUEST_FORGOTTEN, // for one of which nothing is kept any more: `id` at most
    REQUEST_TOO_LATE,  // its nonce may have been forgotten (control/sweep.h)
    REQUEST_UNKNOWN,   // it cannot be said now: out of memory
};

struct request_use {
    // of REQUEST_USED: a reference
    json_t *record;
    // of the operation, where it is known; else ""
    char id[OPERATION_ID_SIZE];
};

// `own_id`: the id of the operation that the request would make.
enum request_used request_used(const struct lifecycle_deps *deps, const struct lifecycle_request *r,
                               const char *own_id, struct request_use *out);
void request_use_done(struct request_use *u);

#endif
