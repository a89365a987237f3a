// SPDX-License-Identifier: Apache-2.0
// When a stamp that all members have said to have reached may be used for dropping. Not at once: it is
// noted, and used when two things have come since (store/meta_drop.h, replication/horizon.h):
//
// - Everything that anybody wrote before he had applied all up to it is applied everywhere. Such a write
//   may hold what seems to be gone: a lock, a tag to a manifest that another region has just deleted, a
//   create-only value. It was minted before its writer said that he had reached the stamp, so below our
//   clock then, and the skew. So everything up to there must be applied everywhere.
// - No word counts any more that was said before. So a member that began anew with an empty store, and
//   was counted by the words of its earlier one, is counted by its own, or is silent.
//
//   uint64_t upto = settle_step(&s, &(struct settle_view){…});       // every now and then
//
// Pure; one owner.
#ifndef MERIDIAN_REPLICATION_SETTLE_H
#define MERIDIAN_REPLICATION_SETTLE_H

#include <stdint.h>

struct settled { // {0} at first
    uint64_t ready;
    // it is noted (0: none), and waits until everything up to `need` is applied everywhere
    uint64_t noted, need;
    int64_t noted_mono;
};

struct settle_view {
    // the stamp, as the members' words have it now
    uint64_t reached;
    // everything up to it is applied everywhere (horizon_floor)
    uint64_t everywhere;
    // a stamp that nobody can have minted yet
    uint64_t ahead;
    int64_t mono_ms;
    // for how long a word counts, twice
    int64_t lease_ms;
};

// Up to which stamp things may go now; 0: nothing may.
uint64_t settle_step(struct settled *s, const struct settle_view *v);

// The highest stamp at or below `stamp` that is at least keep_ms old and stands at the end of an eighth of
// keep_ms: so the regions come to the same ones, and raise their floors together. 0: there is none.
uint64_t settle_kept(uint64_t stamp, int64_t wall_ms, int64_t keep_ms);

#endif
