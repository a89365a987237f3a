// SPDX-License-Identifier: Apache-2.0
// The admin listener (listen.admin): the admin API from afar, behind the edge, over a socket that
// nothing of the public or the peer listener reaches. See admin_route.h for what may be called.
//
//   POST /v1/token                  name and password of a token of the fleet -> a bearer, five
//                                   minutes (auth/admin_login.h)
//   rows with ADMIN_READ, _DRAIN    with such a bearer, judged anew at each call by this node's own
//                                   principals
//   rows with ADMIN_SIGNED          without one: the signature in the body says who asks
//   rows with ADMIN_BY_ID           without one: how far an operation is, by its id. With one, which
//                                   is judged, its end may be waited for
//   all others                      are not served here
//
// The edge of this region, and whoever holds it, sees and may repeat what comes here: so a bearer
// changes nothing but whether this region is drained. Every call is in the audit log.
//
// begin runs on an HTTP thread; handlers run on a pool of the listener's own, so that neither
// clients nor operators wait for the others.
#include "daemon/admin_route.h"

#include "auth/admin_login.h"
#include "base/err.h"
#include "net/traffic.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BODY_SMALL (1u << 20) // beyond it a body takes one of the few places
#define BODIES_LARGE 2

struct operator_call {
    struct app *app;
    const struct admin_route *route;
    bool large;
};

static _Atomic unsigned n_large; // bodies under way that have a place

// Every call, with how it ended.
static void tell(const struct app *app, const struct http_request *req, int status, bool stranger)
{
    char what[AUDIT_VALUE_MAX];
    const char *outcome = "done";
    if (status >= 400)
        outcome = "refused";
    if (status >= 500)
        outcome = "failed";
    snprintf(what, sizeof what, "%s %s%s%s", req->method_text, req->path, *req->query ? "?" : "",
             req->query);
    const struct audit_event e = {.what = "admin",
                                  .outcome = outcome,
                                  .principal = req->principal,
                                  .client = req->client,
                                  .code = status >= 400 ? req->refused_code : NULL,
                                  .why = status >= 400 ? req->refused_why : NULL,
                                  .request_id = req->request_id,
                                  .detail = what,
                                  .stranger = stranger};
    audit_write(app->audit, &e);
}

static void run(struct http_request *req, struct http_response *resp)
{
    struct operator_call *call = req->ctx;
    call->route->run(call->app, req, resp);
    tell(call->app, req, resp->status, !req->principal);
}

static void run_done(struct http_request *req)
{
    struct operator_call *call = req->ctx;
    if (call->large)
        atomic_fetch_sub(&n_large, 1);
}

static void refuse_caller(struct app *app, struct http_request *req, struct http_response *resp,
                          int rc)
{
    if (rc == ERR_CLOSED) {
        admin_refuse(req, resp, 503, "Unavailable",
                     "this region has been cut off from its list of users for too long");
    } else if (rc == ERR_AUTH || rc == ERR_EXPIRED) {
        admin_refuse(req, resp, 401, "Unauthorized",
                     "%s; a token of the fleet gets a bearer of this region with its name and "
                     "password: POST /v1/token",
                     rc == ERR_EXPIRED ? "the bearer has expired" : "no bearer that counts here");
        http_response_header(req, resp, "WWW-Authenticate", "Bearer realm=\"meridian admin\"");
    } else {
        admin_refuse(req, resp, 500, "Failed", "out of memory");
    }
    tell(app, req, resp->status, true);
}

// May the caller make this call? False: refused.
static bool may(struct app *app, const struct admin_route *route, struct http_request *req,
                struct http_response *resp)
{
    struct admin_caller who;
    unsigned needed = ADMIN_MAY_READ;
    if (route->reach == ADMIN_SIGNED)
        return true;
    if (route->reach == ADMIN_BY_ID && !http_header_get(req, "Authorization"))
        return true;
    int rc = admin_login_judge(app->operators, req, &who);
    if (rc) {
        refuse_caller(app, req, resp, rc);
        return false;
    }
    if (route->reach == ADMIN_DRAIN)
        needed = ADMIN_MAY_DRAIN;
    if (route->reach == ADMIN_BY_ID)
        return true;
    if (route->reach == ADMIN_LOCAL)
        admin_refuse(req, resp, 403, "Denied",
                     "this is done on the node itself, through its admin socket");
    else if (!(who.rights & needed))
        admin_refuse(req, resp, 403, "Denied", "the token %s does not have the right admin/%s",
                     who.name, needed == ADMIN_MAY_DRAIN ? "drain" : "read");
    else
        return true;
    tell(app, req, 403, false);
    return false;
}

// Room for the body. Strangers may send one: what it may take of memory is bounded for all together.
static bool body_room(struct operator_call *call, struct http_request *req, struct http_plan *plan)
{
    size_t max = call->route->body_max;
    plan->body_max = max;
    if (max <= BODY_SMALL)
        return true;
    if (req->content_length < 0 || (uint64_t)req->content_length <= BODY_SMALL) {
        plan->body_max = BODY_SMALL;
        return true;
    }
    if ((uint64_t)req->content_length > max)
        return true; // the server refuses it
    if (atomic_fetch_add(&n_large, 1) < BODIES_LARGE) {
        call->large = true;
        return true;
    }
    atomic_fetch_sub(&n_large, 1);
    return false;
}

static void plan_route(struct app *app, const struct admin_route *route, struct http_request *req,
                       struct http_plan *plan)
{
    struct operator_call *call = arena_alloc(&req->arena, sizeof *call);
    if (!call) {
        admin_refuse(req, &plan->response, 500, "Failed", "out of memory");
        return;
    }
    *call = (struct operator_call){.app = app, .route = route};
    if (!body_room(call, req, plan)) {
        admin_refuse(req, &plan->response, 503, "Busy",
                     "other large requests are under way: try again");
        tell(app, req, 503, true);
        return;
    }
    size_t body_max = plan->body_max;
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN,
                               .run = run,
                               .done = run_done,
                               .ctx = call,
                               .name = req->principal,
                               .body_max = body_max};
    if (body_max)
        plan->kind = HTTP_PLAN_COLLECT;
}

void app_begin_operator(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct app *app = ctx;
    plan->kind = HTTP_PLAN_REPLY;
    req->kind = TRAFFIC_OTHER;
    if (!strcmp(req->path, "/v1/token")) {
        admin_login_begin(app->operators, req, plan);
        return;
    }
    const struct admin_route *route = admin_route_find(req);
    if (!route) {
        admin_refuse(req, &plan->response, 404, "NotFound", "there is no such call");
        tell(app, req, 404, true);
    } else if (may(app, route, req, &plan->response)) {
        plan_route(app, route, req, plan);
    }
}
