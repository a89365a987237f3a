// SPDX-License-Identifier: Apache-2.0
// What each region said last of how far it has stored the control feed, and what follows from it:
// who has a change, who will take it later, and whether the writer may write.
//
// Invariants
//   1. A region's word is its own: it came over its certificate. Nobody speaks for another.
//   2. A writer is confirmed only while a majority of all regions (itself one of them) has lately said
//      a place that is not after its own.
//   3. A writer whose disk was restored from an old copy lacks entries that it has signed itself, and
//      can learn so from the others alone. So its own vote counts only once it is sure; or when its
//      process is not young any more, and no region names a later place and cannot be asked for it.
//      Who cannot be asked has not lied.
//   4. A writer is sure when, since its process began, others alone were half of all regions or more,
//      and everybody who named a later place was asked for it once; or when the root key has vouched
//      for its log. A change that was done is with more than half, so it is here then if this region
//      signed it before; what it signs later it knows. Who is sure is stopped by nobody's claims, and
//      goes on asking for what they name.
//   5. A region that was asked for the later place that it named, and answered without it, is not
//      believed when it names one, for HEARD_DOUBT_MS. Such a word is no vote, and is told of.
//
// Pure: no clock but the caller's, no lock, no thread. The caller guards it.
#ifndef MERIDIAN_FLEET_HEARD_H
#define MERIDIAN_FLEET_HEARD_H

#include "config/topology.h"
#include "control/place.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEARD_DOUBT_MS 30000 // who showed nothing is not believed for so long
#define HEARD_AGAIN_MS 2000  // who could not be asked is asked again after so long

struct heard_region {
    char region[HOSTNAME_REGION_SIZE];
    // by index of the topology that heard_keep saw last
    uint8_t index;
    bool said;
    struct control_place place;
    // mono; 0: never
    int64_t heard_ms;
    // mono; it named a place after ours, was asked for it and answered without it; 0: never
    int64_t looked_ms;
    // mono; it was asked for such a place last, whatever came of it; 0: never
    int64_t tried_ms;
    // mono; its whole state came and was refused; 0: never
    int64_t refused_ms;
};

struct heard {
    size_t n;
    struct heard_region list[TOPOLOGY_MAX_REGIONS];
    size_t n_regions;
    uint8_t self;
    // of that topology
    uint64_t topology;
    // mono; since when this process asks and is asked
    int64_t began_ms;
    // invariant 4
    bool sure;
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
    // it has said so of all that was here, to this process
    bool vouched;
};

struct heard_stored {
    region_set stored, behind, away;
    // said nothing lately, whatever they stored before
    region_set unheard;
    bool majority;
};

// Who is there, without regions that are sealed; forgets those that left. `self`: this region, which is not in the list.
void heard_keep(struct heard *h, const struct topology *t, const char *self);
// A region says that it stored up to there. False: no such region.
bool heard_note(struct heard *h, const char *region, const struct control_place *place,
                int64_t now_ms);
// It was asked for what follows our place and answered; what it sent was judged, and moved nothing.
void heard_looked(struct heard *h, const char *region, int64_t now_ms);
// It was asked, and could not be reached, or gave no answer that says anything of its log.
void heard_tried(struct heard *h, const char *region, int64_t now_ms);

// The whole state that it sent was judged and refused. It is not read anew for HEARD_DOUBT_MS: it is
// large.
void heard_base_refused(struct heard *h, const char *region, int64_t now_ms);
bool heard_base_rests(const struct heard *h, const char *region, int64_t now_ms);

// A region that names a later place than ours, lately, and is believed. NULL: there is none.
const struct heard_region *heard_claims(const struct heard *h, const struct control_place *own,
                                        int64_t now_ms, int64_t silent_ms);
// One of them, whose turn it is to be asked for it.
const struct heard_region *heard_to_ask(const struct heard *h, const struct control_place *own,
                                        int64_t now_ms, int64_t silent_ms);
// A region that names one and is not believed.
const struct heard_region *heard_doubted(const struct heard *h, const struct control_place *own,
                                         int64_t now_ms, int64_t silent_ms);

// May the writer write? Notes whether it is sure: called on each node, often, so that one that
// becomes the writer is sure already.
bool heard_confirms(struct heard *h, const struct heard_own *own, int64_t now_ms,
                    int64_t silent_ms);
// Has a region that is at `at` stored `p`, which is in force here? False: not, or it is not known.
bool heard_covers(const struct control_place *at, const struct control_place *p,
                  const struct heard_own *own);
// Who has stored `p`, which is in force here.
void heard_stored_by(const struct heard *h, const struct heard_own *own,
                     const struct control_place *p, int64_t now_ms, int64_t silent_ms,
                     struct heard_stored *out);

#endif
