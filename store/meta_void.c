// SPDX-License-Identifier: Apache-2.0
// Entries that are void: they leave the log for the list of what was voided, their jobs end, and
// the registers they may have won are made anew (meta_remake.c). Writer thread, inside its
// transaction. See meta_priv.h, meta.h.
//
// What was only of the future (VOID_AHEAD) may come again when its time has come, as it comes to
// the other regions.
//
// Invariants (design section 9)
//   8. Own entries that become void keep their places: the next own entry goes into a new epoch.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

int entry_is_void(struct tx *tx, const struct feed_entry *e)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM revoked WHERE key=?1 AND origin=?2 AND ((epoch,seq)<(?4,?5)"
        " OR (epoch=?4 AND seq=?5 AND hash<>?6)) UNION ALL"
        " SELECT 1 FROM voided WHERE origin=?2 AND part=?3 AND epoch=?4 AND seq=?5 AND hash=?6"
        "  AND reason<>'" VOID_AHEAD "'",
        "ssiuub", e->key ? e->key : "", e->origin, (int64_t)e->partition, e->epoch, e->seq,
        (const void *)e->hash, (size_t)ENTRY_HASH_BYTES);
    if (!rc)
        db_end(st);
    return rc;
}

// --- entries ---

// What the entry was when it became void: for the list.
static int was_read(struct tx *tx, int64_t id, const char **out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT 1 FROM jobs WHERE id=?1", "i", id);
    *out = "pending";
    if (rc == ERR_NOTFOUND) {
        *out = "stood";
        rc = db_find(
            sqlite_tx_db(tx), &st,
            "SELECT 1 FROM feed f JOIN repositories r ON r.registry=f.registry AND "
            "r.name=f.repository"
            " JOIN tags t ON t.repo=r.id AND t.tag=f.tag WHERE f.id=?1 AND t.digest=f.digest AND"
            "  t.origin=f.origin AND t.epoch=f.epoch AND t.stamp=" FEED_REGISTER_STAMP " UNION ALL"
            " SELECT 1 FROM feed f JOIN repositories r ON r.registry=f.registry AND "
            "r.name=f.repository"
            " JOIN manifests n ON n.repo=r.id AND n.digest=f.digest WHERE f.id=?1 AND f.kind=?2 AND"
            "  n.origin=f.origin AND n.epoch=f.epoch AND n.stamp=" FEED_REGISTER_STAMP,
            "in", id, (int)ENTRY_MANIFEST);
    }
    if (!rc)
        db_end(st);
    if (rc == ERR_NOTFOUND)
        *out = "replaced";
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

static int entry_out(struct tx *tx, int64_t id, const char *reason, bool *out_own)
{
    const char *was;
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT origin FROM feed WHERE id=?1", "i", id);
    if (rc)
        return rc;
    const char *origin = (const char *)sqlite3_column_text(st, 0);
    *out_own = *out_own || (origin && strcmp(origin, tx->region) == 0);
    db_end(st);
    rc = was_read(tx, id, &was);
    if (!rc)
        rc = db_run(sqlite_tx_db(tx),
                    "INSERT OR REPLACE INTO "
                    "voided(reason,was,at_ms,origin,epoch,part,seq,stamp,restates,kind,registry,"
                    "repository,tag,digest,media_type,size,hash,key,sig) SELECT "
                    "?2,?3,?4,origin,epoch,part,seq,stamp,"
                    "restates,kind,registry,repository,tag,digest,media_type,size,hash,key,sig "
                    "FROM feed WHERE id=?1",
                    "issi", id, reason, was, clock_wall_ms());
    if (!rc)
        rc = db_run(sqlite_tx_db(tx), "DELETE FROM jobs WHERE id=?1", "i", id);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx), "DELETE FROM feed WHERE id=?1", "i", id);
}

struct touched { // a register that is to be made anew
    enum entry_kind kind;
    struct register_name name;
};

