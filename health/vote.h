// SPDX-License-Identifier: Apache-2.0
// How resolvers decide together whether a stamp is up (design section 5): a pure function of the
// last observation of each. Called by the checker; allocates nothing.
//
//   struct health_count c = health_vote(votes, n, clock_mono_ms(),
//                                      HEALTH_VOTE_INTERVALS * interval, n_expected, fall);
//   health_decide(settings, target, c.ballot, wall_ms);
//
// 1. A vote lives three intervals.
// 2. The majority of those that vote decides; a tie, or nobody at all, leaves the verdict as it is.
// 3. A resolver does not vote on its own region: what it sees there says nothing of how clients
//    reach it.
// 4. One that sees most others down abstains: it is more likely that it is the one cut off. So its
//    word does not count while anybody else votes on that stamp.
// 5. Where nobody else does, those that abstain decide: either the others are dead indeed, or we
//    are cut off from them, and then our verdicts matter only to clients that still reach us, for
//    which our own region is the best answer. One that is heard and has not probed the stamp yet
//    (it was started just now) is waited for. And they take nothing down whose own resolver is
//    heard and sees it up: then it is not dead, and more likely they are blind.
// 6. Where nobody at all is left, its own resolver decides after all: better than the word of those
//    who are gone.
// 7. Where several resolvers should vote and one alone does, and by rules 5 and 6, down counts
//    after twice as many bad probes, by each of them. Where one alone may vote at all (two
//    regions), nobody's silence is a sign, and the plain fall holds.
#ifndef MERIDIAN_HEALTH_VOTE_H
#define MERIDIAN_HEALTH_VOTE_H

#include "health/health.h"

#define HEALTH_VOTE_INTERVALS 3

struct health_vote { // what one resolver says of one stamp
    // monotonic; 0: never
    int64_t heard_ms;
    // the stamp is of its own region
    bool own_region;
    bool abstains;
    // it has probed the stamp
    bool knows;
    bool up;
    // bad probes in a row
    uint32_t n_bad;
};

// What becomes of one vote, by rules 1, 3 and 4.
enum health_standing {
    VOTE_STANDS,
    VOTE_ABSTAINS,
    VOTE_OF_OWN_REGION,
    VOTE_UNKNOWING,
    VOTE_SILENT
};
enum health_rule {
    VOTE_MAJORITY,
    VOTE_TIE,
    VOTE_NOBODY,
    VOTE_LONE,
    VOTE_WAITS,
    VOTE_CONTESTED,
    VOTE_OWN_PROBES
};

struct health_count {
    enum health_ballot ballot;
    enum health_rule rule;
    // whose votes were counted: one of the first three
    enum health_standing by;
    // of them
    uint32_t n_up, n_down;
};

enum health_standing health_vote_standing(const struct health_vote *v, int64_t now_ms,
                                          int64_t life_ms);
struct health_count health_vote(const struct health_vote *votes, size_t n, int64_t now_ms,
                                int64_t life_ms, size_t n_expected, uint32_t fall);
const char *health_rule_text(enum health_rule r);
const char *health_rule_name(enum health_rule r); // for labels: "majority"
const char *health_by_name(enum health_standing by);
// what goes before it; "" of those that do not abstain
const char *health_by_text(enum health_standing by);

// Rule 4. A resolver with one other region alone cannot tell who is cut off, and votes.
bool health_abstains(size_t n_others, size_t n_down);

#endif
