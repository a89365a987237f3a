// SPDX-License-Identifier: Apache-2.0
// What a connection of a private network to a registry is to be, and the way there: the edge before
// DNS where it comes, DNS before the edge where it goes.
//
//   approved:   data endpoints, if they are off → members (the row at the edge; somebody has heard
//               all of them) → private-dns (the row in DNS, and the connection Approved)
//   rejected, disconnected, gone:   private-dns → wait → members (without the row)
//
// The goal is a JSON object:
//
//   {"connection":"corp-pe", "registry":"contoso",
//    "state":"Approved",          // "Rejected", "Disconnected", "Pending", "" (gone)
//    "text":"for the plant",      // of the move
//    "now":false,                 // DNS and edge at once
//    "back":true, "data":false,   // after an approval that came to nothing; data endpoints were off
//    "create":{…}}                // its record, as the ledger is to have it, while it has none
//
// A step is made of the row in force, the record in the ledger, and the goal. The record says
// Rejected, Disconnected from the first document on, Approved with the last one.
#ifndef MERIDIAN_LIFECYCLE_CONNECTION_GOAL_H
#define MERIDIAN_LIFECYCLE_CONNECTION_GOAL_H

#include "control/connections.h"
#include "lifecycle/verb.h"

// As verb.step. ERR_NOTFOUND: the connection is gone, or its registry; ERR_INVAL: its pool is short.
int connection_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag);

// The members that an approval would give it, with notes in `out` (may be NULL). As allocation_end
// (lifecycle/connection_needs.h).
int connection_members(const struct plan_ctx *x, const struct registry *r, struct connection *c,
                       const json_t *given, struct plan *out, struct diag *diag);
// Its row; NULL: there is none.
const struct private_endpoint *connection_row(const struct registry *r, const char *name);
// Will its approval switch data endpoints on?
bool connection_switches_data(const struct registry *r);

#endif
