// SPDX-License-Identifier: Apache-2.0
// The token endpoint; see service.h. HTTP threads answer at once what needs no password hash, by
// GET and (once its body is in) by POST: anonymous questions, refresh tokens, credentials verified
// before, refusals. So none of these ever waits for a hash. The rest goes to the service's own few
// workers, which step back before all other threads; the queue ahead of them is bounded and fair,
// by the client's network and then by the name that is tried (net/fair.h).
//
// This is the one file that chooses the words of refusals: the server's for GET (net/refuse.h), OAuth
// 2.0 (RFC 6749 section 5.2) for POST, with the registry's form beside it because docker prints that
// one.
#include "auth/service.h"

#include "auth/passwords_priv.h"
#include "auth/token_priv.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/refuse.h"

#include <string.h>
#include <strings.h>

#define FORM_MAX_BYTES (16u << 10) // twice the longest token and the scopes
#define REFRESH_USER "00000000-0000-0000-0000-000000000000" // its password is a refresh token
#define RETRY_AFTER_S "1"

struct auth_service {
    struct auth_service_options o;
    char *region;
    struct pool *pool;
    struct passwords *passwords;
};

struct call { // one request; hangs off its arena
    struct auth_service *s;
    // borrowed in begin; `held` when the call outlives it
    const struct topology *t;
    struct topology *held;
    const struct registry *r;
    const char *service;
    bool post;
    // a refresh token is asked for
    bool offline;
    // both or none
    const char *user, *password;
    const char *refresh;
    struct scopes scopes;
};

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
    if (!rc) {
        size_t waiting = o->max_waiting;
        if (!waiting)
            waiting = 512;
        s->pool =
            pool_new(&(struct pool_options){.name = "password",
                                            .n_threads = o->n_workers ? o->n_workers : 2,
                                            .max_waiting = waiting,
                                            .max_per_network = waiting < 8 ? waiting : waiting / 8,
                                            .steps_back = true});
        if (s->pool)
            rc = 0;
        else
            rc = ERR_NOMEM;
    }
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
    passwords_free(s->passwords);
    free(s->region);
    free(s);
}

bool auth_principals_stale(int64_t age_ms, uint32_t max_stale_s)
{
    return age_ms > (int64_t)max_stale_s * 1000;
}

// --- refusals ---

static void refuse(struct call *c, struct http_request *req, struct http_response *resp, int status,
                   const char *oauth_error, enum refusal kind, const char *text)
{
    if (c->post) {
        const char *code = http_words_of(req)->code(kind);
        json_t *root =
            json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "error", oauth_error, "error_description", text,
                      "errors", "code", code, "message", text);
        if (!root || http_response_json(req, resp, status, root))
            http_response_bytes(resp, status, "application/json",
                                bytes_str("{\"error\":\"server_error\"}"));
        http_request_refused(req, code, text);
    } else {
        http_refuse(req, resp, status, kind, "%s", text);
    }
    http_response_header(req, resp, "Cache-Control", "no-store");
    if (status == 401)
        http_response_header(req, resp, "WWW-Authenticate", "Basic realm=\"%s\"", c->service);
    if (status == 429 || status == 503)
        http_response_header(req, resp, "Retry-After", RETRY_AFTER_S);
}

static void refuse_code(struct call *c, struct http_request *req, struct http_response *resp,
                        int rc)
{
    if (rc == ERR_TOOBIG)
        refuse(c, req, resp, 400, "invalid_scope", REFUSED_UNSUPPORTED,
               "more is asked for than one token can carry");
    else if (rc == ERR_INVAL)
        refuse(c, req, resp, 400, "invalid_scope", REFUSED_NAME, "a scope is malformed");
    else if (rc == ERR_AUTH || rc == ERR_EXPIRED)
        refuse(c, req, resp, 401, "invalid_grant", REFUSED_UNAUTHORIZED,
               c->refresh ? "the refresh token is not valid; log in again"
                          : "the user name or password is not right");
    else if (rc == ERR_CLOSED)
        refuse(c, req, resp, 503, "temporarily_unavailable", REFUSED_UNAVAILABLE,
               "this region has been cut off from its list of users for too long");
    else
        refuse(c, req, resp, 500, "server_error", REFUSED_FAILED, "the token could not be made");
}

