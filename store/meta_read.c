// SPDX-License-Identifier: Apache-2.0
// What clients see: manifests, tags, repositories; see meta.h. Any thread, each call on a reader's
// connection.
#include "store/meta_priv.h"

#include "base/err.h"

static int manifest_row_read(sqlite3_stmt *st, struct arena *a, struct manifest_row *out)
{
    struct manifest_row r = {.stamp = (uint64_t)sqlite3_column_int64(st, 3),
                             .epoch = (uint64_t)sqlite3_column_int64(st, 5)};
    int rc = db_digest(st, 0, &r.digest);
    if (!rc)
        rc = db_text(st, 1, a, &r.media_type);
    if (!rc)
        rc = db_text(st, 4, a, &r.origin);
    if (!rc)
        rc = db_blob(st, 2, a, &r.content);
    if (!rc && (!r.media_type || !r.origin))
        rc = ERR_CORRUPT;
    if (!rc)
        *out = r;
    return rc;
}

int meta_manifest_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out)
{
    if (!tag == !digest)
        return ERR_INVAL;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    if (tag)
        rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT m.digest,m.media_type,m.content,t.stamp,t.origin,t.epoch FROM "
                     "repositories r JOIN tags t "
                     "ON t.repo=r.id"
                     " JOIN manifests m ON m.repo=r.id AND m.digest=t.digest"
                     " WHERE r.registry=?1 AND r.name=?2 AND t.tag=?3",
                     "sss", registry, repository, tag);
    else
        rc = db_find(
            sqlite_tx_db(tx), &st,
            "SELECT m.digest,m.media_type,m.content,m.stamp,m.origin,m.epoch FROM repositories r"
            " JOIN manifests m ON m.repo=r.id WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3",
            "ssd", registry, repository, digest);
    if (!rc) {
        rc = manifest_row_read(st, a, out);
        db_end(st);
    }
    tx_end(tx);
    return rc;
}

// A repository's row is made with its first link or manifest and stays.
bool meta_repository_exists(struct meta *m, const char *registry, const char *repository)
{
    struct tx *tx;
    int64_t id;
    if (backend_read(m->b, &tx))
        return false;
    int rc = repo_find(tx, registry, repository, &id);
    tx_end(tx);
    return rc == 0;
}

static int names_read(struct tx *tx, sqlite3_stmt *st, size_t max, struct arena *a,
                      const char ***out, size_t *out_n)
{
    size_t n = 0, cap = max < 64 ? max + 1 : 64;
    const char **names = arena_array(a, cap, sizeof *names);
    int rc = ERR_NOMEM;
    if (names)
        rc = 0;
    if (rc)
        db_end(st);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = 0;
        if (n == cap) { // the old array stays behind in the arena: at most as much again
            const char **more = arena_array(a, cap * 2, sizeof *more);
            for (size_t i = 0; more && i < n; i++)
                more[i] = names[i];
            if (more) {
                names = more;
                rc = 0;
            } else {
                rc = ERR_NOMEM;
            }
            cap *= 2;
        }
        if (!rc)
            rc = db_text(st, 0, a, &names[n]);
        if (rc)
            db_end(st);
        n += !rc;
    }
    if (rc)
        return rc;
    *out = names;
    *out_n = n;
    return 0;
}

int meta_tags_list(struct meta *m, const char *registry, const char *repository, const char *after,
                   size_t max, struct arena *a, const char ***out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    int64_t repo;
    sqlite3_stmt *st;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT tag FROM tags WHERE repo=?1 AND tag>?2 ORDER BY tag LIMIT ?3", "isi",
                      repo, after ? after : "", max > INT64_MAX ? INT64_MAX : (int64_t)max);
    if (!rc)
        rc = names_read(tx, st, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

// Only those with a manifest: a copy that has only begun to arrive is not shown.
int meta_repositories_list(struct meta *m, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT name FROM repositories r WHERE registry=?1 AND name>?2"
                  " AND EXISTS(SELECT 1 FROM manifests WHERE repo=r.id) ORDER BY name LIMIT ?3",
                  "ssi", registry, after ? after : "", max > INT64_MAX ? INT64_MAX : (int64_t)max);
    if (!rc)
        rc = names_read(tx, st, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

static int history_read(struct tx *tx, sqlite3_stmt *st, size_t max, struct arena *a,
                        struct tag_version **out, size_t *out_n)
{
    size_t n = 0;
    struct tag_version *v = arena_array(a, max ? max : 1, sizeof *v);
    int rc = ERR_NOMEM;
    if (v)
        rc = 0;
    if (rc)
        db_end(st);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        v[n].stamp = (uint64_t)sqlite3_column_int64(st, 1);
        v[n].epoch = (uint64_t)sqlite3_column_int64(st, 3);
        rc = db_digest(st, 0, &v[n].digest);
        if (!rc)
            rc = db_text(st, 2, a, &v[n].origin);
        if (rc)
            db_end(st);
        n += !rc;
    }
    if (!rc && !n)
        rc = ERR_NOTFOUND;
    if (rc)
        return rc;
    *out = v;
    *out_n = n;
    return 0;
}

// A version can be in the history before any is visible (its manifest still travels): then there is
// no such tag yet.
int meta_tag_history(struct meta *m, const char *registry, const char *repository, const char *tag,
                     size_t max, struct arena *a, struct tag_version **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    if (max > 10000)
        max = 10000;
    rc = db_start(
        sqlite_tx_db(tx), &st,
        "SELECT h.digest,h.stamp,h.origin,h.epoch FROM repositories r JOIN tags t ON t.repo=r.id"
        " JOIN tag_history h ON h.repo=r.id AND h.tag=t.tag WHERE r.registry=?1 AND r.name=?2 AND "
        "t.tag=?3"
        " ORDER BY " REGISTER_HIGHEST_FIRST("h.") " LIMIT ?4",
        "sssi", registry, repository, tag, (int64_t)max);
    if (!rc)
        rc = history_read(tx, st, max, a, out, out_n);
    tx_end(tx);
    return rc;
}
