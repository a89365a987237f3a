// SPDX-License-Identifier: Apache-2.0
// What is done about uploads that were left: their files are closed after a minute, they are
// discarded once they are idle, and what ended is forgotten. On the daemon's housekeeping thread;
// see registry.h.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"

#define BATCH 256
// of the idle limit: an upload that is idle holds its place for so much more at most, and
#define SWEEP_SHARE 16
#define SWEEP_MAX_MS 60000 // for so long

void registry_yield(struct registry_service *s)
{
    if (s)
        open_uploads_close(&s->open_uploads);
}

void registry_uploads_rest(struct registry_service *s)
{
    open_uploads_sweep(&s->open_uploads);
}

// The file first, and then the row: a file whose row is gone would stay until it is found.
static int discard(struct registry_service *s, const char *id, int64_t max_idle_ms)
{
    struct busy_claims mine = {0};
    if (!busy_claim(&s->busy, id, &mine))
        return ERR_BUSY;
    // its client may have come back meanwhile
    int rc = ERR_BUSY;
    if (meta_upload_is_idle(s->meta, id, max_idle_ms))
        rc = 0;
    if (rc) {
        busy_release(&s->busy, &mine);
        return rc;
    }
    open_uploads_drop(&s->open_uploads, id);
    rc = blob_upload_discard(s->blobs, id);
    if (!rc)
        rc = meta_upload_delete(s->meta, id);
    busy_release(&s->busy, &mine);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

// A batch of those that are idle, without the first `skip`. Those with a request under way stay,
// and what the disk refuses to remove.
static int batch_discard(struct registry_service *s, int64_t max_idle_ms, size_t *skip,
                         size_t *n_listed, size_t *n_gone)
{
    const char **ids;
    struct arena a;
    arena_init(&a, 1 << 20);
    int rc =
        meta_uploads_idle(s->meta, clock_mono_ms(), max_idle_ms, *skip, BATCH, &a, &ids, n_listed);
    for (size_t i = 0; !rc && i < *n_listed; i++) {
        bool gone = !discard(s, ids[i], max_idle_ms);
        *n_gone += gone;
        *skip += !gone;
    }
    arena_done(&a);
    return rc;
}

// A file whose upload is known lives as long as that, whatever its times say.
static bool upload_known(void *ctx, const char *id)
{
    struct registry_service *s = ctx;
    struct upload_row row;
    struct arena a;
    arena_init(&a, 16 << 10);
    int rc = meta_upload_get(s->meta, id, &a, &row);
    arena_done(&a);
    return rc != ERR_NOTFOUND;
}

// What was acknowledged stays when it comes, whatever the bound; once it is left it does not.
static int bound(struct registry_service *s, size_t *n_gone)
{
    struct room room;
    room_init(&room, s);
    int rc = meta_uploads_bound(s->meta, &room.bounds, clock_mono_ms());
    *n_gone += room_done(&room);
    return rc;
}

unsigned registry_uploads_sweep_ms(unsigned idle_s)
{
    uint64_t ms = (uint64_t)idle_s * 1000 / SWEEP_SHARE;
    if (ms < SWEEP_MAX_MS)
        return (unsigned)ms;
    return SWEEP_MAX_MS;
}

int registry_uploads_expire(struct registry_service *s, int64_t max_idle_ms, size_t *out_n)
{
    size_t n_gone = 0, n_files = 0, n_listed = BATCH, skip = 0;
    int rc = 0;
    while (!rc && n_listed == BATCH)
        rc = batch_discard(s, max_idle_ms, &skip, &n_listed, &n_gone);
    if (!rc)
        rc = bound(s, &n_gone);
    if (!rc)
        rc = meta_uploads_forget(s->meta, max_idle_ms);
    int rc2 =
        blob_uploads_expire(s->blobs, clock_wall_ms() - max_idle_ms, upload_known, s, &n_files);
    if (!rc)
        rc = rc2;
    if (!rc)
        *out_n = n_gone + n_files;
    return rc;
}