// --- granting ---

static unsigned actions_held(const struct call *c, const struct principal *who,
                             const struct access_grant *asked)
{
    unsigned held = 0;
    if (asked->actions & ACTION_CATALOG) {
        for (size_t i = 0; who && i < who->n_grants; i++)
            if (!strcmp(who->grants[i].registry, c->r->name))
                held |= who->grants[i].actions & ACTION_CATALOG;
        return held & asked->actions;
    }
    if (who)
        held = principal_actions(who, c->r->name, asked->repository);
    if (c->r->anonymous_pull)
        held |= ACTION_PULL;
    return held & asked->actions;
}

// In the words of the question, for the reply to a POST (RFC 6749 section 5.1).
static void scope_text(const struct access_grant *g, struct buf *out)
{
    const char *blank = "";
    if (out->n)
        blank = " ";
    if (g->actions & ACTION_CATALOG)
        buf_printf(out, "%sregistry:catalog:*", blank);
    else
        buf_printf(out, "%srepository:%s:%s%s%s", blank, g->repository,
                   g->actions & ACTION_PULL ? "pull," : "", g->actions & ACTION_PUSH ? "push," : "",
                   g->actions & ACTION_DELETE ? "delete," : "");
    if (out->n && out->p[out->n - 1] == ',')
        out->p[--out->n] = 0;
}

static void reply(struct call *c, struct http_request *req, struct http_response *resp,
                  const char *access, const char *refresh, const char *scope, int64_t now_ms)
{
    char issued[CLOCK_TEXT_SIZE];
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:s}", "token", access, "access_token", access, "expires_in",
                  ACCESS_LIFETIME_S, "issued_at", clock_format(now_ms, issued));
    bool ok = root != NULL;
    if (ok && refresh)
        ok = !json_object_set_new(root, "refresh_token", json_string(refresh));
    if (ok && c->post)
        ok = !json_object_set_new(root, "token_type", json_string("Bearer")) &&
             !json_object_set_new(root, "scope", json_string(scope));
    if (!ok || http_response_json(req, resp, 200, root)) {
        if (!ok)
            json_decref(root);
        refuse_code(c, req, resp, ERR_NOMEM);
        return;
    }
    http_response_header(req, resp, "Cache-Control", "no-store");
}

// `who` NULL: anonymous. `kept` is the refresh token that the question came with.
static void grant(struct call *c, struct http_request *req, struct http_response *resp,
                  const struct principal *who, const char *kept)
{
    struct access_grant granted[SCOPE_MAX_COUNT];
    size_t n = 0;
    int64_t now = clock_wall_ms();
    AUTO_BUF struct buf scope;
    buf_init(&scope, 0);
    for (size_t i = 0; i < c->scopes.n; i++) {
        unsigned actions = actions_held(c, who, &c->scopes.items[i]);
        if (!actions)
            continue;
        granted[n] = (struct access_grant){c->scopes.items[i].repository, actions};
        scope_text(&granted[n++], &scope);
    }
    const char *access, *refresh = c->offline ? kept : NULL;
    int rc = scope.err;
    if (!rc)
        rc = token_issue_access(c->s->o.keys, c->service, who ? who->name : "", granted, n, now,
                                &req->arena, &access);
    if (!rc && who && c->offline && !refresh)
        rc = token_issue_refresh(c->s->o.keys, c->service, who, now, &req->arena, &refresh);
    if (rc)
        refuse_code(c, req, resp, rc);
    else
        reply(c, req, resp, access, refresh, buf_cstr(&scope), now);
}

// --- who asks ---

static const char *refresh_fault(const struct principal *who)
{
    if (!who)
        return "whom nobody knows any more";
    if (!who->enabled)
        return "who is disabled";
    return "revoked since it was issued";
}

