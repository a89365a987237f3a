// SPDX-License-Identifier: Apache-2.0
// May a region be taken out by a drill? Not while anything else is out, and not where nobody could take
// its traffic: a drill must not be what turns somebody else's fault into an outage. Admin threads.
#include "health/priv.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"

#include <string.h>

// Could a region other than those of `out` take the registry's clients now?
static bool is_taken(const struct topology *t, const struct health_verdicts *v,
                     const struct catalogue_registry *r, region_set out)
{
    struct health_gate g = health_verdicts_gate(v, t, catalogue_label(r), r->label_n);
    region_set open = r->open & ~(g.drained | g.impaired | out);
    for (; open; open &= open - 1) {
        uint8_t region = (uint8_t)__builtin_ctzll(open), stamp = catalogue_stamp(r, region);
        if (health_is_up(v, t, region, stamp) && !health_is_short(v, t, region, stamp))
            return true;
    }
    return false;
}

struct scanning {
    region_set on, open;
};

static void scan_one(const struct topology *t, const struct health_verdicts *v, region_set bit,
                     const struct catalogue_registry *r, struct scanning *s,
                     struct health_drill_scan *out)
{
    s->on |= catalogue_on(t->catalogue, r) & ~catalogue_staged(r);
    s->open |= r->open;
    if (!(r->open & bit))
        return;
    out->n_there++;
    out->n_taken += is_taken(t, v, r, bit);
}

void health_drill_scan(const struct topology *t, const struct health_verdicts *v,
                       const struct region *region, const char *label,
                       struct health_drill_scan *out)
{
    region_set bit = (region_set)1 << region->index;
    struct catalogue_iter it = {0};
    struct scanning all = {0};
    struct health_drill_scan rest = {0};
    const struct catalogue_registry *one = NULL;
    if (*label)
        one = catalogue_find(t->catalogue, label, strlen(label));
    *out = (struct health_drill_scan){0};
    for (const struct catalogue_registry *r; (r = catalogue_next(t->catalogue, &it));)
        scan_one(t, v, bit, r, &all, *label && r != one ? &rest : out);
    out->drained = all.on & ~all.open;
}

static int judge_duration(const struct health_drill_wanted *w, struct diag *diag)
{
    if (w->for_ms >= HEALTH_DRILL_MIN_MS && w->for_ms <= HEALTH_DRILL_MAX_MS)
        return 0;
    diag_add(diag, NULL, 0, "a drill lasts from %lld s to %lld h: it must end by itself in time",
             HEALTH_DRILL_MIN_MS / 1000, HEALTH_DRILL_MAX_MS / 3600000);
    return ERR_RANGE;
}

static int judge_drills(const struct health *h, struct diag *diag)
{
    char since[CLOCK_TEXT_SIZE];
    const struct health_drill *x = health_drills_running(&h->drills);
    if (!x)
        return 0;
    diag_add(diag, NULL, 0,
             "drill %s has taken region %s out since %s: one at a time (`meridian drill stop`, or "
             "wait %lld s)",
             x->id, x->region, clock_format(x->begun_ms, since),
             (long long)((health_drill_left_ms(x, clock_mono_ms()) + 999) / 1000));
    return ERR_CONFLICT;
}

static const char *why_down(const struct health_target *x)
{
    if (x->force == HEALTH_FORCE_DOWN)
        return "forced down by an operator";
    if (x->seen_up)
        return "probes find it well again; its hold-down is not over, or others do not see it yet";
    return x->reason;
}

// Of any region: the one that is to be taken out has nothing to show while it is down.
static int judge_stamps(const struct health *h, struct diag *diag)
{
    for (size_t i = 0; i < h->n_targets; i++) {
        const struct health_target *x = &h->targets[i]->pub;
        if (health_target_up(x))
            continue;
        diag_add(diag, NULL, 0,
                 "stamp %s of region %s is down (%s): no drill while anything is down "
                 "(`meridian health show`)",
                 x->stamp, x->region, why_down(x));
        return ERR_CONFLICT;
    }
    return 0;
}

static int judge_drains(const struct health *h, const struct health_drill_scan *scan,
                        struct diag *diag)
{
    for (size_t i = 0; i < h->orders.n; i++) {
        const struct health_order *x = &h->orders.list[i];
        if (!x->on || x->kind != HEALTH_DRAINED || *x->label)
            continue;
        diag_add(diag, NULL, 0,
                 "region %s is drained: no drill while one is (`meridian replication undrain "
                 "--region %s`)",
                 x->region, x->region);
        return ERR_CONFLICT;
    }
    for (size_t i = 0; i < h->topology->n_regions; i++) {
        if (!(scan->drained >> i & 1))
            continue;
        diag_add(diag, NULL, 0,
                 "all replicas in region %s are drained in the topology: no drill while they are "
                 "(`meridian stamp list`)",
                 h->topology->regions[i].name);
        return ERR_CONFLICT;
    }
    return 0;
}

static int judge_takers(const struct health_drill_wanted *w, const struct health_drill_scan *scan,
                        struct diag *diag)
{
    if (scan->n_taken)
        return 0;
    const char *whose = "any registry";
    if (*w->label)
        whose = w->label;
    if (!scan->n_there)
        diag_add(diag, NULL, 0,
                 "no global name of %s leads to region %s: there is nothing to take away", whose,
                 w->region);
    else
        diag_add(diag, NULL, 0,
                 "no other region could take the traffic of %s from region %s: none has a replica "
                 "that is up, has room, takes global traffic and is not drained",
                 whose, w->region);
    return ERR_CONFLICT;
}

int health_drill_judge(const struct health *h, const struct health_drill_wanted *w,
                       const struct health_drill_scan *scan, struct diag *diag)
{
    int rc = judge_duration(w, diag);
    if (!rc)
        rc = judge_drills(h, diag);
    if (!rc)
        rc = judge_stamps(h, diag);
    if (!rc)
        rc = judge_drains(h, scan, diag);
    if (!rc)
        rc = judge_takers(w, scan, diag);
    return rc;
}
