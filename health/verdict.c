// SPDX-License-Identifier: Apache-2.0
// Verdicts, from what our probes say and what the other resolvers told (design section 5). Called
// by the checker's thread at every turn, with its lock. The count itself is health_vote.c.
#include "health/priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

bool health_is_here(const struct health *h, const char *region)
{
    return h->o.region && !strcmp(h->o.region, region);
}

bool health_has_resolver(const struct health *h, const struct link *l)
{
    return l->votes || health_is_here(h, l->region);
}

bool health_alone(const struct health *h)
{
    for (size_t i = 0; i < h->n_links && h->o.peer_pem; i++)
        if (h->links[i]->votes && !health_is_here(h, h->links[i]->region))
            return false;
    return true;
}

// Targets and links stand in the topology's order.
bool health_we_abstain(const struct health *h)
{
    size_t n_others = 0, n_down = 0, k = 0;
    for (size_t i = 0; i < h->n_links; i++) {
        bool any = false, up = false;
        for (; k < h->n_targets && !strcmp(h->targets[k]->pub.region, h->links[i]->region); k++) {
            const struct health_target *x = &h->targets[k]->pub;
            any |= x->seen;
            up |= !x->seen || x->seen_up;
        }
        if (health_is_here(h, h->links[i]->region))
            continue;
        n_others++;
        n_down += any && !up;
    }
    return health_abstains(n_others, n_down);
}

enum health_standing health_standing_of(const struct health *h, const struct health_vote *v,
                                        int64_t now)
{
    return health_vote_standing(v, now, health_vote_life_ms(h));
}

// One per link, in their order; ours is made of our probes.
static size_t votes_of(const struct health *h, size_t target, int64_t now,
                       struct health_vote votes[TOPOLOGY_MAX_REGIONS])
{
    const struct health_target *x = &h->targets[target]->pub;
    for (size_t i = 0; i < h->n_links; i++) {
        const struct link *l = h->links[i];
        uint32_t bad = l->bad[target];
        bool own_region = !strcmp(l->region, x->region);
        if (health_is_here(h, l->region))
            votes[i] =
                (struct health_vote){now, own_region, h->abstains, x->seen, x->seen_up, x->n_bad};
        else
            votes[i] = (struct health_vote){l->heard_ms,         own_region, l->abstains,
                                            bad != SAID_NOTHING, !bad,       bad};
    }
    return h->n_links;
}

#define RULE_TEXT_MAX 96 // kept free for how the count went
#define VOTE_TEXT_MAX (HOSTNAME_REGION_SIZE + sizeof ", , abstains, sees it down")

// "westeurope down, eastus silent; the majority decides". Those that there is no room for are
// counted.
static void tell(const struct health *h, const struct health_vote *votes, int64_t now,
                 const struct health_count *c, char *out, size_t cap)
{
    static const char *const texts[][2] = {
        [VOTE_STANDS] = {" down", " up"},
        [VOTE_ABSTAINS] = {" abstains, sees it down", " abstains, sees it up"},
        [VOTE_OF_OWN_REGION] = {" down", " up"},
        [VOTE_UNKNOWING] = {" has not probed it", " has not probed it"},
        [VOTE_SILENT] = {" silent", " silent"}};
    size_t n = 0, n_more = 0;
    for (size_t i = 0; i < h->n_links; i++) {
        if (!health_has_resolver(h, h->links[i]) ||
            (votes[i].own_region && c->by != VOTE_OF_OWN_REGION))
            continue;
        if (n + VOTE_TEXT_MAX > cap - RULE_TEXT_MAX)
            n_more++;
        else
            n += (size_t)snprintf(out + n, cap - n, "%s%s%s", n ? ", " : "", h->links[i]->region,
                                  texts[health_standing_of(h, &votes[i], now)][votes[i].up]);
    }
    if (n_more)
        n += (size_t)snprintf(out + n, cap - n, ", %zu more", n_more);
    snprintf(out + n, cap - n, "; %s%s", health_by_text(c->by), health_rule_text(c->rule));
}

static enum health_ballot own_ballot(const struct health_target *x)
{
    if (!x->seen)
        return HEALTH_SAY_NOTHING;
    if (x->seen_up && x->n_good)
        return HEALTH_SAY_UP;
    if (x->seen_up)
        return HEALTH_SAY_NOTHING;
    return HEALTH_SAY_DOWN;
}