static int touched_find(struct tx *tx, int64_t after, struct arena *a, size_t max,
                        struct touched **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct touched *list = arena_array(a, max ? max : 1, sizeof *list);
    int rc = ERR_NOMEM;
    if (list)
        rc = 0;
    if (!rc)
        rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT registry,repository,kind,tag,min(digest) FROM voided WHERE id>?1 AND "
                      "was<>'pending'"
                      " GROUP BY registry,repository,kind,tag,CASE tag WHEN '' THEN digest ELSE 0 "
                      "END LIMIT ?2",
                      "ii", after, (int64_t)max);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        struct touched *t = &list[n];
        t->kind = (enum entry_kind)sqlite3_column_int(st, 2);
        rc = db_text(st, 0, a, &t->name.registry);
        if (!rc)
            rc = db_text(st, 1, a, &t->name.repository);
        if (!rc)
            rc = db_text(st, 3, a, &t->name.tag);
        if (!rc)
            rc = db_digest(st, 4, &t->name.digest);
        if (rc)
            db_end(st);
        n += !rc;
    }
    *out = list;
    *out_n = n;
    return rc;
}

static int register_remake(struct tx *tx, const struct touched *t)
{
    const struct kind_rules *rules = kind_rules(t->kind);
    int64_t repo;
    if (!rules)
        return ERR_UNSUPPORTED;
    int rc = repo_find(tx, t->name.registry, t->name.repository, &repo);
    if (rc == ERR_NOTFOUND) // nothing of it was ever applied
        return 0;
    if (rc)
        return rc;
    return rules->remake(tx, repo, &t->name);
}

static int last_voided(struct tx *tx, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT coalesce(max(id),0) FROM voided", "");
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

int entries_void(struct tx *tx, const int64_t *ids, size_t n, const char *reason)
{
    struct arena a;
    struct touched *list = NULL;
    size_t n_touched = 0;
    int64_t before = 0;
    bool own = false;
    int rc = 0;
    if (n)
        rc = last_voided(tx, &before);
    for (size_t i = 0; !rc && i < n; i++)
        rc = entry_out(tx, ids[i], reason, &own);
    if (!rc && own)
        rc = epoch_move(tx, 0); // 8
    if (!rc && own)
        rc = own_reload(tx);
    arena_init(&a, 0);
    if (!rc && n)
        rc = touched_find(tx, before, &a, n, &list, &n_touched);
    for (size_t i = 0; !rc && i < n_touched; i++)
        rc = register_remake(tx, &list[i]);
    arena_done(&a);
    return rc;
}

// --- the list ---

static int row_read(sqlite3_stmt *st, struct arena *a, struct voided_row *out)
{
    int rc = feed_row(st, a, &out->entry);
    if (!rc)
        rc = db_text(st, FEED_N_COLUMNS, a, &out->reason);
    if (!rc)
        rc = db_text(st, FEED_N_COLUMNS + 1, a, &out->was);
    out->id = sqlite3_column_int64(st, 0);
    out->at_ms = sqlite3_column_int64(st, FEED_N_COLUMNS + 2);
    out->there = sqlite3_column_type(st, FEED_N_COLUMNS + 3) != SQLITE_NULL;
    if (!rc && out->there)
        rc = db_digest(st, FEED_N_COLUMNS + 3, &out->now);
    return rc;
}

int meta_voided(struct meta *m, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n)
{
    struct tx *tx;
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    struct voided_row *list = arena_array(a, max ? max : 1, sizeof *list);
    int rc = ERR_NOMEM;
    if (list)
        rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT " FEED_COLUMNS
                  ",f.reason,f.was,f.at_ms,coalesce(t.digest,n.digest) FROM voided f"
                  " LEFT JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
                  " LEFT JOIN tags t ON f.kind=?4 AND t.repo=r.id AND t.tag=f.tag"
                  " LEFT JOIN manifests n ON f.kind=?5 AND n.repo=r.id AND n.digest=f.digest"
                  " WHERE f.registry=?1 AND f.id>?2 ORDER BY f.id LIMIT ?3",
                  "siinn", registry, after, (int64_t)max, (int)ENTRY_TAG, (int)ENTRY_MANIFEST);
    while (!rc && n < max && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = row_read(st, a, &list[n]);
        n += !rc;
    }
    if (st && (rc || n == max))
        db_end(st);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}
