// SPDX-License-Identifier: Apache-2.0
// What clients see, in SQLite: the tables `repositories`, `manifests` and `manifest_refs`. See
// store/backend_state.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "store/manifest.h"

#include <string.h>

static int sqlite_repo_find(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st, "SELECT id FROM repositories WHERE registry=?1 AND name=?2",
                "ss", registry, repository);
    if (rc)
        return rc;
    *out_id = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_repo_make(struct tx *tx, const char *registry, const char *repository,
                            int64_t *out_id)
{
    struct db *d = sqlite_write_db(tx);
    int rc = sqlite_repo_find(tx, registry, repository, out_id);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc =
        db_run(d,
               "INSERT INTO repositories(registry,name,reg) VALUES(?1,?2,coalesce((SELECT reg FROM "
               "repositories WHERE registry=?1 LIMIT 1),0))",
               "ss", registry, repository);
    if (rc)
        return rc;
    *out_id = sqlite3_last_insert_rowid(d->h);
    // the first one of a registry stands for it
    return db_run(d, "UPDATE repositories SET reg=id WHERE id=?1 AND reg=0", "i", *out_id);
}

int64_t limit_of(size_t max)
{
    return max > INT64_MAX ? INT64_MAX : (int64_t)max;
}

static int sqlite_repos_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, const char ***out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT name FROM repositories r WHERE registry=?1 AND name>?2"
                      " AND EXISTS(SELECT 1 FROM manifests WHERE repo=r.id) ORDER BY name LIMIT ?3",
                      "ssi", registry, after, limit_of(max));
    if (rc)
        return rc;
    return db_names(d, st, a, out, out_n);
}

// --- manifests ---

static int sqlite_manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM manifests WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
}

static int blob_linked(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM links WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
}

int register_row(sqlite3_stmt *st, struct register_now *out)
{
    const char *origin = (const char *)sqlite3_column_text(st, 1);
    if (!origin || strlen(origin) >= sizeof out->origin)
        return ERR_CORRUPT;
    memcpy(out->origin, origin, strlen(origin) + 1);
    out->value = (struct register_value){.stamp = (uint64_t)sqlite3_column_int64(st, 0),
                                         .origin = out->origin,
                                         .epoch = (uint64_t)sqlite3_column_int64(st, 2)};
    return 0;
}

static int media_type_copy(sqlite3_stmt *st, int col, char out[MEDIA_TYPE_SIZE])
{
    const char *s = (const char *)sqlite3_column_text(st, col);
    if (!s || strlen(s) >= MEDIA_TYPE_SIZE)
        return ERR_CORRUPT;
    memcpy(out, s, strlen(s) + 1);
    return 0;
}

static int sqlite_presence_get(struct tx *tx, int64_t repo, const struct digest *digest,
                               struct register_now *out, char out_media_type[MEDIA_TYPE_SIZE])
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT stamp,origin,epoch,media_type FROM manifests WHERE repo=?1 AND digest=?2",
                "id", repo, digest);
    if (rc)
        return rc;
    rc = register_row(st, out);
    out->value.digest = *digest;
    if (!rc && out_media_type)
        rc = media_type_copy(st, 3, out_media_type);
    db_end(st);
    return rc;
}

static int sqlite_presence_set(struct tx *tx, int64_t repo, const struct register_value *v,
                               const char *media_type)
{
    return db_run(sqlite_write_db(tx),
                  "UPDATE manifests SET stamp=?3,origin=?4,epoch=?5,"
                  "media_type=coalesce(?6,media_type) WHERE repo=?1 AND digest=?2",
                  "idusus", repo, &v->digest, v->stamp, v->origin, v->epoch, media_type);
}

static int sqlite_manifest_reached(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM tags WHERE repo=?1 AND digest=?2 UNION ALL"
                     " SELECT 1 FROM manifest_refs r JOIN manifests p ON p.repo=r.repo AND"
                     "  p.digest=r.parent WHERE r.repo=?1 AND r.child=?2 AND r.kind=?3",
                     "idn", repo, digest, (int)REF_MANIFEST);
}

static int sqlite_manifest_children(struct tx *tx, int64_t repo, const struct digest *digest,
                                    struct arena *a, struct digest **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct digest *list = NULL;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT child FROM manifest_refs WHERE repo=?1 AND parent=?2 AND kind=?3",
                      "idn", repo, digest, (int)REF_MANIFEST);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_digest(st, 0, &list[n]) : ERR_NOMEM;
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

static int sqlite_manifest_size(struct tx *tx, int64_t repo, const struct digest *digest,
                                uint64_t *out_size)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT size FROM manifests WHERE repo=?1 AND digest=?2", "id", repo, digest);
    if (rc)
        return rc;
    *out_size = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_manifest_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = db_run(sqlite_write_db(tx), "DELETE FROM manifests WHERE repo=?1 AND digest=?2", "id",
                    repo, digest);
    if (rc)
        return rc;
    return db_run(sqlite_write_db(tx), "DELETE FROM manifest_refs WHERE repo=?1 AND parent=?2",
                  "id", repo, digest);
}

static int sqlite_manifest_add(struct tx *tx, int64_t repo, const struct register_value *v,
                               const struct manifest_new *m)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO manifests(repo,digest,media_type,stamp,origin,epoch,size,content)"
                  " VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
                  "idsusuub", repo, &v->digest, m->media_type, v->stamp, v->origin, v->epoch,
                  (uint64_t)m->content.n, (const void *)m->content.p, m->content.n);
}

