// SPDX-License-Identifier: Apache-2.0
// A registry keeps its incarnation (config/registry_key.h) as long as it lives; one that is deleted
// and created again has another. The key that stands in stores and feeds is made of it: a version
// of the topology that changed it without meaning to would hide all images of the registry. Changes
// (control/changer.h) cannot; whole documents are judged here by the version in force:
//
//   in force        the next document (version 60)
//   contoso @42     contoso @42 stays; @60 was deleted and created again meanwhile, as was any above
//                   the version in force; all others are refused, and so is none
//   contoso         contoso stays, or above the version in force, likewise
//   -               above the version in force, or none, as documents by hand have it
//
// Any thread.
#ifndef MERIDIAN_CONTROL_INCARNATIONS_H
#define MERIDIAN_CONTROL_INCARNATIONS_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

// `text`: the document of `next`, for line numbers; may be empty. If not, diag says why.
bool incarnations_may_follow(const struct topology *before, const struct topology *next,
                             struct bytes text, struct diag *diag);

#endif
