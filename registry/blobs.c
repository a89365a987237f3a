// SPDX-License-Identifier: Apache-2.0
// GET and HEAD of a blob. A link in this repository is what makes it exist; the store decides how
// its bytes are served: by the edge, which does Range and the length, or by a redirect. A blob that
// is here but not linked in this repository and one that is nowhere take the same way: the link is
// asked, and nothing else. What is hot (store/hot.h) is answered on the HTTP thread, the rest on the
// pool.
//
// With data endpoints on, the edge's bytes come from the data host: a GET at a registry's name is
// answered with a signed URL there, once the blob is known to be here. Each such answer has a fresh
// one, so a client that goes on with the registry's URL after a break is judged again.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

// A blob that is linked and lost, or cut, is as good as none: a push finds it absent and replaces
// it, a peer asks another region.
static void blob_lost(struct op *op, const char *how)
{
    static struct log_limit limit = LOG_LIMIT(1000);
    const struct digest *d = &op->route.digest;
    char text[DIGEST_TEXT_SIZE];
    log_limited(&limit, LOG_ERROR, "registry: %s/%s links %s, which %s", op->registry_name,
                op->route.name, digest_format(d, text), how);
    if (op->s->on_lost)
        op->s->on_lost(op->s->on_lost_ctx, op->registry, op->route.name, d);
}

static void blob_by_edge(struct op *op, struct http_response *resp, const char *relative)
{
    const char *path = arena_printf(&op->req->arena, "/_blob/%s", relative);
    if (!path) {
        op->failed = ERR_NOMEM;
        return;
    }
    http_response_accel(resp, 200, path);
    answer_header_text(op, resp, "Content-Type", "application/octet-stream");
}

// A signed URL is a secret until it expires: no cache may keep the answer.
static void blob_elsewhere(struct op *op, struct http_response *resp, const char *url)
{
    answer_empty(resp, 307);
    answer_header(op, resp, "Location", "%s", url);
    answer_header(op, resp, "Cache-Control", "no-store");
}

// The URL holds for requests that begin in the next 20 minutes.
static void blob_at_data_host(struct op *op, struct http_response *resp)
{
    char digest[DIGEST_TEXT_SIZE];
    const char *value;
    const struct signed_url u = {.kind = "blob",
                                 .methods = SIGNED_URL_BLOB_METHODS,
                                 .host = op->blob_host,
                                 .registry = op->registry,
                                 .repository = op->route.name,
                                 .object = digest_format(&op->route.digest, digest),
                                 .principal = op->principal,
                                 .expires_s = clock_wall_ms() / 1000 + SIGNED_URL_BLOB_LIFETIME_S};
    int rc = signed_url_make(op->s->url_key, &u, &op->req->arena, &value);
    if (rc) {
        op->failed = rc;
        return;
    }
    const char *url =
        arena_printf(&op->req->arena, "https://%s%s/v2/%s/blobs/%s?" SIGNED_URL_PARAMETER "=%s",
                     op->blob_host, op->port, op->route.name, digest, value);
    if (url)
        blob_elsewhere(op, resp, url);
    else
        op->failed = ERR_NOMEM;
}

static void blob_by_path(struct op *op, struct http_response *resp, const char *relative)
{
    if (op->blob_host)
        blob_at_data_host(op, resp);
    else
        blob_by_edge(op, resp, relative);
}

// Who may push takes a HEAD that says 200 as leave to skip an upload: the blob must still be there
// when the manifest comes.
static bool is_leave_to_skip(const struct op *op)
{
    return op->req->method == HTTP_HEAD &&
           (access_actions(&op->access, op->route.name) & ACTION_PUSH);
}

static int lease_renew(struct op *op, const struct blob_here *here)
{
    int rc = meta_lease_renew(op->s->meta, op->registry, op->route.name, here);
    if (rc == ERR_NOTFOUND)
        return rc;
    return 0; // the lease that is there lasts for half of the grace at least
}

// May memory answer? Not where the answer leads to the data host or the edge cuts a part out; and
// where a client skips an upload for it, the pool looks whether the file is there.
static bool may_be_hot(const struct op *op)
{
    return !op->blob_host && !is_leave_to_skip(op) && !http_header_get(op->req, "Range");
}

static void blob_from_memory(struct op *op, struct http_response *resp, struct bytes content)
{
    op->blob_bytes = content.n;
    if (answer_validators(op, resp, &op->route.digest))
        return;
    http_response_bytes(resp, 200, "application/octet-stream", content);
    answer_header_text(op, resp, "Accept-Ranges", "bytes");
}

static void blob_answer(struct op *op, struct http_response *resp, const struct blob_serve *how,
                        uint64_t size)
{
    op->blob_bytes = size;
    if (answer_validators(op, resp, &op->route.digest))
        return;
    switch (how->kind) {
    case BLOB_SERVE_PATH:
        blob_by_path(op, resp, how->path);
        break;
    case BLOB_SERVE_URL:
        blob_elsewhere(op, resp, how->url);
        break;
    }
}

#define COMING_MS 10000

static void blob_read(struct op *op, struct http_response *resp);

// On the pool for what waits.
static void blob_read_later(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    if (!op->req->hurried)
        e->ops->wait(e->ctx, op->registry, op->route.name, &op->route.digest,
                     clock_mono_ms() + COMING_MS);
    blob_read(op, resp);
}

// It is not here, but another region has said that it has it, and it is being copied: this asks
// nobody, and what is told then is what is here.
static bool blob_is_awaited(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    if (!e || op->has_waited || op->req->listener == LISTENER_PEER || !op_may_wait(op))
        return false;
    if (!e->ops->coming(e->ctx, op->registry, op->route.name, &op->route.digest))
        return false;
    op->has_waited = true;
    op->act = blob_read_later;
    http_response_again(resp, op->s->waiting);
    return true;
}

static void blob_read(struct op *op, struct http_response *resp)
{
    const struct hot_key key = op_hot_key(op);
    struct hot_look look;
    struct blob_serve how;
    struct blob_here here;
    bool head = op->req->method == HTTP_HEAD;
    struct blob_serve_want want = {.name = &here.name, .head = head, .arena = &op->req->arena};
    int rc = hot_blob_look(op->s->hot, &key, &look, &here);
    if (!rc && is_leave_to_skip(op))
        rc = lease_renew(op, &here);
    if (!rc) {
        want.size = here.size;
        rc = blob_serve(op->s->blobs, &want, &how);
        if (rc == ERR_NOTFOUND)
            blob_lost(op, "is not in the store");
        if (rc == ERR_DIGEST) {
            blob_lost(op, "is damaged in the store: its size is wrong");
            rc = ERR_NOTFOUND;
        }
    }
    if (rc == ERR_NOTFOUND && blob_is_awaited(op, resp))
        return;
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_BLOB_UNKNOWN, NULL, "no such blob in this repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a blob");
        return;
    }
    if (may_be_hot(op))
        hot_blob_end(op->s->hot, &key, &look, &here, &how);
    blob_answer(op, resp, &how, here.size);
}

// Of a blob that is not whole in memory the pool looks at the file, each time.
void blob_read_begin(struct op *op, struct http_plan *plan)
{
    const struct hot_key key = op_hot_key(op);
    struct hot_blob hot;
    bool is_hot = may_be_hot(op) && !hot_blob(op->s->hot, &key, &op->req->arena, &hot);
    if (is_hot && hot.content.p)
        blob_from_memory(op, &plan->response, hot.content);
    else
        op_plan(op, plan, HTTP_PLAN_RUN, blob_read);
}
