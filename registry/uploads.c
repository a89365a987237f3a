// SPDX-License-Identifier: Apache-2.0
// Uploads (distribution-spec 1.1, "Push"): POST starts, mounts, or takes a whole blob; PATCH adds a
// piece; GET tells how far it is; PUT ends; DELETE cancels. An upload belongs to a registry and a
// repository, never to a token: ctr ends with another token than it began with. `*_begin` on an
// HTTP thread, the rest on the pool.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/publish.h"

#include <inttypes.h>
#include <string.h>

static int upload_publish(struct op *op, struct lease_result *result)
{
    const struct upload_io *io = &op->io;
    const struct upload_end end = {io->id, op->principal};
    struct lease_add add = {.registry = op->registry,
                            .repository = op->route.name,
                            .digest = op->digest,
                            .published = &io->published,
                            .size = io->blob_size,
                            .limits = &op->limits};
    if (!io->fresh)
        add.end = &end;
    return blob_publish(op->s->blobs, op->s->meta, &add, result);
}

// The bytes are whole: a blob under the digest that was promised, and a lease, which a manifest
// that comes makes a link.
void upload_finish(struct op *op, struct http_response *resp)
{
    struct upload_io *io = &op->io;
    struct lease_result result;
    if (!upload_complete(op)) {
        upload_error(op, resp);
        return;
    }
    if (io->repeats) {
        upload_ended(op, resp);
        return;
    }
    int rc;
    if (io->committed)
        rc = blob_stat(op->s->blobs, &io->published, &io->blob_size);
    else
        rc = blob_upload_commit(io->u, &op->digest, &io->published, &io->blob_size);
    if (rc == ERR_DIGEST) {
        upload_digest_refused(
            op, resp, "the content does not have this digest; nothing of this request was kept");
        return;
    }
    if (!rc) {
        io->committed = true;
        rc = upload_publish(op, &result);
    }
    io->linked = !rc;
    if (rc == ERR_QUOTA)
        quota_refused(op, resp, &result.over);
    else if (rc)
        answer_error(op, resp, rc, "ending an upload");
    else
        upload_ended(op, resp);
}

static int progress(struct op *op, uint64_t size)
{
    struct room room;
    room_init(&room, op->s);
    int rc = meta_upload_progress(op->s->meta, op->io.id, size, clock_mono_ms(), &room.bounds);
    room_done(&room);
    return rc;
}

static void piece(struct op *op, struct http_response *resp)
{
    struct upload_io *io = &op->io;
    if (!upload_complete(op)) {
        upload_error(op, resp);
        return;
    }
    int rc = blob_upload_sync(io->u); // before it is acknowledged
    uint64_t size = blob_upload_resume_at(io->u);
    if (!rc)
        rc = progress(op, size);
    if (rc == ERR_NOTFOUND) {
        upload_unknown(op, resp);
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "taking an upload");
        return;
    }
    io->rests = true;
    answer_empty(resp, 202);
    upload_state(op, resp, size);
}

// Tells all that was received, which counts from now on. If that cannot be written, what was told
// before is told again.
static void status(struct op *op, struct http_response *resp)
{
    struct upload_row row;
    int rc = upload_row_get(op, &row);
    if (!rc && row.received != row.size &&
        meta_upload_tell(op->s->meta, op->io.id, &row.size) == ERR_NOTFOUND)
        rc = ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND) {
        upload_unknown(op, resp);
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading an upload");
        return;
    }
    answer_empty(resp, 204);
    upload_state(op, resp, row.size);
}

static void cancel(struct op *op, struct http_response *resp)
{
    struct upload_row row;
    if (region_closed(op, resp))
        return;
    int rc = upload_row_get(op, &row);
    if (!rc) { // the file first: while another request has it open, the upload stays whole
        open_uploads_drop(&op->s->open_uploads, op->io.id);
        rc = blob_upload_discard(op->s->blobs, op->io.id);
        if (rc == ERR_BUSY) {
            upload_in_use(op, resp);
            return;
        }
    }
    if (!rc)
        rc = meta_upload_delete(op->s->meta, op->io.id);
    if (rc == ERR_NOTFOUND)
        upload_unknown(op, resp);
    else if (rc)
        answer_error(op, resp, rc, "cancelling an upload");
    else
        answer_empty(resp, 204);
}

