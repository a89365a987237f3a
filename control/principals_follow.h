// SPDX-License-Identifier: Apache-2.0
// May one version of the principals come after another? A document that is good by itself may still
// take back what was revoked, as an old copy that is put in place again does: a principal's
// generation that goes down makes refresh tokens good again, and so does a revoked token that is not
// listed any more. What a principal may do is the operator's to say, in either direction.
//
//   if (!principals_may_follow(before, next, now_s, &diag)) …
//
// Any thread.
#ifndef MERIDIAN_CONTROL_PRINCIPALS_FOLLOW_H
#define MERIDIAN_CONTROL_PRINCIPALS_FOLLOW_H

#include "base/diag.h"
#include "config/principals.h"

// If not, diag says why. Revoked tokens that have ended by themselves at `now_s` (wall) may go.
bool principals_may_follow(const struct principals *before, const struct principals *next,
                           int64_t now_s, struct diag *diag);

#endif
