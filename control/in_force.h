// SPDX-License-Identifier: Apache-2.0
// The topology in force, as a source publishes it (control/source.h). A version that was replaced
// is held here until nobody else holds it, so that no worker spends its time on freeing one.
//
//   in_force_init(&f, cell);
//   in_force_publish(&f, t);      // takes over the caller's reference
//   in_force_sweep(&f);           // now and then: frees what the readers have dropped
//   in_force_done(&f);            // the cell keeps what was published last
//
// One thread.
#ifndef MERIDIAN_CONTROL_IN_FORCE_H
#define MERIDIAN_CONTROL_IN_FORCE_H

#include "base/snapshot.h"
#include "config/topology.h"

#define RETIRED_MAX 64

struct in_force {
    struct snapshot *cell;
    // a reference; NULL: nothing yet
    struct topology *now;
    // replaced, and held by somebody else too when they were looked at last
    struct topology *retired[RETIRED_MAX];
    size_t n_retired;
};

void in_force_init(struct in_force *f, struct snapshot *cell);
void in_force_done(struct in_force *f);
// A version below the one in force is never published.
void in_force_publish(struct in_force *f, struct topology *t);
void in_force_sweep(struct in_force *f);

#endif
