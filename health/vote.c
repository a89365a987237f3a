// SPDX-License-Identifier: Apache-2.0
// The count of votes; see health_vote.h.
#include "health/vote.h"

#include "base/mem.h"

enum health_standing health_vote_standing(const struct health_vote *v, int64_t now_ms,
                                          int64_t life_ms)
{
    if (!v->heard_ms || now_ms - v->heard_ms > life_ms)
        return VOTE_SILENT;
    if (!v->knows)
        return VOTE_UNKNOWING;
    if (v->own_region)
        return VOTE_OF_OWN_REGION;
    if (v->abstains)
        return VOTE_ABSTAINS;
    return VOTE_STANDS;
}

struct tally {
    // n_bad: the fewest bad probes of those that say down
    uint32_t n_up, n_down, n_bad;
};

static struct tally tally_of(const struct health_vote *votes, size_t n, enum health_standing who,
                             int64_t now_ms, int64_t life_ms)
{
    struct tally t = {.n_bad = UINT32_MAX};
    for (size_t i = 0; i < n; i++) {
        if (health_vote_standing(&votes[i], now_ms, life_ms) != who)
            continue;
        if (votes[i].up) {
            t.n_up++;
            continue;
        }
        t.n_down++;
        if (votes[i].n_bad < t.n_bad)
            t.n_bad = votes[i].n_bad;
    }
    return t;
}

// Will somebody who is heard vote soon?
static bool is_to_come(const struct health_vote *votes, size_t n, int64_t now_ms, int64_t life_ms)
{
    for (size_t i = 0; i < n; i++)
        if (!votes[i].own_region &&
            health_vote_standing(&votes[i], now_ms, life_ms) == VOTE_UNKNOWING)
            return true;
    return false;
}

static bool sees_itself_up(const struct health_vote *votes, size_t n, int64_t now_ms,
                           int64_t life_ms)
{
    for (size_t i = 0; i < n; i++)
        if (votes[i].up && health_vote_standing(&votes[i], now_ms, life_ms) == VOTE_OF_OWN_REGION)
            return true;
    return false;
}

static enum health_rule rule_of(const struct tally *t, enum health_standing by, size_t n_expected,
                                uint32_t fall)
{
    bool down = t->n_down > t->n_up,
         doubled = by != VOTE_STANDS || (t->n_up + t->n_down == 1 && n_expected > 1);
    if (t->n_up + t->n_down == 0)
        return VOTE_NOBODY;
    if (down && doubled && t->n_bad < 2 * (uint64_t)fall)
        return VOTE_WAITS;
    if (t->n_up + t->n_down == 1)
        return VOTE_LONE;
    if (t->n_up == t->n_down)
        return VOTE_TIE;
    return VOTE_MAJORITY;
}

struct health_count health_vote(const struct health_vote *votes, size_t n, int64_t now_ms,
                                int64_t life_ms, size_t n_expected, uint32_t fall)
{
    struct health_count c = {.rule = VOTE_NOBODY};
    struct tally t = {0};
    int last = VOTE_OF_OWN_REGION;
    if (is_to_come(votes, n, now_ms, life_ms))
        last = VOTE_STANDS;
    for (int by = VOTE_STANDS; by <= last && c.rule == VOTE_NOBODY; by++) {
        c.by = (enum health_standing)by;
        t = tally_of(votes, n, c.by, now_ms, life_ms);
        c.rule = rule_of(&t, c.by, n_expected, fall);
    }
    if (c.rule == VOTE_NOBODY)
        c.by = VOTE_STANDS;
    if (c.by == VOTE_ABSTAINS && t.n_down > t.n_up && sees_itself_up(votes, n, now_ms, life_ms))
        c.rule = VOTE_CONTESTED;
    c.n_up = t.n_up;
    c.n_down = t.n_down;
    if (c.rule == VOTE_MAJORITY || c.rule == VOTE_LONE) {
        if (c.n_up > c.n_down)
            c.ballot = HEALTH_SAY_UP;
        else
            c.ballot = HEALTH_SAY_DOWN;
    }
    return c;
}

const char *health_rule_text(enum health_rule r)
{
    static const char *const texts[] = {
        [VOTE_MAJORITY] = "the majority decides",
        [VOTE_TIE] = "a tie: the verdict stays",
        [VOTE_NOBODY] = "nobody votes: the verdict stays",
        [VOTE_LONE] = "one voter alone decides",
        [VOTE_WAITS] = "down needs twice the bad probes: the verdict stays",
        [VOTE_CONTESTED] = "its own resolver sees it up: the verdict stays",
        [VOTE_OWN_PROBES] = "our own probes decide",
    };
    if ((size_t)r < ARRAY_LEN(texts))
        return texts[r];
    return "unknown";
}

const char *health_rule_name(enum health_rule r)
{
    static const char *const names[] = {
        [VOTE_MAJORITY] = "majority",    [VOTE_TIE] = "tie",
        [VOTE_NOBODY] = "nobody",        [VOTE_LONE] = "lone",
        [VOTE_WAITS] = "waits",          [VOTE_CONTESTED] = "contested",
        [VOTE_OWN_PROBES] = "own_probes"};
    if ((size_t)r < ARRAY_LEN(names))
        return names[r];
    return "unknown";
}

const char *health_by_name(enum health_standing by)
{
    if (by == VOTE_ABSTAINS)
        return "abstainers";
    if (by == VOTE_OF_OWN_REGION)
        return "its_own";
    return "voters";
}

const char *health_by_text(enum health_standing by)
{
    if (by == VOTE_ABSTAINS)
        return "only those that abstain are left: ";
    if (by == VOTE_OF_OWN_REGION)
        return "only its own resolver is left: ";
    return "";
}

bool health_abstains(size_t n_others, size_t n_down)
{
    return n_others > 1 && 2 * n_down > n_others;
}
