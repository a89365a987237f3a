// SPDX-License-Identifier: Apache-2.0
// The registry's front door; see registry.h. `begin` runs on an HTTP thread and is pure CPU: what
// the path means, whether the method fits, who asks and what for; then a handler fills the plan.
// All that touches disk or database runs on the pool through op_run.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MANIFEST_MAX_DEFAULT (4u << 20)

int registry_service_new(const struct registry_service_options *o, struct registry_service **out)
{
    if (!hostname_region_ok(o->region) || !o->url_key || !o->blobs || !o->meta)
        return ERR_INVAL;
    struct registry_service *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    snprintf(s->region, sizeof s->region, "%s", o->region);
    s->blobs = o->blobs;
    s->meta = o->meta;
    s->space = o->space;
    s->pool = o->pool;
    s->on_fault = o->on_fault;
    s->on_fault_ctx = o->on_fault_ctx;
    s->on_lost = o->on_lost;
    s->on_lost_ctx = o->on_lost_ctx;
    s->uploads = o->uploads;
    if (o->upload_idle_s)
        s->upload_idle_s = o->upload_idle_s;
    else
        s->upload_idle_s = 86400;
    if (o->manifest_max_bytes)
        s->manifest_max_bytes = o->manifest_max_bytes;
    else
        s->manifest_max_bytes = MANIFEST_MAX_DEFAULT;
    memcpy(s->url_key, o->url_key, sizeof s->url_key);
    open_uploads_init(&s->open_uploads);
    open_uploads_open_after(&s->open_uploads, o->forerunner_ms);
    busy_init(&s->busy);
    *out = s;
    return 0;
}

void registry_service_free(struct registry_service *s)
{
    if (!s)
        return;
    open_uploads_done(&s->open_uploads);
    busy_done(&s->busy);
    explicit_bzero(s->url_key, sizeof s->url_key);
    free(s);
}

static void op_run(struct http_request *req, struct http_response *resp)
{
    struct op *op = req->ctx;
    op->act(op, resp);
    if (!op->failed)
        return;
    int rc = op->failed; // an answer without one of its headers would say something else
    *resp = (struct http_response){0};
    answer_error(op, resp, rc, "answering");
}

void op_plan(struct op *op, struct http_plan *plan, enum http_plan_kind kind,
             void (*act)(struct op *op, struct http_response *resp))
{
    op->act = act;
    plan->kind = kind;
    plan->run = op_run;
    plan->ctx = op;
    plan->pool = op->s->pool;
    plan->name = op->principal;
}

static bool host_is(const struct hostname *h, enum name_kind kind)
{
    return hostname_public_of(h->kind) == kind;
}

// Where this request was sent to, and where uploads go on: on the global name, with regional
// endpoints on, at this region's own name, so that a push stays where it began.
static int hosts_set(struct op *op, const struct topology *t, const struct registry *reg,
                     const struct hostname *host)
{
    char here[HOSTNAME_TEXT_SIZE], upload[HOSTNAME_TEXT_SIZE], port[8] = "";
    struct arena *a = &op->req->arena;
    bool moves = reg->regional_endpoints && host_is(host, NAME_GLOBAL);
    enum name_kind kind = host->kind;
    if (moves) {
        if (host->kind == NAME_GLOBAL)
            kind = NAME_REGIONAL;
        else
            kind = NAME_REGIONAL_PRIVATE;
    }
    if (hostname_format(host->kind, t->domain, host->label, host->region, host->stamp, here) ||
        hostname_format(kind, t->domain, host->label, moves ? op->s->region : host->region, NULL,
                        upload))
        return ERR_INVAL;
    if (t->https_port != 443)
        snprintf(port, sizeof port, ":%u", t->https_port);
    op->sign = moves;
    op->here = arena_printf(a, "https://%s%s", here, port);
    op->upload_host = arena_strdup(a, upload);
    op->upload_here = arena_printf(a, "https://%s%s", upload, port);
    op->registry = arena_strdup(a, reg->name);
    op->label = arena_strdup(a, reg->label);
    if (op->here && op->upload_host && op->upload_here && op->registry && op->label)
        return 0;
    return ERR_NOMEM;
}

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
    const char *value = http_query_get(op->req, SIGNED_URL_PARAMETER, 0);
    if (!value || op->route.kind != ROUTE_UPLOAD || op->route.fault || host_called(op, t, name))
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

static bool writes(const struct op *op)
{
    return op->route.kind == ROUTE_UPLOADS || op->route.kind == ROUTE_UPLOAD ||
           op->req->method == HTTP_PUT;
}

static bool permitted(const struct op *op)
{
    const struct access *acc = &op->access;
    switch (op->route.kind) {
    // without a token always a challenge, also where pulling is free for all: containers/image
    // takes challenges from here alone, and docker login checks a password against it
    case ROUTE_BASE:
        return acc->token_id || acc->peer;
    case ROUTE_CATALOG:
        for (size_t i = 0; i < acc->n_grants; i++)
            if (!strcmp(acc->grants[i].repository, "*") &&
                (acc->grants[i].actions & ACTION_CATALOG))
                return true;
        return acc->everywhere & ACTION_CATALOG;
    default:
        if (!op->route.name) // NAME_INVALID, or no such path: told to whoever may be here at all
            return acc->token_id || acc->peer || acc->everywhere;
        return access_actions(acc, op->route.name) & (writes(op) ? ACTION_PUSH : ACTION_PULL);
    }
}

