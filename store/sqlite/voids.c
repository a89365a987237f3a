// SPDX-License-Identifier: Apache-2.0
// Void entries, revoked keys and outdone tags in SQLite: the tables `voided`, `revoked`, `outdone`.
// See store/backend_void.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <string.h>

// --- void entries ---

static int sqlite_void_add(struct tx *tx, const struct voided_row *v)
{
    const struct feed_entry *e = &v->entry;
    return db_run(sqlite_tx_db(tx),
                  "INSERT OR REPLACE INTO voided(reason,was,at_ms,origin,epoch,part,seq,stamp,"
                  "restates,kind,registry,repository,tag,digest,media_type,size,hash,key,sig,"
                  "version,body)"
                  " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,"
                  "?21)",
                  "ssisuiuuunsssdsubsbnb", v->reason, v->was, v->at_ms, e->origin, e->epoch,
                  (int64_t)e->partition, e->seq, e->stamp, e->restates, (int)e->kind, e->registry,
                  e->repository, e->tag, &e->digest, e->media_type, e->size, (const void *)e->hash,
                  (size_t)ENTRY_HASH_BYTES, e->key, (const void *)e->sig, (size_t)ENTRY_SIG_BYTES,
                  e->version == 2 ? 2 : 1, (const void *)e->body.p, e->body.n);
}

static int sqlite_void_reason(struct tx *tx, const char *origin, const struct feed_mark *place,
                              char out[VOID_REASON_SIZE])
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT reason FROM voided WHERE origin=?1 AND part=?2 AND epoch=?3 AND"
                     " seq=?4 AND hash=?5",
                     "siuub", origin, (int64_t)place->partition, place->epoch, place->seq,
                     (const void *)place->hash, (size_t)ENTRY_HASH_BYTES);
    if (rc)
        return rc;
    const char *reason = (const char *)sqlite3_column_text(st, 0);
    if (!reason || strlen(reason) >= VOID_REASON_SIZE)
        rc = ERR_CORRUPT;
    else
        memcpy(out, reason, strlen(reason) + 1);
    db_end(st);
    return rc;
}

static int void_row_read(sqlite3_stmt *st, struct arena *a, struct voided_row *out)
{
    struct voided_row v = {.id = sqlite3_column_int64(st, 0),
                           .at_ms = sqlite3_column_int64(st, ENTRY_N_COLUMNS + 2)};
    int rc = void_row(st, a, &v.entry);
    if (rc)
        return rc;
    rc = db_text(st, ENTRY_N_COLUMNS, a, &v.reason);
    if (rc)
        return rc;
    rc = db_text(st, ENTRY_N_COLUMNS + 1, a, &v.was);
    if (rc)
        return rc;
    v.there = sqlite3_column_type(st, ENTRY_N_COLUMNS + 3) != SQLITE_NULL;
    if (v.there)
        rc = db_digest(st, ENTRY_N_COLUMNS + 3, &v.now);
    if (!rc)
        *out = v;
    return rc;
}

static int sqlite_voids_list(struct tx *tx, const char *registry, int64_t after, size_t max,
                             struct arena *a, struct voided_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct voided_row *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT " ENTRY_COLUMNS
                      ",f.reason,f.was,f.at_ms,coalesce(t.digest,n.digest) FROM voided f"
                      " LEFT JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
                      " LEFT JOIN tags t ON f.kind IN (?4,?5) AND t.repo=r.id AND t.tag=f.tag AND"
                      " t.live=1 LEFT JOIN manifests n ON f.kind IN (?6,?7) AND n.repo=r.id AND"
                      " n.digest=f.digest AND n.live=1 WHERE f.registry=?1 AND f.id>?2"
                      " ORDER BY f.id LIMIT ?3",
                      "siinnnn", registry, after, (int64_t)max, (int)ENTRY_TAG, (int)ENTRY_TAG_GONE,
                      (int)ENTRY_MANIFEST, (int)ENTRY_MANIFEST_GONE);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = void_row_read(st, a, &list[n]);
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

