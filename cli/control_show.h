// SPDX-License-Identifier: Apache-2.0
// What somebody is about to sign with the fleet's root key, in words on stderr: which entry it is, who
// writes from then on and by which keys, and all that its frame changes, line by line.
//
//   if (control_has_frame(line)) …                     // get what is in force
//   rc = control_show(line, topology, &diag);
//
// Single-threaded, as the command line is.
#ifndef MERIDIAN_CLI_CONTROL_SHOW_H
#define MERIDIAN_CLI_CONTROL_SHOW_H

#include "base/diag.h"
#include "config/topology.h"

#include <stdbool.h>

// Does the draft bring a frame (a document without registries)?
bool control_has_frame(const char *line);
// before: as it is known to be now; NULL: it is not, and that is said. ERR_INVAL and others, with a
// sentence where the draft is none.
int control_show(const char *line, const struct topology *before, struct diag *diag);

#endif
