// SPDX-License-Identifier: Apache-2.0
// Shared by the verbs of private endpoints (private_verbs.c) and of their connections
// (connection_verbs.c): the connection that a request is about, and who may ask.
#ifndef MERIDIAN_LIFECYCLE_PRIVATE_ENDPOINTS_H
#define MERIDIAN_LIFECYCLE_PRIVATE_ENDPOINTS_H

#include "control/connections.h"
#include "lifecycle/verb.h"

struct planned_connection {
    struct connection c;
    // NULL: it is not there any more
    const struct registry *r;
    // NULL: it has none
    const struct private_endpoint *row;
    // the ledger has no record of it: its row was made by hand, before there were any
    bool by_hand;
};
// The connection of x->object. ERR_NOTFOUND: diag says so.
int plan_connection(const struct plan_ctx *x, struct planned_connection *out, struct diag *diag);
// Of one by hand the goal has the record that it is to get. ERR_NOMEM.
int goal_by_hand(const struct plan_ctx *x, const struct planned_connection *p, json_t *goal);
// `message`, at most CONNECTION_TEXT_MAX characters; "" when it is not given. ERR_INVAL.
int plan_message(const struct plan_ctx *x, const char **out, struct diag *diag);
// Needs of the side of a view, of a registry. ERR_NOMEM.
int plan_need_view(const struct plan_ctx *x, struct plan *out, const char *view);
int plan_need_registry(const struct plan_ctx *x, struct plan *out, const struct registry *r);
// Locks, object and flags of a change of that connection. ERR_NOMEM.
int plan_of_connection(const struct plan_ctx *x, const char *name, const char *registry,
                       struct plan *out);
// The goal that leads back to what the connection is now. NULL: out of memory.
json_t *connection_goal_back(const struct connection *c, const struct registry *r);
// What an approval does beside: data endpoints, another private endpoint in that view (ERR_CONFLICT).
int plan_approval(const struct plan_ctx *x, const struct connection *c, const struct registry *r,
                  struct plan *out, struct diag *diag);
// "DNS leads nobody there from now on, …".
void note_takedown(const struct plan_ctx *x, const struct connection *c,
                   const struct private_endpoint *row, bool now, struct plan *out);

#endif
