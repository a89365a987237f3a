// SPDX-License-Identifier: Apache-2.0
// The judge of changes (control/change.h): may this one come after the version in force, and what
// comes out. Nodes, the command line and whoever proposes a change call this one function, so that
// all of them say the same.
//
//   struct changer *c = changer_new();
//   rc = changer_apply(c, t, text, n, "topology.yaml.changes", line, &diag, &next);
//
// A change is taken whole or not at all, and judged by the rules of a whole document. The new
// version shares its frame with the one before, and all buckets but those of the changed
// registries. Its content hash is made of the hash before and the bytes of the document: the same
// on all nodes.
//
// Some rules hang on the time: a reserved name may be anybody's when its time is up, a replica moves
// at a given time. It is the clock's, or the change's `time`; where changes come with a time that
// all nodes know, as those of the control feed, changer_at gives that, so that all judge alike.
//
// One thread for a changer; any thread for what comes out.
#ifndef MERIDIAN_CONTROL_CHANGER_H
#define MERIDIAN_CONTROL_CHANGER_H

#include "base/diag.h"
#include "config/topology.h"

struct changer; // remembers between changes what all private endpoints have in use
struct changer *changer_new(void); // NULL: out of memory
void changer_free(struct changer *c);
// Changes are judged by this wall time from now on; 0: as said above.
void changer_at(struct changer *c, int64_t wall_ms);

// Applies one document, which begins on `first_line` of `source`, to `t`. diag says why for
// ERR_INVAL    something in it cannot be
// ERR_CONFLICT it does not follow `t`: versions in between are missing
// ERR_BUSY     it comes at most a minute before its time (a replica that moves to another stamp;
//              clocks differ): try again
// and stays empty for
// ERR_EXISTS   its version is not higher than that of `t`: nothing to do
int changer_apply(struct changer *c, const struct topology *t, const char *text, size_t n,
                  const char *source, int first_line, struct diag *diag, struct topology **out);

#endif