struct health_count health_count_of(const struct health *h, size_t target, int64_t now,
                                    struct health_vote votes[TOPOLOGY_MAX_REGIONS])
{
    const struct health_target *x = &h->targets[target]->pub;
    size_t n_expected = 0, n = votes_of(h, target, now, votes);
    for (size_t i = 0; i < n; i++)
        n_expected += health_has_resolver(h, h->links[i]) && !votes[i].own_region;
    if (health_alone(h) || !n_expected)
        return (struct health_count){.ballot = own_ballot(x), .rule = VOTE_OWN_PROBES};
    return health_vote(votes, n, now, health_vote_life_ms(h), n_expected, h->topology->health.fall);
}

static enum health_ballot ballot_of(struct health *h, size_t target, int64_t now)
{
    struct health_vote votes[TOPOLOGY_MAX_REGIONS];
    struct health_target *x = &h->targets[target]->pub;
    char text[sizeof x->votes] = "";
    struct health_count c = health_count_of(h, target, now, votes);
    if (c.rule != VOTE_OWN_PROBES) {
        if (!x->seen)
            // just started: one blind voter alone must not decide before we have looked
            c.ballot = HEALTH_SAY_NOTHING;
        tell(h, votes, now, &c, text, sizeof text);
    }
    if (strcmp(text, x->votes) != 0) {
        memcpy(x->votes, text, sizeof text);
        h->unpublished = true; // explanations show it
    }
    return c.ballot;
}

static void log_change(const struct health_target *t)
{
    log_write(t->up ? LOG_INFO : LOG_WARN, "health: %s of %s is %s: %s%s%s%s", t->stamp, t->region,
              t->up ? "up" : "down", t->reason, t->votes[0] ? " (" : "", t->votes,
              t->votes[0] ? ")" : "");
}

bool health_is_heard(const struct health *h, const struct link *l, int64_t now)
{
    return l->heard_ms && now - l->heard_ms <= health_vote_life_ms(h);
}

// Who is heard and who abstains: of this all votes are counted.
static void look_at_voters(struct health *h, int64_t now)
{
    bool abstains = health_we_abstain(h);
    h->unsettled |= abstains != h->abstains;
    h->abstains = abstains;
    for (size_t i = 0; i < h->n_links; i++) {
        struct link *l = h->links[i];
        bool fresh = health_is_heard(h, l, now);
        h->unsettled |= fresh != l->fresh;
        l->fresh = fresh;
    }
}

bool health_verdicts_decide(struct health *h, int64_t now)
{
    bool changed = false;
    look_at_voters(h, now);
    for (size_t i = 0; i < h->n_targets; i++) {
        struct target *x = h->targets[i];
        if (x->settled && !h->unsettled)
            continue;
        enum health_ballot ballot = ballot_of(h, i, now);
        x->settled = x->pub.up && ballot != HEALTH_SAY_DOWN;
        if (!health_decide(&h->topology->health, &x->pub, ballot, clock_wall_ms()))
            continue;
        x->settled = false;
        log_change(&x->pub);
        changed = h->unpublished = h->dirty = true;
    }
    h->unsettled = false;
    return changed;
}

size_t health_exceptions(const struct health *h, int64_t now, struct health_exception *out)
{
    size_t n = 0;
    const struct health_drill *drill = health_drills_running(&h->drills);
    if (drill) {
        out[n].kind = HEALTH_DRILLED;
        memcpy(out[n].region, drill->region, sizeof out[n].region);
        memcpy(out[n].label, drill->label, sizeof out[n].label);
        n++;
    }
    for (size_t i = 0; i < h->orders.n && n < HEALTH_EXCEPTIONS_MAX; i++) {
        const struct health_order *x = &h->orders.list[i];
        if (!x->on || x->kind == HEALTH_FORCED) // what is forced stands in the targets
            continue;
        out[n].kind = x->kind;
        memcpy(out[n].region, x->region, sizeof out[n].region);
        memcpy(out[n].label, x->label, sizeof out[n].label);
        n++;
    }
    for (size_t i = 0; i < h->n_links; i++)
        for (size_t k = 0;
             health_deep_fresh(h, h->links[i], now) && k < h->links[i]->deep.n_impaired; k++) {
            if (n == HEALTH_EXCEPTIONS_MAX)
                return n;
            out[n].kind = HEALTH_IMPAIRED;
            memcpy(out[n].region, h->links[i]->region, sizeof out[n].region);
            memcpy(out[n].label, h->links[i]->deep.impaired[k], sizeof out[n].label);
            n++;
        }
    return n;
}
