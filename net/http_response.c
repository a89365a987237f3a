// SPDX-License-Identifier: Apache-2.0
// Responses; see http.h. Pure, on whatever thread owns the request. Streamed bodies are in
// http_stream.c.
#include "net/http.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER_MAX (16 << 10)

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
    buf_init(&text, HEADER_MAX);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (text.err) {
        if (text.err == ERR_TOOBIG)
            return ERR_INVAL;
        return text.err;
    }
    return http_response_header_text(req, resp, name, buf_cstr(&text));
}

int http_response_header_text(struct http_request *req, struct http_response *resp,
                              const char *name, const char *value)
{
    if (strnlen(value, HEADER_MAX) == HEADER_MAX)
        return ERR_INVAL;
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

void http_response_again(struct http_response *resp, struct pool *on)
{
    *resp = (struct http_response){.again = on};
}
