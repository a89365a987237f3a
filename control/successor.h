// SPDX-License-Identifier: Apache-2.0
// May one version of the topology come after another? A document that is good by itself may still
// lower the serial of fe.D, take back a revocation (also of an operator), make another registry of
// one that lives, give away a reserved name, or move a replica to another stamp at once. None of
// that comes back either when an older document is put in place again.
// Nodes ask before they take a whole document, and the command line before it writes one. Changes
// of registries: control/changer.h.
//
//   if (!successor_ok(before, next, bytes_of(text, n), now_s, &diag, &again_s)) …
#ifndef MERIDIAN_CONTROL_SUCCESSOR_H
#define MERIDIAN_CONTROL_SUCCESSOR_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

// If not, `diag` says why, and *out_again_s is the wall time from which on it may be allowed (0:
// never). `text`: the document of `next`, for line numbers; may be empty.
bool successor_ok(const struct topology *before, const struct topology *next, struct bytes text,
                  int64_t now_s, struct diag *diag, int64_t *out_again_s);

#endif
