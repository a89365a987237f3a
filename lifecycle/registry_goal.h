// SPDX-License-Identifier: Apache-2.0
// What a registry is to be, and the way there: one document after another, so that no name is in DNS
// before every edge serves it, and no edge gives a name up before every cache has forgotten it.
//
//   names come:  edge (with its certificates) → members → private-dns → public-dns
//   names go:    public-dns → wait → private-dns → wait → members, edge, certificates
//
// A replica that is to be whole takes no global traffic before it has what the other replicas wrote:
// the phase that makes its names public waits for that. One that goes with `content` is closed for
// writes before the last phase (replica_is_leaving), and what it has written is waited for elsewhere.
//
// The goal is a JSON object. What it does not mention stays as it is.
//
//   {"registry":"contoso",
//    "present":true,                   // false: it is deleted
//    "create":{"owner":"ada","hash":"…","dnlScope":0},   // of a registry that is not there
//    "regional":true,"data":false,     // endpoints, all or nothing for a registry
//    "ack":1,                          // config/policy.h: ack_peers
//    "anonymous":false,"access":{"mode":0,"cidrs":["192.0.2.0/24"]},
//    "replicas":{"eastus":{"present":true,"stamp":"eus-1","weight":100,"globalRouting":true,
//                          "drained":false,"whole":true}},   // of one that goes: "content":true
//    "ip":{"corp-pe":{"registry_eastus":["10.4.0.9"]}},  // members that come with the names
//    "reserveDays":90,"grants":true,"purge":false}   // of one that is deleted
//
// A step is made of the row in force and the goal alone. Steps end: each brings the row nearer.
#ifndef MERIDIAN_LIFECYCLE_REGISTRY_GOAL_H
#define MERIDIAN_LIFECYCLE_REGISTRY_GOAL_H

#include "lifecycle/verb.h"

// The ledger says of a deleted registry when its content goes: `gone/<key of the registry>`,
// {"since":ms,"due":ms}. It is forgotten long after (control/sweep.h).
#define GONE_PREFIX "gone/"
#define GONE_KEPT_MS ((int64_t)7 * 24 * 3600 * 1000)

struct registry_going {
    const char *name;
    // how long its content stays
    int64_t kept_ms;
    // what the principals say of it goes too
    bool grants;
};
// Adds to a phase, whose change removes these registries, what goes beside their rows: records of
// their content after those that it has, and the principals without them. ERR_NOMEM; the errors of
// principals_without_registry.
int registries_go(const struct plan_ctx *x, const struct registry_going *list, size_t n,
                  struct diag *diag, struct phase *out);

// As verb.step. ERR_NOTFOUND: the registry is gone, or the region.
int registry_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                  struct diag *diag);

// The goal that leads back from `goal`: what is in force now of all that it mentions. *out: a new
// reference. ERR_NOMEM.
int registry_goal_before(const struct plan_ctx *x, const json_t *goal, json_t **out);

// Addresses for the members of private endpoints that the goal brings: those of connections with a
// pool go into the goal's `ip`, with a note each in `out`; the others must be there already. All or
// none: ERR_INVAL, and diag says which are lacking, or which pool is short.
int registry_goal_members(const struct plan_ctx *x, json_t *goal, struct plan *out,
                          struct diag *diag);

#endif