static int judge_refresh(const struct call *c, struct http_request *req,
                         const struct principals *all, const struct principal **out)
{
    struct claims claims;
    int rc =
        token_verify(c->t, c->r, c->refresh, TOKEN_REFRESH, clock_wall_ms(), &req->arena, &claims);
    const struct principal *who = NULL;
    if (!rc)
        who = principals_find(all, claims.subject);
    if (rc) {
        http_request_detail(req, "a refresh token: %s",
                            token_fault(c->t, c->r, c->refresh, rc, &req->arena));
        return rc;
    }
    if (!who || !who->enabled || who->generation != claims.generation) {
        http_request_detail(req, "a refresh token of %s, %s", claims.subject, refresh_fault(who));
        return ERR_AUTH;
    }
    *out = who;
    return 0;
}

// For the log alone. A name nobody has is not logged: people type passwords there.
static void login_detail(struct http_request *req, const struct principal *who)
{
    if (!who)
        http_request_detail(req, "a login of an unknown user");
    else if (!who->enabled)
        http_request_detail(req, "a login of %s, who is disabled", who->name);
    else
        http_request_detail(req, "a login of %s, with a wrong password", who->name);
}

// ERR_BUSY: only a password hash can tell, and `may_hash` is not set.
static int judge(struct call *c, struct http_request *req, const struct principals *all,
                 uint64_t generation, bool may_hash, const struct principal **out)
{
    if (c->refresh)
        return judge_refresh(c, req, all, out);
    if (!c->user) {
        *out = NULL;
        return 0;
    }
    const struct principal *who = principals_find(all, c->user);
    int rc = 0;
    if (!passwords_known(c->s->passwords, generation, who, c->password)) {
        if (may_hash)
            rc = passwords_verify(c->s->passwords, generation, all, who, c->password);
        else
            rc = ERR_BUSY;
    }
    if (rc == ERR_AUTH)
        login_detail(req, who);
    if (!rc)
        *out = who;
    return rc;
}

// Answers, or ERR_BUSY with nothing done when it would have to hash and may not.
static int answer(struct call *c, struct http_request *req, struct http_response *resp,
                  bool may_hash)
{
    const struct auth_service_options *o = &c->s->o;
    uint64_t generation = snapshot_generation(o->principals);
    struct principals *all = snapshot_get(o->principals);
    int64_t age_ms = 0;
    if (o->principals_age_ms)
        age_ms = o->principals_age_ms(o->age_ctx);
    const struct principal *who = NULL;
    int rc = ERR_CLOSED;
    if (all && !auth_principals_stale(age_ms, c->t->max_stale_s))
        rc = judge(c, req, all, generation, may_hash, &who);
    if (!rc && who)
        req->principal = arena_strdup(&req->arena, who->name);
    if (!rc)
        grant(c, req, resp, who, c->refresh);
    else if (rc != ERR_BUSY || may_hash)
        refuse_code(c, req, resp, rc);
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

// --- GET ---

static void take_credentials(struct call *c, const char *user, const char *password)
{
    if (!strcmp(user, REFRESH_USER)) {
        c->refresh = password;
        return;
    }
    c->user = user;
    c->password = password;
}

// 0 also when there is none: an anonymous question.
static int basic_parse(struct call *c, struct http_request *req)
{
    const char *value = NULL;
    for (const struct http_header *h = req->headers; h; h = h->next)
        if (!strcasecmp(h->name, "Authorization")) {
            if (value)
                return ERR_AUTH;
            value = h->value;
        }
    if (!value)
        return 0;
    if (strncasecmp(value, "Basic ", 6))
        return ERR_AUTH;
    value += 6;
    value += strspn(value, " ");
    size_t n = strlen(value), n_text;
    char *text = NULL;
    if (n <= 2 * TOKEN_MAX_BYTES)
        text = arena_alloc(&req->arena, n + 1);
    if (!text || b64_parse(value, n, (uint8_t *)text, n, &n_text) || memchr(text, 0, n_text))
        return ERR_AUTH;
    text[n_text] = 0;
    char *colon = strchr(text, ':');
    if (!colon)
        return ERR_AUTH;
    *colon = 0;
    take_credentials(c, text, colon + 1);
    return 0;
}

// What both methods share: `service`, `scope` (repeated). False: refused already.
static bool questions_parse(struct call *c, struct http_request *req, struct bytes from,
                            struct http_response *resp)
{
    const char *service = http_form_get(req, from, "service", 0), *scope;
    if (service && *service && strcasecmp(service, c->service)) {
        refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
               "the service asked for is not this registry's: use its global name");
        return false;
    }
    for (size_t i = 0; (scope = http_form_get(req, from, "scope", i)); i++) {
        int rc = scopes_add(&c->scopes, scope, &req->arena);
        if (rc) {
            refuse_code(c, req, resp, rc);
            return false;
        }
    }
    return true;
}

