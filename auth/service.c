// SPDX-License-Identifier: Apache-2.0
// The token endpoint; see service.h. HTTP threads answer at once what needs no password hash, by
// GET and (once its body is in) by POST: anonymous questions, refresh tokens, credentials verified
// before, refusals. So none of these ever waits for a hash. The rest goes to the service's own few
// workers, which step back before all other threads; the queue ahead of them is bounded and fair,
// by the client's network and then by the name that is tried (net/fair.h).
#include "auth/service_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/traffic.h"

#include <string.h>

#define FORM_MAX_BYTES (16u << 10) // twice the longest token and the scopes

static int workers_start(struct auth_service *s)
{
    struct pool_options o = {
        .name = "password", .n_threads = 2, .max_waiting = 512, .steps_back = true};
    if (s->o.n_workers)
        o.n_threads = s->o.n_workers;
    if (s->o.max_waiting)
        o.max_waiting = s->o.max_waiting;
    o.max_per_network = o.max_waiting;
    if (o.max_waiting >= 8)
        o.max_per_network = o.max_waiting / 8;
    s->pool = pool_new(&o);
    if (s->pool)
        return 0;
    return ERR_NOMEM;
}

int auth_service_start(const struct auth_service_options *o, struct auth_service **out)
{
    struct auth_service *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->o = *o;
    s->region = mem_strdup(o->region);
    s->o.region = s->region;
    int rc = ERR_NOMEM;
    if (s->region)
        rc = passwords_new(&s->passwords);
    if (!rc)
        rc = workers_start(s);
    if (!rc)
        rc = exchange_start(s);
    if (rc) {
        auth_service_stop(s);
        return rc;
    }
    *out = s;
    return 0;
}

void auth_service_stop(struct auth_service *s)
{
    if (!s)
        return;
    if (s->pool)
        pool_free(s->pool);
    exchange_stop(s);
    passwords_free(s->passwords);
    free(s->region);
    free(s);
}

bool auth_principals_stale(int64_t age_ms, uint32_t max_stale_s)
{
    return age_ms > (int64_t)max_stale_s * 1000;
}

// Answers, or ERR_BUSY with nothing done when it would have to hash and may not.
static int answer(struct call *c, struct http_request *req, struct http_response *resp,
                  bool may_hash)
{
    uint64_t generation = snapshot_generation(c->s->o.principals);
    struct principals *all = NULL;
    const struct principal *who = NULL;
    int rc = call_principals(c, &all);
    if (!rc)
        rc = call_judge(c, req, all, generation, may_hash, &who);
    if (!rc && who)
        req->principal = arena_strdup(&req->arena, who->name);
    bool within = rc || !who || call_within_limits(c, req, resp, who);
    if (!rc && within)
        call_grant(c, req, resp, who, c->refresh);
    else if (rc && (rc != ERR_BUSY || may_hash))
        call_refuse_code(c, req, resp, rc);
    snapshot_unref(all);
    if (rc == ERR_BUSY)
        return rc;
    return 0;
}

static void hash_run(struct http_request *req, struct http_response *resp)
{
    answer(req->ctx, req, resp, true);
}

static void call_done(struct http_request *req)
{
    struct call *c = req->ctx;
    snapshot_unref(c->held);
}

// The call outlives begin: for its body, for a hash, or both.
static void plan_later(struct call *c, struct http_plan *plan, enum http_plan_kind kind)
{
    c->held = snapshot_ref((struct topology *)c->t);
    plan->kind = kind;
    plan->run = hash_run;
    plan->done = call_done;
    plan->ctx = c;
    plan->pool = c->s->pool;
    plan->name = c->user;
    plan->busy_status = 429;
    plan->for_answer = true;
    plan->goes_on = true;
}

static void begin_get(struct call *c, struct http_request *req, struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    if (!question_of_get(c, req, &plan->response))
        return;
    if (answer(c, req, &plan->response, false) == ERR_BUSY)
        plan_later(c, plan, HTTP_PLAN_RUN);
}

static void post_collected(struct http_request *req, struct http_plan *plan)
{
    struct call *c = req->ctx;
    if (question_of_form(c, req, &plan->response) &&
        answer(c, req, &plan->response, false) == ERR_BUSY)
        plan->name = c->user; // the hash alone is left
    else
        plan->kind = HTTP_PLAN_REPLY;
}

static void begin_post(struct call *c, struct http_request *req, struct http_plan *plan)
{
    if (!question_form_type_ok(http_header_get(req, "Content-Type"))) {
        plan->kind = HTTP_PLAN_REPLY;
        call_refuse(c, req, &plan->response, 400, "invalid_request", REFUSED_UNSUPPORTED,
                    "the body must be application/x-www-form-urlencoded");
        return;
    }
    plan_later(c, plan, HTTP_PLAN_COLLECT);
    plan->collected = post_collected;
    plan->body_max = FORM_MAX_BYTES;
}

void auth_service_begin(struct auth_service *s, struct http_request *req, const struct topology *t,
                        const struct registry *reg, const struct hostname *host,
                        struct http_plan *plan)
{
    (void)host; // tokens are the same at every endpoint of a registry
    plan->kind = HTTP_PLAN_REPLY;
    req->kind = TRAFFIC_TOKEN;
    struct call *c = arena_alloc(&req->arena, sizeof *c);
    const char *service;
    if (!c || token_service(t, reg, &req->arena, &service)) {
        http_refuse(req, &plan->response, 500, REFUSED_FAILED, "out of memory");
        return;
    }
    *c = (struct call){.s = s, .t = t, .r = reg, .service = service};
    c->post = req->method == HTTP_POST;
    const struct region *here = topology_region(t, s->region);
    bool exchange = !strcmp(req->path, "/oauth2/exchange");
    if (!here || !registry_replica(reg, here->index)) {
        call_refuse(c, req, &plan->response, 421, "invalid_request", REFUSED_UNSUPPORTED,
                    "this registry has no replica here");
    } else if (!call_within_limits(c, req, &plan->response, NULL)) {
        return;
    } else if (exchange) {
        exchange_begin(c, req, plan);
    } else if (strcmp(req->path, "/oauth2/token")) {
        call_refuse(c, req, &plan->response, 404, "invalid_request", REFUSED_UNSUPPORTED,
                    "tokens are at /oauth2/token and /oauth2/exchange");
    } else if (req->method == HTTP_GET) {
        begin_get(c, req, plan);
    } else if (req->method == HTTP_POST) {
        begin_post(c, req, plan);
    } else {
        call_refuse(c, req, &plan->response, 405, "invalid_request", REFUSED_UNSUPPORTED,
                    "the token endpoint takes GET and POST");
        http_response_header(req, &plan->response, "Allow", "GET, POST");
    }
}
