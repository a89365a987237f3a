// SPDX-License-Identifier: Apache-2.0
// What voting on health shows to Prometheus: whose votes are counted on each stamp and by which
// rule, which resolvers are heard, what became of observations. On the thread of a scrape; takes
// the checker's lock.
#include "health/priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"

#include <string.h>

void health_tally_taken(struct health_tally *t, int rc)
{
    enum health_outcome o = OBSERVATION_NOMEM;
    if (rc == 0)
        o = OBSERVATION_TAKEN;
    else if (rc == ERR_INVAL)
        o = OBSERVATION_OLD;
    else if (rc == ERR_AUTH)
        o = OBSERVATION_UNSIGNED;
    else if (rc == ERR_DENIED)
        o = OBSERVATION_NOT_ITS_OWN;
    else if (rc == ERR_EXPIRED)
        o = OBSERVATION_EXPIRED;
    else if (rc == ERR_CORRUPT)
        o = OBSERVATION_DAMAGED;
    t->observations[o]++;
}

static void stamp_sample(struct buf *b, const char *family, const struct health_target *t,
                         const char *label, const char *value, double figure)
{
    exposition_begin(b, family);
    exposition_label(b, "region", t->region);
    exposition_label(b, "stamp", t->stamp);
    exposition_label(b, label, value);
    exposition_value(b, figure);
}

static void write_counts(const struct health *h, const struct health_count *counts, struct buf *b)
{
    static const char votes[] = "meridian_health_votes", rule[] = "meridian_health_rule";
    exposition_family(b, votes, "gauge",
                      "Votes that are counted on a stamp now, by what they say.");
    for (size_t i = 0; i < h->n_targets; i++) {
        stamp_sample(b, votes, &h->targets[i]->pub, "says", "up", counts[i].n_up);
        stamp_sample(b, votes, &h->targets[i]->pub, "says", "down", counts[i].n_down);
    }
    exposition_family(b, rule, "gauge",
                      "The rule by which the votes on a stamp decide now; always 1.");
    for (size_t i = 0; i < h->n_targets; i++) {
        exposition_begin(b, rule);
        exposition_label(b, "region", h->targets[i]->pub.region);
        exposition_label(b, "stamp", h->targets[i]->pub.stamp);
        exposition_label(b, "by", health_by_name(counts[i].by));
        exposition_label(b, "rule", health_rule_name(counts[i].rule));
        exposition_value(b, 1);
    }
}

static void write_voters(const struct health *h, int64_t now, struct buf *b)
{
    static const char fresh[] = "meridian_health_voter_fresh",
                      abstains[] = "meridian_health_voter_abstains";
    exposition_family(b, fresh, "gauge",
                      "A region's resolver was heard within the life of a vote; ours always is.");
    for (size_t i = 0; i < h->n_links; i++)
        if (health_has_resolver(h, h->links[i])) {
            exposition_begin(b, fresh);
            exposition_label(b, "voter", h->links[i]->region);
            exposition_value(b, health_is_here(h, h->links[i]->region) ||
                                    health_is_heard(h, h->links[i], now));
        }
    exposition_family(b, abstains, "gauge", "A region's resolver abstains, as it said last.");
    for (size_t i = 0; i < h->n_links; i++)
        if (health_has_resolver(h, h->links[i])) {
            exposition_begin(b, abstains);
            exposition_label(b, "voter", h->links[i]->region);
            exposition_value(b, health_is_here(h, h->links[i]->region) ? h->abstains
                                                                       : h->links[i]->abstains);
        }
}

static void write_tally(const struct health_tally *t, struct buf *b)
{
    static const char observations[] = "meridian_health_observations_total";
    static const char *const outcomes[OBSERVATION_OUTCOMES] = {
        [OBSERVATION_TAKEN] = "taken",        [OBSERVATION_OLD] = "not_later",
        [OBSERVATION_UNSIGNED] = "signature", [OBSERVATION_NOT_ITS_OWN] = "not_its_own",
        [OBSERVATION_EXPIRED] = "expired",    [OBSERVATION_DAMAGED] = "damaged",
        [OBSERVATION_NOMEM] = "memory"};
    exposition_family(b, observations, "counter",
                      "Observations of other resolvers: taken, or why not.");
    for (size_t i = 0; i < OBSERVATION_OUTCOMES; i++) {
        exposition_begin(b, observations);
        exposition_label(b, "outcome", outcomes[i]);
        exposition_value(b, (double)t->observations[i]);
    }
    exposition_single(b, "meridian_health_exchanges_total", "counter",
                      "Exchanges of observations that ended.", (double)t->exchanges);
    exposition_single(b, "meridian_health_exchange_failures_total", "counter",
                      "Exchanges that brought no answer: the network, or a status.",
                      (double)t->exchange_failures);
}

static void order_begin(struct buf *b, const char *name, const struct health_order *x)
{
    exposition_begin(b, name);
    exposition_label(b, "region", x->region);
    exposition_label(b, "registry", *x->label ? x->label : "*");
}

// Since when regions are drained, and when it is safe to stop them.
static void write_drains(const struct health_orders *o, int64_t now, struct buf *b)
{
    static const char since[] = "meridian_health_drained_timestamp_seconds",
                      safe[] = "meridian_health_drain_safe_seconds";
    exposition_family(b, since, "gauge", "When an operator drained it, Unix time.");
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].on && o->list[i].kind == HEALTH_DRAINED) {
            order_begin(b, since, &o->list[i]);
            exposition_value(b, (double)o->list[i].at_ms / 1000);
        }
    exposition_family(
        b, safe, "gauge",
        "Until it is safe to stop a drained region; 0: it is. Left out while a resolver "
        "has not said that it holds the order.");
    for (size_t i = 0; i < o->n; i++) {
        const struct health_order *x = &o->list[i];
        if (!x->on || x->kind != HEALTH_DRAINED || !x->safe_ms)
            continue;
        order_begin(b, safe, x);
        exposition_value(b, now < x->safe_ms ? (double)(x->safe_ms - now) / 1000 : 0);
    }
}

void health_metrics(struct health *h, struct buf *out)
{
    struct health_vote votes[TOPOLOGY_MAX_REGIONS];
    pthread_mutex_lock(&h->lock);
    int64_t now = clock_mono_ms();
    AUTO_FREE struct health_count *counts = mem_zalloc_array(h->n_targets, sizeof *counts);
    for (size_t i = 0; counts && i < h->n_targets; i++)
        counts[i] = health_count_of(h, i, now, votes);
    if (counts)
        write_counts(h, counts, out);
    else
        out->err = ERR_NOMEM;
    write_voters(h, now, out);
    write_drains(&h->orders, now, out);
    write_tally(&h->tally, out);
    pthread_mutex_unlock(&h->lock);
}
