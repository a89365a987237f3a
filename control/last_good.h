// SPDX-License-Identifier: Apache-2.0
// The last good version of one document in the node's state directory, so that a restart on a
// broken document still serves. A topology is kept compiled, which a start is quick with (one that
// cannot be compiled: as its document); principals as their document. Mode 0600.
//
//   rc = last_good_init(&l, "topology", "/var/lib/meridian/state/topology.last", true);
//   last_good_keep(&l, &document);           // at once, on this thread
//   rc = last_good_start(&l);                // of a topology: a thread that writes what changed
//   last_good_offer(&l, t, false);           // at most once a minute
//   last_good_done(&l);                      // what was offered is on disk then
//
// What cannot be written, because the disk is full say, is logged at most once a minute, and tried
// again (last_good_is_due; what was offered: by the thread itself). One thread.
#ifndef MERIDIAN_CONTROL_LAST_GOOD_H
#define MERIDIAN_CONTROL_LAST_GOOD_H

#include "control/topology_saver.h"
#include "control/watched_file.h"

#include <stdbool.h>
#include <stdint.h>

struct last_good {
    // "topology"
    const char *what;
    char *path;
    bool is_topology;
    // NULL: nothing is offered yet
    struct topology_saver *saver;
    // on disk, or on its way there; of a topology
    uint64_t version;
    // monotonic: when that was given to be written
    int64_t kept_ms;
    // the last write by last_good_keep failed
    bool failed;
    // monotonic: when that was tried
    int64_t tried_ms;
};

int last_good_init(struct last_good *l, const char *what, const char *path, bool is_topology);
void last_good_done(struct last_good *l); // also of what is zero
int last_good_start(struct last_good *l);
void last_good_keep(struct last_good *l, const struct document *d);
// Is it time to try again what failed? If so, the next try is a while later.
bool last_good_is_due(struct last_good *l);
// A topology in force, as changes have made it. `at_once`: however short a time ago the last was.
void last_good_offer(struct last_good *l, struct topology *now, bool at_once);

#endif
