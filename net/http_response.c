// SPDX-License-Identifier: Apache-2.0
// Responses, and the handles of streamed bodies; see http.h. Response functions run on whatever
// thread owns the request; a stream's handle may be woken from any thread.
#include "net/http.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/http_priv.h"
#include "net/refuse.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool value_ok(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < ' ' && *s != '\t') || *s == 127)
            return false;
    return true;
}

int http_response_header(struct http_request *req, struct http_response *resp, const char *name,
                         const char *fmt, ...)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 10);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (text.err) {
        if (text.err == ERR_TOOBIG)
            return ERR_INVAL;
        return text.err;
    }
    const char *value = buf_cstr(&text);
    if (!http_token_ok(name) || !value_ok(value))
        return ERR_INVAL;
    struct http_header *h = arena_alloc(&req->arena, sizeof *h);
    char *n = arena_strdup(&req->arena, name), *v = arena_strdup(&req->arena, value);
    if (!h || !n || !v)
        return ERR_NOMEM;
    *h = (struct http_header){.name = n, .value = v};
    struct http_header **at = &resp->headers;
    while (*at)
        at = &(*at)->next;
    *at = h;
    return 0;
}

const char *http_response_get(const struct http_response *resp, const char *name)
{
    for (const struct http_header *h = resp->headers; h; h = h->next)
        if (!strcasecmp(h->name, name))
            return h->value;
    if (strcasecmp(name, "Content-Type"))
        return NULL;
    return resp->content_type;
}

void http_response_bytes(struct http_response *resp, int status, const char *content_type_static,
                         struct bytes body)
{
    resp->status = status;
    resp->kind = HTTP_BYTES;
    resp->content_type = content_type_static;
    resp->body = body;
}

int http_response_json(struct http_request *req, struct http_response *resp, int status, void *root)
{
    if (!root)
        return ERR_NOMEM;
    AUTO_FREE char *text = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(root);
    char *copy = NULL;
    if (text)
        copy = arena_strdup(&req->arena, text);
    if (!copy)
        return ERR_NOMEM;
    http_response_bytes(resp, status, "application/json", bytes_str(copy));
    return 0;
}

int http_response_text(struct http_request *req, struct http_response *resp, int status,
                       const char *fmt, ...)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    char *copy = NULL;
    if (!text.err)
        copy = arena_copy(&req->arena, buf_cstr(&text), text.n + 1);
    if (!copy)
        return ERR_NOMEM;
    http_response_bytes(resp, status, "text/plain; charset=utf-8", bytes_of(copy, text.n));
    return 0;
}

void http_response_accel(struct http_response *resp, int status, const char *internal_path)
{
    resp->status = status;
    resp->kind = HTTP_ACCEL;
    resp->content_type = NULL;
    resp->accel = internal_path;
}

int http_response_stream(struct http_response *resp, int status, const char *content_type,
                         const struct http_stream_ops *ops, void *ctx, struct http_stream **out_ref)
{
    struct http_stream *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    atomic_store(&s->refs, 1);
    s->ops = ops;
    s->ctx = ctx;
    resp->status = status;
    resp->kind = HTTP_STREAM;
    resp->content_type = content_type;
    resp->stream = ops;
    resp->stream_ctx = ctx;
    resp->stream_handle = s;
    if (out_ref)
        *out_ref = http_stream_ref(s);
    return 0;
}

struct http_stream *http_stream_ref(struct http_stream *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void http_stream_unref(struct http_stream *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void http_stream_wake(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    if (s->exchange)
        http_exchange_wake(s->exchange);
    pthread_mutex_unlock(&s->lock);
}

void http_refuse_own(struct http_request *req, struct http_response *resp, int status)
{
    switch (status) {
    case 413:
        http_refuse(req, resp, status, REFUSED_TOO_LARGE,
                    "the request body is larger than allowed here");
        break;
    case 414:
        http_refuse(req, resp, status, REFUSED_UNSUPPORTED, "the request target is too long");
        break;
    case 429:
    case 503:
        http_refuse(req, resp, status, REFUSED_BUSY, "too much work is waiting here, try again");
        (void)http_response_header(req, resp, "Retry-After", "1");
        break;
    case 500:
        http_refuse(req, resp, status, REFUSED_FAILED, "the server failed to make an answer");
        break;
    default:
        http_refuse(req, resp, status, REFUSED_UNSUPPORTED, "the request is malformed");
    }
}
