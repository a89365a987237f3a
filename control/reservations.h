// SPDX-License-Identifier: Apache-2.0
// Reserved names (config/reserved.h) from one whole document to the next. A version that forgot one
// would give the name, and whatever the name's old clients send, to whoever comes first; so it stays
// until its time is up, or until its owner has it again:
//
//   in force                  the next document
//   contoso, for ada          contoso, reserved; or a registry contoso of ada's. A registry of another
//                             owner is refused, and so is a document without either
//   contoso, its time is up   anything
//
// To give a name up by hand, set its `until` to a time that is past in one version. Changes:
// control/changer.h. Any thread.
#ifndef MERIDIAN_CONTROL_RESERVATIONS_H
#define MERIDIAN_CONTROL_RESERVATIONS_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

// `text`: the document of `next`, for line numbers; may be empty. If not, diag says why.
// *out_again_s: the earliest time at which a refusal ends by itself; untouched when none does.
bool reservations_may_follow(const struct topology *before, const struct topology *next,
                             struct bytes text, int64_t now_s, struct diag *diag,
                             int64_t *out_again_s);

#endif
