// SPDX-License-Identifier: Apache-2.0
// Holds, blobs, pulls and usage in SQLite: the tables `links`, `blobs`, `pulled`,
// `repository_usage` and `registry_usage`. See store/backend_links.h.
//
// Times: each opening of the database is an era. A row of an earlier era counts from the opening,
// so that none needs to be touched then.
//
// `reg` is the id of the registry's first repository; it stands for the registry.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "store/backend_links.h"
#include "store/manifest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static uint64_t era_of(struct tx *tx)
{
    return sqlite_tx(tx)->of->era;
}

static int64_t since_of_row(struct tx *tx, sqlite3_stmt *st, int era_col, int since_col)
{
    if ((uint64_t)sqlite3_column_int64(st, era_col) == era_of(tx))
        return sqlite3_column_int64(st, since_col);
    return sqlite_tx(tx)->of->opened_ms;
}

static int generation_copy(sqlite3_stmt *st, int col, char out[BLOB_GENERATION_SIZE])
{
    const char *s = (const char *)sqlite3_column_text(st, col);
    if (!s || !blob_generation_ok(s))
        return ERR_CORRUPT;
    memcpy(out, s, strlen(s) + 1);
    return 0;
}

// --- what a repository has ---

// Columns: size, generation, links, era, since.
#define LOOK_COLUMNS "b.size,b.generation,l.n,l.era,l.since_ms"

static int look_row(struct tx *tx, sqlite3_stmt *st, const struct digest *d, struct blob_here *out,
                    int64_t *out_since_ms)
{
    struct blob_here here = {.name = {.digest = *d},
                             .size = (uint64_t)sqlite3_column_int64(st, 0),
                             .linked = sqlite3_column_int64(st, 2) > 0};
    int rc = generation_copy(st, 1, here.name.generation);
    if (rc)
        return rc;
    *out_since_ms = since_of_row(tx, st, 3, 4);
    *out = here;
    return 0;
}

static int sqlite_look(struct tx *tx, const char *registry, const char *repository,
                       const struct digest *d, struct blob_here *out, int64_t *out_since_ms)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " LOOK_COLUMNS " FROM repositories r JOIN links l ON l.repo=r.id"
                     " JOIN blobs b ON b.digest=l.digest"
                     " WHERE r.registry=?1 AND r.name=?2 AND l.digest=?3",
                     "ssd", registry, repository, d);
    if (rc)
        return rc;
    rc = look_row(tx, st, d, out, out_since_ms);
    db_end(st);
    return rc;
}

static int sqlite_look_any(struct tx *tx, const char *registry, const struct digest *digest,
                           bool (*may)(void *ctx, const char *repository), void *ctx,
                           struct blob_here *out, int64_t *out_since_ms)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT " LOOK_COLUMNS ",r.name FROM links l JOIN repositories r ON "
                      "r.id=l.repo JOIN blobs b ON b.digest=l.digest WHERE l.digest=?1 AND"
                      " l.reg=(SELECT reg FROM repositories WHERE registry=?2 LIMIT 1)",
                      "ds", digest, registry);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        const char *name = (const char *)sqlite3_column_text(st, 5);
        if (name && !may(ctx, name))
            continue;
        rc = ERR_NOMEM;
        if (name)
            rc = look_row(tx, st, digest, out, out_since_ms);
        db_end(st);
        return rc;
    }
    return rc ? rc : ERR_NOTFOUND;
}

static int link_read(sqlite3_stmt *st, struct arena *a, struct link_row *out)
{
    out->size = (uint64_t)sqlite3_column_int64(st, 2);
    int rc = db_text(st, 0, a, &out->registry);
    if (rc)
        return rc;
    return db_text(st, 1, a, &out->repository);
}

