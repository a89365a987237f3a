// SPDX-License-Identifier: Apache-2.0
// May one version of the topology come after another? What a document does not show by itself: a
// serial of fe.D that would go down, a revocation that would be taken back, a replica that would
// move to another stamp at once. Nodes ask before they take a whole document, and the command line
// before it writes one.
#ifndef MERIDIAN_CONTROL_SUCCESSOR_H
#define MERIDIAN_CONTROL_SUCCESSOR_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

// If not, `diag` says why, and *out_again_s is the wall time at which it may be otherwise (0:
// never). `text`: the document of `next`, for lines; may be empty.
bool successor_ok(const struct topology *before, const struct topology *next, struct bytes text,
                  int64_t now_s, struct diag *diag, int64_t *out_again_s);

#endif
