// SPDX-License-Identifier: Apache-2.0
// Refusals; see refuse.h.
#include "net/refuse.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/http_priv.h"

#include <stdarg.h>
#include <stdio.h>

static const char *plain_code(enum refusal kind)
{
    static const char *const codes[N_REFUSALS] = {
        [REFUSED_UNSUPPORTED] = "UNSUPPORTED", [REFUSED_INVALID] = "INVALID",
        [REFUSED_NAME] = "INVALID_NAME",       [REFUSED_UNAUTHORIZED] = "UNAUTHORIZED",
        [REFUSED_DENIED] = "DENIED",           [REFUSED_HOST] = "NO_SUCH_HOST",
        [REFUSED_NOT_FOUND] = "NOT_FOUND",     [REFUSED_FILE_GONE] = "GONE",
        [REFUSED_TOO_LARGE] = "TOO_LARGE",     [REFUSED_BUSY] = "BUSY",
        [REFUSED_UNAVAILABLE] = "UNAVAILABLE", [REFUSED_FAILED] = "FAILED",
    };
    return codes[kind];
}

static int plain_form(struct buf *out, const char *code, const char *sentence)
{
    buf_printf(out, "%s: %s\n", code, sentence);
    return out->err;
}

static const struct http_words plain = {.content_type = "text/plain; charset=utf-8",
                                        .code = plain_code,
                                        .form = plain_form,
                                        .bare = "FAILED\n"};

const struct http_words *http_words_or_plain(const struct http_words *words)
{
    return words ? words : &plain;
}

const struct http_words *http_words_of(const struct http_request *req)
{
    return http_words_or_plain(req->words);
}

void http_refuse(struct http_request *req, struct http_response *resp, int status,
                 enum refusal kind, const char *fmt, ...)
{
    const struct http_words *words = http_words_of(req);
    const char *code = words->code(kind);
    char sentence[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    http_request_refused(req, code, sentence);
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    const void *copy = NULL;
    if (!words->form(&body, code, sentence))
        copy = arena_copy(&req->arena, body.p, body.n);
    if (copy)
        http_response_bytes(resp, status, words->content_type, bytes_of(copy, body.n));
    else
        http_response_bytes(resp, status, words->content_type, bytes_str(words->bare));
}

static enum refusal kind_of(int status)
{
    switch (status) {
    case 400:
        return REFUSED_INVALID;
    case 403:
        return REFUSED_DENIED;
    case 404:
        return REFUSED_NOT_FOUND;
    case 405:
        return REFUSED_UNSUPPORTED;
    case 429:
        return REFUSED_BUSY;
    default:
        return REFUSED_UNAVAILABLE;
    }
}

void serve_refuse(struct http_request *req, struct http_response *resp, int status,
                  const char *sentence)
{
    http_refuse(req, resp, status, kind_of(status), "%s", sentence);
    if (status == 503)
        (void)http_response_header(req, resp, "Retry-After", "1");
    if (status == 429)
        (void)http_response_header(req, resp, "Retry-After", "10");
}

void serve_method(struct http_request *req, struct http_response *resp, const char *allow,
                  const char *sentence)
{
    http_refuse(req, resp, 405, REFUSED_UNSUPPORTED, "%s", sentence);
    (void)http_response_header(req, resp, "Allow", "%s", allow);
}

void serve_json(struct http_request *req, struct http_response *resp, void *root)
{
    if (http_response_json(req, resp, 200, root))
        http_response_text(req, resp, 500, "out of memory\n");
}

// Of the server itself.
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
    case 431:
        http_refuse(req, resp, status, REFUSED_UNSUPPORTED,
                    "the request has more than %d header fields, or they are too large",
                    HTTP_HEADERS_MAX);
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
