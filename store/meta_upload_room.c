// SPDX-License-Identifier: Apache-2.0
// Room for uploads: how many one principal and one registry may have open, how many bytes of a principal's may rest on
// the disk, and which of his uploads go when that is too much; see upload_bounds in meta.h. On the writer thread,
// inside the transaction of the change that needs the room: if that fails, nothing was dropped.
#include "store/meta_priv.h"

#include "base/err.h"

#define BATCH 64

struct amount {
    uint64_t n, bytes;
};

static int amount_find(struct meta *m, const char *registry, const char *principal, struct amount *out)
{
    sqlite3_stmt *st;
    int rc =
        db_find(&m->w, &st, "SELECT count(*),ifnull(sum(received),0) FROM uploads WHERE registry=?1 AND principal=?2",
                "ss", registry, principal);
    if (rc)
        return rc;
    *out = (struct amount){(uint64_t)sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1)};
    db_end(st);
    return 0;
}

static int registry_count(struct meta *m, const char *registry, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(&m->w, &st, "SELECT count(*) FROM uploads WHERE registry=?1", "s", registry);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

struct partial {
    const char *id;
    uint64_t received;
};

// Up to BATCH of a principal's uploads, the longest idle first, without the first `skip`; nothing was added to them
// since `since_ms`. How long an upload was idle is now - touched_ms + idle_ms: the difference of these two does not
// age.
static int oldest_list(struct meta *m, const char *registry, const char *principal, int64_t since_ms, size_t skip,
                       struct arena *a, struct partial out[BATCH], size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    int rc = db_start(&m->w, &st,
                      "SELECT id,received FROM uploads WHERE registry=?1 AND principal=?2 AND touched_ms-idle_ms<=?3"
                      " ORDER BY touched_ms-idle_ms LIMIT ?4 OFFSET ?5",
                      "ssiii", registry, principal, since_ms, (int64_t)BATCH, (int64_t)skip);
    while (!rc && (rc = db_step(&m->w, st)) == 1) {
        out[n].received = (uint64_t)sqlite3_column_int64(st, 1);
        rc = db_text(st, 0, a, &out[n].id);
        if (rc)
            db_end(st);
        n += !rc;
    }
    *out_n = n;
    return rc;
}

static bool enough(const struct amount *got, const struct amount *need)
{
    return got->n >= need->n && got->bytes >= need->bytes;
}

// One that is asked for bytes only and has none stays.
static bool goes(const struct upload_bounds *b, const struct partial *p, const struct amount *got,
                 const struct amount *need)
{
    return (p->received || got->n < need->n) && b->yields(b->ctx, p->id);
}

// Drops the oldest idle ones until that makes up for `need`, or none is left; *got is what they were.
static int oldest_drop(struct meta *m, const char *registry, const char *principal, const struct upload_bounds *b,
                       int64_t since_ms, const struct amount *need, struct amount *got)
{
    struct partial list[BATCH];
    struct arena a;
    size_t n = BATCH, n_stay = 0;
    int rc = 0;
    arena_init(&a, 1 << 20);
    while (!rc && n == BATCH && !enough(got, need)) {
        rc = oldest_list(m, registry, principal, since_ms, n_stay, &a, list, &n);
        for (size_t i = 0; !rc && i < n && !enough(got, need); i++) {
            if (!goes(b, &list[i], got, need)) {
                n_stay++;
                continue;
            }
            rc = db_run(&m->w, "DELETE FROM uploads WHERE id=?1", "s", list[i].id);
            got->n++;
            got->bytes += list[i].received;
        }
    }
    arena_done(&a);
    return rc;
}

static uint64_t excess(uint64_t is, uint64_t bound)
{
    return bound && is > bound ? is - bound : 0;
}

int upload_room_for_one(struct meta *m, const struct upload_row *row, const struct upload_bounds *b,
                        enum upload_full *out_full)
{
    struct amount is, got = {0};
    uint64_t all;
    int rc = amount_find(m, row->registry, row->principal, &is);
    if (!rc)
        rc = registry_count(m, row->registry, &all);
    if (rc)
        return rc;
    uint64_t own = excess(is.n + 1, b->of_principal), others = excess(all + 1, b->of_registry);
    struct amount need = {.n = own > others ? own : others};
    if (b->yields)
        rc = oldest_drop(m, row->registry, row->principal, b, INT64_MAX, &need, &got);
    if (rc || got.n >= need.n)
        return rc;
    *out_full = got.n < own ? UPLOAD_FULL_PRINCIPAL : UPLOAD_FULL_REGISTRY;
    return ERR_FULL;
}

int upload_room_for_bytes(struct meta *m, const char *registry, const char *principal, const struct upload_bounds *b,
                          int64_t now_ms)
{
    struct amount is, got = {0};
    int rc = amount_find(m, registry, principal, &is);
    if (rc)
        return rc;
    struct amount need = {.bytes = excess(is.bytes, b->bytes_of_principal)};
    if (b->yields)
        rc = oldest_drop(m, registry, principal, b, now_ms - UPLOAD_RESTS_MS, &need, &got);
    return !rc && got.bytes < need.bytes ? ERR_FULL : rc;
}
