// SPDX-License-Identifier: Apache-2.0
// Chains, unknown entries and numbers in SQLite: the table `feed` by other indexes, and `numbers`.
// See store/backend_chain.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <string.h>

// --- chains ---

// Columns: registry_seq, body, epoch, part, seq, hash.
static int head_of_row(sqlite3_stmt *st, struct chain_head *out)
{
    struct chain_head h = {.registry_seq = (uint64_t)sqlite3_column_int64(st, 0)};
    const void *body = sqlite3_column_blob(st, 1);
    if (!body)
        return ERR_CORRUPT;
    sha256(body, (size_t)sqlite3_column_bytes(st, 1), h.hash);
    int rc = mark_of_row(st, 2, &h.at);
    if (!rc)
        *out = h;
    return rc;
}

// To the chain's end: every own entry asks, so there is a statement for it that compares least.
static int end_find(struct db *d, const struct chain_query *q, uint64_t stamp, sqlite3_stmt **out)
{
    return db_find(d, out,
                   "SELECT registry_seq,body,epoch,part,seq,hash FROM feed WHERE version=2 AND"
                   " origin=?1 AND registry=?2 AND stamp<=?3 ORDER BY epoch DESC,seq DESC LIMIT 1",
                   "ssu", q->origin, q->registry, stamp);
}

static int sqlite_chain_last(struct tx *tx, const struct chain_query *q, struct chain_head *out)
{
    uint64_t stamp = INT64_MAX;
    sqlite3_stmt *st;
    int rc;
    if (q->stamp_max)
        stamp = q->stamp_max;
    if (!q->upto)
        rc = end_find(sqlite_tx_db(tx), q, stamp, &st);
    else
        rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT registry_seq,body,epoch,part,seq,hash FROM feed WHERE version=2 AND"
                     " origin=?1 AND registry=?2 AND (epoch,seq)<=(?3,?4) AND stamp<=?5"
                     " ORDER BY epoch DESC,seq DESC LIMIT 1",
                     "ssuuu", q->origin, q->registry, q->upto->epoch, q->upto->seq, stamp);
    if (rc)
        return rc;
    rc = head_of_row(st, out);
    db_end(st);
    return rc;
}

static int sqlite_chain_has(struct tx *tx, const char *origin, const char *registry,
                            uint64_t registry_seq, const uint8_t hash[ENTRY_HASH_BYTES])
{
    struct db *d = sqlite_tx_db(tx);
    struct chain_head h;
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT registry_seq,body,epoch,part,seq,hash FROM feed WHERE version=2 AND"
                      " origin=?1 AND registry=?2 AND registry_seq=?3",
                      "ssu", origin, registry, registry_seq);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        rc = head_of_row(st, &h);
        if (!rc && memcmp(h.hash, hash, ENTRY_HASH_BYTES) != 0)
            continue;
        db_end(st);
        return rc;
    }
    return rc ? rc : ERR_NOTFOUND;
}

// --- unknown entries ---

static int unknown_row_read(sqlite3_stmt *st, struct arena *a, struct unknown_row *out)
{
    struct unknown_row row = {.must = sqlite3_column_int(st, 3),
                              .n = (uint64_t)sqlite3_column_int64(st, 4)};
    int rc = db_text(st, 0, a, &row.origin);
    if (!rc)
        rc = db_text(st, 1, a, &row.repository);
    if (!rc)
        rc = db_text(st, 2, a, &row.attribute);
    if (!rc)
        *out = row;
    return rc;
}

static int sqlite_unknown_list(struct tx *tx, const char *registry, size_t max, struct arena *a,
                               struct unknown_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct unknown_row *list = NULL;
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    int rc = db_start(d, &st,
                      "SELECT origin,repository,attribute,freezes,count(*) FROM feed WHERE kind=0"
                      " AND registry=?1 AND attribute<>''"
                      " GROUP BY origin,repository,attribute,freezes"
                      " ORDER BY origin,repository,attribute,freezes LIMIT ?2",
                      "si", registry, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? unknown_row_read(st, a, &list[n]) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_unknown_next(struct tx *tx, int64_t after, size_t max, struct arena *a,
                               struct unknown_entry **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    struct unknown_entry *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(d, &st,
                      "SELECT " FEED_COLUMNS " FROM feed f INDEXED BY feed_unknown_ids"
                      " WHERE f.kind=0 AND f.attribute<>'' AND f.id>?1 ORDER BY f.id LIMIT ?2",
                      "ii", after, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        list[n].id = sqlite3_column_int64(st, 0);
        rc = feed_row_read(st, a, &list[n].entry);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_learn(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    return db_run(sqlite_write_db(tx),
                  "UPDATE feed SET kind=?2,tag=?3,digest=?4,media_type=?5,size=?6,freezes=0,"
                  "create_only=?7,generation=?8,judged_stamp=?9,judged_origin=?10,judged_epoch=?11"
                  " WHERE id=?1",
                  "insdsunuusu", id, (int)e->kind, e->tag, &e->digest, e->media_type, e->size,
                  (int)e->create_only, e->generation, e->judged_stamp, e->judged_origin,
                  e->judged_epoch);
}

static int sqlite_frozen(struct tx *tx, const char *registry, const char *repository)
{
    struct db *d = sqlite_tx_db(tx);
    // Every push asks, and as a rule there is none at all.
    int rc = db_exists(d, "SELECT 1 FROM feed WHERE freezes=1 LIMIT 1", "");
    if (rc)
        return rc;
    return db_exists(d,
                     "SELECT 1 FROM feed WHERE freezes=1 AND registry=?1 AND repository IN (?2,'')"
                     " LIMIT 1",
                     "ss", registry, repository);
}

// --- numbers ---

static int sqlite_number_get(struct tx *tx, const char *name, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT value FROM numbers WHERE name=?1", "s", name);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_number_set(struct tx *tx, const char *name, uint64_t value)
{
    return db_run(sqlite_write_db(tx), "INSERT OR REPLACE INTO numbers(name,value) VALUES(?1,?2)",
                  "su", name, value);
}

const struct chain_ops sqlite_chain_ops = {
    .last = sqlite_chain_last,
    .has = sqlite_chain_has,
    .unknown_list = sqlite_unknown_list,
    .unknown_next = sqlite_unknown_next,
    .learn = sqlite_learn,
    .frozen = sqlite_frozen,
    .number_get = sqlite_number_get,
    .number_set = sqlite_number_set,
};
