// SPDX-License-Identifier: Apache-2.0
// Uploads (distribution-spec 1.1, "Push"): POST starts, mounts, or takes a whole blob; PATCH adds a
// piece; GET tells how far it is; PUT ends; DELETE cancels. An upload belongs to a registry and a
// repository, never to a token: ctr ends with another token than it began with. `*_begin` on an
// HTTP thread, the rest on the pool.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

// --- answers ---

static void upload_location(struct op *op, struct http_response *resp)
{
    const char *value = NULL;
    if (op->sign) {
        struct signed_url u = {"upload",        SIGNED_URL_UPLOAD_METHODS,
                               op->upload_host, op->registry,
                               op->route.name,  op->io.id,
                               op->principal,   clock_wall_ms() / 1000 + SIGNED_URL_LIFETIME_S};
        int rc = signed_url_make(op->s->url_key, &u, &op->req->arena, &value);
        if (rc) {
            op->failed = rc;
            return;
        }
    }
    answer_header(op, resp, "Location", "%s/v2/%s/blobs/uploads/%s%s%s", op->upload_here,
                  op->route.name, op->io.id, value ? "?" SIGNED_URL_PARAMETER "=" : "",
                  value ? value : "");
}

// Location, and how far it is. The range is inclusive, and "0-0" for nothing too: what clients know
// from the reference.
static void upload_state(struct op *op, struct http_response *resp, uint64_t size)
{
    upload_location(op, resp);
    answer_header(op, resp, "Range", "0-%" PRIu64, size ? size - 1 : 0);
    answer_header(op, resp, "Docker-Upload-UUID", "%s", op->io.id);
}

static void upload_unknown(struct op *op, struct http_response *resp)
{
    oci_error(op->req, resp, 404, OCI_BLOB_UPLOAD_UNKNOWN, NULL,
              "no such upload in this repository");
}

static void upload_in_use(struct op *op, struct http_response *resp)
{
    oci_error(op->req, resp, 409, OCI_BLOB_UPLOAD_INVALID, NULL,
              "another request is writing to this upload");
    answer_header(op, resp, "Retry-After", "1");
}

static void upload_error(struct op *op, struct http_response *resp)
{
    struct upload_io *io = &op->io;
    if (io->in_use)
        upload_in_use(op, resp);
    else if (io->err == ERR_NOTFOUND)
        upload_unknown(op, resp);
    else if (io->err == ERR_RANGE) {
        oci_error(op->req, resp, 416, OCI_BLOB_UPLOAD_INVALID, NULL,
                  "the piece does not begin where the upload stands (at %" PRIu64 " bytes)",
                  io->acked);
        upload_state(op, resp, io->acked);
    } else if (io->err == ERR_TOOBIG)
        oci_error(op->req, resp, 400, OCI_SIZE_INVALID, NULL,
                  "the body is not as long as its Content-Range says");
    else
        answer_error(op, resp, io->err, "taking an upload");
}

static void blob_created(struct op *op, struct http_response *resp, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    answer_empty(resp, 201);
    answer_header(op, resp, "Location", "%s/v2/%s/blobs/%s", op->here, op->route.name, text);
    answer_header(op, resp, "Docker-Content-Digest", "%s", text);
}

static void digest_refused(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 400, OCI_DIGEST_INVALID, NULL, "%s", why);
}

// --- POST ---

static void uploads_full(struct op *op, struct http_response *resp, enum upload_full which)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    bool own = which == UPLOAD_FULL_PRINCIPAL;
    uint64_t bound;
    if (own)
        bound = op->s->uploads.of_principal;
    else
        bound = op->s->uploads.of_registry;
    const char *who = "the registry";
    if (own)
        who = op->principal;
    log_limited(&limit, LOG_WARN,
                "registry: %s has %" PRIu64 " uploads open in %s, as many as are allowed (%s)", who,
                bound, op->registry, own ? "uploads.per_principal" : "uploads.per_registry");
    oci_error(op->req, resp, 429, OCI_TOOMANYREQUESTS, NULL,
              "%s has %" PRIu64
              " uploads open here, as many as are allowed at once, and none of %s is idle: end or "
              "cancel some (one that is left alone for %u minutes is discarded)",
              *who ? who : "nobody in particular", bound, own ? "them" : "your own",
              op->s->upload_idle_s / 60);
    answer_header(op, resp, "Retry-After", "30");
}

static void start(struct op *op, struct http_response *resp)
{
    struct upload_row row = {.id = op->io.id,
                             .registry = op->registry,
                             .repository = op->route.name,
                             .principal = op->principal,
                             .started_ms = clock_wall_ms(),
                             .touched_ms = clock_mono_ms()};
    if (writes_closed(op, resp) || disk_short(op, resp))
        return;
    enum upload_full full;
    struct room room;
    room_init(&room, op->s);
    int rc = meta_upload_create(op->s->meta, &row, &room.bounds, &full);
    room_done(&room);
    if (rc == ERR_FULL) {
        uploads_full(op, resp, full);
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "starting an upload");
        return;
    }
    answer_empty(resp, 202);
    upload_state(op, resp, 0);
}

static bool may_pull(void *ctx, const char *repository)
{
    const struct op *op = ctx;
    return access_actions(&op->access, repository) & ACTION_PULL;
}

