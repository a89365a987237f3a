// SPDX-License-Identifier: Apache-2.0
// `region forget NAME`: whether a region that never comes back may be sealed, and at which place of its
// feed: at the highest entry that any other region holds.
//
// Refused while it is heard, while too few others say what they hold, while one is away that may hold
// more (unless that is accepted), and while registries have their only replica there. A seal can be
// raised by asking again, never lowered.
//
// forget_judge is pure.
#ifndef MERIDIAN_LIFECYCLE_FORGET_H
#define MERIDIAN_LIFECYCLE_FORGET_H

#include "base/arena.h"
#include "lifecycle/lifecycle.h"

struct forget_facts {
    // in force
    const struct topology *t;
    const char *region;
    // of the control feed: regions that said nothing lately
    region_set unheard;
    // what the others hold of its feed
    const struct lifecycle_origin *seen;
    // who is away is not waited for
    bool without_away;
};

struct forget_verdict {
    struct feed_seal seal;
    // who holds that entry; NULL: nobody holds anything
    const struct region *holder;
    // who did not say what it holds
    region_set away;
};

// 0; ERR_NOTFOUND; ERR_EXISTS: it is sealed there already; ERR_CONFLICT, and diag says what stands
// against it. Texts hang off the arena.
int forget_judge(const struct forget_facts *f, struct arena *a, struct diag *diag,
                 struct forget_verdict *out);

#endif
