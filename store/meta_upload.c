// SPDX-License-Identifier: Apache-2.0
// Uploads and blob links; see meta.h. Writes go through the writer's queue, reads through a
// reader's connection.
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

// --- uploads ---

struct creation {
    const struct upload_row *row;
    const struct upload_bounds *bounds;
    enum upload_full full;
};

static int create_run(struct tx *tx, void *arg)
{
    struct creation *c = arg;
    const struct upload_row *r = c->row;
    int rc = 0;
    if (c->bounds)
        rc = upload_room_for_one(tx, r, c->bounds, &c->full);
    if (rc)
        return rc;
    rc = db_run(
        sqlite_tx_db(tx),
        "INSERT INTO uploads(id,registry,repository,principal,size,received,started_ms,touched_ms)"
        " VALUES(?1,?2,?3,?4,?5,?5,?6,?7)",
        "ssssuii", r->id, r->registry, r->repository, r->principal, r->size, r->started_ms,
        r->touched_ms);
    if (rc == ERR_CONFLICT)
        return ERR_EXISTS;
    return rc;
}

int meta_upload_create(struct meta *m, const struct upload_row *row,
                       const struct upload_bounds *bounds, enum upload_full *out_full)
{
    struct upload_row r = *row;
    struct creation c = {.row = &r, .bounds = bounds};
    if (!r.principal)
        r.principal = "";
    int rc = meta_write(m, create_run, &c, true);
    if (rc == ERR_FULL && out_full)
        *out_full = c.full;
    return rc;
}

struct upload_change {
    const char *id;
    uint64_t size, received;
    int64_t now_ms;
    const struct upload_bounds *bounds;
};

static int upload_find(struct tx *tx, const char *id, sqlite3_stmt **out)
{
    return db_find(
        sqlite_tx_db(tx), out,
        "SELECT id,registry,repository,principal,size,started_ms,touched_ms,received FROM uploads"
        " WHERE id=?1",
        "s", id);
}

static int upload_row_read(sqlite3_stmt *st, struct arena *a, struct upload_row *out)
{
    struct upload_row r = {.size = (uint64_t)sqlite3_column_int64(st, 4),
                           .started_ms = sqlite3_column_int64(st, 5),
                           .touched_ms = sqlite3_column_int64(st, 6),
                           .received = (uint64_t)sqlite3_column_int64(st, 7)};
    int rc = db_text(st, 0, a, &r.id);
    if (!rc)
        rc = db_text(st, 1, a, &r.registry);
    if (!rc)
        rc = db_text(st, 2, a, &r.repository);
    if (!rc)
        rc = db_text(st, 3, a, &r.principal);
    if (!rc)
        *out = r;
    return rc;
}

// What this upload holds grew: others of its principal's may have to go.
static int bytes_judge(struct tx *tx, const struct upload_change *c)
{
    if (!c->bounds || !c->bounds->bytes_of_principal)
        return 0;
    struct upload_row row;
    struct arena a;
    sqlite3_stmt *st;
    arena_init(&a, 16 << 10);
    int rc = upload_find(tx, c->id, &st);
    if (!rc) {
        rc = upload_row_read(st, &a, &row);
        db_end(st);
    }
    if (!rc)
        rc = upload_room_for_bytes(tx, row.registry, row.principal, c->bounds, c->now_ms);
    arena_done(&a);
    return rc;
}

static int progress_run(struct tx *tx, void *arg)
{
    const struct upload_change *c = arg;
    int rc = db_run(sqlite_tx_db(tx),
                    "UPDATE uploads SET size=?2,received=?2,touched_ms=?3,idle_ms=0 WHERE id=?1",
                    "sui", c->id, c->size, c->now_ms);
    if (!rc && sqlite3_changes(sqlite_tx_db(tx)->h) == 0)
        return ERR_NOTFOUND;
    if (!rc)
        rc = bytes_judge(tx, c);
    if (rc == ERR_FULL) // what its client is told stays
        return 0;
    return rc;
}