static int sqlite_links_of(struct tx *tx, const struct digest *digest, size_t max, struct arena *a,
                           struct link_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    struct link_row *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(d, &st,
                      "SELECT r.registry,r.name,l.size FROM links l JOIN repositories r ON "
                      "r.id=l.repo WHERE l.digest=?1 LIMIT ?2",
                      "di", digest, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        rc = link_read(st, a, &list[n]);
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

// Columns 0 to 4: size, links, era, since, peer.
static int hold_read(struct tx *tx, sqlite3_stmt *st, struct hold *out)
{
    const char *peer = (const char *)sqlite3_column_text(st, 4);
    if (!peer || strlen(peer) >= sizeof out->peer)
        return ERR_CORRUPT;
    *out = (struct hold){.size = (uint64_t)sqlite3_column_int64(st, 0),
                         .n_links = (uint64_t)sqlite3_column_int64(st, 1),
                         .since_ms = since_of_row(tx, st, 2, 3)};
    memcpy(out->peer, peer, strlen(peer) + 1);
    return 0;
}

static int sqlite_hold_get(struct tx *tx, int64_t repo, const struct digest *d, struct hold *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT size,n,era,since_ms,peer FROM links WHERE repo=?1 AND digest=?2", "id",
                     repo, d);
    if (rc)
        return rc;
    rc = hold_read(tx, st, out);
    db_end(st);
    return rc;
}

static int sqlite_lease_set(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size,
                            int64_t since_ms, const char *peer)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO links(repo,digest,reg,size,n,era,since_ms,peer) VALUES(?1,?2,"
                  "(SELECT reg FROM repositories WHERE id=?1),?3,0,?4,?5,?6)"
                  " ON CONFLICT(repo,digest) DO UPDATE SET era=excluded.era,"
                  "since_ms=excluded.since_ms,peer=excluded.peer",
                  "iduuis", repo, d, size, era_of(tx), since_ms, peer);
}

// 0: the statement changed a row. ERR_NOTFOUND.
static int changed(struct tx *tx, int rc)
{
    if (rc)
        return rc;
    return sqlite3_changes(sqlite_tx_db(tx)->h) ? 0 : ERR_NOTFOUND;
}

static int sqlite_hold_remove(struct tx *tx, int64_t repo, const struct digest *d)
{
    int rc =
        db_run(sqlite_write_db(tx), "DELETE FROM links WHERE repo=?1 AND digest=?2", "id", repo, d);
    return changed(tx, rc);
}

static int sqlite_held_in_registry(struct tx *tx, int64_t repo, const struct digest *d)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM links WHERE digest=?2 AND reg=(SELECT reg FROM repositories "
                     "WHERE id=?1) AND repo<>?1",
                     "id", repo, d);
}

static int sqlite_held(struct tx *tx, const struct digest *d)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM links WHERE digest=?1", "d", d);
}

static int link_missing(struct tx *tx, int64_t repo, const struct digest *manifest,
                        struct digest *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT child FROM manifest_refs x WHERE repo=?1 AND parent=?2 AND kind=?3"
                     " AND NOT EXISTS(SELECT 1 FROM links WHERE repo=?1 AND digest=x.child)",
                     "idn", repo, manifest, (int)REF_BLOB);
    if (rc)
        return rc;
    rc = db_digest(st, 0, out);
    db_end(st);
    return rc;
}

static int sqlite_links_count(struct tx *tx, int64_t repo, const struct digest *manifest,
                              struct digest *out_missing)
{
    int rc = link_missing(tx, repo, manifest, out_missing);
    if (rc != ERR_NOTFOUND)
        return rc ? rc : ERR_NOTFOUND;
    return db_run(sqlite_write_db(tx),
                  "UPDATE links SET n=n+1,peer='' WHERE repo=?1 AND digest IN (SELECT child FROM "
                  "manifest_refs WHERE repo=?1 AND parent=?2 AND kind=?3)",
                  "idn", repo, manifest, (int)REF_BLOB);
}