static bool number(const char **p, uint64_t *out)
{
    uint64_t v = 0;
    const char *s = *p;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (v > (UINT64_MAX >> 1) / 10 - 1)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    if (s == *p)
        return false;
    *p = s;
    *out = v;
    return true;
}

// "<start>-<end>", inclusive; the form of RFC 9110 ("bytes 0-9/10", "bytes 0-9/*") is taken too.
static bool content_range(struct upload_io *io, const char *s)
{
    uint64_t total;
    if (!strncmp(s, "bytes ", 6))
        s += 6;
    if (!number(&s, &io->from) || *s++ != '-' || !number(&s, &io->to) || io->to < io->from)
        return false;
    if (*s == '/' && s[1] == '*' && !s[2])
        return true;
    if (*s == '/') {
        s++;
        return number(&s, &total) && !*s && total > io->to;
    }
    return !*s;
}

// True when the plan may go on.
static bool range_ok(struct op *op, struct http_plan *plan)
{
    const char *text = http_header_get(op->req, "Content-Range");
    if (!text)
        return true;
    struct upload_io *io = &op->io;
    if (!content_range(io, text)) {
        oci_error(op->req, &plan->response, 416, OCI_BLOB_UPLOAD_INVALID, NULL,
                  "not a Content-Range: <start>-<end>");
        upload_location(op, &plan->response);
        return false;
    }
    io->ranged = true;
    if (op->req->content_length >= 0 &&
        (uint64_t)op->req->content_length != io->to - io->from + 1) {
        oci_error(op->req, &plan->response, 400, OCI_SIZE_INVALID, NULL,
                  "the body is not as long as its Content-Range says");
        return false;
    }
    return true;
}

static void stream(struct op *op, struct http_plan *plan,
                   void (*act)(struct op *op, struct http_response *resp))
{
    if (!range_ok(op, plan))
        return;
    struct upload_io *io = &op->io;
    io->marked = busy_enter(&op->s->busy, &io->mark, io->id);
    if (!io->marked) { // it makes room for another just now: gone in a moment, or not
        upload_in_use(op, &plan->response);
        return;
    }
    op_plan(op, plan, HTTP_PLAN_STREAM, act);
    plan->sink = &upload_sink;
    plan->done = upload_done;
    plan->goes_on = true;
}

// The upload that the path names, if it belongs here; else answered. The edge passes on what
// belongs to another region.
static bool upload_here(struct op *op, struct http_plan *plan)
{
    op->io.id = op->route.upload_id;
    if (upload_id_of_region(op->io.id, op->s->region))
        return true;
    upload_unknown(op, &plan->response);
    return false;
}

void upload_get_begin(struct op *op, struct http_plan *plan)
{
    (void)op_query_algorithm(op);
    if (upload_here(op, plan))
        op_plan(op, plan, HTTP_PLAN_RUN, status);
}

void upload_patch_begin(struct op *op, struct http_plan *plan)
{
    if (!upload_here(op, plan))
        return;
    // it stands in the Location that POST gave; one that is not known costs a second reading alone
    (void)op_query_algorithm(op);
    stream(op, plan, piece);
    // When the client has gone, a whole piece is kept like a part of one: it was not acknowledged.
    plan->for_answer = true;
}

void upload_put_begin(struct op *op, struct http_plan *plan)
{
    if (!upload_here(op, plan))
        return;
    op->io.ends = true;
    if (op_query_digest(op, "digest")) {
        op->io.alg = (enum digest_alg)op->digest.alg;
        stream(op, plan, upload_finish);
    } else
        upload_digest_refused(op, &plan->response, "ending an upload takes ?digest=" DIGEST_FORMS);
}

void upload_delete_begin(struct op *op, struct http_plan *plan)
{
    if (upload_here(op, plan))
        op_plan(op, plan, HTTP_PLAN_RUN, cancel);
}