int meta_upload_progress(struct meta *m, const char *id, uint64_t size, int64_t now_mono_ms,
                         const struct upload_bounds *bounds)
{
    struct upload_change c = {id, size, size, now_mono_ms, bounds};
    return meta_write(m, progress_run, &c, false);
}

static int receive_run(struct tx *tx, void *arg)
{
    const struct upload_change *c = arg;
    int rc =
        db_run(sqlite_tx_db(tx),
               "UPDATE uploads SET received=?3,touched_ms=?4,idle_ms=0 WHERE id=?1 AND size=?2",
               "suui", c->id, c->size, c->received, c->now_ms);
    if (!rc && sqlite3_changes(sqlite_tx_db(tx)->h) == 0)
        return ERR_CONFLICT;
    if (rc)
        return rc;
    return bytes_judge(tx, c);
}

int meta_upload_receive(struct meta *m, const char *id, uint64_t told, uint64_t received,
                        int64_t now_mono_ms, const struct upload_bounds *bounds)
{
    struct upload_change c = {id, told, received, now_mono_ms, bounds};
    if (received < told)
        return ERR_RANGE;
    return meta_write(m, receive_run, &c, false);
}

static int tell_run(struct tx *tx, void *arg)
{
    struct upload_change *c = arg;
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT received FROM uploads WHERE id=?1", "s", c->id);
    if (rc)
        return rc;
    c->size = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return db_run(sqlite_tx_db(tx), "UPDATE uploads SET size=?2 WHERE id=?1", "su", c->id, c->size);
}

int meta_upload_tell(struct meta *m, const char *id, uint64_t *out_size)
{
    struct upload_change c = {.id = id};
    int rc = meta_write(m, tell_run, &c, false);
    if (!rc)
        *out_size = c.size;
    return rc;
}

static int delete_run(struct tx *tx, void *arg)
{
    int rc = db_run(sqlite_tx_db(tx), "DELETE FROM uploads WHERE id=?1", "s", (const char *)arg);
    if (!rc && sqlite3_changes(sqlite_tx_db(tx)->h) == 0)
        return ERR_NOTFOUND;
    return rc;
}

int meta_upload_delete(struct meta *m, const char *id)
{
    return meta_write(m, delete_run, (void *)id, false);
}

int meta_upload_get(struct meta *m, const char *id, struct arena *a, struct upload_row *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = upload_find(tx, id, &st);
    if (!rc) {
        rc = upload_row_read(st, a, out);
        db_end(st);
    }
    tx_end(tx);
    return rc;
}

static int age_run(struct tx *tx, void *arg)
{
    return db_run(
        sqlite_tx_db(tx),
        "UPDATE uploads SET idle_ms=idle_ms+(?1-touched_ms),touched_ms=?1 WHERE touched_ms<?1", "i",
        *(const int64_t *)arg);
}

bool meta_upload_is_idle(struct meta *m, const char *id, int64_t idle_ms)
{
    struct tx *tx;
    sqlite3_stmt *st;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return false;
    rc = db_find(sqlite_tx_db(tx), &st, "SELECT 1 FROM uploads WHERE id=?1 AND idle_ms>?2", "si",
                 id, idle_ms);
    if (!rc)
        db_end(st);
    tx_end(tx);
    return !rc;
}

int meta_uploads_idle(struct meta *m, int64_t now_mono_ms, int64_t idle_ms, size_t skip, size_t max,
                      struct arena *a, const char ***out, size_t *out_n)
{
    int aged = meta_write(m, age_run, &now_mono_ms, false);
    if (aged)
        return aged;
    const char **ids = arena_array(a, max ? max : 1, sizeof *ids);
    if (!ids)
        return ERR_NOMEM;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    size_t n = 0;
    rc =
        db_start(sqlite_tx_db(tx), &st,
                 "SELECT id FROM uploads WHERE idle_ms>?1 ORDER BY idle_ms DESC LIMIT ?2 OFFSET ?3",
                 "iii", idle_ms, (int64_t)max, (int64_t)skip);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = db_text(st, 0, a, &ids[n]);
        if (rc)
            db_end(st);
        n += !rc;
    }
    tx_end(tx);
    if (rc)
        return rc;
    *out = ids;
    *out_n = n;
    return 0;
}