static int sqlite_links_uncount(struct tx *tx, int64_t repo, const struct digest *manifest,
                                int64_t now_ms)
{
    return db_run(sqlite_write_db(tx),
                  "UPDATE links SET n=n-1,era=?4,since_ms=?5 WHERE repo=?1 AND n>0 AND digest IN "
                  "(SELECT child FROM manifest_refs WHERE repo=?1 AND parent=?2 AND kind=?3)",
                  "idnui", repo, manifest, (int)REF_BLOB, era_of(tx), now_ms);
}

// Columns: of hold_read, then repository, digest, registry and name.
#define LEASE_COLUMNS "l.size,l.n,l.era,l.since_ms,l.peer,l.repo,l.digest,r.registry,r.name"

static int lease_read(struct tx *tx, sqlite3_stmt *st, struct arena *a, struct hold_row *out)
{
    int rc = db_digest(st, 6, &out->digest);
    if (rc)
        return rc;
    out->repo = sqlite3_column_int64(st, 5);
    out->place = (struct lease_place){(uint64_t)sqlite3_column_int64(st, 2),
                                      sqlite3_column_int64(st, 3), out->repo, out->digest};
    rc = db_text(st, 7, a, &out->registry);
    if (rc)
        return rc;
    rc = db_text(st, 8, a, &out->repository);
    if (rc)
        return rc;
    return hold_read(tx, st, &out->hold);
}

static int holds_read(struct tx *tx, sqlite3_stmt *st, size_t max, struct arena *a,
                      struct hold_row *list, size_t *n)
{
    int rc = 0;
    while (*n < max && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = lease_read(tx, st, a, &list[*n]);
        if (rc)
            break;
        ++*n;
    }
    db_end(st);
    return rc < 0 ? rc : 0;
}

