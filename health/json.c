// SPDX-License-Identifier: Apache-2.0
// What the checker tells an operator, as JSON for the admin socket. Admin threads; takes the
// checker's lock to copy.
#include "health/priv.h"

#include "base/clock.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *age_json(int64_t heard_ms, int64_t now)
{
    if (heard_ms)
        return json_integer(now - heard_ms);
    return json_null();
}

static json_t *voter_json(const struct health *h, size_t link, const struct health_vote *v,
                          const struct health_count *c, int64_t now)
{
    static const char *const standings[] = {[VOTE_STANDS] = "votes",
                                            [VOTE_ABSTAINS] = "abstains",
                                            [VOTE_OF_OWN_REGION] = "its own region",
                                            [VOTE_UNKNOWING] = "has not probed it",
                                            [VOTE_SILENT] = "silent"};
    enum health_standing s = health_standing_of(h, v, now);
    const char *says = "down";
    if (!v->heard_ms || !v->knows)
        says = NULL;
    else if (v->up)
        says = "up";
    return json_pack("{s:s, s:s?, s:i, s:o, s:s, s:b}", "voter", h->links[link]->region, "says",
                     says, "badInARow", (int)(says && !v->up ? v->n_bad : 0), "ageMs",
                     age_json(v->heard_ms, now), "standing", standings[s], "counted",
                     (int)(s == c->by && c->rule != VOTE_OWN_PROBES));
}

// Who says what of a stamp, and how that is counted now.
static json_t *count_json(const struct health *h, size_t target, int64_t now)
{
    struct health_vote votes[TOPOLOGY_MAX_REGIONS];
    struct health_count c = health_count_of(h, target, now, votes);
    json_t *voters = json_array();
    for (size_t i = 0; voters && i < h->n_links; i++)
        if (health_has_resolver(h, h->links[i]) &&
            json_array_append_new(voters, voter_json(h, i, &votes[i], &c, now))) {
            json_decref(voters);
            return NULL;
        }
    char rule[128];
    snprintf(rule, sizeof rule, "%s%s", health_by_text(c.by), health_rule_text(c.rule));
    return json_pack("{s:s, s:i, s:i, s:o}", "rule", rule, "up", (int)c.n_up, "down", (int)c.n_down,
                     "voters", voters);
}

void *health_count_json(struct health *h, const char *region, const char *stamp)
{
    json_t *j = NULL;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_targets && !j; i++)
        if (!strcmp(h->targets[i]->pub.stamp, stamp) && !strcmp(h->targets[i]->pub.region, region))
            j = count_json(h, i, clock_mono_ms());
    pthread_mutex_unlock(&h->lock);
    return j;
}

static json_t *orders_json(const struct health *h, const char *region)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 32 << 10);
    health_orders_say(&h->orders, region, NULL, clock_mono_ms(), &b);
    health_drills_say(h, region, NULL, clock_mono_ms(), &b);
    return json_string(b.err ? "" : buf_cstr(&b));
}

static json_t *target_json(const struct health *h, size_t target, int64_t now)
{
    const struct health_target *t = &h->targets[target]->pub;
    const struct health_settings *s = &h->topology->health;
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:i, "
                     "s:s, s:s, s:o}",
                     "region", t->region, "stamp", t->stamp, "up", (int)health_target_up(t),
                     "short", (int)health_target_short(t), "probedUp", (int)t->up, "seenUp",
                     (int)t->seen_up, "force", health_force_names[t->force], "orders",
                     orders_json(h, t->region), "goodInARow", (json_int_t)t->n_good, "badInARow",
                     (json_int_t)t->n_bad, "changedMs", (json_int_t)t->changed_ms, "probedMs",
                     (json_int_t)t->probed_ms, "heldUntilMs", (json_int_t)t->held_until_ms,
                     "holdDownMs", (json_int_t)health_hold_down_ms(s, t), "headroom",
                     10 * t->headroom, "votes", t->votes, "reason", t->reason, "count",
                     count_json(h, target, now));
}

void *health_status_json(struct health *h)
{
    json_t *out = json_array();
    pthread_mutex_lock(&h->lock);
    int64_t now = clock_mono_ms();
    for (size_t i = 0; out && i < h->n_targets; i++)
        if (json_array_append_new(out, target_json(h, i, now))) {
            json_decref(out);
            out = NULL;
        }
    pthread_mutex_unlock(&h->lock);
    return out;
}

static json_t *impaired_json(const struct link *l)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < l->deep.n_impaired; i++)
        if (json_array_append_new(list, json_string(l->deep.impaired[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *link_json(const struct health *h, const struct link *l, int64_t now)
{
    bool here = h->o.region && !strcmp(h->o.region, l->region);
    int64_t life = health_vote_life_ms(h);
    const char *state = "votes", *stamp = l->stamp;
    uint64_t boot = l->boot, sequence = l->sequence;
    int headroom = 100;
    if (l->deep_heard_ms)
        headroom = (int)l->deep.headroom_percent;
    if (here) {
        boot = h->boot;
        sequence = h->sequence;
        stamp = "";
        if (h->o.stamp)
            stamp = h->o.stamp;
    }
    if (here)
        state = "ourselves";
    else if (!l->votes)
        state = "no resolver";
    else if (!l->heard_ms || now - l->heard_ms > life)
        state = "silent";
    else if (l->abstains)
        state = "abstains";
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:s, s:o, s:i, s:o, s:s}", "region", l->region,
                     "resolver", state, "stamp", stamp, "boot", (json_int_t)boot, "sequence",
                     (json_int_t)sequence, "heardMsAgo", age_json(l->heard_ms, now), "error",
                     l->voter_error, "deepMsAgo", age_json(l->deep_heard_ms, now), "headroom",
                     headroom, "impaired", impaired_json(l), "deepError", l->deep_error);
}

void *health_peers_json(struct health *h)
{
    json_t *out = json_array();
    pthread_mutex_lock(&h->lock);
    int64_t now = clock_mono_ms();
    for (size_t i = 0; out && i < h->n_links; i++)
        if (json_array_append_new(out, link_json(h, h->links[i], now))) {
            json_decref(out);
            out = NULL;
        }
    pthread_mutex_unlock(&h->lock);
    return out;
}
