// SPDX-License-Identifier: Apache-2.0
// `private-endpoint-connection approve|reject|delete`: the registry's side of a connection. Objects
// are names of connections; `registry` says which registry it is of.
//
//   approve   {"registry": "contoso", "message": "for the plant"}
//   reject    {"registry": "contoso", "message": "…", "now": false}
//   delete    {"registry": "contoso", "now": false}
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "lifecycle/connection_goal.h"
#include "lifecycle/private_endpoints.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_verbs.h"
#include "lifecycle/verbs.h"

#include <string.h>

struct asked_of { // the connection at hand
    struct planned_connection p;
    const char *registry, *message;
    bool now;
};

// The name in a registry's key.
static bool is_of(const struct connection *c, const char *registry)
{
    size_t n = strcspn(c->registry, "@");
    return strlen(registry) == n && !strncmp(c->registry, registry, n);
}

static int find(const struct plan_ctx *x, struct asked_of *q, struct plan *out, struct diag *diag)
{
    bool given;
    const char *registry;
    int rc = argument_text(x->arguments, "registry", &registry, diag);
    if (!rc && !registry) {
        refuse(diag, "registry: of which one is the connection?");
        rc = ERR_INVAL;
    }
    if (rc)
        return rc;
    q->registry = plain_name(x, registry);
    if (!q->registry)
        return ERR_NOMEM;
    rc = plan_message(x, &q->message, diag);
    if (!rc)
        rc = argument_switch(x->arguments, "now", &given, &q->now, diag);
    if (!rc)
        rc = plan_connection(x, &q->p, diag);
    if (!rc && !is_of(&q->p.c, q->registry)) {
        refuse(diag, "registry %.80s has no private endpoint connection %.80s", q->registry,
               x->object);
        rc = ERR_NOTFOUND;
    }
    if (!rc)
        rc = plan_need_registry(x, out, q->p.r);
    return rc;
}

static int plan_goal_of(const struct plan_ctx *x, const struct asked_of *q,
                        enum connection_state to, struct plan *out)
{
    out->goal =
        json_pack("{s:s, s:s, s:s, s:s, s:b}", "connection", q->p.c.name, "registry", q->registry,
                  "state", connection_state_word(to), "text", q->message, "now", (int)q->now);
    out->before = connection_goal_back(&q->p.c, q->p.r);
    if (!out->goal || !out->before || goal_by_hand(x, &q->p, out->goal))
        return ERR_NOMEM;
    return plan_of_connection(x, q->p.c.name, q->registry, out);
}

static int refuse_disconnected(const struct asked_of *q, struct diag *diag)
{
    refuse(diag,
           "connection %s is Disconnected, for good: the network asks for a new one (meridian "
           "private-endpoint create)",
           q->p.c.name);
    return ERR_CONFLICT;
}

static int plan_approve(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                        const char **out_code)
{
    static const char *const known[] = {"registry", "message"};
    struct asked_of q = {.now = false};
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = find(x, &q, out, diag);
    if (rc)
        return rc;
    if (q.p.c.state == CONNECTION_DISCONNECTED || !q.p.r)
        return refuse_disconnected(&q, diag);
    if (q.p.c.state == CONNECTION_APPROVED && q.p.row && q.p.row->stage == PRIVATE_IN_DNS) {
        refuse(diag, "connection %s is Approved already", q.p.c.name);
        return ERR_EXISTS;
    }
    rc = plan_approval(x, &q.p.c, q.p.r, out, diag);
    if (!rc)
        rc = connection_members(x, q.p.r, &q.p.c, NULL, out, diag);
    if (rc)
        return rc;
    return plan_goal_of(x, &q, CONNECTION_APPROVED, out);
}

static int plan_reject(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"registry", "message", "now"};
    struct asked_of q = {.now = false};
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = find(x, &q, out, diag);
    if (rc)
        return rc;
    if (q.p.c.state == CONNECTION_DISCONNECTED)
        return refuse_disconnected(&q, diag);
    if (q.p.c.state == CONNECTION_REJECTED && !q.p.row) {
        refuse(diag, "connection %s is Rejected already", q.p.c.name);
        return ERR_EXISTS;
    }
    note_takedown(x, &q.p.c, q.p.row, q.now, out);
    return plan_goal_of(x, &q, CONNECTION_REJECTED, out);
}

static int plan_delete(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"registry", "now", "message"};
    struct asked_of q = {.now = false};
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = find(x, &q, out, diag);
    if (rc)
        return rc;
    if (q.p.c.state == CONNECTION_DISCONNECTED && !q.p.row) {
        refuse(diag, "connection %s is Disconnected already: the network's side deletes it",
               q.p.c.name);
        return ERR_EXISTS;
    }
    note_takedown(x, &q.p.c, q.p.row, q.now, out);
    plan_note(x, out,
              "a Disconnected connection cannot be approved again: the network asks for a new one");
    return plan_goal_of(x, &q, CONNECTION_DISCONNECTED, out);
}

const struct verb verb_private_endpoint_connection_approve = {.noun = "private-endpoint-connection",
                                                              .word = "approve",
                                                              .right = CONTROL_RIGHT_REGISTRIES,
                                                              .state = "Updating",
                                                              .plan = plan_approve,
                                                              .step = connection_step};
const struct verb verb_private_endpoint_connection_reject = {.noun = "private-endpoint-connection",
                                                             .word = "reject",
                                                             .right = CONTROL_RIGHT_REGISTRIES,
                                                             .takes_away = true,
                                                             .state = "Updating",
                                                             .plan = plan_reject,
                                                             .step = connection_step};
const struct verb verb_private_endpoint_connection_delete = {.noun = "private-endpoint-connection",
                                                             .word = "delete",
                                                             .right = CONTROL_RIGHT_REGISTRIES,
                                                             .takes_away = true,
                                                             .state = "Deleting",
                                                             .plan = plan_delete,
                                                             .step = connection_step};
