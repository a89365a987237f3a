// SPDX-License-Identifier: Apache-2.0
// The load of a stamp of a region, minute by minute, and whether it is hot.
//
// All shares are permille of one node's CPU. The bin of a stamp is what its hottest node used on the
// mean of that minute. The bin of a registry is its part of just that: so bins of registries can be
// added to the bins of another stamp, as if all of it fell on one node there too. Integers alone: the
// same bins give the same answer on every machine.
//
// A stamp is judged by whole days, the newest first. Of each day that window of 12 h counts which has
// the highest mean; its P95 (nearest rank) is compared with a limit. A minute without a bin is no
// zero: it counts nowhere, and a window of which more than a fifth is missing decides nothing.
//
//   struct load_verdict v = load_judge(&load, false);
//   if (v.heat == LOAD_HOT) … v.days[0].p95 …
//
// No allocation, no clock. Any thread, as long as nobody writes the load.
#ifndef MERIDIAN_LIFECYCLE_STAMP_LOAD_H
#define MERIDIAN_LIFECYCLE_STAMP_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_DAY 1440   // bins of a day
#define LOAD_WINDOW 720 // bins of a window
#define LOAD_DAYS 2     // so many must be hot
#define LOAD_ENOUGH 576 // bins that a window must have: four fifths
#define LOAD_MISSING UINT16_MAX
#define LOAD_FULL 1000   // permille: the node's whole CPU
#define LOAD_HOT_AT 700  // P95 from which a stamp is hot
#define LOAD_ROOM_TO 550 // P95 that a stamp may come to; a hot one stays hot down to it
#define LOAD_MINUTES 10  // of rates: so long must they be bad
#define LOAD_REGISTRIES 64
#define LOAD_NAME_SIZE 64 // with the NUL

// A minute of a stamp's answers. No requests: a minute that says nothing.
struct load_minute {
    uint64_t requests;
    // 429 for want of capacity, and 5xx
    uint64_t throttled, failed;
    uint32_t p99_ms;
};

struct load_registry {
    char name[LOAD_NAME_SIZE];
    // the newest day, oldest first; LOAD_MISSING
    uint16_t bins[LOAD_DAY];
};

// About 200 KiB.
struct stamp_load {
    // oldest first; the last LOAD_DAY are the newest day
    uint16_t hottest[LOAD_DAYS * LOAD_DAY];
    // those with the most load; `rest` is all others together
    struct load_registry registries[LOAD_REGISTRIES];
    size_t n_registries;
    uint16_t rest[LOAD_DAY];
    struct load_minute minutes[LOAD_MINUTES];
    // median of a week; 0: not known
    uint32_t p99_week_ms;
};

// Of the busiest window of a day.
struct load_figures {
    // false: too many bins are missing, and the rest is 0
    bool known;
    uint16_t p95, mean, max;
    // bins that it has, of LOAD_WINDOW; first bin of the window in its day
    uint16_t n_bins, begin;
};

enum load_heat { LOAD_UNKNOWN, LOAD_COOL, LOAD_HOT };

enum load_cause { LOAD_NOTHING, LOAD_P95, LOAD_THROTTLED, LOAD_FAILED, LOAD_SLOW };

struct load_verdict {
    enum load_heat heat;
    // why it is hot. Of an unknown one: what its answers say
    enum load_cause cause;
    // the newest day first
    struct load_figures days[LOAD_DAYS];
};

// All bins missing, no registries, no rates.
void stamp_load_init(struct stamp_load *l);
// `was_hot`: it was at the last judgement.
struct load_verdict load_judge(const struct stamp_load *l, bool was_hot);
// The busiest window of one day of bins. A bin may be above LOAD_FULL: it is a forecast.
struct load_figures load_figures(const uint16_t bins[LOAD_DAY]);
// `to` += `what`, or -=, bin by bin. What is missing in `to` stays missing; what is missing in `what`
// makes the bin missing, because nobody knows that sum. Not below 0.
void load_add(uint16_t to[LOAD_DAY], const uint16_t what[LOAD_DAY]);
void load_take(uint16_t from[LOAD_DAY], const uint16_t what[LOAD_DAY]);
// What that registry is of the stamp's load in the newest day, by the sums of bins: permille.
uint16_t load_share(const struct stamp_load *l, size_t registry);
const char *load_cause_text(enum load_cause cause);

#endif
