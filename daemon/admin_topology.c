// SPDX-License-Identifier: Apache-2.0
// See admin_topology.h. On the pool.
#include "daemon/admin_topology.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "control/document_rows.h"

#include <string.h>

#define TEXT_TYPE "text/yaml; charset=utf-8"

// ---- a text as a body, of half a million registries maybe ----

struct text_body {
    struct buf text;
    size_t at;
};

static ssize_t text_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    struct text_body *b = ctx;
    size_t n = b->text.n - b->at;
    (void)s;
    if (!n)
        return HTTP_STREAM_END;
    if (n > cap)
        n = cap;
    memcpy(to, b->text.p + b->at, n);
    b->at += n;
    return (ssize_t)n;
}

static void text_close(void *ctx)
{
    struct text_body *b = ctx;
    buf_done(&b->text);
    free(b);
}

static void reply_text(struct http_request *req, struct http_response *resp, struct text_body *b)
{
    static const struct http_stream_ops ops = {.read = text_read, .close = text_close};
    if (!http_response_stream(resp, 200, TEXT_TYPE, &ops, b, NULL))
        return;
    text_close(b);
    http_response_text(req, resp, 503, "%s\n", err_text(ERR_NOMEM));
}

// ---- the document ----

// A node that only resolves names keeps no more of registries than that takes.
static bool is_compact(const struct topology *t)
{
    struct catalogue_iter it = {0};
    return t->n_registries && !topology_next(t, &it);
}

static void reply_document(struct http_request *req, struct http_response *resp,
                           const struct topology *t)
{
    struct text_body *b = mem_zalloc(sizeof *b);
    if (!b) {
        http_response_text(req, resp, 503, "%s\n", err_text(ERR_NOMEM));
        return;
    }
    buf_init(&b->text, TOPOLOGY_MAX_BYTES);
    int rc = document_export(t, &b->text);
    if (!rc) {
        reply_text(req, resp, b);
        return;
    }
    text_close(b);
    if (rc == ERR_UNSUPPORTED)
        http_response_text(req, resp, 409,
                           "the document in force is not in block style, so that its registries "
                           "cannot be told from the rest: look at the file\n");
    else
        http_response_text(req, resp, 503, "%s\n", err_text(rc));
}

void admin_get_topology(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct topology *t = snapshot_get(app->topology);
    if (is_compact(t))
        http_response_text(req, resp, 409,
                           "this node only resolves names, and does not keep the whole document: "
                           "ask a region's node\n");
    else
        reply_document(req, resp, t);
    snapshot_unref(t);
}
