// SPDX-License-Identifier: Apache-2.0
// The registry's front door; see registry.h. `begin` runs on an HTTP thread and is pure CPU: what
// the path means, whether the route table has its method (routes.h), who asks and what for
// (admit.c); then the row's handler makes the plan. All that touches disk or database runs on the
// pool (op_plan).
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
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
    s->waiting = o->waiting;
    s->elsewhere = o->elsewhere;
    s->audit = o->audit;
    s->principals = o->principals;
    s->throttle = o->throttle;
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
    unacked_init(&s->unacked);
    int rc = hot_new(s->meta, s->blobs, 0, &s->hot);
    if (rc) {
        registry_service_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void registry_service_free(struct registry_service *s)
{
    if (!s)
        return;
    open_uploads_done(&s->open_uploads);
    busy_done(&s->busy);
    unacked_done(&s->unacked);
    hot_free(s->hot);
    explicit_bzero(s->url_key, sizeof s->url_key);
    free(s);
}

static void dispatch(struct op *op, struct http_plan *plan)
{
    const struct route_row *row = op->row;
    if (row->begin)
        row->begin(op, plan);
    else
        op_plan(op, plan, row->body, row->act);
    assert(plan->kind <= row->body); // a body goes where the route table says, or nowhere
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

// The caller of the route is admitted: what he sent is judged, then the handler has its turn.
static void serve(struct op *op, struct http_plan *plan)
{
    if (!op->row)
        answer_no_path(op, &plan->response, "no such path");
    else if (op->route.fault)
        answer_fault(op, &plan->response);
    else if (!query_ok(op->req->query))
        answer_query(op, &plan->response);
    else
        dispatch(op, plan);
}

static void method_refused(struct op *op, struct http_response *resp)
{
    if (op->req->method == HTTP_DELETE && op->route.kind == ROUTE_BLOB)
        oci_error(op->req, resp, 405, OCI_UNSUPPORTED, NULL,
                  "a blob goes by collection, after the last manifest that refers to it: deleted "
                  "here, it would break another image in another region");
    else
        oci_error(op->req, resp, 405, OCI_UNSUPPORTED, NULL, "this method is not possible here");
    const char *allow = route_allow(op->route.kind, &op->req->arena);
    if (allow)
        answer_header(op, resp, "Allow", "%s", allow);
    else
        op->failed = ERR_NOMEM;
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
    op->row = route_row_find(op->route.kind, req->method);
    req->kind = op_traffic_kind(op);
    if (op->row && op->row->look)
        op->row->look(op);
    if (op_policy_set(op, reg)) { // without it a tag that is immutable would not be
        oci_error(req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "too much work is waiting here; try again");
        return;
    }
    bool data_host = hostname_public_of(host->kind) == NAME_DATA;
    if (data_host && !route_on_data(op->route.kind))
        answer_no_path(op, resp, "a data host serves blobs only");
    else if (!op->row && op->route.kind != ROUTE_NONE)
        method_refused(op, resp);
    else if (op_admitted(op, t, reg, host, resp) && op_within_limits(op, reg, resp))
        serve(op, plan);
    if (plan->kind != HTTP_PLAN_REPLY)
        return;
    if (op->failed) {
        *resp = (struct http_response){0};
        oci_error(req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "too much work is waiting here; try again");
    }
    op_ended(op, resp);
}
