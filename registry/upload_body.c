// SPDX-License-Identifier: Apache-2.0
// The bytes of an upload on their way to the disk. Called through the sink and by uploads.c, on the
// pool, one call at a time per request. Invariants:
//   1. The row is the truth: what it has as received is on the disk, whatever more an interrupted
//      request left in the file, and a request begins at what its client was told last.
//   2. One request at a time has an upload open; the row is read again once it is, so that (1)
//      holds.
//   3. Bytes are acknowledged when their client is told of them: by the answer to their request or,
//      when its connection broke, by a later one that asks. Until then a piece that names no place
//      begins before them, so that one that is sent again blindly stands in the blob once.
//   4. What does not count leaves the file at once: a refused piece keeps no space.
//   5. Before bytes that were received are written over, the row no longer has them.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

int upload_row_get(struct op *op, struct upload_row *out)
{
    struct upload_row row;
    int rc = meta_upload_get(op->s->meta, op->io.id, &op->req->arena, &row);
    if (rc)
        return rc;
    if (strcmp(row.registry, op->registry) || strcmp(row.repository, op->route.name))
        return ERR_NOTFOUND;
    *out = row;
    return 0;
}

// The file is shorter than was acknowledged. Either an earlier PUT made a blob of it and could not
// link that: the store kept word, and the same PUT again only has to link. Or it was lost: then the
// client starts anew.
static int file_gone(struct op *op)
{
    struct upload_io *io = &op->io;
    struct blob_name name;
    uint64_t size;
    int rc = blob_upload_outcome(op->s->blobs, io->id, &name);
    if (!rc)
        rc = blob_stat(op->s->blobs, &name, &size);
    if (!rc && io->ends && digest_equal(&name.digest, &op->digest)) {
        io->committed = true;
        io->published = name;
        return 0;
    }
    if (!rc) // nothing else can be done with it than that PUT
        return ERR_NOTFOUND;
    if (rc != ERR_NOTFOUND)
        return rc;
    log_warn("registry: upload %s is shorter than was acknowledged; dropped", io->id);
    meta_upload_delete(op->s->meta, io->id);
    return ERR_NOTFOUND;
}

// The upload is over. The request that ended it may come again, since its answer may have been
// lost: then it is good if it is the very same, and its body does not matter.
static int repeat(struct op *op)
{
    struct upload_io *io = &op->io;
    struct blob_here here;
    if (!io->ends)
        return ERR_NOTFOUND;
    const struct upload_end end = {io->id, op->principal};
    int rc = meta_upload_ended(op->s->meta, op->registry, op->route.name, &end, &op->digest);
    if (!rc) // it was there; it must be still
        rc = meta_blob_look(op->s->meta, op->registry, op->route.name, &op->digest, &here);
    if (!rc)
        io->blob_size = here.size;
    io->repeats = !rc;
    return rc;
}

// It ended, or was dropped, while this request came to open it, which may have made a file anew.
static int ended_meanwhile(struct op *op)
{
    blob_upload_close(take_ptr(op->io.u));
    blob_upload_discard(op->s->blobs, op->io.id);
    return repeat(op);
}

// Not where the upload stands. All that was received counts from now on, since the answer tells it.
static int place_refused(struct op *op, const struct upload_row *row)
{
    struct upload_io *io = &op->io;
    io->acked = row->size;
    if (row->received != row->size)
        // else what was told before is told again
        (void)meta_upload_tell(op->s->meta, io->id, &io->acked);
    io->rests = true;
    return ERR_RANGE;
}

// Where the request begins: at what was told last. ERR_CONFLICT: more was told meanwhile.
static int begin_at(struct op *op, const struct upload_row *row)
{
    struct upload_io *io = &op->io;
    int rc = 0;
    if (io->ranged && io->from != row->size)
        return place_refused(op, row);
    if (row->received != row->size)
        rc = meta_upload_receive(op->s->meta, io->id, row->size, row->size, clock_mono_ms(), NULL);
    if (rc)
        return rc;
    io->acked = row->size;
    io->begun = true;
    rc = blob_upload_trim(io->u, row->size);
    if (rc == ERR_RANGE)
        return file_gone(op);
    return rc;
}

static int upload_open(struct op *op)
{
    struct upload_io *io = &op->io;
    io->u = open_uploads_take(&op->s->open_uploads, io->id);
    int rc = 0;
    if (!io->u)
        rc = blob_upload_open(op->s->blobs, io->id, &io->u);
    io->in_use = rc == ERR_BUSY;
    if (!rc && io->alg)
        blob_upload_expect(io->u, io->alg);
    return rc;
}

static int resume(struct op *op)
{
    struct upload_row row;
    int rc = upload_row_get(op, &row);
    if (rc == ERR_NOTFOUND)
        return repeat(op);
    if (!rc)
        rc = upload_open(op);
    for (int tries = 0; !rc && tries < 3; tries++) {
        rc = upload_row_get(op, &row);
        if (rc == ERR_NOTFOUND)
            return ended_meanwhile(op);
        if (!rc)
            rc = begin_at(op, &row);
        if (rc != ERR_CONFLICT)
            return rc;
        rc = 0;
    }
    if (rc)
        return rc;
    return ERR_BUSY;
}

