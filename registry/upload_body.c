// SPDX-License-Identifier: Apache-2.0
// The bytes of an upload on their way to the disk. Called through the sink and by uploads.c, on the pool, one call at a
// time per request. Invariants:
//   1. The row's size is the truth: a request begins there, whatever more an interrupted one left in the file.
//   2. One request at a time has an upload open; the row is read again once it is, so that (1) holds.
//   3. Bytes count only when their request ends well: a cut connection leaves the row as it was.
//   4. What does not count leaves the file at once: a refused piece keeps no space.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

static int row_get(struct op *op, struct upload_row *out)
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

// The file is shorter than was acknowledged. Either an earlier PUT made a blob of it and could not link that: the store
// kept word, and the same PUT again only has to link. Or it was lost: then the client starts anew.
static int file_gone(struct op *op)
{
    struct upload_io *io = &op->io;
    struct digest d;
    uint64_t size;
    int rc = blob_upload_outcome(op->s->blobs, io->id, &d);
    if (!rc)
        rc = blob_stat(op->s->blobs, &d, &size);
    if (!rc && io->ends && digest_equal(&d, &op->digest)) {
        io->committed = true;
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

static int resume(struct op *op)
{
    struct upload_io *io = &op->io;
    struct upload_row row;
    int rc = row_get(op, &row);
    if (rc)
        return rc;
    io->u = handles_take(&op->s->handles, io->id);
    rc = io->u ? 0 : blob_upload_open(op->s->blobs, io->id, &io->u);
    if (rc) {
        io->in_use = rc == ERR_BUSY;
        return rc;
    }
    rc = row_get(op, &row);
    if (rc)
        return rc;
    io->acked = row.size;
    io->begun = true;
    rc = blob_upload_trim(io->u, row.size);
    if (rc == ERR_RANGE)
        return file_gone(op);
    if (!rc && io->ranged && io->from != row.size)
        rc = ERR_RANGE;
    io->rests = rc == ERR_RANGE; // a refusal changed nothing
    return rc;
}

static int begin_fresh(struct op *op)
{
    struct upload_io *io = &op->io;
    int rc = blob_upload_open(op->s->blobs, io->id, &io->u);
    io->begun = !rc;
    return rc;
}

// A known length is charged before a byte of it is taken, an unknown one by windows. A body of nothing needs no room,
// unless it makes a file.
static int charge(struct op *op)
{
    int64_t n = op->req->content_length;
    if (op->io.committed || (n == 0 && !op->io.fresh))
        return 0;
    return space_take(op->s->space, n > 0 ? (uint64_t)n : 0, &op->io.charge);
}

void upload_enter(struct op *op)
{
    struct upload_io *io = &op->io;
    if (io->entered)
        return;
    io->entered = true;
    if (meta_closed_why(op->s->meta, &op->req->arena))
        io->err = ERR_CLOSED;
    else
        io->err = io->fresh ? begin_fresh(op) : resume(op);
    if (io->err)
        return;
    io->err = charge(op);
    io->rests = io->err && !io->fresh; // a refusal changed nothing
}

// Back to what was acknowledged. Should the disk refuse even that, the next request trims the file (1).
static void give_back(struct upload_io *io)
{
    if (io->begun)
        (void)blob_upload_trim(io->u, io->acked);
}

static int take_bytes(struct upload_io *io, const uint8_t *p, size_t n)
{
    int rc = space_grow(&io->charge, n);
    if (!rc)
        rc = blob_upload_write(io->u, p, n);
    if (!rc)
        space_spend(&io->charge, n);
    return rc;
}

static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    struct op *op = req->ctx;
    struct upload_io *io = &op->io;
    upload_enter(op);
    if (!io->err && io->ranged && n > io->to - io->from + 1 - io->received)
        io->err = ERR_TOOBIG;
    if (!io->err && !io->committed) // else the blob is whole, and these are its last bytes once more
        io->err = take_bytes(io, p, n);
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
    upload_enter(op);
    if (!io->err && io->ranged && io->received != io->to - io->from + 1)
        io->err = ERR_TOOBIG;
    return !io->err;
}

void upload_done(struct http_request *req)
{
    struct op *op = req->ctx;
    struct upload_io *io = &op->io;
    space_return(&io->charge);
    if (io->u && io->rests)
        handles_park(&op->s->handles, io->id, take_ptr(io->u));
    if (io->u && !io->committed)
        give_back(io);
    blob_upload_close(take_ptr(io->u));
    if (io->entered && (io->fresh || io->linked))
        blob_upload_discard(op->s->blobs, io->id); // what stays behind is found by blob_uploads_expire
}
