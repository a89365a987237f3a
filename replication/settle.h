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

#include <stdbool.h>
#include <stddef.h>
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

// --- how long things are kept ---

// At most a step in each eighth of the time that things are kept.
#define SETTLE_STEPS 12

struct settle_mark {
    uint64_t stamp;
    // when all were seen to have reached it
    int64_t wall_ms;
};

struct settle_steps { // {0} at first
    // all have reached it for long enough
    uint64_t ready;
    // those that follow, the earliest first
    struct settle_mark steps[SETTLE_STEPS];
    size_t n;
};

// `stamp`: all have reached it now. Notes it, at the end of an eighth of keep_ms, so that the regions come
// to the same ones and raise their floors together. *out: the highest one that all have reached for
// keep_ms, and have still; 0: none. So a backup that is younger than keep_ms has everything that was
// dropped since, or its deletion, however long some region was away before. true: the steps changed.
bool settle_keep(struct settle_steps *k, uint64_t stamp, int64_t wall_ms, int64_t keep_ms,
                 uint64_t *out);

#endif
