// SPDX-License-Identifier: Apache-2.0
// How a request ended, for the audit log: what the row of the route table calls an event, done,
// refused or failed; and what was refused to readers. A challenge to a caller who showed no
// credential is no refusal, since every client begins with one, and what is not there is none.
#include "registry/registry_priv.h"

#include <string.h>

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

// Of a push the tags beside the path's reference; of a refusal what the log knows more. NULL: none.
static const char *detail_of(const struct op *op, bool refused)
{
    const char *text = NULL;
    if (refused)
        return op->req->refused_detail;
    for (size_t i = 0; i < op->n_tags; i++)
        text = arena_printf(&op->req->arena, "%s%s%s", text ? text : "tags ", text ? ", " : "",
                            op->tags[i]);
    return text;
}

void op_ended(struct op *op, const struct http_response *resp)
{
    struct digest digest;
    if (!op->s->audit)
        return;
    const char *what = event_of(op, resp->status);
    if (!what)
        return;
    const struct http_request *req = op->req;
    const bool refused = resp->status >= 400;
    const struct audit_event e = {.what = what,
                                  .outcome = outcome_of(resp->status),
                                  .principal = caller(op),
                                  .client = req->client,
                                  .registry = op->registry,
                                  .repository = op->route.name,
                                  .reference = op->route.tag,
                                  .digest = digest_of_answer(op, resp, &digest),
                                  .code = refused ? req->refused_code : NULL,
                                  .why = refused ? req->refused_why : NULL,
                                  .detail = detail_of(op, refused),
                                  .request_id = req->request_id,
                                  .stranger = !*caller(op)};
    audit_write(op->s->audit, &e);
}
