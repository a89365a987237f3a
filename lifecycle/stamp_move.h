// SPDX-License-Identifier: Apache-2.0
// A replica moves to another stamp of its region while clients use it (`replication update --stamp`):
//
//   CHECK    May it? The plan asks (struct lifecycle_stamps); nothing is written, and this is the one
//            place that refuses.
//   WARM     The document names the new stamp, and no time yet. That stamp opens the registry and
//            serves it if it is called, and all who answer for fe.D come to have its name. Then the
//            negative TTL passes: no resolver remembers that it saw the name denied (control/moves.h).
//   SWITCH   The document says since when names lead to the new stamp: now.
//   OVERLAP  Both serve, until no cache leads to the old one: the longest TTL of names, that of
//            fe.D, and 60 s.
//   DRAIN    The document has the new stamp alone. The old one takes nothing new, and has 60 s for
//            what runs there.
//   DONE     It has Succeeded.
//
//   WARM   { region: eastus, stamp: eus-2, stamp_was: eus-1, stamp_since: "9999-12-31T23:59:59Z" }
//   SWITCH { region: eastus, stamp: eus-2, stamp_was: eus-1, stamp_since: "2026-11-30T12:00:00Z" }
//   DRAIN  { region: eastus, stamp: eus-2 }
//
// So a stamp serves a registry for as long as its row names it, as `stamp` or as `stamp_was`, and
// each step is made of the row and the goal alone. Who calls it off in WARM gets the row as it was: no
// name has led elsewhere. From SWITCH on the way back is the way there: names lead to the old stamp
// from now on, both serve for the overlap, then the new one is drained. A new stamp that ceases to
// serve before DRAIN turns the operation round by itself.
//
// The goal: {"move":true,"registry":"contoso","region":"eastus","stamp":"eus-2"}; the way back has
// "back":true.
#ifndef MERIDIAN_LIFECYCLE_STAMP_MOVE_H
#define MERIDIAN_LIFECYCLE_STAMP_MOVE_H

#include "lifecycle/verb.h"

struct stamp_move_wish {
    // in force
    const struct registry *r;
    const struct region *at;
    const struct replica *replica;
    const char *to;
};

// CHECK, and the plan. ERR_EXISTS: it is there already. ERR_NOTFOUND: there is no such stamp.
// ERR_CONFLICT: another move is under way, or the check says no.
int stamp_move_plan(const struct plan_ctx *x, const struct stamp_move_wish *w, struct plan *out,
                    struct diag *diag);
bool stamp_move_is(const json_t *goal);
// As verb.step, of such a goal. ERR_NOTFOUND: registry or replica are gone.
int stamp_move_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag);

#endif
