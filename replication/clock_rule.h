// SPDX-License-Identifier: Apache-2.0
// Whether a region may trust its own clock (design section 9, invariant 9): a pure function of what
// was measured of the other regions' clocks, of what the kernel says of ours, and of the state
// before. One bad clock must not close a good region's writes, so a majority decides, and where
// nobody can tell who is wrong, writes go on.
//
//   - A region *differs* when its offset, less the error of measurement, is over CLOCK_OFF_MS.
//   - Writes close when the regions that were reached and differ are a majority of all members (of
//     the topology, whether reached or not), and two of them agree with each other.
//   - They stay closed until those known to differ by more than CLOCK_GOOD_MS are no majority any
//     more. A region that cannot be reached any more counts by what was measured last, whose error
//     grows with time.
//   - With fewer than two regions reached nobody can tell who is wrong: then writes close only if
//     the kernel says that our clock is not synchronised, else there is a warning.
#ifndef MERIDIAN_REPLICATION_CLOCK_RULE_H
#define MERIDIAN_REPLICATION_CLOCK_RULE_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>

#define CLOCK_OFF_MS 500
#define CLOCK_GOOD_MS 250
// what is measured worse (a round trip of more than 0.5 s) does not count as reached
#define CLOCK_ERROR_MAX_MS 250
// so far apart, certificates and tokens are at risk, not the order of writes alone
#define CLOCK_FAR_MS 30000
#define CLOCK_SENTENCE_SIZE 256

enum clock_state {
    CLOCK_FINE,
    CLOCK_DIFFERS,  // from some region that is reached; writes go on
    CLOCK_OUTVOTED, // closed: it differs from a majority
    // closed: it differs from the one region that is reached, and the kernel does not vouch for it
    CLOCK_UNSYNCHRONISED,
};

struct clock_other { // another member
    const char *region;
    // there is a measurement; it may be old
    bool known;
    // it answered when it was asked last, and the error is small enough
    bool reached;
    // its wall clock less ours, give or take the error
    int64_t offset_ms;
    int64_t error_ms;
};

struct clock_case {
    // regions of the topology, ourselves included
    size_t n_members;
    const struct clock_other *others;
    size_t n_others;
    enum clock_kernel kernel;
    enum clock_state before;
};

enum clock_state clock_judge(const struct clock_case *c);
static inline bool clock_closes(enum clock_state s)
{
    return s == CLOCK_OUTVOTED || s == CLOCK_UNSYNCHRONISED;
}
// May others' stamps be judged by our clock, and what is of the future be thrown away? Not while
// writes are closed by it; else if some region that is reached agrees, or there is no other, or
// none is reached and the kernel vouches for it.
bool clock_vouched(const struct clock_case *c, enum clock_state s);
const char *clock_state_name(enum clock_state s); // "fine", "differs", "outvoted", "unsynchronised"
const char *clock_kernel_name(enum clock_kernel k);
// Is ours off by more than CLOCK_FAR_MS, by the word of those that close writes?
bool clock_far(const struct clock_case *c, enum clock_state s);
// Is ours ahead, by more than CLOCK_FAR_MS, of a majority of the others that are reached? Whoever is
// right: what must not come too early does not go by it then.
bool clock_ahead(const struct clock_case *c);
// By how much the others' clocks are ahead of ours, as most of those that are reached have it (the
// median, of two in the middle the one nearer to ours). 0: nobody is reached.
int64_t clock_others_ms(const struct clock_case *c);
// Regions that are reached and whose clocks are off from ours by more than CLOCK_FAR_MS, for
// people, and whether the others side with us; "" when there are none, or when ours is the one that
// is wrong. Returns out.
const char *clock_far_peers(const struct clock_case *c, enum clock_state s,
                            char out[CLOCK_SENTENCE_SIZE]);
// Something of `region` (NULL: of no one region) has a date that does not fit our clock: whose
// clock is suspect, by what was measured. A clause for people. Returns out.
const char *clock_suspect(const struct clock_case *c, enum clock_state s, const char *region,
                          char out[CLOCK_SENTENCE_SIZE]);
// By how much, against whom, and what to do, for people; "" for CLOCK_FINE. Returns out.
const char *clock_sentence(const struct clock_case *c, enum clock_state s,
                           char out[CLOCK_SENTENCE_SIZE]);

#endif
