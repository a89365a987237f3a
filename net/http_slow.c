// SPDX-License-Identifier: Apache-2.0
// A body that is not waited for any longer: what is said then, and how. libmicrohttpd takes no
// answer while a body comes, so this one is written to the connection past it: nothing else was,
// and nothing else will be. The edge hands it on and hangs up; who does not is hung up on. Called
// by http_strand.c on the strand.
#include "net/http_priv.h"

#include "base/clock.h"
#include "net/refuse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct pace_rule http_slow_rule(const struct http_server *s, const struct http_plan *plan)
{
    if (plan->kind == HTTP_PLAN_STREAM)
        return (struct pace_rule){s->options.body_bytes_s, s->options.body_window_ms};
    return (struct pace_rule){HTTP_SLOW_BYTES_S, s->options.slow_body_ms};
}

static void slow(struct http_exchange *ex, struct http_response *resp)
{
    unsigned rate = ex->pace.rule.bytes_s;
    if (!rate)
        rate = 1;
    http_refuse(&ex->req, resp, 408, REFUSED_UNSUPPORTED,
                "the body came too slowly: fewer than %u bytes a second. What came of an upload is "
                "kept: GET its location "
                "for how much that is, and go on from there",
                rate);
}

void http_slow_response(struct http_exchange *ex, struct http_response *resp)
{
    if (ex->give_up == 408) {
        slow(ex, resp);
        return;
    }
    http_refuse(&ex->req, resp, ex->give_up, REFUSED_UNAVAILABLE,
                "the region is being restarted or stopped, and the body was not here in time. What "
                "came of an upload is "
                "kept: GET its location for how much that is, and go on from there");
    (void)http_response_header(&ex->req, resp, "Retry-After", "1");
}

static const char *reason_of(int status)
{
    if (status == 408)
        return "Request Timeout";
    return "Service Unavailable";
}

static void put_head(struct buf *b, const struct http_request *req,
                     const struct http_response *resp)
{
    buf_printf(b, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n", resp->status,
               reason_of(resp->status), resp->body.n);
    if (resp->content_type)
        buf_printf(b, "Content-Type: %s\r\n", resp->content_type);
    for (const struct http_header *h = resp->headers; h; h = h->next)
        buf_printf(b, "%s: %s\r\n", h->name, h->value);
    if (!http_response_get(resp, "X-Meridian-Request-Id"))
        buf_printf(b, "X-Meridian-Request-Id: %s\r\n", req->request_id);
    if (req->refused_code)
        buf_printf(b, HTTP_HEADER_REASON ": %s\r\n", req->refused_code);
    if (req->principal && *req->principal)
        buf_printf(b, HTTP_HEADER_PRINCIPAL ": %s\r\n", req->principal);
    buf_str(b, "\r\n");
}

void http_slow_tell(struct http_exchange *ex, const struct http_response *resp)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 64 << 10);
    put_head(&b, &ex->req, resp);
    buf_add(&b, resp->body.p, resp->body.n);
    ex->told = true;
    ex->hang_up_ms = clock_mono_ms() + HTTP_LINGER_MS;
    ssize_t n = -1;
    if (!b.err)
        n = send(ex->conn_fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != (ssize_t)b.n) // a client that left, or memory: the connection is cut
        ex->hang_up_ms = 0;
}
