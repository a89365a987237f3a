// SPDX-License-Identifier: Apache-2.0
// What status says of one origin: its state, its lag, its worst error, judged from what its reader
// knows (peer.h) and from its jobs (store/meta.h).
//
//   const struct origin_seen seen = {.reader = view, .full = room_is_full(room)};
//   name = origin_state_name(&seen, &status, false);
//
// Pure; any thread.
#ifndef MERIDIAN_REPLICATION_ORIGIN_STATE_H
#define MERIDIAN_REPLICATION_ORIGIN_STATE_H

#include "replication/peer.h"
#include "store/meta.h"

#define ORIGIN_ERROR_SIZE (2 * ERROR_TEXT_SIZE + 4)

struct origin_seen { // of this region itself nothing is known to a reader
    struct peer_view reader;
    // the disk of this region
    bool full;
    // Entries of the registry that this program does not know, and whether they freeze a repository.
    uint64_t n_unknown;
    bool frozen;
    // Comparisons with this region found so many differences that are not made good.
    size_t n_differences;
};

// One of the states of replication.h. `self`: the origin is this region, whose recovered entries
// are to be completed, not to be read.
const char *origin_state_name(const struct origin_seen *s, const struct origin_status *o,
                              bool self);
// While an origin cannot be read nobody knows what it wrote: the lag is at least the time since it
// was heard. `now`: wall.
int64_t origin_lag_seconds(const struct origin_seen *s, const struct origin_status *o, int64_t now);
// The reader's error and that of the jobs, the worst first; none is left out. NULL: no error.
const char *origin_error(const struct origin_seen *s, const struct origin_status *o,
                         char out[ORIGIN_ERROR_SIZE]);

#endif
