// SPDX-License-Identifier: Apache-2.0
// What the edge answers by itself, in the words that it was given (net/refuse.h), with region,
// stamp and request id, as the daemon's answers.
#include "net/edge_priv.h"

#include "base/mem.h"
#include "net/edge_access.h"

#include <stdio.h>

// nginx's own codes: 494 and 495 to 497 are about headers and TLS, and 400 to the client.
static const struct own_error {
    // statuses of nginx
    const char *from;
    int status;
    enum refusal kind;
    const char *message;
    // in the access log
    const char *reason;
} own_errors[] = {
    {"400 495 496 497", 400, REFUSED_UNSUPPORTED, "the request is malformed, or not HTTPS",
     "MALFORMED"},
    {"403 404", 404, REFUSED_UNSUPPORTED, "nothing is served under this path", "NOTHING_HERE"},
    {"405 501", 405, REFUSED_UNSUPPORTED, "this method is not served here", "METHOD"},
    {"408", 408, REFUSED_UNSUPPORTED, "the request came too slowly", "SLOW"},
    {"411 413", 413, REFUSED_TOO_LARGE,
     "the request body is larger than allowed here, or its length is unknown", "TOO_LARGE"},
    {"414", 414, REFUSED_UNSUPPORTED, "the request target is too long", "TARGET_TOO_LONG"},
    {"416", 416, REFUSED_UNSUPPORTED, "the range is not in the blob", "RANGE"},
    {"421", 421, REFUSED_HOST, "this host name is not served at this address", "WRONG_HOST"},
    {"494", 431, REFUSED_UNSUPPORTED,
     "a header field is larger than 16 KiB, or all of them together are larger than 32 KiB",
     "HEADERS_TOO_LARGE"},
    {"429", 429, REFUSED_BUSY,
     "too many requests at once from this client, its network, or all clients", "TOO_MANY_AT_ONCE"},
    {"500", 500, REFUSED_FAILED, "the edge failed to make an answer", "EDGE_FAILED"},
    {"502 503", 503, REFUSED_UNAVAILABLE, "region %s is not ready", "NOT_READY"},
    {"504", 504, REFUSED_UNAVAILABLE, "region %s did not answer in time", "NO_ANSWER"},
    {"505", 505, REFUSED_UNSUPPORTED, "this version of HTTP is not spoken here", "HTTP_VERSION"},
};

// What a request that is passed on gets when the tunnels do not answer, or break off.
static const struct own_error passed_errors[] = {
    {"502 503", 503, REFUSED_UNAVAILABLE,
     "this upload began in region %s and goes on only there; the way to that region broke off: ask "
     "how far it is (GET) "
     "and go on, or begin it anew"},
    {"504", 504, REFUSED_UNAVAILABLE,
     "this upload began in region %s and goes on only there; that region did not answer in time: "
     "ask how far it is "
     "(GET) and go on, or begin it anew"},
};

const char *edge_own_reason(int status)
{
    if (status == 499)
        return "CLIENT_LEFT"; // nginx's word for it; there was nobody to answer
    if (status == 403)
        return "PROXY"; // edge_put_proxy_refusal
    for (size_t i = 0; i < ARRAY_LEN(own_errors); i++)
        if (own_errors[i].status == status)
            return own_errors[i].reason;
    return NULL;
}

// `name`: an exact location, or a named one. `status` is what stands there unless the error that
// led here has its own. A %s of `message` is the region: this one, or the one that was to answer.
void edge_put_answer(struct buf *b, const struct edge_config *c, const char *name, int status,
                     enum refusal kind, const char *message, const char *region)
{
    const struct http_words *words = http_words_or_plain(c->words);
    char text[512];
    snprintf(text, sizeof text, message, region);
    buf_printf(b, "    location %s {\n      %sdefault_type \"%s\";\n", name,
               name[0] == '=' ? "internal; " : "", words->content_type);
    if (status != 416) // a blob's answer already: it has the daemon's
        buf_printf(
            b,
            "      add_header X-Meridian-Region %s always; add_header X-Meridian-Stamp %s always;\n"
            "      add_header X-Meridian-Request-Id $meridian_request_id always;\n",
            c->region, c->stamp);
    if (status == 503 || status == 429)
        buf_str(b, "      add_header Retry-After 1 always;\n");
    buf_printf(b, "      return %d '", status);
    int rc = words->form(b, words->code(kind), text);
    if (rc && !b->err)
        b->err = rc;
    buf_str(b, "';\n    }\n");
}

void edge_put_error_pages(struct buf *b, const char *indent)
{
    for (size_t i = 0; i < ARRAY_LEN(own_errors); i++)
        buf_printf(b, "%serror_page %s =%d /_edge/%d;\n", indent, own_errors[i].from,
                   own_errors[i].status, own_errors[i].status);
}

void edge_put_error_answers(struct buf *b, const struct edge_config *c)
{
    for (size_t i = 0; i < ARRAY_LEN(own_errors); i++) {
        char name[32];
        snprintf(name, sizeof name, "= /_edge/%d", own_errors[i].status);
        edge_put_answer(b, c, name, own_errors[i].status, own_errors[i].kind, own_errors[i].message,
                        c->region);
    }
}

void edge_put_proxy_refusal(struct buf *b, const struct edge_config *c)
{
    edge_put_answer(b, c, "= /_edge/proxy", 403, REFUSED_DENIED,
                    "this address takes connections of the load balancers that "
                    "edge.trusted_proxies names, and these say whose requests they bring",
                    c->region);
}

void edge_put_passed_pages(struct buf *b, const char *region)
{
    for (size_t i = 0; i < ARRAY_LEN(passed_errors); i++)
        buf_printf(b, "      error_page %s =%d /_edge/%d/%s;\n", passed_errors[i].from,
                   passed_errors[i].status, passed_errors[i].status, region);
    edge_put_error_pages(b, "      ");
}

void edge_put_passed_answers(struct buf *b, const struct edge_config *c, const char *region)
{
    for (size_t i = 0; i < ARRAY_LEN(passed_errors); i++) {
        char name[64];
        snprintf(name, sizeof name, "= /_edge/%d/%s", passed_errors[i].status, region);
        edge_put_answer(b, c, name, passed_errors[i].status, passed_errors[i].kind,
                        passed_errors[i].message, region);
    }
}
