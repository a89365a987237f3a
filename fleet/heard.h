// SPDX-License-Identifier: Apache-2.0
// What each region said last of how far it has stored the control feed, and what follows from it:
// who has a change, who will take it later, and whether the writer may write.
//
// Invariants
//   1. A region's word is its own: it came over its certificate. Nobody speaks for another.
//   2. A writer is confirmed only while a majority of all regions (itself one of them) has lately said
//      a place that is not after its own, and nobody names a later one that was not looked for there.
//      A region that names a later place and does not show it has no vote, and is told of.
//
// Pure: no clock but the caller's, no lock, no thread. The caller guards it.
#ifndef MERIDIAN_FLEET_HEARD_H
#define MERIDIAN_FLEET_HEARD_H

#include "config/topology.h"
#include "control/place.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heard_region {
    char region[HOSTNAME_REGION_SIZE];
    // by index of the topology that heard_keep saw last
    uint8_t index;
    bool said;
    struct control_place place;
    // mono; 0: never
    int64_t heard_ms;
    // it names a place after ours, and was asked to show it since
    bool looked_for;
};

struct heard {
    size_t n;
    struct heard_region list[TOPOLOGY_MAX_REGIONS];
    size_t n_regions;
    uint8_t self;
    // of that topology
    uint64_t topology;
};

// What is in force here.
struct heard_own {
    // stored here
    struct control_place place;
    // in force here: further while the disk takes nothing
    struct control_place applied;
    // what the epoch of `place` goes on from
    struct control_place epoch_from;
    // everything up to here is done, the root key has said
    struct control_place root_word;
};

struct heard_stored {
    region_set stored, behind, away;
    bool majority;
};

// Who is there; forgets those that left. `self`: this region, which is not in the list.
void heard_keep(struct heard *h, const struct topology *t, const char *self);
// A region says that it stored up to there. `own`: ours, now. False: no such region.
bool heard_note(struct heard *h, const char *region, const struct control_place *place,
                const struct control_place *own, int64_t now_ms);
// It was asked for what follows our place, and showed nothing.
void heard_looked(struct heard *h, const char *region);
// A region that named a later place than ours within silent_ms and was not looked at since: NULL,
// there is none. *out_claims: how many named one and did not show it.
const struct heard_region *heard_ahead(const struct heard *h, const struct control_place *own,
                                       int64_t now_ms, int64_t silent_ms, size_t *out_claims);
// May the writer write?
bool heard_confirms(const struct heard *h, const struct heard_own *own, int64_t now_ms,
                    int64_t silent_ms);
// Who has stored `p`, which is in force here.
void heard_stored_by(const struct heard *h, const struct heard_own *own,
                     const struct control_place *p, int64_t now_ms, int64_t silent_ms,
                     struct heard_stored *out);

#endif