// Links a blob of another repository that the caller may pull; with no `from`, of any such.
// Anything that stands in the way makes it an ordinary start, so that a mount tells nobody what
// other repositories hold.
static void mount(struct op *op, struct http_response *resp)
{
    uint64_t size, is;
    int rc = ERR_NOTFOUND;
    if (writes_closed(op, resp))
        return;
    if (!op->mount_from)
        rc = meta_link_find(op->s->meta, op->registry, &op->digest, may_pull, op, &size);
    else if (may_pull(op, op->mount_from))
        rc = meta_link_get(op->s->meta, op->registry, op->mount_from, &op->digest, &size);
    if (!rc)
        rc = blob_stat(op->s->blobs, &op->digest, &is);
    if (!rc && is != size)
        rc = ERR_NOTFOUND; // damaged: the push that follows replaces it
    if (rc == ERR_NOTFOUND) {
        start(op, resp);
        return;
    }
    if (!rc)
        rc = meta_link_add(op->s->meta, op->registry, op->route.name, &op->digest, size, NULL);
    if (rc)
        answer_error(op, resp, rc, "mounting a blob");
    else
        blob_created(op, resp, &op->digest);
}

// The bytes are whole: a blob under the digest that was promised, and a link.
static void finish(struct op *op, struct http_response *resp)
{
    struct upload_io *io = &op->io;
    uint64_t size;
    if (!upload_complete(op)) {
        upload_error(op, resp);
        return;
    }
    if (io->repeats) {
        blob_created(op, resp, &op->digest);
        return;
    }
    int rc;
    if (io->committed)
        rc = blob_stat(op->s->blobs, &op->digest, &size);
    else
        rc = blob_upload_commit(io->u, &op->digest, &size);
    if (rc == ERR_DIGEST) {
        digest_refused(op, resp,
                       "the content does not have this digest; nothing of this request was kept");
        return;
    }
    if (!rc) {
        io->committed = true;
        const struct upload_end end = {io->id, op->principal};
        rc = meta_link_add(op->s->meta, op->registry, op->route.name, &op->digest, size,
                           io->fresh ? NULL : &end);
    }
    io->linked = !rc;
    if (rc)
        answer_error(op, resp, rc, "ending an upload");
    else
        blob_created(op, resp, &op->digest);
}

static bool query_digest(struct op *op, const char *key)
{
    const char *text = http_query_get(op->req, key, 0);
    return text && !digest_parse(text, strlen(text), &op->digest);
}

static int id_new(struct op *op)
{
    char hex[UPLOAD_ID_HEX + 1];
    int rc = random_hex(hex, UPLOAD_ID_HEX / 2);
    if (rc)
        return rc;
    op->io.id = arena_printf(&op->req->arena, "%s.%s", op->s->region, hex);
    if (op->io.id)
        return 0;
    return ERR_NOMEM;
}

void upload_mount_read(struct op *op)
{
    const char *from = http_query_get(op->req, "from", 0);
    op->mount = http_query_get(op->req, "mount", 0) != NULL;
    if (op->mount && from && repository_name_ok(from, strlen(from)))
        op->mount_from = from;
    else if (from && *from)
        op->mount = false; // from nowhere: an ordinary start
}

void upload_post_begin(struct op *op, struct http_plan *plan)
{
    int rc = id_new(op);
    if (rc) {
        answer_error(op, &plan->response, rc, "starting an upload");
        return;
    }
    if (op->mount) { // a malformed mount is an ordinary start, as the specification wants
        op_plan(op, plan, HTTP_PLAN_RUN, query_digest(op, "mount") ? mount : start);
        return;
    }
    if (!http_query_get(op->req, "digest", 0)) {
        op_plan(op, plan, HTTP_PLAN_RUN, start);
        return;
    }
    if (!query_digest(op, "digest")) {
        digest_refused(op, &plan->response,
                       "not a digest that is spoken here (sha256:<64 hex digits>)");
        return;
    }
    op->io.fresh = true;
    op_plan(op, plan, HTTP_PLAN_STREAM, finish);
    plan->sink = &upload_sink;
    plan->done = upload_done;
    plan->goes_on = true;
}

// --- an upload that was started ---

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
    if (writes_closed(op, resp))
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

// The upload that the path names, if it belongs here; else answered. The edge passes on what belongs
// to another region.
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
    if (upload_here(op, plan))
        op_plan(op, plan, HTTP_PLAN_RUN, status);
}

void upload_patch_begin(struct op *op, struct http_plan *plan)
{
    if (!upload_here(op, plan))
        return;
    stream(op, plan, piece);
    // what came whole for nobody who could be told is kept as what came in part
    plan->for_answer = true;
}

void upload_put_begin(struct op *op, struct http_plan *plan)
{
    if (!upload_here(op, plan))
        return;
    op->io.ends = true;
    if (query_digest(op, "digest"))
        stream(op, plan, finish);
    else
        digest_refused(op, &plan->response,
                       "ending an upload takes ?digest=sha256:<64 hex digits>");
}

void upload_delete_begin(struct op *op, struct http_plan *plan)
{
    if (upload_here(op, plan))
        op_plan(op, plan, HTTP_PLAN_RUN, cancel);
}
