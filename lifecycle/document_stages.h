// SPDX-License-Identifier: Apache-2.0
// A document that names many registries at once (`topology apply`, `topology rollback`), taken through
// the same stages as commands take names through. Its own version has all that it says, but for
// names: those that come are at the edge first, those that go are still there. What is left is the
// goal, which many_registries.h goes on with.
//
//   rc = document_stages(x, &(struct staged_document){.frame = …, .change = …}, out, diag);
//   // out->first, out->goal, out->before, notes on what comes or goes at once all the same
//
// At once come and go: names of private endpoints that are added to, or taken from, a registry that
// is there (nothing says of a private endpoint how far it is served); names whose `stage` the document
// says itself; and all names where more than DOCUMENT_STAGES_MAX registries have some that change, or
// where the document cannot be in force while names that it takes away still are.
#ifndef MERIDIAN_LIFECYCLE_DOCUMENT_STAGES_H
#define MERIDIAN_LIFECYCLE_DOCUMENT_STAGES_H

#include "lifecycle/verb.h"

// The goal of more would make the record of the operation too large.
#define DOCUMENT_STAGES_MAX 1000

struct staged_document {
    // as they are to be in the end; n 0: as in force. They outlive x->arena, or are in it.
    struct bytes frame, change;
    // of an apply: what it makes of names later is no command's either
    bool apply;
};

// Fills out->first (name, documents, waits), and where names are staged goal, before and holds. What
// no stage changes is out->first as it was given. A document that is refused is for the trial to
// find. ERR_NOMEM.
int document_stages(const struct plan_ctx *x, const struct staged_document *d, struct plan *out);

#endif
