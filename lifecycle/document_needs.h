// SPDX-License-Identifier: Apache-2.0
// The rights that a whole document needs by what it changes: a document is no way round the right
// that the verb for the same change asks for (docs/administration.md has the table).
#ifndef MERIDIAN_LIFECYCLE_DOCUMENT_NEEDS_H
#define MERIDIAN_LIFECYCLE_DOCUMENT_NEEDS_H

#include "lifecycle/verb.h"

// Of documents as they are to be in the end (n 0: as in force), against what is in force: fills
// out->needs. ERR_NOMEM; ERR_INVAL, ERR_UNSUPPORTED: they cannot be read.
int document_needs(const struct plan_ctx *x, struct bytes frame, struct bytes change,
                   struct plan *out, struct diag *diag);

#endif
