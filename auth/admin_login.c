// SPDX-License-Identifier: Apache-2.0
// Logins at the admin listener; see admin_login.h.
#include "auth/admin_login.h"

#include "auth/passwords_priv.h"
#include "auth/service.h"
#include "auth/token_priv.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_WAITING 64
#define MAX_PER_NETWORK 16
#define RETRY_AFTER_S 2

struct admin_login {
    struct admin_login_options o;
    struct passwords *passwords;
    struct pool *pool;
};

struct call { // one login; hangs off the request's arena
    struct admin_login *l;
    const char *user, *password;
};

int admin_login_start(const struct admin_login_options *o, struct admin_login **out)
{
    struct admin_login *l = mem_zalloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->o = *o;
    int rc = passwords_new(&l->passwords);
    if (!rc)
        l->pool = pool_new(&(struct pool_options){.name = "admin-login",
                                                  .n_threads = 1,
                                                  .max_waiting = MAX_WAITING,
                                                  .max_per_network = MAX_PER_NETWORK,
                                                  .steps_back = true});
    if (rc || !l->pool) {
        admin_login_stop(l);
        return rc ? rc : ERR_NOMEM;
    }
    *out = l;
    return 0;
}

void admin_login_stop(struct admin_login *l)
{
    if (!l)
        return;
    if (l->pool)
        pool_free(l->pool);
    passwords_free(l->passwords);
    free(l);
}

void admin_refuse(struct http_request *req, struct http_response *resp, int status,
                  const char *code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *root = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", text);
    if (!root || http_response_json(req, resp, status, root))
        http_response_text(req, resp, 500, "out of memory\n");
    if (status == 429 || status == 503)
        http_response_header(req, resp, "Retry-After", "%u", RETRY_AFTER_S);
    http_request_refused(req, code, arena_strdup(&req->arena, text));
}

// --- who may ---

struct in_force { // what a call is judged by
    struct topology *t;
    struct principals *all;
    uint64_t generation;
};

static void in_force_done(struct in_force *f)
{
    snapshot_unref(f->t);
    snapshot_unref(f->all);
}
#define AUTO_IN_FORCE __attribute__((cleanup(in_force_done))) struct in_force

// ERR_CLOSED: there is nobody's word, or one that is too old.
static int in_force_get(const struct admin_login *l, struct in_force *out)
{
    int64_t age_ms = 0;
    out->generation = snapshot_generation(l->o.principals);
    out->t = snapshot_get(l->o.topology);
    out->all = snapshot_get(l->o.principals);
    if (l->o.principals_age_ms)
        age_ms = l->o.principals_age_ms(l->o.age_ctx);
    if (!out->t || !out->all || auth_principals_stale(age_ms, out->t->max_stale_s))
        return ERR_CLOSED;
    return 0;
}

static struct admin_place place_of(const struct admin_login *l, const struct in_force *f)
{
    return (struct admin_place){
        .t = f->t, .all = f->all, .region = l->o.region, .now_ms = clock_wall_ms()};
}

int admin_login_judge(struct admin_login *l, struct http_request *req, struct admin_caller *out)
{
    AUTO_IN_FORCE f = {0};
    const char *header, *why;
    int rc = authorization_get(req, &header);
    if (!rc && (!header || strncasecmp(header, "Bearer ", 7) != 0))
        rc = ERR_AUTH;
    if (rc)
        return rc;
    rc = in_force_get(l, &f);
    if (rc)
        return rc;
    const struct admin_place at = place_of(l, &f);
    header += 7;
    rc = admin_bearer_judge(&at, header + strspn(header, " "), &req->arena, out, &why);
    if (rc == ERR_AUTH || rc == ERR_EXPIRED)
        http_request_detail(req, "the bearer: %s", why);
    if (!rc)
        req->principal = out->name;
    return rc;
}

// --- logging in ---

static void tell(const struct admin_login *l, const struct http_request *req, const char *outcome)
{
    bool done = !strcmp(outcome, "done");
    const struct audit_event e = {.what = "login",
                                  .outcome = outcome,
                                  .principal = req->principal,
                                  .client = req->client,
                                  .code = req->refused_code,
                                  .why = done ? NULL : req->refused_why,
                                  .request_id = req->request_id,
                                  .detail = done ? "at the admin listener" : req->refused_detail,
                                  .stranger = !done};
    audit_write(l->o.audit, &e);
}

