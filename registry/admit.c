// SPDX-License-Identifier: Apache-2.0
// Authenticates the caller, and holds the token or signed URL against the row of the route table.
// Pure, on HTTP threads.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <string.h>

// The host that the client named, in the form in which signatures cover it. Two spellings of one
// name are one host, and nothing else is: case and one final dot do not count, nor does the port,
// which the edge's listeners have judged.
static int host_called(const struct op *op, const struct topology *t, char out[HOSTNAME_TEXT_SIZE])
{
    struct hostname h;
    hostname_parse_http_host(op->req->host, t->domain, &h);
    return hostname_format(h.kind, t->domain, h.label, h.region, h.stamp, out);
}

// A valid signature is authority by itself and wins over a Bearer that has gone stale. It holds at
// the host that stands in its URL, as the request's own Host header says it, and not at the same
// region's other names.
static bool signature_holds(struct op *op, const struct topology *t)
{
    char name[HOSTNAME_TEXT_SIZE];
    if (!op->row || !op->row->by_signature || op->route.fault)
        return false;
    const char *value = http_query_get(op->req, SIGNED_URL_PARAMETER, 0);
    if (!value || host_called(op, t, name))
        return false;
    struct signed_url u = {.kind = "upload",
                           .methods = SIGNED_URL_UPLOAD_METHODS,
                           .host = name,
                           .registry = op->registry,
                           .repository = op->route.name,
                           .upload_id = op->route.upload_id};
    if (signed_url_check(op->s->url_key, &u, value, clock_wall_ms(), &op->req->arena,
                         &op->principal))
        return false;
    op->sign = true; // the next Location carries one again
    op->req->principal = op->principal;
    return true;
}

static bool holds_catalog(const struct access *acc)
{
    for (size_t i = 0; i < acc->n_grants; i++)
        if (!strcmp(acc->grants[i].repository, "*") && (acc->grants[i].actions & ACTION_CATALOG))
            return true;
    return acc->everywhere & ACTION_CATALOG;
}

static bool permitted(const struct op *op)
{
    const struct access *acc = &op->access;
    bool known = acc->token_id || acc->peer;
    // Without a token /v2/ is always a challenge, also where pulling is free for all:
    // containers/image takes challenges from here alone, and docker login checks a password against
    // it.
    if (op->row && !op->row->action)
        return known;
    if (op->row && op->row->action == ACTION_CATALOG)
        return holds_catalog(acc);
    // NAME_INVALID, or no such path: any caller who may be here is told so
    if (!op->row || !op->route.name)
        return known || acc->everywhere;
    return access_actions(acc, op->route.name) & op->row->action;
}

// NULL: none, or no memory for it.
static const char *scope_of(struct op *op)
{
    struct arena *a = &op->req->arena;
    if (!op->row || !op->row->asks)
        return NULL;
    if (op->row->action == ACTION_CATALOG)
        return arena_printf(a, "registry:catalog:%s", op->row->asks);
    if (!op->route.name)
        return NULL;
    if (op->mount_from)
        return arena_printf(a, "repository:%s:%s repository:%s:pull", op->route.name, op->row->asks,
                            op->mount_from);
    return arena_printf(a, "repository:%s:%s", op->route.name, op->row->asks);
}

bool op_admitted(struct op *op, const struct topology *t, const struct registry *reg,
                 const struct hostname *host, struct http_response *resp)
{
    if (signature_holds(op, t))
        return true;
    int rc = auth_check(t, reg, op->req, clock_wall_ms(), &op->access);
    if (rc == ERR_NOMEM) {
        answer_error(op, resp, rc, "checking a token");
        return false;
    }
    if (!rc && permitted(op)) {
        if (op->access.principal)
            op->principal = op->access.principal;
        return true;
    }
    if (!rc && op->access.token_id && op->route.kind != ROUTE_BASE)
        rc = ERR_DENIED;
    auth_challenge(op->req, t, host, scope_of(op), rc, resp);
    return false;
}