// --- links ---

struct link {
    struct meta *m;
    const char *registry, *repository;
    const struct digest *digest;
    uint64_t size;
    const struct upload_end *end;
};

static int link_end(struct tx *tx, const struct link *l)
{
    int rc = db_run(sqlite_tx_db(tx), "DELETE FROM uploads WHERE id=?1", "s", l->end->id);
    if (rc)
        return rc;
    return ended_note(l->m, tx, l->registry, l->repository, l->end, l->digest);
}

static int link_run(struct tx *tx, void *arg)
{
    const struct link *l = arg;
    int64_t repo;
    int rc = repo_make(tx, l->registry, l->repository, &repo);
    if (!rc)
        rc = db_run(
            sqlite_tx_db(tx),
            "INSERT INTO links(repo,digest,size,added_ms) VALUES(?1,?2,?3,?4)"
            " ON CONFLICT(repo,digest) DO UPDATE SET size=excluded.size,added_ms=excluded.added_ms",
            "idui", repo, l->digest, l->size, clock_wall_ms());
    if (!rc && l->end)
        return link_end(tx, l);
    return rc;
}

int meta_link_add(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, uint64_t size, const struct upload_end *end)
{
    struct link l = {m, registry, repository, d, size, end};
    return meta_write(m, link_run, &l, false);
}

int meta_link_get(struct meta *m, const char *registry, const char *repository,
                  const struct digest *digest, uint64_t *out_size)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(sqlite_tx_db(tx), &st,
                 "SELECT l.size FROM links l JOIN repositories r ON r.id=l.repo"
                 " WHERE r.registry=?1 AND r.name=?2 AND l.digest=?3",
                 "ssd", registry, repository, digest);
    if (!rc) {
        *out_size = (uint64_t)sqlite3_column_int64(st, 0);
        db_end(st);
    }
    tx_end(tx);
    return rc;
}

int meta_link_find(struct meta *m, const char *registry, const struct digest *digest,
                   bool (*may)(void *ctx, const char *repository), void *ctx, uint64_t *out_size)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    bool found = false;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT r.name,l.size FROM links l JOIN repositories r ON r.id=l.repo"
                  " WHERE l.digest=?1 AND r.registry=?2",
                  "ds", digest, registry);
    while (!rc && !found && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        if (name)
            rc = 0;
        else
            rc = ERR_NOMEM;
        found = name && may(ctx, name);
        if (found)
            *out_size = (uint64_t)sqlite3_column_int64(st, 1);
        if (found || rc)
            db_end(st);
    }
    tx_end(tx);
    if (rc)
        return rc;
    if (found)
        return 0;
    return ERR_NOTFOUND;
}

int meta_links_of(struct meta *m, const struct digest *digest, size_t max, struct arena *a,
                  struct link_row **out, size_t *out_n)
{
    struct tx *tx;
    sqlite3_stmt *st;
    size_t n = 0;
    struct link_row *list = arena_array(a, max ? max : 1, sizeof *list);
    int rc = ERR_NOMEM;
    if (list)
        rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT r.registry,r.name,l.size FROM links l JOIN repositories r ON r.id=l.repo "
                  "WHERE l.digest=?1"
                  " LIMIT ?2",
                  "di", digest, (int64_t)max);
    while (!rc && n < max && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        list[n].size = (uint64_t)sqlite3_column_int64(st, 2);
        rc = db_text(st, 0, a, &list[n].registry);
        if (!rc)
            rc = db_text(st, 1, a, &list[n].repository);
        n += !rc;
    }
    db_end(st);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}