static const char *scope_of(struct op *op)
{
    struct arena *a = &op->req->arena;
    if (op->route.kind == ROUTE_CATALOG)
        return "registry:catalog:*";
    if (!op->route.name)
        return NULL;
    if (op->mount_from)
        return arena_printf(a, "repository:%s:pull,push repository:%s:pull", op->route.name,
                            op->mount_from);
    return arena_printf(a, "repository:%s:%s", op->route.name, writes(op) ? "pull,push" : "pull");
}

static void mount_read(struct op *op)
{
    if (op->route.kind != ROUTE_UPLOADS || op->req->method != HTTP_POST)
        return;
    const char *from = http_query_get(op->req, "from", 0);
    op->mount = http_query_get(op->req, "mount", 0) != NULL;
    if (op->mount && from && repository_name_ok(from, strlen(from)))
        op->mount_from = from;
    else if (from && *from)
        op->mount = false; // from nowhere: an ordinary start
}

// False: answered with a challenge.
static bool admitted(struct op *op, const struct topology *t, const struct registry *reg,
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
        else
            op->principal = "";
        return true;
    }
    if (!rc && op->access.token_id && op->route.kind != ROUTE_BASE)
        rc = ERR_DENIED;
    auth_challenge(op->req, t, host, scope_of(op), rc, resp);
    return false;
}

static void base_reply(struct op *op, struct http_response *resp)
{
    http_response_bytes(resp, 200, "application/json", bytes_str("{}"));
    answer_header(op, resp, "Docker-Distribution-Api-Version", "registry/2.0");
}

static void not_here(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 404, OCI_UNSUPPORTED, NULL, "%s", why);
}

static void dispatch(struct op *op, struct http_plan *plan)
{
    struct http_response *resp = &plan->response;
    switch (op->route.kind) {
    case ROUTE_NONE:
        not_here(op, resp, "no such path");
        break;
    case ROUTE_BASE:
        base_reply(op, resp);
        break;
    case ROUTE_CATALOG:
        op_plan(op, plan, HTTP_PLAN_RUN, catalog_read);
        break;
    case ROUTE_TAGS:
        op_plan(op, plan, HTTP_PLAN_RUN, tags_read);
        break;
    case ROUTE_MANIFEST:
        // The content and what is parsed from it hang off the request: its ceiling grows by what a
        // manifest may need.
        if (op->req->arena.max_bytes)
            op->req->arena.max_bytes += 2 * op->s->manifest_max_bytes + (4u << 20);
        if (op->req->method == HTTP_PUT)
            manifest_put_begin(op, plan);
        else
            op_plan(op, plan, HTTP_PLAN_RUN, manifest_read);
        break;
    case ROUTE_BLOB:
        op_plan(op, plan, HTTP_PLAN_RUN, blob_read);
        break;
    case ROUTE_UPLOADS:
        uploads_begin(op, plan);
        break;
    case ROUTE_UPLOAD:
        upload_begin(op, plan);
        break;
    // as the specification says for registries without it: clients fall back to the tag schema
    case ROUTE_REFERRERS:
        not_here(op, resp, "the referrers API is not offered here");
        break;
    }
}

// Every escape is whole and none is a NUL. A parameter that cannot be decoded must not count as one
// that is absent.
static bool query_ok(const char *q)
{
    for (const char *p = q; (p = strchr(p, '%')); p += 3)
        if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]) ||
            (p[1] == '0' && p[2] == '0'))
            return false;
    return true;
}

static int op_new(struct registry_service *s, struct http_request *req, const struct topology *t,
                  const struct registry *reg, const struct hostname *host, struct op **out)
{
    struct op *op = arena_alloc(&req->arena, sizeof *op);
    if (!op)
        return ERR_NOMEM;
    op->s = s;
    op->req = req;
    op->principal = "";
    op->sole_replica = reg->n_replicas == 1;
    int rc = route_parse(&req->arena, req->path, &op->route);
    if (!rc)
        rc = hosts_set(op, t, reg, host);
    if (rc)
        return rc;
    mount_read(op);
    *out = op;
    return 0;
}

void registry_service_begin(struct registry_service *s, struct http_request *req,
                            const struct topology *t, const struct registry *reg,
                            const struct hostname *host, struct http_plan *plan)
{
    struct http_response *resp = &plan->response;
    struct op *op = NULL;
    plan->kind = HTTP_PLAN_REPLY;
    int rc = op_new(s, req, t, reg, host, &op);
    if (rc == ERR_INVAL) {
        oci_error(req, resp, 421, OCI_UNSUPPORTED, NULL,
                  "this host is not an endpoint of a registry");
        return;
    }
    if (rc) {
        oci_error(req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "too much work is waiting here; try again");
        return;
    }
    bool data = host_is(host, NAME_DATA);
    if (data && op->route.kind != ROUTE_BLOB)
        not_here(op, resp, "a data host serves blobs only");
    else if (op->route.kind != ROUTE_NONE && !route_method_ok(&op->route, req->method))
        answer_method(op, resp);
    else if (admitted(op, t, reg, host, resp)) {
        if (op->route.kind != ROUTE_NONE && op->route.fault)
            answer_fault(op, resp);
        else if (!query_ok(req->query))
            answer_query(op, resp);
        else
            dispatch(op, plan);
    }
    if (op->failed && plan->kind == HTTP_PLAN_REPLY) {
        *resp = (struct http_response){0};
        oci_error(req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "too much work is waiting here; try again");
    }
}