int manifest_row_read(sqlite3_stmt *st, struct arena *a, struct manifest_row *out)
{
    struct manifest_row r = {.stamp = (uint64_t)sqlite3_column_int64(st, 3),
                             .epoch = (uint64_t)sqlite3_column_int64(st, 5)};
    int rc = db_digest(st, 0, &r.digest);
    if (rc)
        return rc;
    rc = db_text(st, 1, a, &r.media_type);
    if (rc)
        return rc;
    rc = db_text(st, 4, a, &r.origin);
    if (rc)
        return rc;
    rc = db_blob(st, 2, a, &r.content);
    if (rc)
        return rc;
    if (!r.media_type || !r.origin)
        return ERR_CORRUPT;
    *out = r;
    return 0;
}

static int sqlite_manifest_get(struct tx *tx, const char *registry, const char *repository,
                               const char *tag, const struct digest *digest, struct arena *a,
                               struct manifest_row *out)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (tag)
        rc = db_find(d, &st,
                     "SELECT m.digest,m.media_type,m.content,t.stamp,t.origin,t.epoch FROM "
                     "repositories r JOIN tags t ON t.repo=r.id"
                     " JOIN manifests m ON m.repo=r.id AND m.digest=t.digest"
                     " WHERE r.registry=?1 AND r.name=?2 AND t.tag=?3",
                     "sss", registry, repository, tag);
    else
        rc = db_find(
            d, &st,
            "SELECT m.digest,m.media_type,m.content,m.stamp,m.origin,m.epoch FROM repositories r"
            " JOIN manifests m ON m.repo=r.id WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3",
            "ssd", registry, repository, digest);
    if (rc)
        return rc;
    rc = manifest_row_read(st, a, out);
    db_end(st);
    return rc;
}

static int sqlite_manifest_content(struct tx *tx, const char *registry, const char *repository,
                                   const struct digest *d, struct arena *a, struct bytes *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT m.content FROM manifests m JOIN repositories r ON r.id=m.repo"
                     " WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3",
                     "ssd", registry, repository, d);
    if (rc)
        return rc;
    rc = db_blob(st, 0, a, out);
    db_end(st);
    return rc;
}

static int sqlite_refs_add(struct tx *tx, int64_t repo, const struct digest *parent,
                           const struct manifest_ref *refs, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = db_run(
            sqlite_write_db(tx),
            "INSERT OR IGNORE INTO manifest_refs(repo,parent,child,kind) VALUES(?1,?2,?3,?4)",
            "iddn", repo, parent, &refs[i].digest, (int)refs[i].kind);
    return rc;
}

static int ref_check(struct tx *tx, int64_t repo, const struct manifest_ref *ref)
{
    switch (ref->kind) {
    case REF_BLOB:
        return blob_linked(tx, repo, &ref->digest);
    case REF_MANIFEST:
        return sqlite_manifest_visible(tx, repo, &ref->digest);
    case REF_FOREIGN:
    case REF_SUBJECT:
        break;
    }
    return 0;
}

static int sqlite_refs_check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                             struct digest *out_missing)
{
    for (size_t i = 0; i < n; i++) {
        int rc = ref_check(tx, repo, &refs[i]);
        if (rc == ERR_NOTFOUND)
            *out_missing = refs[i].digest;
        if (rc)
            return rc;
    }
    return 0;
}

static int unasserted_read(sqlite3_stmt *st, struct arena *a, struct unasserted_row *out)
{
    int rc = db_digest(st, 0, &out->digest);
    if (rc)
        return rc;
    out->size = (uint64_t)sqlite3_column_int64(st, 2);
    out->stamp = (uint64_t)sqlite3_column_int64(st, 3);
    return db_text(st, 1, a, &out->media_type);
}

static int sqlite_unasserted_below(struct tx *tx, int64_t repo, const struct digest *parent,
                                   int max_depth, const struct log_assertion *by, struct arena *a,
                                   struct unasserted_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct unasserted_row *list = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st;
    int rc = db_start(
        d, &st,
        "WITH RECURSIVE below(d,depth) AS (SELECT ?2,0 UNION SELECT x.child,depth+1 FROM below"
        " JOIN manifest_refs x ON x.repo=?1 AND x.parent=d AND x.kind=?3 WHERE depth<?4 AND "
        "NOT EXISTS"
        " (SELECT 1 FROM feed f WHERE f.registry=?5 AND f.repository=?6 AND f.kind=?7 AND "
        "f.tag=''"
        "  AND f.digest=x.child AND f.origin=?8 AND f.key=?9))"
        " SELECT m.digest,m.media_type,m.size,m.stamp FROM below JOIN manifests m ON m.repo=?1 "
        "AND"
        " m.digest=d WHERE depth>0 GROUP BY d ORDER BY max(depth) DESC",
        "idnnssnss", repo, parent, (int)REF_MANIFEST, max_depth, by->registry, by->repository,
        (int)ENTRY_MANIFEST, tx->region, by->key);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? unasserted_read(st, a, &list[n]) : ERR_NOMEM;
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

const struct state_ops sqlite_state_ops = {
    .repo_find = sqlite_repo_find,
    .repo_make = sqlite_repo_make,
    .repos_list = sqlite_repos_list,
    .manifest_visible = sqlite_manifest_visible,
    .presence_get = sqlite_presence_get,
    .presence_set = sqlite_presence_set,
    .manifest_add = sqlite_manifest_add,
    .manifest_get = sqlite_manifest_get,
    .manifest_content = sqlite_manifest_content,
    .refs_add = sqlite_refs_add,
    .refs_check = sqlite_refs_check,
    .unasserted_below = sqlite_unasserted_below,
    .manifest_reached = sqlite_manifest_reached,
    .manifest_children = sqlite_manifest_children,
    .manifest_remove = sqlite_manifest_remove,
    .referrers = sqlite_referrers,
    .manifest_size = sqlite_manifest_size,
};
