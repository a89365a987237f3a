// SPDX-License-Identifier: Apache-2.0
// How a request ended, for the metrics and for the audit log. The log has: what the row of the route table calls an event, done,
// refused or failed; and what was refused to readers. A challenge to a caller who showed no
// credential is no refusal, since every client begins with one, and what is not there is none.
#include "registry/registry_priv.h"

#include "net/traffic.h"

#include <stdlib.h>
#include <string.h>

#define UNACKED "stored, not acknowledged"

static bool credential_shown(const struct op *op)
{
    return http_header_get(op->req, "Authorization") ||
           (op->row && op->row->by_signature && http_query_get(op->req, SIGNED_URL_PARAMETER, 0));
}

static bool is_refusal(const struct op *op, int status)
{
    if (status == 401)
        return credential_shown(op);
    return status == 403 || status == 429;
}

// "": nobody in particular. Also of one who may not do this.
static const char *caller(const struct op *op)
{
    if (!*op->principal && op->access.principal)
        return op->access.principal;
    return op->principal;
}

// NULL: nothing to say.
static const char *event_of(const struct op *op, int status)
{
    const char *event = op->event;
    if (!event && op->row)
        event = op->row->event;
    if (event && *caller(op)) {
        // an upload that is only begun, or goes on
        if (status == 202 && op->row->route == ROUTE_UPLOADS)
            return NULL;
        return event;
    }
    if (is_refusal(op, status))
        return "refusal";
    return NULL;
}

static const char *outcome_of(int status)
{
    if (status < 400)
        return "done";
    if (status < 500)
        return "refused";
    return "failed";
}

// Of what was written the digest that the answer names; else what the path names.
static const struct digest *digest_of_answer(const struct op *op, const struct http_response *resp,
                                             struct digest *buf)
{
    const char *text = http_response_get(resp, "Docker-Content-Digest");
    if (text && !digest_parse(text, strlen(text), buf))
        return buf;
    if (op->route.digest.n)
        return &op->route.digest;
    return &op->digest;
}

// Of a push the tags beside the path's reference, and whether it waits to be acknowledged; of a refusal
// what the log knows more. NULL: none.
static const char *detail_of(const struct op *op, bool refused)
{
    struct arena *a = &op->req->arena;
    const char *text = NULL;
    if (refused)
        return op->req->refused_detail;
    for (size_t i = 0; i < op->n_tags; i++)
        text = arena_printf(a, "%s%s%s", text ? text : "tags ", text ? ", " : "", op->tags[i]);
    if (!ack_stands(op))
        return text;
    return text ? arena_printf(a, UNACKED "; %s", text) : UNACKED;
}

// ---- counters ----

uint8_t op_traffic_kind(const struct op *op)
{
    static const uint8_t kinds[N_ROUTES] = {
        [ROUTE_NONE] = TRAFFIC_OTHER,          [ROUTE_BASE] = TRAFFIC_BASE,
        [ROUTE_CATALOG] = TRAFFIC_CATALOG,     [ROUTE_TAGS] = TRAFFIC_TAGS,
        [ROUTE_MANIFEST] = TRAFFIC_MANIFEST,   [ROUTE_BLOB] = TRAFFIC_BLOB,
        [ROUTE_UPLOADS] = TRAFFIC_UPLOAD,      [ROUTE_UPLOAD] = TRAFFIC_UPLOAD,
        [ROUTE_REFERRERS] = TRAFFIC_REFERRERS, [ROUTE_X_AUDIT] = TRAFFIC_AUDIT};
    if (op->route.kind > ROUTE_REFERRERS && op->route.kind != ROUTE_X_AUDIT)
        return TRAFFIC_DETAILS;
    return kinds[op->route.kind];
}

// Of the blob that the edge sends: "bytes=A-B", "bytes=A-" or "bytes=-N"; else all of it. An estimate
// where the client leaves early, or the edge finds another fault with the range.
static uint64_t bytes_sent(const struct op *op)
{
    const char *range = http_header_get(op->req, "Range");
    uint64_t size = op->blob_bytes;
    char *end;
    if (!range || strncmp(range, "bytes=", 6) != 0 || strchr(range, ','))
        return size;
    range += 6;
    if (*range == '-') {
        uint64_t last = strtoull(range + 1, NULL, 10);
        return last < size ? last : size;
    }
    uint64_t from = strtoull(range, &end, 10), to = size;
    if (*end != '-' || from >= size)
        return 0;
    if (end[1])
        to = strtoull(end + 1, NULL, 10) + 1;
    if (to > size)
        to = size;
    return to > from ? to - from : 0;
}

static uint64_t bytes_out(const struct op *op, const struct http_response *resp)
{
    if (op->req->method == HTTP_HEAD)
        return 0;
    if (resp->kind == HTTP_ACCEL)
        return bytes_sent(op);
    if (resp->kind == HTTP_BYTES)
        return resp->body.n;
    return 0;
}

static void count_read(const struct op *op, const struct http_response *resp)
{
    if (resp->status != 200 || op->req->method != HTTP_GET)
        return;
    if (op->route.kind == ROUTE_MANIFEST)
        traffic_add(TRAFFIC_PULLS, 1);
    if (op->route.kind == ROUTE_BLOB)
        traffic_add(TRAFFIC_PULLED_BLOBS, 1);
}

static void count_event(const struct op *op, const struct http_response *resp)
{
    const char *event = op->event;
    if (!event)
        event = op->row->event;
    if (resp->status >= 300 || (op->row->route == ROUTE_UPLOADS && resp->status != 201))
        return;
    if (!strcmp(event, "push"))
        traffic_add(TRAFFIC_PUSHES, 1);
    if (!strcmp(event, "upload"))
        traffic_add(TRAFFIC_PUSHED_BLOBS, 1);
    if (!strcmp(event, "mount"))
        traffic_add(TRAFFIC_MOUNTED_BLOBS, 1);
    if (!strcmp(event, "delete"))
        traffic_add(TRAFFIC_DELETES, 1);
}

static void count(const struct op *op, const struct http_response *resp)
{
    uint64_t in = op->io.received + op->req->body.n, out = bytes_out(op, resp);
    if (in)
        traffic_add(TRAFFIC_BYTES_IN, in);
    if (out)
        traffic_add(TRAFFIC_BYTES_OUT, out);
    if (op->row && op->row->event)
        count_event(op, resp);
    else
        count_read(op, resp);
}

void op_ended(struct op *op, const struct http_response *resp)
{
    struct digest digest;
    count(op, resp);
    if (!op->s->audit)
        return;
    const char *what = event_of(op, resp->status);
    if (!what)
        return;
    const struct http_request *req = op->req;
    const struct http_response *stands = ack_stands(op);
    // what the client got says nothing of what was written
    const bool refused = resp->status >= 400 && !stands;
    const struct audit_event e = {.what = what,
                                  .outcome = stands ? "done" : outcome_of(resp->status),
                                  .principal = caller(op),
                                  .client = req->client,
                                  .private_endpoint = req->private_endpoint,
                                  .registry = op->registry,
                                  .repository = op->route.name,
                                  .reference = op->route.tag,
                                  .digest = digest_of_answer(op, stands ? stands : resp, &digest),
                                  .code = refused ? req->refused_code : NULL,
                                  .why = refused ? req->refused_why : NULL,
                                  .detail = detail_of(op, refused),
                                  .request_id = req->request_id,
                                  .stranger = !*caller(op)};
    audit_write(op->s->audit, &e);
}
