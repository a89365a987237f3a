// SPDX-License-Identifier: Apache-2.0
// When dead values and tombstones of a registry may go for good (design section 9, invariant 7). Pure:
// what it is given comes from the topology, from the words of the members, and from the own store.
//
// Each member of a registry tells the others, again and again, how far it is: its word. A word has
// for each origin the stamp up to which all of that origin's entries in the registry are applied
// there, and the member's own floor. Things go in two steps, each with a rule of its own:
//
//   1. horizon_floor: at or below it, everybody has applied everything. The member raises its floor
//      to it, and what a tombstone at or below it has ended goes: the dead value, and from then on
//      nobody gets it from this member. The tombstone stays.
//   2. horizon_tombstones: at or below it, nobody has such dead values any more. The tombstone goes.
//
// So whoever joins, and reads one member before and another one after these steps, cannot get a
// dead value from the one without its tombstone from the other: a member that knows the joiner does
// not raise its floor before the joiner has everything, and one that does not know it gives it
// nothing. For the same reason regions may follow different versions of the topology meanwhile.
//
// A word only grows, so an old one holds more than a new one would. It shrinks when its member begins
// with an empty store. So a word counts for HORIZON_LEASE_MS, and such a member reads nothing until all
// others have heard it, or until no word of its earlier store can count any more.
//
// A member counts from when the topology names it; before it has said anything, it holds everything.
// An origin whose clock is ahead is not read on, so it holds what it holds, like one that is away.
//
// What comes later all the same (an old backup, what is announced again) meets the floor:
// store/floor.h.
#ifndef MERIDIAN_REPLICATION_HORIZON_H
#define MERIDIAN_REPLICATION_HORIZON_H

#include "config/topology.h"

#include <stdbool.h>
#include <stdint.h>

// How long the last word of a member counts, and how long a member with an empty store waits at
// most: twice that, for clocks that run unlike.
#define HORIZON_LEASE_MS 30000

// What one member said last of one registry.
struct horizon_word {
    // It was said less than HORIZON_LEASE_MS ago.
    bool counts;
    // By the origin's index: all its entries in the registry with a stamp at or below are applied or
    // superseded there, and it has signed that no other ones come.
    uint64_t applied[TOPOLOGY_MAX_REGIONS];
    // At or below it there are no dead values at that member.
    uint64_t floor;
};

struct horizon_view {
    // who holds the registry, by bits of the region's index; all of them may be origins
    uint64_t members;
    // by region's index, this region's own word too; only those of members are looked at
    const struct horizon_word *words;
};

enum horizon_why {
    // there is no member
    HORIZON_NOBODY,
    // this member has no word that counts
    HORIZON_SILENT,
    // this member has not applied more of that origin
    HORIZON_BEHIND,
    // this member has not raised its floor yet
    HORIZON_CLEARING,
};

// How far one may go, and who holds it there.
struct horizon {
    uint64_t stamp;
    enum horizon_why why;
    uint8_t member, origin;
};

// Step 1: up to which stamp the own floor may be raised.
struct horizon horizon_floor(const struct horizon_view *v);
// Step 2: up to which stamp tombstones may go. Never above any member's floor.
struct horizon horizon_tombstones(const struct horizon_view *v);

// What a region knows of its own reading of one origin in one registry.
struct horizon_reading {
    // the registry's past was read from the beginning of that feed on
    bool whole;
    // The highest signed word of the origin ("nothing at or below this stamp will come from me")
    // whose place the read mark has reached; 0: none.
    uint64_t word;
    // the lowest stamp of its entries here that are not applied and hold back; 0: there is none
    uint64_t held;
};
// The stamp for struct horizon_word.
uint64_t horizon_applied(const struct horizon_reading *r);

#endif
