// SPDX-License-Identifier: Apache-2.0
// Room for uploads: how many uploads one principal and one registry may have open, how many bytes
// of a principal's may rest on the disk, and which of a principal's uploads go when there are too
// many; see upload_bounds in meta_uploads.h. Inside the transaction of the change that needs the
// room: if that fails, nothing was dropped.
#include "store/backend_uploads.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/meta_priv.h"

#include <assert.h>
#include <string.h>

#define BATCH 64

// --- what was dropped ---

struct upload_drop {
    struct upload_drop *next;
    char id[];
};

void dropped_reset(struct upload_dropped *l)
{
    for (struct upload_drop *d; (d = l->first);) {
        l->first = d->next;
        free(d);
    }
}

static int dropped_add(struct upload_dropped *l, const char *id)
{
    size_t n = strlen(id) + 1;
    struct upload_drop *d = mem_alloc(sizeof *d + n);
    if (!d)
        return ERR_NOMEM;
    memcpy(d->id, id, n);
    d->next = l->first;
    l->first = d;
    return 0;
}

void dropped_tell(struct upload_dropped *l, const struct upload_bounds *b, int rc)
{
    for (const struct upload_drop *d = l->first; !rc && d; d = d->next)
        if (b->gone)
            b->gone(b->ctx, d->id);
    dropped_reset(l);
}

// --- which go ---

static bool is_enough(const struct upload_amount *got, const struct upload_amount *need)
{
    return got->n >= need->n && got->bytes >= need->bytes;
}

// An upload without bytes stays when only bytes are needed.
static bool helps(const struct upload_rest *u, const struct upload_amount *got,
                  const struct upload_amount *need)
{
    return u->received || got->n < need->n;
}

// One search for room.
struct search {
    const struct upload_owner *owner;
    const struct upload_bounds *b;
    // of uploads that have rested since then
    int64_t since_ms;
    struct upload_amount need, got;
    // looked at, and they stay
    size_t n_stay;
    struct upload_dropped *dropped;
};

static int one_try(struct tx *tx, struct search *s, const struct upload_rest *u)
{
    if (!helps(u, &s->got, &s->need) || !s->b->yields(s->b->ctx, u->id)) {
        s->n_stay++;
        return 0;
    }
    int rc = upload_remove(tx, u->id);
    if (rc)
        return rc;
    s->got.n++;
    s->got.bytes += u->received;
    return dropped_add(s->dropped, u->id);
}

static int batch_try(struct tx *tx, struct search *s, struct arena *a, size_t *out_n)
{
    struct upload_rest list[BATCH];
    int rc = upload_oldest(tx, s->owner, s->since_ms, s->n_stay, BATCH, a, list, out_n);
    for (size_t i = 0; !rc && i < *out_n && !is_enough(&s->got, &s->need); i++)
        rc = one_try(tx, s, &list[i]);
    return rc;
}

// Drops the uploads that have rested longest until that makes up for s->need, or none is left.
static int oldest_drop(struct tx *tx, struct search *s)
{
    struct arena a;
    size_t n = BATCH;
    int rc = 0;
    if (!s->b->yields)
        return 0;
    arena_init(&a, 1 << 20);
    while (!rc && n == BATCH && !is_enough(&s->got, &s->need))
        rc = batch_try(tx, s, &a, &n);
    arena_done(&a);
    return rc;
}

static uint64_t excess(uint64_t is, uint64_t bound)
{
    if (bound && is > bound)
        return is - bound;
    return 0;
}

int upload_room_for_one(struct tx *tx, const struct upload_row *row, const struct upload_bounds *b,
                        struct upload_dropped *dropped, enum upload_full *out_full)
{
    const struct upload_owner owner = {row->registry, row->principal};
    struct upload_amount own, all;
    int rc = upload_amount(tx, row->registry, row->principal, &own);
    if (rc)
        return rc;
    rc = upload_amount(tx, row->registry, NULL, &all);
    if (rc)
        return rc;
    assert(own.n <= all.n);
    uint64_t over_own = excess(own.n + 1, b->of_principal);
    uint64_t over_all = excess(all.n + 1, b->of_registry);
    struct search s = {.owner = &owner, .b = b, .since_ms = INT64_MAX, .dropped = dropped};
    s.need.n = over_own > over_all ? over_own : over_all;
    rc = oldest_drop(tx, &s);
    if (rc || s.got.n >= s.need.n)
        return rc;
    *out_full = s.got.n < over_own ? UPLOAD_FULL_PRINCIPAL : UPLOAD_FULL_REGISTRY;
    return ERR_FULL;
}

int upload_room_for_bytes(struct tx *tx, const struct upload_owner *owner,
                          const struct upload_bounds *b, int64_t now_ms,
                          struct upload_dropped *dropped)
{
    struct upload_amount is;
    int rc = upload_amount(tx, owner->registry, owner->principal, &is);
    if (rc)
        return rc;
    struct search s = {
        .owner = owner, .b = b, .since_ms = now_ms - UPLOAD_RESTS_MS, .dropped = dropped};
    s.need.bytes = excess(is.bytes, b->bytes_of_principal);
    rc = oldest_drop(tx, &s);
    if (!rc && s.got.bytes < s.need.bytes)
        return ERR_FULL;
    return rc;
}

// --- by the sweep ---

struct bounding {
    const struct upload_bounds *b;
    int64_t now_ms;
    struct upload_dropped dropped;
};

// The upload that was touched last stays, whatever its size: its client may come back.
static int owner_bound(struct tx *tx, const struct upload_owner *owner, struct bounding *c)
{
    struct upload_amount is;
    int64_t newest_ms, rested_ms = c->now_ms - UPLOAD_RESTS_MS;
    int rc = upload_amount(tx, owner->registry, owner->principal, &is);
    if (rc)
        return rc;
    rc = upload_newest(tx, owner, &newest_ms);
    if (rc)
        return rc;
    struct search s = {.owner = owner, .b = c->b, .dropped = &c->dropped};
    s.since_ms = rested_ms < newest_ms ? rested_ms : newest_ms - 1;
    s.need.bytes = excess(is.bytes, c->b->bytes_of_principal);
    return oldest_drop(tx, &s);
}

static int bound_run(struct tx *tx, void *arg)
{
    struct bounding *c = arg;
    struct upload_owner list[BATCH];
    struct arena a;
    size_t n = 0;
    dropped_reset(&c->dropped);
    arena_init(&a, 1 << 20);
    int rc = upload_owners_over(tx, c->b->bytes_of_principal, BATCH, &a, list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = owner_bound(tx, &list[i], c);
    arena_done(&a);
    return rc;
}

int meta_uploads_bound(struct meta *m, const struct upload_bounds *b, int64_t now_mono_ms)
{
    struct bounding c = {.b = b, .now_ms = now_mono_ms};
    if (!b->bytes_of_principal || !b->yields)
        return 0;
    int rc = meta_write(m, bound_run, &c, false);
    dropped_tell(&c.dropped, b, rc);
    return rc;
}
