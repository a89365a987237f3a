// SPDX-License-Identifier: Apache-2.0
// The phase that waits for content: of a replica that comes, until it has what the other replicas
// wrote; of one that goes, until the others have what it wrote, and lack nothing of regions that are
// gone or silent, for it may be the last that has that. What it waits for is asked of the
// regions (lifecycle_deps.content).
//
// A region that cannot be reached holds up nothing, but for a replica that comes itself: what is not
// known to be copied for its sake is named in the operation's `notCopied`. Where a replica stays
// because it alone has something, that is named there as well. The engine's thread.
#ifndef MERIDIAN_LIFECYCLE_CONTENT_H
#define MERIDIAN_LIFECYCLE_CONTENT_H

#include "lifecycle/lifecycle.h"

// So long may a replica that goes be waited for; then it stays. One that comes takes as long as its
// content takes.
#define CONTENT_MAX_MS ((int64_t)60 * 60 * 1000)

enum content_state { CONTENT_THERE, CONTENT_AWAITED, CONTENT_GIVEN_UP };

struct content_wait {
    const struct lifecycle_deps *deps;
    // in force
    const struct topology *t;
    // the operation's, and its phase, which has "content"
    json_t *record, *phase;
    // regions that cannot be reached
    region_set away;
    int64_t now_ms;
    // ---- what content_look says ----
    region_set waits_for;
    // the record was altered
    bool dirty;
    // CONTENT_GIVEN_UP: a sentence
    char why[1024];
};

// Once the phase's document is everywhere.
enum content_state content_look(struct content_wait *w);

#endif
