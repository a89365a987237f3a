// SPDX-License-Identifier: Apache-2.0
// Authenticates the caller, and holds the token or signed URL against the row of the route table.
// Pure, on HTTP threads.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/traffic.h"

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

// What a signature of this route must cover, but for the host.
static struct signed_url url_of(const struct op *op, char digest[DIGEST_TEXT_SIZE])
{
    struct signed_url u = {.registry = op->registry, .repository = op->route.name};
    if (op->route.kind == ROUTE_BLOB) {
        u.kind = "blob";
        u.methods = SIGNED_URL_BLOB_METHODS;
        u.object = digest_format(&op->route.digest, digest);
    } else {
        u.kind = "upload";
        u.methods = SIGNED_URL_UPLOAD_METHODS;
        u.object = op->route.upload_id;
    }
    return u;
}

// A signature may outlive the token that it was given for, but not its user: of one who is disabled
// or gone it holds no more. Anonymous callers, regions and workloads of an issuer are no users.
static bool holder_stands(const struct op *op, const char *name)
{
    struct principals *p = NULL;
    if (op->s->principals && *name && !strchr(name, ':'))
        p = snapshot_get(op->s->principals);
    if (!p)
        return true;
    const struct principal *who = principals_find(p, name);
    bool stands = who && who->enabled;
    snapshot_unref(p);
    return stands;
}

// A valid signature is authority by itself and wins over a Bearer that has gone stale. It holds at
// the host that stands in its URL, as the request's own Host header says it, and not at the same
// region's other names. ERR_NOTFOUND: there is none; ERR_AUTH, ERR_EXPIRED: it does not hold.
static int signature_judge(struct op *op, const struct topology *t)
{
    char name[HOSTNAME_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
    if (!op->row || !op->row->by_signature || op->route.fault)
        return ERR_NOTFOUND;
    const char *value = http_query_get(op->req, SIGNED_URL_PARAMETER, 0);
    if (!value || host_called(op, t, name))
        return ERR_NOTFOUND;
    struct signed_url u = url_of(op, digest);
    u.host = name;
    int rc = signed_url_check(op->s->url_key, &u, value, clock_wall_ms(), &op->req->arena,
                              &op->principal);
    if (!rc && !holder_stands(op, op->principal)) {
        http_request_detail(op->req, "the signature was given to %s, who is disabled or gone",
                            op->principal);
        return ERR_AUTH;
    }
    if (!rc)
        op->req->principal = op->principal;
    return rc;
}

// The signature is the only authority on a data host. A Bearer, which some clients send along, says
// nothing there: what a registry's name refuses cannot be had there either.
static bool admitted_to_data(struct op *op, const struct topology *t, const struct hostname *host,
                             struct http_response *resp)
{
    char registry[HOSTNAME_TEXT_SIZE];
    int rc = signature_judge(op, t);
    if (!rc)
        return true;
    if (rc == ERR_NOMEM ||
        hostname_format(NAME_GLOBAL, t->domain, host->label, NULL, NULL, registry))
        answer_error(op, resp, ERR_NOMEM, "checking a signature");
    else if (rc == ERR_EXPIRED)
        oci_error(op->req, resp, 403, OCI_UNAUTHORIZED, NULL,
                  "this URL has expired: ask the registry (%s) for the blob again, which gives a "
                  "fresh one",
                  registry);
    else if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 403, OCI_UNAUTHORIZED, NULL,
                  "a data host serves blobs by signed URLs only: ask the registry (%s) for the "
                  "blob, which gives one",
                  registry);
    else
        oci_error(op->req, resp, 403, OCI_UNAUTHORIZED, NULL,
                  "the signature of this URL does not hold: ask the registry (%s) for the blob "
                  "again, which gives a fresh one",
                  registry);
    return false;
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
    if (op->row && (op->row->action & ACTIONS_OF_REGISTRY))
        return access_registry_actions(acc) & op->row->action;
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
    if (op->row->action == ACTION_AUDIT)
        return arena_printf(a, "registry:audit:%s", op->row->asks);
    if (!op->route.name)
        return NULL;
    if (op->mount_from)
        return arena_printf(a, "repository:%s:%s repository:%s:pull", op->route.name, op->row->asks,
                            op->mount_from);
    return arena_printf(a, "repository:%s:%s", op->route.name, op->row->asks);
}

// --- who may only add ---

// It holds ACTION_ADD there, and nothing that would let it replace what is there.
static bool adds_only(const struct op *op)
{
    unsigned actions = op->route.name ? access_actions(&op->access, op->route.name) : 0;
    return (actions & (ACTION_ADD | ACTION_PUSH)) == ACTION_ADD;
}

// Such a caller reads nothing: a HEAD says that it is not there, whether or not it is, so that
// clients go on and upload it. False: it is another question.
static bool hidden(struct op *op, struct http_response *resp)
{
    bool manifest = op->route.kind == ROUTE_MANIFEST;
    bool read = op->row && op->row->action == ACTION_PULL;
    if (!read || op->route.fault || !adds_only(op))
        return false;
    if (op->req->method != HTTP_HEAD)
        oci_error(op->req, resp, 403, OCI_DENIED, NULL,
                  "this token may add to the repository, and not read it");
    else if (manifest)
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "no such manifest in this repository");
    else
        oci_error(op->req, resp, 404, OCI_BLOB_UNKNOWN, NULL, "no such blob in this repository");
    return true;
}

// Of those who showed a token.
static void count_refusal(int rc)
{
    if (rc == ERR_DENIED)
        traffic_add(TRAFFIC_TOKENS_SCOPE, 1);
    else if (rc == ERR_EXPIRED)
        traffic_add(TRAFFIC_TOKENS_EXPIRED, 1);
    else if (rc)
        traffic_add(TRAFFIC_TOKENS_INVALID, 1);
}

bool op_admitted(struct op *op, const struct topology *t, const struct registry *reg,
                 const struct hostname *host, struct http_response *resp)
{
    if (hostname_public_of(host->kind) == NAME_DATA)
        return admitted_to_data(op, t, host, resp);
    if (!signature_judge(op, t)) {
        op->sign = true;            // the next Location carries one again
        op->may_go_anywhere = true; // it was given on the global name
        return true;
    }
    int rc = auth_check(t, reg, op->req, clock_wall_ms(), op->s->principals, &op->access);
    if (rc == ERR_NOMEM) {
        answer_error(op, resp, rc, "checking a token");
        return false;
    }
    if (!rc && permitted(op)) {
        if (op->access.principal)
            op->principal = op->access.principal;
        op->adds_only = adds_only(op);
        return true;
    }
    if (!rc && hidden(op, resp))
        return false;
    if (!rc && op->access.token_id && op->route.kind != ROUTE_BASE)
        rc = ERR_DENIED;
    count_refusal(rc);
    auth_challenge(op->req, t, host, scope_of(op), rc, resp);
    return false;
}