static int sqlite_leases_before(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                                struct hold_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct hold_row *list = arena_array(a, max ? max : 1, sizeof *list);
    size_t n = 0;
    sqlite3_stmt *st;
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(d, &st,
                      "SELECT " LEASE_COLUMNS " FROM links l INDEXED BY links_leases JOIN "
                      "repositories r ON r.id=l.repo WHERE l.n=0 AND l.era=?1 AND l.since_ms<?2"
                      " LIMIT ?3",
                      "uii", era_of(tx), before_ms, limit_of(max));
    if (!rc)
        rc = holds_read(tx, st, max, a, list, &n);
    bool earlier_too = sqlite_tx(tx)->of->opened_ms < before_ms;
    if (!rc && earlier_too && n < max) {
        rc = db_start(d, &st,
                      "SELECT " LEASE_COLUMNS " FROM links l INDEXED BY links_leases JOIN "
                      "repositories r ON r.id=l.repo WHERE l.n=0 AND l.era<?1 LIMIT ?2",
                      "ui", era_of(tx), limit_of(max - n));
        if (!rc)
            rc = holds_read(tx, st, max, a, list, &n);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_leases_after(struct tx *tx, const char *registry, const struct lease_place *after,
                               size_t max, struct arena *a, struct hold_row **out, size_t *out_n)
{
    static const struct lease_place first = {0};
    struct hold_row *list = arena_array(a, max ? max : 1, sizeof *list);
    size_t n = 0;
    sqlite3_stmt *st;
    if (!list)
        return ERR_NOMEM;
    if (!after)
        after = &first;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT " LEASE_COLUMNS " FROM links l INDEXED BY links_leases JOIN "
                      "repositories r ON r.id=l.repo WHERE l.n=0 AND (?1 IS NULL OR r.registry=?1)"
                      " AND (l.era,l.since_ms,l.repo,l.digest)>(?2,?3,?4,?5)"
                      " ORDER BY l.era,l.since_ms,l.repo,l.digest LIMIT ?6",
                      "suiidi", registry, after->era, after->since_ms, after->repo, &after->digest,
                      limit_of(max));
    if (!rc)
        rc = holds_read(tx, st, max, a, list, &n);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sums_read(struct tx *tx, struct space_sums *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT coalesce(sum(size),0),count(*),coalesce(sum(size) FILTER (WHERE "
                     "state>0),0),(SELECT coalesce(sum(size),0) FROM (SELECT max(size) AS size FROM"
                     " links GROUP BY digest HAVING min(reg)<>max(reg))) FROM blobs",
                     "");
    if (rc)
        return rc;
    *out = (struct space_sums){.bytes = (uint64_t)sqlite3_column_int64(st, 0),
                               .blobs = (uint64_t)sqlite3_column_int64(st, 1),
                               .free_bytes = (uint64_t)sqlite3_column_int64(st, 2),
                               .shared_bytes = (uint64_t)sqlite3_column_int64(st, 3)};
    db_end(st);
    return 0;
}

static int sqlite_space(struct tx *tx, struct arena *a, struct space_sums *out_sums,
                        struct space_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct space_row *list = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st;
    int rc = sums_read(tx, out_sums);
    if (rc)
        return rc;
    rc = db_start(d, &st,
                  "SELECT (SELECT registry FROM repositories WHERE id=g.reg),sum(size),"
                  "sum(size) FILTER (WHERE NOT EXISTS(SELECT 1 FROM links o WHERE "
                  "o.digest=g.digest AND o.reg<>g.reg)) FROM (SELECT digest,reg,max(size) AS size "
                  "FROM links GROUP BY digest,reg) AS g GROUP BY reg ORDER BY 1",
                  "");
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_text(st, 0, a, &list[n].registry) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        list[n].bytes = (uint64_t)sqlite3_column_int64(st, 1);
        list[n++].own_bytes = (uint64_t)sqlite3_column_int64(st, 2);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

// --- blobs ---

// Columns 0 to 5: digest, size, generation, state, era, since.
static int blob_read(struct tx *tx, sqlite3_stmt *st, struct blob_row *out)
{
    struct blob_row row = {.size = (uint64_t)sqlite3_column_int64(st, 1),
                           .state = (enum blob_state)sqlite3_column_int(st, 3)};
    int rc = db_digest(st, 0, &row.name.digest);
    if (!rc)
        rc = generation_copy(st, 2, row.name.generation);
    if (rc)
        return rc;
    if (row.state != BLOB_LIVE)
        row.since_ms = since_of_row(tx, st, 4, 5);
    *out = row;
    return 0;
}

#define BLOB_COLUMNS "digest,size,generation,state,era,since_ms"

static int sqlite_blob_get(struct tx *tx, const struct digest *d, struct blob_row *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT " BLOB_COLUMNS " FROM blobs WHERE digest=?1",
                     "d", d);
    if (rc)
        return rc;
    rc = blob_read(tx, st, out);
    db_end(st);
    return rc;
}

static int sqlite_blob_set(struct tx *tx, const struct blob_row *row)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO blobs(digest,size,generation,state,era,since_ms)"
                  " VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(digest) DO UPDATE SET size=excluded.size,"
                  "generation=excluded.generation,state=excluded.state,era=excluded.era,"
                  "since_ms=excluded.since_ms",
                  "dusnui", &row->name.digest, row->size, row->name.generation, (int)row->state,
                  era_of(tx), row->since_ms);
}

static int sqlite_blob_remove(struct tx *tx, const struct digest *d)
{
    return changed(tx, db_run(sqlite_write_db(tx), "DELETE FROM blobs WHERE digest=?1", "d", d));
}

static int blobs_read(struct tx *tx, sqlite3_stmt *st, size_t max, struct blob_row *list, size_t *n)
{
    int rc = 0;
    while (*n < max && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = blob_read(tx, st, &list[*n]);
        if (rc)
            break;
        ++*n;
    }
    db_end(st);
    return rc < 0 ? rc : 0;
}

static int sqlite_blobs_in(struct tx *tx, enum blob_state state, int64_t before_ms, size_t max,
                           struct arena *a, struct blob_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct blob_row *list = arena_array(a, max ? max : 1, sizeof *list);
    size_t n = 0;
    sqlite3_stmt *st;
    assert(state != BLOB_LIVE);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(d, &st,
                      "SELECT " BLOB_COLUMNS " FROM blobs INDEXED BY blobs_state WHERE state=?1 "
                      "AND state>0 AND era=?2 AND since_ms<?3 LIMIT ?4",
                      "nuii", (int)state, era_of(tx), before_ms, limit_of(max));
    if (!rc)
        rc = blobs_read(tx, st, max, list, &n);
    bool earlier_too = sqlite_tx(tx)->of->opened_ms < before_ms;
    if (!rc && earlier_too && n < max) {
        rc = db_start(d, &st,
                      "SELECT " BLOB_COLUMNS " FROM blobs INDEXED BY blobs_state WHERE state=?1 "
                      "AND state>0 AND era<?2 LIMIT ?3",
                      "nui", (int)state, era_of(tx), limit_of(max - n));
        if (!rc)
            rc = blobs_read(tx, st, max, list, &n);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_blobs_after(struct tx *tx, const struct digest *after, size_t max,
                              struct arena *a, struct blob_row **out, size_t *out_n)
{
    static const struct digest first = {0};
    struct blob_row *list = arena_array(a, max ? max : 1, sizeof *list);
    size_t n = 0;
    sqlite3_stmt *st;
    if (!list)
        return ERR_NOMEM;
    if (!after)
        after = &first;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT " BLOB_COLUMNS " FROM blobs WHERE digest>?1 ORDER BY digest LIMIT ?2",
                      "di", after, limit_of(max));
    if (!rc)
        rc = blobs_read(tx, st, max, list, &n);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

// --- pulls ---

static int sqlite_pulled_set(struct tx *tx, int64_t repo, const struct digest *manifest,
                             int64_t wall_ms)
{
    int rc = db_run(sqlite_write_db(tx),
                    "INSERT INTO pulled(repo,digest,at_ms) SELECT repo,digest,?3 FROM manifests "
                    "WHERE repo=?1 AND digest=?2 ON CONFLICT(repo,digest) DO UPDATE SET "
                    "at_ms=max(at_ms,excluded.at_ms)",
                    "idi", repo, manifest, wall_ms);
    return changed(tx, rc);
}

static int sqlite_pulled_get(struct tx *tx, int64_t repo, const struct digest *manifest,
                             int64_t *out_wall_ms)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT at_ms FROM pulled WHERE repo=?1 AND digest=?2",
                     "id", repo, manifest);
    if (rc)
        return rc;
    *out_wall_ms = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_pulled_remove(struct tx *tx, int64_t repo, const struct digest *manifest)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM pulled WHERE repo=?1 AND digest=?2", "id", repo,
                  manifest);
}

