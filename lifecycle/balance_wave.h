// SPDX-License-Identifier: Apache-2.0
// In which order registries leave a stamp, and whether the first of them fares well where it went.
//
// Waves, the smallest registries first, by their share of the stamp's load:
//
//   idle    at most 0.5 % each: batches of at most 30, watched for 15 minutes
//   middle  up to 10 %: batches of at most 30 that are at most 10 % together, watched for 24 h
//   large   above 10 %: singly, watched for 48 h
//
// The first registry of a wave is its canary: it moves alone. After 15 minutes it is judged, and then
// the others of the wave follow together, so that a wave counts as one move. Judged is what its
// answers are like, against itself in the same hour of the day before and against the registries that
// have not moved: what became worse for all is not laid to the move. Worse by 20 % in errors, 429 or
// p99, or by 0.5 % errors: it goes back, and the wave is stopped.
//
// No allocation, no clock. Any thread.
#ifndef MERIDIAN_LIFECYCLE_BALANCE_WAVE_H
#define MERIDIAN_LIFECYCLE_BALANCE_WAVE_H

#include "lifecycle/stamp_load.h"

#define BALANCE_BATCH 30
#define BALANCE_IDLE 5    // permille of the stamp's load: at most that is idle
#define BALANCE_LARGE 100 // above that is large
#define BALANCE_CANARY_S (15 * 60)
#define BALANCE_PATIENCE_S 3600 // so long a canary with hardly a request is waited for
#define BALANCE_DAY_S 86400

enum wave_kind { WAVE_IDLE, WAVE_MIDDLE, WAVE_LARGE };

struct balance_wave {
    enum wave_kind kind;
    // of the order: where it begins, and how many; the first is the canary
    size_t first, n;
    // of the stamp's load, permille
    uint32_t share;
    // from its begin: how long both stamps are watched, and nothing else moves there
    int64_t watch_s;
};

// Of `n` registries (up to 255) by their shares: order[n] has their indexes, and out[n] the waves.
// Returns how many waves.
size_t balance_waves(const uint16_t *shares, size_t n, uint8_t *order, struct balance_wave *out);
const char *wave_kind_text(enum wave_kind kind);

// What was answered in some time.
struct canary_rates {
    uint64_t requests, throttled, failed;
    uint32_t p99_ms;
};

struct canary {
    int64_t moved_s, now_s;
    // of the registry since it moved, and in the same hour of the day before
    struct canary_rates after, before;
    // likewise of those that have not moved
    struct canary_rates others_after, others_before;
};

enum canary_state { CANARY_WAITS, CANARY_GOOD, CANARY_BACK };
enum canary_cause { CANARY_NOTHING, CANARY_FAILED, CANARY_THROTTLED, CANARY_SLOW, CANARY_IDLE };

struct canary_verdict {
    enum canary_state state;
    // why it goes back; CANARY_IDLE: good, for want of requests
    enum canary_cause cause;
    // what is, and what was to be expected: in a million requests; of CANARY_SLOW, ms
    uint64_t is, expected;
    // CANARY_WAITS: until then
    int64_t until_s;
};

struct canary_verdict canary_judge(const struct canary *c);
const char *canary_cause_text(enum canary_cause cause);

// What of a wave is to be done, with its canary judged so.
struct wave_next {
    // of the order: these move now; none: 0
    size_t first, n;
    // the canary goes back, and no other of this wave moves
    bool stopped;
};

struct wave_next wave_next(const struct balance_wave *w, const struct canary_verdict *v);

#endif
