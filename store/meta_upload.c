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

int meta_uploads_count(struct meta *m, uint64_t *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = upload_count(tx, out);
    tx_end(tx);
    return rc;
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

int upload_end_as(struct meta *m, struct tx *tx, const char *registry, const char *repository,
                  const struct upload_end *end, const struct digest *d)
{
    int rc = upload_remove(tx, end->id);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return ended_note(m, tx, registry, repository, end, d);
}
