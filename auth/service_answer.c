// SPDX-License-Identifier: Apache-2.0
// What the token service answers: tokens, or a refusal; see service_priv.h.
#include "auth/service_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <string.h>

#define RETRY_AFTER_S "1"

// The one place of the room from which the audit log hears: a grant, or why there is none. `who` is
// who it turned out to be; the name that somebody typed is not told, since people type passwords
// there.
static void tell(const struct call *c, const struct http_request *req, const char *what,
                 const char *outcome, const struct principal *who, const char *detail)
{
    const bool done = !strcmp(outcome, "done");
    const struct audit_event e = {.what = what,
                                  .outcome = outcome,
                                  .principal = who ? who->name : NULL,
                                  .client = req->client,
                                  .registry = c->r->name,
                                  .code = done ? NULL : req->refused_code,
                                  .why = done ? NULL : req->refused_why,
                                  .detail = detail,
                                  .request_id = req->request_id,
                                  .stranger = !who};
    audit_write(c->s->o.audit, &e);
}

// Of callers who showed a credential, and of floods. A malformed question is no event.
static void tell_refusal(const struct call *c, const struct http_request *req, int status)
{
    bool shown = c->user || c->refresh;
    const char *what = "login", *outcome = "refused";
    if (c->refresh)
        what = "grant";
    if (status >= 500)
        outcome = "failed";
    if (status == 400 || status == 404 || status == 405 || status == 421)
        return;
    if (shown || status == 429)
        tell(c, req, what, outcome, NULL, req->refused_detail);
}

void call_refuse(struct call *c, struct http_request *req, struct http_response *resp, int status,
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
    tell_refusal(c, req, status);
}

void call_refuse_code(struct call *c, struct http_request *req, struct http_response *resp, int rc)
{
    switch (rc) {
    case ERR_TOOBIG:
        call_refuse(c, req, resp, 400, "invalid_scope", REFUSED_UNSUPPORTED,
                    "more is asked for than one token can carry");
        return;
    case ERR_INVAL:
        call_refuse(c, req, resp, 400, "invalid_scope", REFUSED_NAME, "a scope is malformed");
        return;
    case ERR_AUTH:
    case ERR_EXPIRED:
        call_refuse(c, req, resp, 401, "invalid_grant", REFUSED_UNAUTHORIZED,
                    c->refresh ? "the refresh token is not valid; log in again"
                               : "the user name or password is not right");
        return;
    case ERR_CLOSED:
        call_refuse(c, req, resp, 503, "temporarily_unavailable", REFUSED_UNAVAILABLE,
                    "this region has been cut off from its list of users for too long");
        return;
    default:
        call_refuse(c, req, resp, 500, "server_error", REFUSED_FAILED,
                    "the token could not be made");
    }
}

static bool may_list(const struct call *c, const struct principal *who)
{
    for (size_t i = 0; who && i < who->n_grants; i++)
        if (!strcmp(who->grants[i].registry, c->r->name) &&
            (who->grants[i].actions & ACTION_CATALOG))
            return true;
    return false;
}

static unsigned actions_held(const struct call *c, const struct principal *who,
                             const struct access_grant *asked)
{
    unsigned held = 0;
    if (asked->actions & ACTION_CATALOG)
        return may_list(c, who) ? ACTION_CATALOG : 0;
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

// NULL: no memory.
static json_t *reply_json(const struct call *c, const char *access, const char *refresh,
                          const char *scope, int64_t now_ms)
{
    char issued[CLOCK_TEXT_SIZE];
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:s}", "token", access, "access_token", access, "expires_in",
                  ACCESS_LIFETIME_S, "issued_at", clock_format(now_ms, issued));
    int failed = !root;
    if (!failed && refresh)
        failed = json_object_set_new(root, "refresh_token", json_string(refresh));
    if (!failed && c->post)
        failed = json_object_set_new(root, "token_type", json_string("Bearer"));
    if (!failed && c->post)
        failed = json_object_set_new(root, "scope", json_string(scope));
    if (!failed)
        return root;
    json_decref(root);
    return NULL;
}

static void reply(struct call *c, struct http_request *req, struct http_response *resp,
                  const char *access, const char *refresh, const char *scope, int64_t now_ms)
{
    json_t *root = reply_json(c, access, refresh, scope, now_ms);
    if (http_response_json(req, resp, 200, root)) {
        call_refuse_code(c, req, resp, ERR_NOMEM);
        return;
    }
    http_response_header(req, resp, "Cache-Control", "no-store");
}

void call_grant(struct call *c, struct http_request *req, struct http_response *resp,
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
        rc = token_issue_access(c->s->o.keys, c->service, c->r->incarnation, who ? who->name : "",
                                granted, n, now, &req->arena, &access);
    if (!rc && who && c->offline && !refresh)
        rc = token_issue_refresh(c->s->o.keys, c->service, c->r->incarnation, who, now, &req->arena,
                                 &refresh);
    if (rc) {
        call_refuse_code(c, req, resp, rc);
        return;
    }
    reply(c, req, resp, access, refresh, buf_cstr(&scope), now);
    if (resp->status == 200) // a login is what gives a refresh token
        tell(c, req, refresh && refresh != kept ? "login" : "grant", "done", who, buf_cstr(&scope));
}
