// SPDX-License-Identifier: Apache-2.0
// The judge of drift; see drift.h.
#include "fleet/drift.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct drift_node *find(struct drift *d, const char *region)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->nodes[i].report.region, region) == 0)
            return &d->nodes[i];
    return NULL;
}

void drift_note(struct drift *d, const struct drift_report *r, int64_t now_ms)
{
    struct drift_node *n = find(d, r->region);
    if (!n && d->n == TOPOLOGY_MAX_REGIONS)
        return;
    if (!n) {
        n = &d->nodes[d->n++];
        *n = (struct drift_node){.kind = DRIFT_NONE};
    }
    n->report = *r;
    n->heard_ms = now_ms;
}

void drift_keep(struct drift *d, const struct topology *t)
{
    for (size_t i = 0; i < d->n;) {
        if (topology_region(t, d->nodes[i].report.region))
            i++;
        else
            d->nodes[i] = d->nodes[--d->n];
    }
}

static bool fresh(const struct drift_node *n, int64_t now_ms)
{
    return now_ms - n->heard_ms <= DRIFT_MEMORY_MS;
}

static bool hash_said(const struct drift_report *r)
{
    static const uint8_t none[32];
    return memcmp(r->hash, none, sizeof none) != 0;
}

// Whom the others are measured by: of those heard lately, the first with the highest version.
struct lead {
    const struct drift_node *feed, *topology, *principals;
};

static struct lead lead_find(const struct drift *d, int64_t now_ms)
{
    struct lead l = {0};
    for (size_t i = 0; i < d->n; i++) {
        const struct drift_node *n = &d->nodes[i];
        if (!fresh(n, now_ms))
            continue;
        if (!l.feed && n->report.feed)
            l.feed = n;
        if (!l.topology || n->report.topology > l.topology->report.topology)
            l.topology = n;
        if (!l.principals || n->report.principals > l.principals->report.principals)
            l.principals = n;
    }
    return l;
}

static enum drift_kind kind_of(const struct drift_node *n, const struct lead *l,
                               const struct drift_node **out_than)
{
    const struct drift_report *r = &n->report, *top = &l->topology->report;
    *out_than = l->feed;
    if (l->feed && !r->feed)
        return DRIFT_SOURCE;
    *out_than = l->topology;
    if (r->topology < top->topology)
        return DRIFT_TOPOLOGY;
    if (n != l->topology && hash_said(r) && hash_said(top) &&
        memcmp(r->hash, top->hash, sizeof r->hash) != 0)
        return DRIFT_CONTENT;
    *out_than = l->principals;
    // 0: a node that reads none
    if (r->principals && r->principals < l->principals->report.principals)
        return DRIFT_PRINCIPALS;
    *out_than = NULL;
    return DRIFT_NONE;
}

void drift_judge(struct drift *d, int64_t now_ms)
{
    const struct lead l = lead_find(d, now_ms);
    for (size_t i = 0; i < d->n; i++) {
        struct drift_node *n = &d->nodes[i];
        const struct drift_node *than = NULL;
        enum drift_kind kind = DRIFT_NONE;
        if (fresh(n, now_ms)) // who is away is another alarm's
            kind = kind_of(n, &l, &than);
        if (kind != n->kind)
            n->since_ms = now_ms;
        n->kind = kind;
        if (!than)
            continue;
        snprintf(n->than, sizeof n->than, "%s", than->report.region);
        n->theirs = than->report.topology;
        if (kind == DRIFT_PRINCIPALS)
            n->theirs = than->report.principals;
    }
}

static bool drifts(const struct drift_node *n, int64_t now_ms)
{
    return n->kind != DRIFT_NONE && now_ms - n->since_ms >= DRIFT_GRACE_MS;
}

size_t drift_count(const struct drift *d, int64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < d->n; i++)
        count += drifts(&d->nodes[i], now_ms);
    return count;
}

static void behind_text(const struct drift_node *n, int64_t for_s, char *out, size_t cap)
{
    const struct drift_report *r = &n->report;
    const char *what = "topology";
    uint64_t has = r->topology;
    if (n->kind == DRIFT_PRINCIPALS) {
        what = "principals";
        has = r->principals;
    }
    int at = snprintf(out, cap,
                      "region %s has version %" PRIu64 " of the %s while %s has %" PRIu64
                      ", for %" PRId64 " s: ",
                      r->region, has, what, n->than, n->theirs, for_s);
    if (at < 0 || (size_t)at >= cap)
        return;
    if (r->feed)
        snprintf(out + at, cap - (size_t)at,
                 "it does not follow the control feed; see meridian control status there, and "
                 "whether it reaches the other regions' peer listeners");
    else
        snprintf(out + at, cap - (size_t)at,
                 "copy the file of %s there (files are the source), or see why that node refuses "
                 "it: meridian config check --in-force",
                 n->than);
}

static void node_text(const struct drift_node *n, int64_t now_ms, char *out, size_t cap)
{
    int64_t for_s = (now_ms - n->since_ms) / 1000;
    const struct drift_report *r = &n->report;
    if (n->kind == DRIFT_SOURCE)
        snprintf(out, cap,
                 "region %s takes its topology from files while %s follows the control feed, for "
                 "%" PRId64 " s: set `source: feed` in its node file and restart it, or it misses "
                 "every change",
                 r->region, n->than, for_s);
    else if (n->kind == DRIFT_CONTENT)
        snprintf(out, cap,
                 "regions %s and %s have version %" PRIu64 " of the topology with different "
                 "contents, for %" PRId64 " s: raise the version in the file that is right, and "
                 "copy it to all",
                 r->region, n->than, r->topology, for_s);
    else
        behind_text(n, for_s, out, cap);
}

bool drift_text(const struct drift *d, int64_t now_ms, char *out, size_t cap)
{
    size_t count = drift_count(d, now_ms);
    for (size_t i = 0; i < d->n; i++) {
        if (!drifts(&d->nodes[i], now_ms))
            continue;
        node_text(&d->nodes[i], now_ms, out, cap);
        size_t at = strlen(out);
        if (count > 1 && at < cap)
            snprintf(out + at, cap - at, "; %zu more differ", count - 1);
        return true;
    }
    return false;
}