// --- usage ---

static int sqlite_usage_add(struct tx *tx, int64_t repo, const struct usage_delta *delta)
{
    struct db *d = sqlite_write_db(tx);
    int rc = db_run(d,
                    "INSERT INTO repository_usage(repo,bytes,blobs,manifests,tags)"
                    " VALUES(?1,?2,?3,?4,?5) ON CONFLICT(repo) DO UPDATE SET bytes=bytes+?2,"
                    "blobs=blobs+?3,manifests=manifests+?4,tags=tags+?5",
                    "iiiii", repo, delta->bytes, delta->blobs, delta->manifests, delta->tags);
    if (rc)
        return rc;
    return db_run(d,
                  "INSERT INTO registry_usage(reg,bytes,blobs,manifests,tags) VALUES((SELECT reg "
                  "FROM repositories WHERE id=?1),?2,?3,?4,?5) ON CONFLICT(reg) DO UPDATE SET "
                  "bytes=bytes+?2,blobs=blobs+?3,manifests=manifests+?4,tags=tags+?5",
                  "iiiii", repo, delta->registry_bytes, delta->registry_blobs, delta->manifests,
                  delta->tags);
}

// Columns from `col` on: bytes, blobs, manifests, tags.
static struct usage usage_read(sqlite3_stmt *st, int col)
{
    return (struct usage){.bytes = (uint64_t)sqlite3_column_int64(st, col),
                          .blobs = (uint64_t)sqlite3_column_int64(st, col + 1),
                          .manifests = (uint64_t)sqlite3_column_int64(st, col + 2),
                          .tags = (uint64_t)sqlite3_column_int64(st, col + 3)};
}

