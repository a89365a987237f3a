// SPDX-License-Identifier: Apache-2.0
// The count of votes; see health_vote.h.
#include "resolver/health_vote.h"

#include "base/mem.h"

bool health_vote_counts(const struct health_vote *v, int64_t now_ms, int64_t life_ms)
{
    return v->heard_ms && now_ms - v->heard_ms <= life_ms && !v->own_region && !v->abstains && v->knows;
}

static enum health_rule rule_of(uint32_t n_up, uint32_t n_down, size_t n_expected, uint32_t n_bad, uint32_t fall)
{
    if (n_up + n_down == 0)
        return VOTE_NOBODY;
    if (n_up + n_down == 1)
        return n_down && n_expected > 1 && n_bad < 2 * (uint64_t)fall ? VOTE_LONE_WAITS : VOTE_LONE;
    return n_up == n_down ? VOTE_TIE : VOTE_MAJORITY;
}

struct health_count health_vote(const struct health_vote *votes, size_t n, int64_t now_ms, int64_t life_ms,
                                size_t n_expected, uint32_t fall)
{
    struct health_count c = {0};
    uint32_t n_bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (!health_vote_counts(&votes[i], now_ms, life_ms))
            continue;
        ++*(votes[i].up ? &c.n_up : &c.n_down);
        n_bad = votes[i].n_bad;
    }
    c.rule = rule_of(c.n_up, c.n_down, n_expected, n_bad, fall);
    if (c.rule == VOTE_MAJORITY || c.rule == VOTE_LONE)
        c.ballot = c.n_up > c.n_down ? HEALTH_SAY_UP : HEALTH_SAY_DOWN;
    return c;
}

const char *health_rule_text(enum health_rule r)
{
    static const char *const texts[] = {
        [VOTE_MAJORITY] = "the majority decides",
        [VOTE_TIE] = "a tie: the verdict stays",
        [VOTE_NOBODY] = "nobody votes: the verdict stays",
        [VOTE_LONE] = "one voter alone decides",
        [VOTE_LONE_WAITS] = "one voter alone needs twice the bad probes: the verdict stays",
        [VOTE_OWN_PROBES] = "our own probes decide",
    };
    return (size_t)r < ARRAY_LEN(texts) ? texts[r] : "unknown";
}

bool health_abstains(size_t n_others, size_t n_down)
{
    return n_others > 1 && 2 * n_down > n_others;
}