// --- revoked keys ---

#define REVOKED_COLUMNS "epoch,0,seq,hash,origin,at_epoch,at_seq,swept,rewound"

// Of REVOKED_COLUMNS from column 0; all but the key.
static int revoked_row(sqlite3_stmt *st, struct revoked_key *out)
{
    struct revoked_key r = {.swept_epoch = (uint64_t)sqlite3_column_int64(st, 5),
                            .swept_seq = (uint64_t)sqlite3_column_int64(st, 6),
                            .swept = sqlite3_column_int(st, 7),
                            .reread = (enum revoked_reread)sqlite3_column_int(st, 8)};
    const char *origin = (const char *)sqlite3_column_text(st, 4);
    if (!origin || strlen(origin) >= sizeof r.origin)
        return ERR_CORRUPT;
    memcpy(r.origin, origin, strlen(origin) + 1);
    int rc = mark_of_row(st, 0, &r.good);
    if (!rc)
        *out = r;
    return rc;
}

static int sqlite_revoked_get(struct tx *tx, const char *key, struct revoked_key *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT " REVOKED_COLUMNS " FROM revoked WHERE key=?1",
                     "s", key);
    if (rc)
        return rc;
    rc = revoked_row(st, out);
    if (!rc)
        out->key = key;
    db_end(st);
    return rc;
}

static int sqlite_revoked_set(struct tx *tx, const struct revoked_key *r)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT OR REPLACE INTO revoked(key,origin,epoch,seq,hash,at_epoch,at_seq,swept,rewound)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
        "ssuubuunn", r->key, r->origin, r->good.epoch, r->good.seq, (const void *)r->good.hash,
        (size_t)ENTRY_HASH_BYTES, r->swept_epoch, r->swept_seq, (int)r->swept, (int)r->reread);
}

static int revoked_count(struct tx *tx, size_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT count(*) FROM revoked", "");
    if (rc)
        return rc;
    *out = (size_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_revoked_list(struct tx *tx, struct arena *a, struct revoked_key **out,
                               size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    int rc = revoked_count(tx, &cap);
    if (rc)
        return rc;
    struct revoked_key *list = arena_array(a, cap + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    // A reader's transaction may see a row more by now: the next call lists it.
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT " REVOKED_COLUMNS ",key FROM revoked ORDER BY key LIMIT ?1", "i",
                  (int64_t)cap);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = revoked_row(st, &list[n]);
        if (!rc)
            rc = db_text(st, 9, a, &list[n].key);
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

// --- outdone tags ---

static int sqlite_outdone_get(struct tx *tx, const struct register_name *tag, uint64_t *out_stamp)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT o.stamp FROM repositories r JOIN outdone o ON o.repo=r.id"
                     " WHERE r.registry=?1 AND r.name=?2 AND o.tag=?3",
                     "sss", tag->registry, tag->repository, tag->tag);
    if (rc)
        return rc;
    *out_stamp = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_outdone_set(struct tx *tx, const struct register_name *tag, uint64_t stamp)
{
    struct db *d = sqlite_tx_db(tx);
    int rc = db_run(d,
                    "INSERT OR REPLACE INTO outdone(repo,tag,stamp) SELECT id,?3,?4 FROM"
                    " repositories WHERE registry=?1 AND name=?2",
                    "sssu", tag->registry, tag->repository, tag->tag, stamp);
    if (!rc && sqlite3_changes(d->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

static int sqlite_outdone_clear(struct tx *tx)
{
    return db_run(sqlite_tx_db(tx), "DELETE FROM outdone", "");
}

const struct void_ops sqlite_void_ops = {
    .add = sqlite_void_add,
    .reason = sqlite_void_reason,
    .list = sqlite_voids_list,
    .revoked_get = sqlite_revoked_get,
    .revoked_set = sqlite_revoked_set,
    .revoked_list = sqlite_revoked_list,
    .outdone_get = sqlite_outdone_get,
    .outdone_set = sqlite_outdone_set,
    .outdone_clear = sqlite_outdone_clear,
};
