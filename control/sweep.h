// SPDX-License-Identifier: Apache-2.0
// What the ledger of the control feed forgets, and when: by the times of entries alone, so that all
// nodes forget the same at the same entry.
//
//   const struct sweep_at at = {.t = topology, .last_ms = swept_ms, .now_ms = entry_time_ms};
//   rc = sweep_ledger(ledger, &at, &next);                  // once a minute of entries' time
//
// Records `request/<nonce>`, {"expires":ms,"operation":id,"bare":true}, go once `expires` has
// passed. A request is never carried out twice all the same, whatever clock said that it had passed:
// `swept/request`, {"expires":ms}, keeps the latest `expires` of a nonce that went, and the writer
// carries out no signed request that it does not know and that expires no later than that. Root's at
// the writer's own socket ("bare") count for nothing there: nobody else can send them.
//
// Once an hour, too:
// - `join/<id>` of a join token goes SWEEP_JOINS_KEPT_MS after its `expires`: nobody knows it any more,
//   and it is refused as such. One that another joiner has shown ("refused") stays until an operator has
//   revoked it, because it is an alarm until then.
// - `gone/<registry's key>` of a deleted registry goes SWEEP_GONE_KEPT_MS after its `due`, unless its name
//   is still reserved with that incarnation, or a registry in force has the key. Every region has deleted
//   that content by then; one that was away for longer keeps what nobody serves. No key comes a second
//   time: an incarnation is a version of the topology, which only go up.
// - `connection/<private endpoint>` that is Rejected or Disconnected goes SWEEP_CONNECTIONS_KEPT_MS
//   after its last move, or after its addresses are free if that is later: until then it may be
//   approved again, and is listed. Those have no row (control/connections_follow.h), unless an
//   operation has them in hand ("Updating"): that one stays. The network may ask again by that name.
//
// A takeover may set the time back, after a writer's clock was ahead. Requests that were carried out by
// a clock that was right expire no later than CONTROL_REQUEST_LIFE_MAX_MS after that time, and up to
// then only `swept/request` goes back. (One of a time that was ahead, signed by a clock that was ahead
// as far, is not known any more when that time comes.)
//
// Any thread.
#ifndef MERIDIAN_CONTROL_SWEEP_H
#define MERIDIAN_CONTROL_SWEEP_H

#include "config/topology.h"
#include "control/ledger.h"

#define SWEEP_MS 60000 // of entries' time, between two
#define SWEEP_HOUR_MS 3600000
#define SWEEP_JOINS_KEPT_MS (30 * INT64_C(86400000))
#define SWEEP_GONE_KEPT_MS (180 * INT64_C(86400000))
#define SWEEP_CONNECTIONS_KEPT_MS (90 * INT64_C(86400000))
#define SWEEP_REQUESTS "request/"
#define SWEEP_REQUESTS_UPTO "swept/request"

struct sweep_at {
    // in force after the entry
    const struct topology *t;
    // wall, of entries: of the last sweep, 0: there was none; and of this one
    int64_t last_ms, now_ms;
};

// ERR_NOMEM; ERR_TOOBIG as control_ledger_put. *out: a reference, also when nothing went.
int sweep_ledger(struct control_ledger *l, const struct sweep_at *at, struct control_ledger **out);
// When a takeover has set the time back to `now_ms`, in place of a sweep.
int sweep_back(struct control_ledger *l, int64_t now_ms, struct control_ledger **out);

#endif
