// SPDX-License-Identifier: Apache-2.0
// Which registries of a region are to move to which stamp, and why: a pure function of loads, of
// moves that were, and of what goes on in the region. It moves nothing.
//
//   1. Held: while a region is down, drilling, replicating a snapshot or frozen, while a move is in
//      flight, or after five of a day, nothing is decided.
//   2. Hot stamps (lifecycle/stamp_load.h), the hottest first. One from which or to which a registry
//      moved is left alone until its watch ends: its bins are of both times.
//   3. Its registries, those with the most load first. One that moved in the last 7 days rests.
//   4. To that stamp with the least P95 among those whose P95 with it (sums per bin) stays within
//      55 %; until the stamp that is left is within 55 % too.
//   5. If all that does not cool it, nothing moves: to isolate the largest that fits nowhere is
//      advised, or larger nodes where it is alone already. Two registries never change places.
//   6. What moves, moves in waves (lifecycle/balance_wave.h), the smallest first.
//
//   struct balance_plan *p = mem_zalloc(sizeof *p);       // about 100 KiB
//   balance_decide(&input, p);
//
// No allocation, no clock, no state: what was hot, and what moved, is in the input. Any thread.
#ifndef MERIDIAN_LIFECYCLE_BALANCE_H
#define MERIDIAN_LIFECYCLE_BALANCE_H

#include "lifecycle/balance_wave.h"

#define BALANCE_STAMPS 32
#define BALANCE_MOVES 2048
#define BALANCE_REST_S (7 * BALANCE_DAY_S)
#define BALANCE_A_DAY 5
#define BALANCE_ALONE 900 // permille of a stamp's load: such a registry is alone there

// Why nothing is decided, or not all: bits.
enum balance_held {
    HELD_REGION_DOWN = 1,
    HELD_DRILL = 2,
    HELD_SNAPSHOT = 4,
    HELD_FREEZE = 8,
    // the caller says those above; these are found
    HELD_IN_FLIGHT = 16,
    HELD_DAY_FULL = 32,
    // bins are missing
    HELD_UNKNOWN = 64,
    // a stamp is watched after a move
    HELD_WATCHED = 128,
    // registries rest after a move
    HELD_RESTING = 256
};

struct balance_stamp {
    char name[LOAD_NAME_SIZE];
    // it was at the last decision
    bool was_hot;
    // drained or down: nothing moves there
    bool closed;
    struct stamp_load load;
};

// Of one registry, also one that was undone.
struct balance_move {
    char registry[LOAD_NAME_SIZE], from[LOAD_NAME_SIZE], to[LOAD_NAME_SIZE];
    int64_t begun_s, watched_until_s;
    // moves of one wave have one number
    uint32_t wave;
    bool in_flight;
};

struct balance_input {
    int64_t now_s;
    // the first four of balance_held
    unsigned going_on;
    // up to BALANCE_STAMPS and BALANCE_MOVES; borrowed
    const struct balance_stamp *stamps;
    size_t n_stamps;
    const struct balance_move *moves;
    size_t n_moves;
};

enum balance_outcome {
    BALANCE_NOTHING, // no stamp is hot
    BALANCE_MOVES_ADVISED,
    BALANCE_ISOLATE, // `alone` needs a stamp of its own
    BALANCE_RESIZE,  // no move helps: larger nodes, or more
    BALANCE_HELD     // see `held`
};

enum balance_fate {
    FATE_NOT_NEEDED, // the stamp is cool without it
    FATE_MOVES,
    FATE_NO_ROOM, // to no stamp
    FATE_RESTS,
    FATE_NO_HELP // it could move, and the stamp would be hot all the same
};

struct balance_candidate {
    // index at the stamp that it leaves
    uint8_t registry;
    enum balance_fate fate;
    // of that stamp's load, permille
    uint16_t share;
    // FATE_MOVES, FATE_NO_HELP, FATE_NO_ROOM: P95 of the destination with it; of no room the least
    // that any would have. 0: no stamp is open
    uint16_t forecast;
    // index of that stamp; n_stamps: none
    size_t to;
    int64_t rests_until_s;
};

struct balance_plan {
    enum balance_outcome outcome;
    // what holds it, or held some stamps or registries back
    unsigned held;
    // by stamp
    struct load_verdict verdicts[BALANCE_STAMPS];
    int64_t watched_until_s[BALANCE_STAMPS];
    // the stamp that this is about, and its P95 before and after; not with BALANCE_NOTHING and HELD
    // without candidates
    size_t from;
    uint16_t p95_after;
    struct balance_candidate candidates[LOAD_REGISTRIES];
    size_t n_candidates;
    // BALANCE_ISOLATE: candidate
    size_t alone;
    // indexes of candidates that move, in their waves
    uint8_t order[LOAD_REGISTRIES];
    struct balance_wave waves[LOAD_REGISTRIES];
    size_t n_waves;
    // when each may begin
    int64_t begins_s[LOAD_REGISTRIES];
    // bins of each stamp's newest day with all moves made
    uint16_t forecast[BALANCE_STAMPS][LOAD_DAY];
};

void balance_decide(const struct balance_input *in, struct balance_plan *out);
// One bit's sentence.
const char *balance_held_text(enum balance_held bit);

#endif
