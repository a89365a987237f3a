// SPDX-License-Identifier: Apache-2.0
// Versions of a zone and the steps between them; see zone_history.h.
#include "resolver/zone/zone_history.h"

#include "base/err.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <string.h>

bool zone_serial_less(uint32_t a, uint32_t b)
{
    return a != b && (int32_t)(b - a) > 0;
}

static void history_free(void *self)
{
    struct zone_history *h = self;
    for (size_t i = 0; i < h->n_past; i++)
        snapshot_unref(h->past[i]);
    snapshot_unref(h->zone);
    arena_done(&h->arena);
    free(h);
}

// A record with another TTL is another record: the old one goes, the new one comes.
static int compare(const struct zone_rr *a, const struct zone_rr *b)
{
    int d = zone_rr_compare(a, b);
    if (d)
        return d;
    return (a->ttl > b->ttl) - (a->ttl < b->ttl);
}

// One pass over both, which are in order. With NULL arrays it only counts.
static void walk(const struct zone *from, const struct zone *to, struct zone_rr *removed,
                 struct zone_rr *added, struct zone_delta *d)
{
    size_t i = 0, k = 0;
    d->n_removed = d->n_added = 0;
    while (i < from->n_rrs || k < to->n_rrs) {
        int order;
        if (i == from->n_rrs)
            order = 1;
        else if (k == to->n_rrs)
            order = -1;
        else
            order = compare(&from->rrs[i], &to->rrs[k]);
        if (order <= 0) {
            const struct zone_rr *rr = &from->rrs[i++];
            if (order < 0 && rr->type != DNS_SOA) {
                if (removed)
                    removed[d->n_removed] = *rr;
                d->n_removed++;
            }
        }
        if (order >= 0) {
            const struct zone_rr *rr = &to->rrs[k++];
            if (order > 0 && rr->type != DNS_SOA) {
                if (added)
                    added[d->n_added] = *rr;
                d->n_added++;
            }
        }
    }
}

static int delta_fill(struct zone_history *h, const struct zone *from, struct zone_delta *d)
{
    walk(from, h->zone, NULL, NULL, d);
    struct zone_rr *removed = arena_array(&h->arena, d->n_removed + 1, sizeof *removed);
    struct zone_rr *added = arena_array(&h->arena, d->n_added + 1, sizeof *added);
    if (!removed || !added)
        return ERR_NOMEM;
    walk(from, h->zone, removed, added, d);
    d->from = from->serial;
    d->old_soa = zone_soa(from);
    d->removed = removed;
    d->added = added;
    return 0;
}

static bool can_follow(const struct zone *from, const struct zone *to)
{
    return from->apex_n == to->apex_n && !memcmp(from->apex, to->apex, to->apex_n) &&
           zone_serial_less(from->serial, to->serial);
}

int zone_history_new(struct zone *zone, const struct zone_history *before,
                     struct zone_history **out)
{
    struct zone_history *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    snapshot_head_init(&h->head, history_free);
    arena_init(&h->arena, 0);
    h->zone = snapshot_ref(zone);
    struct zone_delta *deltas = arena_array(&h->arena, ZONE_HISTORY_MAX, sizeof *deltas);
    h->past = arena_array(&h->arena, ZONE_HISTORY_MAX, sizeof(struct zone *));
    h->deltas = deltas;
    int rc = ERR_NOMEM;
    if (deltas && h->past)
        rc = 0;
    size_t records = 0, n = before ? before->n_past + 1 : 0;
    for (size_t i = 0; i < n && !rc && h->n_past < ZONE_HISTORY_MAX; i++) {
        struct zone *from;
        if (i)
            from = before->past[i - 1];
        else
            from = before->zone;
        if (!can_follow(from, zone))
            continue;
        records += from->n_rrs;
        if (records > ZONE_HISTORY_RECORDS)
            break;
        rc = delta_fill(h, from, &deltas[h->n_past]);
        if (!rc)
            h->past[h->n_past++] = snapshot_ref(from);
    }
    if (rc)
        snapshot_unref(h);
    else
        *out = h;
    return rc;
}

const struct zone_delta *zone_history_from(const struct zone_history *h, uint32_t serial)
{
    for (size_t i = 0; i < h->n_past; i++)
        if (h->deltas[i].from == serial)
            return &h->deltas[i];
    return NULL;
}
