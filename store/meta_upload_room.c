// SPDX-License-Identifier: Apache-2.0
// Room for uploads: how many one principal and one registry may have open, how many bytes of a
// principal's may rest on the disk, and which of his uploads go when that is too much; see
// upload_bounds in meta.h. On the writer thread, inside the transaction of the change that needs
// the room: if that fails, nothing was dropped.
#include "store/meta_priv.h"

#include "base/err.h"

#define BATCH 64

struct amount {
    uint64_t n, bytes;
};

static int amount_find(struct tx *tx, const char *registry, const char *principal,
                       struct amount *out)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT count(*),ifnull(sum(received),0) FROM uploads WHERE registry=?1 AND principal=?2",
        "ss", registry, principal);
    if (rc)
        return rc;
    *out = (struct amount){(uint64_t)sqlite3_column_int64(st, 0),
                           (uint64_t)sqlite3_column_int64(st, 1)};
    db_end(st);
    return 0;
}

static int registry_count(struct tx *tx, const char *registry, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT count(*) FROM uploads WHERE registry=?1", "s",
                     registry);
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

// Up to BATCH of a principal's uploads, the longest idle first, without the first `skip`; nothing
// was added to them since `since_ms`. How long an upload was idle is now - touched_ms + idle_ms:
// the difference of these two does not age.
static int oldest_list(struct tx *tx, const char *registry, const char *principal, int64_t since_ms,
                       size_t skip, struct arena *a, struct partial out[BATCH], size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id,received FROM uploads WHERE registry=?1 AND principal=?2 AND "
                      "touched_ms-idle_ms<=?3"
                      " ORDER BY touched_ms-idle_ms LIMIT ?4 OFFSET ?5",
                      "ssiii", registry, principal, since_ms, (int64_t)BATCH, (int64_t)skip);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
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

// Drops the oldest idle ones until that makes up for `need`, or none is left; *got is what they
// were.
static int oldest_drop(struct tx *tx, const char *registry, const char *principal,
                       const struct upload_bounds *b, int64_t since_ms, const struct amount *need,
                       struct amount *got)
{
    struct partial list[BATCH];
    struct arena a;
    size_t n = BATCH, n_stay = 0;
    int rc = 0;
    arena_init(&a, 1 << 20);
    while (!rc && n == BATCH && !enough(got, need)) {
        rc = oldest_list(tx, registry, principal, since_ms, n_stay, &a, list, &n);
        for (size_t i = 0; !rc && i < n && !enough(got, need); i++) {
            if (!goes(b, &list[i], got, need)) {
                n_stay++;
                continue;
            }
            rc = db_run(sqlite_tx_db(tx), "DELETE FROM uploads WHERE id=?1", "s", list[i].id);
            got->n++;
            got->bytes += list[i].received;
        }
    }
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
                        enum upload_full *out_full)
{
    struct amount is, got = {0};
    uint64_t all;
    int rc = amount_find(tx, row->registry, row->principal, &is);
    if (!rc)
        rc = registry_count(tx, row->registry, &all);
    if (rc)
        return rc;
    uint64_t own = excess(is.n + 1, b->of_principal), others = excess(all + 1, b->of_registry);
    struct amount need = {.n = own > others ? own : others};
    if (b->yields)
        rc = oldest_drop(tx, row->registry, row->principal, b, INT64_MAX, &need, &got);
    if (rc || got.n >= need.n)
        return rc;
    if (got.n < own)
        *out_full = UPLOAD_FULL_PRINCIPAL;
    else
        *out_full = UPLOAD_FULL_REGISTRY;
    return ERR_FULL;
}

int upload_room_for_bytes(struct tx *tx, const char *registry, const char *principal,
                          const struct upload_bounds *b, int64_t now_ms)
{
    struct amount is, got = {0};
    int rc = amount_find(tx, registry, principal, &is);
    if (rc)
        return rc;
    struct amount need = {.bytes = excess(is.bytes, b->bytes_of_principal)};
    if (b->yields)
        rc = oldest_drop(tx, registry, principal, b, now_ms - UPLOAD_RESTS_MS, &need, &got);
    if (!rc && got.bytes < need.bytes)
        return ERR_FULL;
    return rc;
}

// --- by the sweep ---

struct group {
    const char *registry, *principal;
};

// Principals that keep more bytes in a registry than they may, at most BATCH of them. Walks the
// uploads, which are bounded: not among the statements that are kept.
static int over_list(struct tx *tx, uint64_t bound, struct arena *a, struct group out[BATCH],
                     size_t *out_n)
{
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    int rc = db_error(
        sqlite_tx_db(tx),
        sqlite3_prepare_v2(sqlite_tx_db(tx)->h,
                           "SELECT registry,principal FROM uploads GROUP BY registry,principal"
                           " HAVING sum(received)>?1 LIMIT ?2",
                           -1, &st, NULL));
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)bound);
    sqlite3_bind_int64(st, 2, BATCH);
    int step;
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        rc = db_text(st, 0, a, &out[n].registry);
        if (!rc)
            rc = db_text(st, 1, a, &out[n].principal);
        n += !rc;
    }
    if (!rc)
        rc = db_error(sqlite_tx_db(tx), step);
    sqlite3_finalize(st);
    *out_n = n;
    return rc;
}

// When the one that was touched last was so: it stays, whatever its size, for its client may come
// back.
static int newest_find(struct tx *tx, const struct group *g, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT touched_ms-idle_ms FROM uploads WHERE registry=?1 AND principal=?2"
                     " ORDER BY touched_ms-idle_ms DESC LIMIT 1",
                     "ss", g->registry, g->principal);
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int group_bound(struct tx *tx, const struct group *g, const struct upload_bounds *b,
                       int64_t now_ms)
{
    struct amount is, got = {0};
    int64_t newest_ms;
    int rc = amount_find(tx, g->registry, g->principal, &is);
    if (!rc)
        rc = newest_find(tx, g, &newest_ms);
    if (rc)
        return rc;
    struct amount need = {.bytes = excess(is.bytes, b->bytes_of_principal)};
    int64_t rested_ms = now_ms - UPLOAD_RESTS_MS;
    return oldest_drop(tx, g->registry, g->principal, b,
                       rested_ms < newest_ms ? rested_ms : newest_ms - 1, &need, &got);
}

struct bounding {
    const struct upload_bounds *b;
    int64_t now_ms;
};

static int bound_run(struct tx *tx, void *arg)
{
    const struct bounding *c = arg;
    struct group list[BATCH];
    struct arena a;
    size_t n = 0;
    arena_init(&a, 1 << 20);
    int rc = over_list(tx, c->b->bytes_of_principal, &a, list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = group_bound(tx, &list[i], c->b, c->now_ms);
    arena_done(&a);
    return rc;
}

int meta_uploads_bound(struct meta *m, const struct upload_bounds *b, int64_t now_mono_ms)
{
    struct bounding c = {b, now_mono_ms};
    if (b->bytes_of_principal && b->yields)
        return meta_write(m, bound_run, &c, false);
    return 0;
}