static int begin_fresh(struct op *op)
{
    struct upload_io *io = &op->io;
    int rc = blob_upload_open(op->s->blobs, io->id, &io->u);
    io->begun = !rc;
    if (!rc)
        blob_upload_expect(io->u, io->alg);
    return rc;
}

// Before bytes are taken: would they be too many for the quota? What is in the repository already
// adds nothing. The end of the upload judges for good.
static int quota_look(struct op *op)
{
    struct upload_io *io = &op->io;
    const struct usage_limits *l = &op->limits;
    struct blob_here here;
    uint64_t more = io->acked;
    if (!l->registry_bytes && !l->repository_bytes)
        return 0;
    if ((io->ends || io->fresh) &&
        !meta_blob_look(op->s->meta, op->registry, op->route.name, &op->digest, &here))
        return 0;
    if (op->req->content_length > 0)
        more += (uint64_t)op->req->content_length;
    return meta_quota_look(op->s->meta, op->registry, op->route.name, l, more, &io->over);
}

// A known length is charged before a byte of it is taken, an unknown one by windows. A body of
// nothing needs no room, unless it makes a file.
static int charge(struct op *op)
{
    int64_t n = op->req->content_length;
    if (op->io.committed || op->io.repeats || (n == 0 && !op->io.fresh))
        return 0;
    return space_take(op->s->space, n > 0 ? (uint64_t)n : 0, &op->io.charge);
}

// Opens the upload, and trims it to what was acknowledged; io.err on failure.
static void upload_enter(struct op *op)
{
    struct upload_io *io = &op->io;
    if (io->entered)
        return;
    io->entered = true;
    if (meta_closed_why(op->s->meta, &op->req->arena))
        io->err = repeat(op) ? ERR_CLOSED : 0;
    else if (io->fresh)
        io->err = begin_fresh(op);
    else
        io->err = resume(op);
    if (io->err)
        return;
    io->err = quota_look(op);
    if (!io->err)
        io->err = charge(op);
    io->rests = io->err && !io->fresh; // a refusal changed nothing
}

// Back to what was acknowledged. Should the disk refuse even that, the next request trims the file
// (1).
static void give_back(struct upload_io *io)
{
    if (io->begun)
        (void)blob_upload_trim(io->u, io->acked);
}

static int take_bytes(struct op *op, const uint8_t *p, size_t n)
{
    struct upload_io *io = &op->io;
    assert(io->u && io->begun); // invariant 2
    uint64_t before = blob_upload_size(io->u);
    int rc = space_grow(&io->charge, n);
    if (!rc)
        rc = blob_upload_write(io->u, p, n);
    if (rc)
        return rc;
    space_spend(&io->charge, n);
    upload_grew(op, before);
    return 0;
}

static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    struct op *op = req->ctx;
    struct upload_io *io = &op->io;
    upload_enter(op);
    if (!io->err && io->ranged && n > io->to - io->from + 1 - io->received)
        io->err = ERR_TOOBIG;
    // else the blob is whole, and these are its last bytes once more
    if (!io->err && !io->committed && !io->repeats)
        io->err = take_bytes(op, p, n);
    if (io->err) // now, not with the answer: the rest of the body may take its time
        give_back(io);
    else
        io->received += n;
    return io->err;
}

const struct http_sink upload_sink = {.write = sink_write};

bool upload_complete(struct op *op)
{
    struct upload_io *io = &op->io;
    io->ran = true;
    upload_enter(op);
    if (!io->err && io->ranged && io->received != io->to - io->from + 1)
        io->err = ERR_TOOBIG;
    return !io->err;
}

// The connection broke in mid-body. What came is synced and recorded, if the principal may leave so
// much behind; it counts once the client asks. Otherwise it goes.
static int cut_keep(struct op *op)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    struct upload_io *io = &op->io;
    uint64_t size = blob_upload_size(io->u);
    struct room room;
    assert(size >= io->acked); // invariant 1
    if (size == io->acked)
        return 0;
    int rc = blob_upload_sync(io->u);
    if (rc)
        return rc;
    room_init(&room, op->s);
    rc = meta_upload_receive(op->s->meta, io->id, io->acked, size, clock_mono_ms(), &room.bounds);
    room_done(&room);
    if (rc == ERR_FULL)
        log_limited(&limit, LOG_WARN,
                    "registry: what came of an upload of %s in %s before its connection broke is "
                    "dropped: more bytes "
                    "are left behind than are allowed (uploads.bytes_per_principal)",
                    op->principal, op->registry_name);
    return rc;
}

// Did the connection break in the middle of a good piece?
static bool was_cut(const struct upload_io *io)
{
    if (!io->begun || io->fresh)
        return false;
    return !io->err && !io->ran && !io->committed;
}

void upload_done(struct http_request *req)
{
    struct op *op = req->ctx;
    struct upload_io *io = &op->io;
    space_return(&io->charge);
    assert(!io->rests || !io->fresh); // what has no row is not gone on with
    if (was_cut(io))
        io->rests = !cut_keep(op);
    if (io->u && io->rests)
        open_uploads_park(&op->s->open_uploads, io->id, take_ptr(io->u));
    if (io->u && !io->committed)
        give_back(io);
    blob_upload_close(take_ptr(io->u));
    if (io->entered && (io->fresh || io->linked))
        // what stays behind is found by blob_uploads_expire
        blob_upload_discard(op->s->blobs, io->id);
    if (io->marked)
        busy_leave(&op->s->busy, &io->mark);
}
