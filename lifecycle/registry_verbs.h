// SPDX-License-Identifier: Apache-2.0
// Shared by the verbs of registries, replicas, stamps and names: what their arguments have in
// common.
#ifndef MERIDIAN_LIFECYCLE_REGISTRY_VERBS_H
#define MERIDIAN_LIFECYCLE_REGISTRY_VERBS_H

#include "lifecycle/registry_goal.h"

// Lower case and without spaces, as az does it: "East US" is eastus. In the arena; NULL: out of
// memory.
const char *plain_name(const struct plan_ctx *x, const char *text);
// In force. NULL: diag says that it is not there.
const struct registry *plan_registry(const struct plan_ctx *x, const char *name, struct diag *diag);
const struct region *plan_region(const struct plan_ctx *x, const char *name, struct diag *diag);

// Arguments that registries are made and changed by, into the goal.
int goal_endpoints(const struct plan_ctx *x, json_t *goal, struct diag *diag);
int goal_access(const struct plan_ctx *x, json_t *goal, struct diag *diag);
int goal_ack(const struct plan_ctx *x, const struct registry *r, json_t *goal, struct diag *diag);
// `ip`: {"member": "address"}, or lists; "endpoint/member" where there is more than one endpoint.
int goal_ip(const struct plan_ctx *x, const struct registry *r, json_t *goal, struct diag *diag);

// out->goal is complete: fills before, locks and object. ERR_EXISTS: it is so already.
int plan_goal(const struct plan_ctx *x, const char *object, struct plan *out, struct diag *diag);
void plan_note(const struct plan_ctx *x, struct plan *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