static void refuse(const struct admin_login *l, struct http_request *req,
                   struct http_response *resp, int rc)
{
    if (rc == ERR_AUTH) {
        http_request_detail(req, "a login at the admin listener, with a wrong name or password");
        admin_refuse(req, resp, 401, "Unauthorized",
                     "the name or the password is not right, or that token has no rights in this "
                     "region");
        http_response_header(req, resp, "WWW-Authenticate", "Basic realm=\"meridian admin\"");
    } else if (rc == ERR_CLOSED) {
        admin_refuse(req, resp, 503, "Unavailable",
                     "this region has been cut off from its list of users for too long");
    } else {
        admin_refuse(req, resp, 500, "Failed", "the login failed: %s", err_text(rc));
    }
    tell(l, req, rc == ERR_AUTH ? "refused" : "failed");
}

static json_t *rights_json(unsigned rights)
{
    json_t *list = json_array();
    if (rights & ADMIN_MAY_READ)
        json_array_append_new(list, json_string("admin/read"));
    if (rights & ADMIN_MAY_DRAIN)
        json_array_append_new(list, json_string("admin/drain"));
    return list;
}

static int grant(const struct admin_login *l, const struct in_force *f, struct http_request *req,
                 struct http_response *resp, const struct principal *who, const char *hash)
{
    const struct admin_place at = place_of(l, f);
    const char *bearer;
    int rc = admin_bearer_issue(l->o.keys, &at, who, hash, &req->arena, &bearer);
    if (rc)
        return rc;
    json_t *root =
        json_pack("{s:s, s:i, s:s, s:o}", "token", bearer, "expiresIn", ADMIN_BEARER_S, "region",
                  l->o.region, "rights", rights_json(principal_admin_rights(who, l->o.region)));
    if (!root || http_response_json(req, resp, 200, root))
        return ERR_NOMEM;
    http_response_header(req, resp, "Cache-Control", "no-store");
    req->principal = arena_strdup(&req->arena, who->name);
    tell(l, req, "done");
    return 0;
}

// ERR_BUSY: only a hash can tell, and `may_hash` is not set.
static int answer(struct call *c, struct http_request *req, struct http_response *resp,
                  bool may_hash)
{
    struct admin_login *l = c->l;
    AUTO_IN_FORCE f = {0};
    const char *hash = NULL;
    int rc = in_force_get(l, &f);
    if (rc)
        return rc;
    const struct principal *who = principals_find(f.all, c->user);
    if (who && !principal_admin_rights(who, l->o.region))
        who = NULL;
    const struct login login = {who, c->password, clock_wall_ms() / 1000};
    if (!passwords_known(l->passwords, f.generation, &login, &hash)) {
        if (!may_hash)
            return ERR_BUSY;
        rc = passwords_verify(l->passwords, f.generation, f.all, &login, &hash);
    }
    if (!rc && !who)
        rc = ERR_AUTH;
    if (rc)
        return rc;
    return grant(l, &f, req, resp, who, hash);
}

static void login_run(struct http_request *req, struct http_response *resp)
{
    struct call *c = req->ctx;
    int rc = answer(c, req, resp, true);
    if (rc)
        refuse(c->l, req, resp, rc);
}

void admin_login_begin(struct admin_login *l, struct http_request *req, struct http_plan *plan)
{
    struct call *c = arena_alloc(&req->arena, sizeof *c);
    plan->kind = HTTP_PLAN_REPLY;
    if (req->method != HTTP_POST) {
        admin_refuse(req, &plan->response, 405, "Invalid", "/v1/token takes POST");
        http_response_header(req, &plan->response, "Allow", "POST");
        return;
    }
    int rc = ERR_NOMEM;
    if (c) {
        *c = (struct call){.l = l};
        rc = basic_get(req, &c->user, &c->password);
    }
    if (!rc && !c->user)
        rc = ERR_AUTH;
    if (!rc)
        rc = answer(c, req, &plan->response, false);
    if (rc && rc != ERR_BUSY)
        refuse(l, req, &plan->response, rc);
    if (rc == ERR_BUSY)
        *plan = (struct http_plan){.kind = HTTP_PLAN_RUN,
                                   .run = login_run,
                                   .ctx = c,
                                   .pool = l->pool,
                                   .name = c->user,
                                   .busy_status = 429,
                                   .for_answer = true,
                                   .goes_on = true};
}