static int sqlite_usage_get(struct tx *tx, const char *registry, const char *repository,
                            struct usage *out)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (repository)
        rc = db_find(d, &st,
                     "SELECT u.bytes,u.blobs,u.manifests,u.tags FROM repositories r JOIN "
                     "repository_usage u ON u.repo=r.id WHERE r.registry=?1 AND r.name=?2",
                     "ss", registry, repository);
    else
        rc = db_find(d, &st,
                     "SELECT bytes,blobs,manifests,tags FROM registry_usage WHERE reg="
                     "(SELECT reg FROM repositories WHERE registry=?1 LIMIT 1)",
                     "s", registry);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = (struct usage){0};
    if (rc)
        return 0;
    *out = usage_read(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_usage_list(struct tx *tx, const char *registry, const char *after, size_t max,
                             struct arena *a, struct usage_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct usage_row *list = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st;
    int rc = db_start(
        d, &st,
        "SELECT r.name,u.bytes,u.blobs,u.manifests,u.tags,r.registry FROM repositories r JOIN "
        "repository_usage u ON u.repo=r.id WHERE r.registry=?1 AND r.name>?2"
        " ORDER BY r.name LIMIT ?3",
        "ssi", registry, after, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_text(st, 0, a, &list[n].repository) : ERR_NOMEM;
        if (!rc)
            rc = db_text(st, 5, a, &list[n].registry);
        if (rc) {
            db_end(st);
            return rc;
        }
        list[n].n_repositories = 1;
        list[n++].usage = usage_read(st, 1);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_usage_registries(struct tx *tx, struct arena *a, struct usage_row **out,
                                   size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct usage_row *list = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st;
    int rc = db_start(d, &st,
                      "SELECT r.registry,u.bytes,u.blobs,u.manifests,u.tags,(SELECT count(*) FROM "
                      "repositories o WHERE o.registry=r.registry) FROM registry_usage u JOIN "
                      "repositories r ON r.id=u.reg ORDER BY r.registry",
                      "");
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_text(st, 0, a, &list[n].registry) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        list[n].repository = "";
        list[n].usage = usage_read(st, 1);
        list[n++].n_repositories = (uint64_t)sqlite3_column_int64(st, 5);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

const struct link_ops sqlite_link_ops = {
    .look = sqlite_look,
    .look_any = sqlite_look_any,
    .links_of = sqlite_links_of,
    .hold_get = sqlite_hold_get,
    .lease_set = sqlite_lease_set,
    .hold_remove = sqlite_hold_remove,
    .held_in_registry = sqlite_held_in_registry,
    .held = sqlite_held,
    .links_count = sqlite_links_count,
    .links_uncount = sqlite_links_uncount,
    .leases_before = sqlite_leases_before,
    .leases_after = sqlite_leases_after,
    .space = sqlite_space,
    .blob_get = sqlite_blob_get,
    .blob_set = sqlite_blob_set,
    .blob_remove = sqlite_blob_remove,
    .blobs_in = sqlite_blobs_in,
    .blobs_after = sqlite_blobs_after,
    .pulled_set = sqlite_pulled_set,
    .pulled_get = sqlite_pulled_get,
    .pulled_remove = sqlite_pulled_remove,
    .usage_add = sqlite_usage_add,
    .usage_get = sqlite_usage_get,
    .usage_list = sqlite_usage_list,
    .usage_registries = sqlite_usage_registries,
};
