// SPDX-License-Identifier: Apache-2.0
// The names of many registries on their way at once: of a document that is applied, and of a
// rollback. The goal lists what each is to be (lifecycle/registry_goal.h):
//
//   {"registries": [{"registry": "contoso", "regional": true}, …], "apply": true}
//
// A phase is what the furthest behind need next, of as many as one document takes: so names come for
// all of them, and then they go for all of them, with one wait for the caches. `apply`: the
// documents are of an apply and no command's (control/applied.h).
#ifndef MERIDIAN_LIFECYCLE_MANY_REGISTRIES_H
#define MERIDIAN_LIFECYCLE_MANY_REGISTRIES_H

#include "lifecycle/verb.h"

// As verb.step. `goal` NULL: it has been reached. A registry that is gone and was to stay is passed
// over: nobody can bring it back.
int registries_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag);

#endif