static void begin_get(struct call *c, struct http_request *req, struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    const char *offline = http_query_get(req, "offline_token", 0);
    c->offline = offline && (!strcmp(offline, "true") || !strcmp(offline, "1"));
    int rc = basic_parse(c, req);
    if (rc)
        refuse_code(c, req, &plan->response, rc);
    else if (questions_parse(c, req, bytes_str(req->query), &plan->response) &&
             answer(c, req, &plan->response, false) == ERR_BUSY)
        plan_later(c, plan, HTTP_PLAN_RUN);
}

// --- POST ---

// A parameter that must not be repeated (RFC 6749 section 3.2). NULL: absent, or repeated.
static const char *form_once(struct http_request *req, const char *key)
{
    const char *v = http_form_get(req, req->body, key, 0);
    if (v && !http_form_get(req, req->body, key, 1))
        return v;
    return NULL;
}

// False: refused already.
static bool form_read(struct call *c, struct http_request *req, struct http_response *resp)
{
    const char *type = form_once(req, "grant_type"), *access_type = form_once(req, "access_type");
    c->offline = access_type && !strcmp(access_type, "offline");
    if (!type) {
        refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
               "grant_type is missing or repeated");
        return false;
    }
    if (!strcmp(type, "password")) {
        const char *user = form_once(req, "username"), *password = form_once(req, "password");
        if (user && password)
            take_credentials(c, user, password);
    } else if (!strcmp(type, "refresh_token")) {
        c->refresh = form_once(req, "refresh_token");
    } else {
        refuse(c, req, resp, 400, "unsupported_grant_type", REFUSED_UNSUPPORTED,
               "grant_type is password or refresh_token");
        return false;
    }
    if (c->user || c->refresh)
        return questions_parse(c, req, req->body, resp);
    refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
           "the credentials are missing or repeated");
    return false;
}

static void post_collected(struct http_request *req, struct http_plan *plan)
{
    struct call *c = req->ctx;
    if (form_read(c, req, &plan->response) && answer(c, req, &plan->response, false) == ERR_BUSY)
        plan->name = c->user; // the hash alone is left
    else
        plan->kind = HTTP_PLAN_REPLY;
}

static bool form_type_ok(const char *type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t n = sizeof form - 1;
    return type && !strncasecmp(type, form, n) && (!type[n] || type[n] == ';' || type[n] == ' ');
}

static void begin_post(struct call *c, struct http_request *req, struct http_plan *plan)
{
    c->post = true;
    if (!form_type_ok(http_header_get(req, "Content-Type"))) {
        plan->kind = HTTP_PLAN_REPLY;
        refuse(c, req, &plan->response, 400, "invalid_request", REFUSED_UNSUPPORTED,
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
    struct call *c = arena_alloc(&req->arena, sizeof *c);
    const char *service;
    if (!c || token_service(t, reg, &req->arena, &service)) {
        http_refuse(req, &plan->response, 500, REFUSED_FAILED, "out of memory");
        return;
    }
    *c = (struct call){.s = s, .t = t, .r = reg, .service = service};
    const struct region *here = topology_region(t, s->region);
    if (strcmp(req->path, "/oauth2/token")) {
        refuse(c, req, &plan->response, 404, "invalid_request", REFUSED_UNSUPPORTED,
               "tokens are at /oauth2/token");
    } else if (!here || !registry_replica(reg, here->index)) {
        refuse(c, req, &plan->response, 421, "invalid_request", REFUSED_UNSUPPORTED,
               "this registry has no replica here");
    } else if (req->method == HTTP_GET) {
        begin_get(c, req, plan);
    } else if (req->method == HTTP_POST) {
        begin_post(c, req, plan);
    } else {
        refuse(c, req, &plan->response, 405, "invalid_request", REFUSED_UNSUPPORTED,
               "the token endpoint takes GET and POST");
        http_response_header(req, &plan->response, "Allow", "GET, POST");
    }
}
