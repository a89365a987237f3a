// SPDX-License-Identifier: Apache-2.0
// Uploads under way; see meta_uploads.h. What makes room for them is in meta_upload_room.c, what
// they became in meta_ended.c.
#include "store/meta_uploads.h"

#include "base/err.h"
#include "store/backend_uploads.h"
#include "store/meta_priv.h"

// --- changes ---

struct creation {
    const struct upload_row *row;
    const struct upload_bounds *bounds;
    enum upload_full full;
    struct upload_dropped dropped;
};

static int create_run(struct tx *tx, void *arg)
{
    struct creation *c = arg;
    dropped_reset(&c->dropped);
    if (c->bounds) {
        int rc = upload_room_for_one(tx, c->row, c->bounds, &c->dropped, &c->full);
        if (rc)
            return rc;
    }
    int rc = upload_add(tx, c->row);
    return rc == ERR_CONFLICT ? ERR_EXISTS : rc;
}

int meta_upload_create(struct meta *m, const struct upload_row *row,
                       const struct upload_bounds *bounds, enum upload_full *out_full)
{
    struct upload_row r = *row;
    struct creation c = {.row = &r, .bounds = bounds};
    if (!r.principal)
        r.principal = "";
    int rc = meta_write(m, create_run, &c, true);
    dropped_tell(&c.dropped, bounds, rc);
    if (rc == ERR_FULL && out_full)
        *out_full = c.full;
    return rc;
}

struct change {
    const char *id;
    uint64_t size, received;
    int64_t now_ms;
    const struct upload_bounds *bounds;
    struct upload_dropped dropped;
};

// The bytes of this upload grew: others of its principal's may have to go.
static int bytes_judge(struct tx *tx, struct change *c)
{
    if (!c->bounds || !c->bounds->bytes_of_principal)
        return 0;
    struct upload_row row;
    struct arena a;
    arena_init(&a, 16 << 10);
    int rc = upload_get(tx, c->id, &a, &row);
    if (!rc) {
        const struct upload_owner owner = {row.registry, row.principal};
        rc = upload_room_for_bytes(tx, &owner, c->bounds, c->now_ms, &c->dropped);
    }
    arena_done(&a);
    return rc;
}

static int progress_run(struct tx *tx, void *arg)
{
    struct change *c = arg;
    dropped_reset(&c->dropped);
    int rc = upload_move(tx, c->id, c->size, c->size, c->now_ms);
    if (rc)
        return rc;
    rc = bytes_judge(tx, c);
    // the client is told of these bytes: they stay
    return rc == ERR_FULL ? 0 : rc;
}

int meta_upload_progress(struct meta *m, const char *id, uint64_t size, int64_t now_mono_ms,
                         const struct upload_bounds *bounds)
{
    struct change c = {.id = id, .size = size, .now_ms = now_mono_ms, .bounds = bounds};
    int rc = meta_write(m, progress_run, &c, false);
    dropped_tell(&c.dropped, bounds, rc);
    return rc;
}

static int receive_run(struct tx *tx, void *arg)
{
    struct change *c = arg;
    struct upload_row is;
    dropped_reset(&c->dropped);
    int rc = upload_get(tx, c->id, NULL, &is);
    if (rc == ERR_NOTFOUND)
        return ERR_CONFLICT;
    if (rc)
        return rc;
    if (is.size != c->size)
        return ERR_CONFLICT;
    rc = upload_move(tx, c->id, c->size, c->received, c->now_ms);
    if (rc)
        return rc;
    return bytes_judge(tx, c);
}

int meta_upload_receive(struct meta *m, const char *id, uint64_t told, uint64_t received,
                        int64_t now_mono_ms, const struct upload_bounds *bounds)
{
    struct change c = {
        .id = id, .size = told, .received = received, .now_ms = now_mono_ms, .bounds = bounds};
    if (received < told)
        return ERR_RANGE;
    int rc = meta_write(m, receive_run, &c, false);
    dropped_tell(&c.dropped, bounds, rc);
    return rc;
}

static int tell_run(struct tx *tx, void *arg)
{
    struct change *c = arg;
    struct upload_row is;
    int rc = upload_get(tx, c->id, NULL, &is);
    if (rc)
        return rc;
    c->size = is.received;
    return upload_tell(tx, c->id, is.received);
}

int meta_upload_tell(struct meta *m, const char *id, uint64_t *out_size)
{
    struct change c = {.id = id};
    int rc = meta_write(m, tell_run, &c, false);
    if (!rc)
        *out_size = c.size;
    return rc;
}

static int delete_run(struct tx *tx, void *arg)
{
    return upload_remove(tx, arg);
}

int meta_upload_delete(struct meta *m, const char *id)
{
    return meta_write(m, delete_run, (void *)id, false);
}

// --- looks ---

int meta_upload_get(struct meta *m, const char *id, struct arena *a, struct upload_row *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = upload_get(tx, id, a, out);
    tx_end(tx);
    return rc;
}

bool meta_upload_is_idle(struct meta *m, const char *id, int64_t idle_ms)
{
    struct tx *tx;
    int64_t was_ms;
    if (backend_read(m->b, &tx))
        return false;
    int rc = upload_idle(tx, id, &was_ms);
    tx_end(tx);
    return !rc && was_ms > idle_ms;
}

static int age_run(struct tx *tx, void *arg)
{
    return upload_age(tx, *(const int64_t *)arg);
}

int meta_uploads_idle(struct meta *m, int64_t now_mono_ms, int64_t idle_ms, size_t skip, size_t max,
                      struct arena *a, const char ***out, size_t *out_n)
{
    int rc = meta_write(m, age_run, &now_mono_ms, false);
    if (rc)
        return rc;
    const char **ids = arena_array(a, max ? max : 1, sizeof *ids);
    if (!ids)
        return ERR_NOMEM;
    struct tx *tx;
    rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = upload_idle_list(tx, idle_ms, skip, max, a, ids, out_n);
    tx_end(tx);
    if (!rc)
        *out = ids;
    return rc;
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
    int rc = upload_remove(tx, l->end->id);
    if (rc && rc != ERR_NOTFOUND)
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
