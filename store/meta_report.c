// SPDX-License-Identifier: Apache-2.0
// What it does to the registers that entries become void: their values before are kept beside
// (report_begin), and compared with those after (report_end). For meta_repair.c. Writer thread, in
// one transaction.
//
// The entries stand in temp.void_ids(id).
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/mem.h"

#define LIST_MAX 1000

static const char *const tables[] = {
    "CREATE TEMP TABLE IF NOT EXISTS void_ids(id INTEGER PRIMARY KEY)",
    "CREATE TEMP TABLE IF NOT EXISTS void_tags(repo INTEGER, tag TEXT, digest BLOB, stamp INTEGER, "
    "origin TEXT,"
    " PRIMARY KEY(repo,tag))",
    "CREATE TEMP TABLE IF NOT EXISTS void_presence(repo INTEGER, digest BLOB, stamp INTEGER, "
    "origin TEXT,"
    " PRIMARY KEY(repo,digest))",
    "DELETE FROM void_ids",
    "DELETE FROM void_tags",
    "DELETE FROM void_presence",
};

static const char *const before[] = {
    "INSERT OR IGNORE INTO void_tags SELECT r.id,f.tag,t.digest,t.stamp,t.origin FROM void_ids v "
    "JOIN feed f ON "
    "f.id=v.id"
    " JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
    " LEFT JOIN tags t ON t.repo=r.id AND t.tag=f.tag WHERE f.kind=2",
    "INSERT OR IGNORE INTO void_presence SELECT n.repo,n.digest,n.stamp,n.origin FROM void_ids v "
    "JOIN feed f ON "
    "f.id=v.id"
    " JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
    " JOIN manifests n ON n.repo=r.id AND n.digest=f.digest WHERE f.kind=1",
};

#define CHANGED_TAGS                                                                              \
    " FROM void_tags v JOIN repositories r ON r.id=v.repo LEFT JOIN tags t ON t.repo=v.repo AND " \
    "t.tag=v.tag"                                                                                 \
    " WHERE v.digest IS NOT NULL AND v.digest IS NOT t.digest"
#define GONE_MANIFESTS                                                                         \
    " FROM void_presence v JOIN repositories r ON r.id=v.repo WHERE NOT EXISTS(SELECT 1 FROM " \
    "manifests n WHERE"                                                                        \
    " n.repo=v.repo AND n.digest=v.digest)"

static int steps_run(struct tx *tx, const char *const *steps, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = db_exec(sqlite_tx_db(tx), steps[i]);
    return rc;
}

static int count(struct tx *tx, const char *sql, size_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, sql, "");
    if (rc)
        return rc;
    *out = (size_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

int report_clear(struct tx *tx)
{
    return steps_run(tx, tables, ARRAY_LEN(tables));
}

int report_begin(struct tx *tx, struct void_report *out)
{
    *out = (struct void_report){0};
    int rc = steps_run(tx, before, ARRAY_LEN(before));
    if (!rc)
        rc = count(tx, "SELECT count(*) FROM void_ids", &out->n_entries);
    if (!rc)
        rc = count(tx, "SELECT count(*) FROM jobs WHERE id IN (SELECT id FROM void_ids)",
                   &out->n_jobs);
    return rc;
}

static int digest_or_none(sqlite3_stmt *st, int col, struct digest *out)
{
    *out = (struct digest){0};
    if (sqlite3_column_type(st, col) == SQLITE_NULL)
        return 0;
    return db_digest(st, col, out);
}

static int register_read(sqlite3_stmt *st, struct arena *a, struct void_register *out)
{
    struct void_register v = {.stamp = (uint64_t)sqlite3_column_int64(st, 5)};
    int rc = db_text(st, 0, a, &v.registry);
    if (!rc)
        rc = db_text(st, 1, a, &v.repository);
    if (!rc)
        rc = db_text(st, 2, a, &v.tag);
    if (!rc)
        rc = digest_or_none(st, 3, &v.was);
    if (!rc)
        rc = digest_or_none(st, 4, &v.is);
    if (!rc)
        rc = db_text(st, 6, a, &v.origin);
    if (!rc)
        *out = v;
    return rc;
}

static int registers_list(struct tx *tx, struct arena *a, struct void_report *out)
{
    sqlite3_stmt *st;
    out->list = arena_array(a, LIST_MAX, sizeof *out->list);
    if (!out->list)
        return ERR_NOMEM;
    int rc = db_start(
        sqlite_tx_db(tx), &st,
        "SELECT r.registry,r.name,v.tag,v.digest,t.digest,v.stamp,v.origin" CHANGED_TAGS
        " UNION ALL SELECT r.registry,r.name,'',v.digest,NULL,v.stamp,v.origin" GONE_MANIFESTS
        " ORDER BY 1,2,3 LIMIT ?1",
        "n", LIST_MAX);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = register_read(st, a, &out->list[out->n_list]);
        if (rc)
            db_end(st);
        out->n_list += !rc;
    }
    return rc;
}

int report_end(struct tx *tx, struct arena *a, struct void_report *out)
{
    int rc = count(tx, "SELECT count(*)" CHANGED_TAGS, &out->n_tags);
    if (!rc)
        rc = count(tx, "SELECT count(*)" GONE_MANIFESTS, &out->n_manifests);
    if (rc)
        return rc;
    return registers_list(tx, a, out);
}
