// SPDX-License-Identifier: Apache-2.0
// What the token service answers: tokens, or a refusal; see service_priv.h.
#include "auth/service_priv.h"

#include "auth/issued.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "config/policy.h"
#include "net/traffic.h"

#include <string.h>

#define RETRY_AFTER_S 1u

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
                                  .private_endpoint = req->private_endpoint,
                                  .registry = c->r->key,
                                  .code = done ? NULL : req->refused_code,
                                  .why = done ? NULL : req->refused_why,
                                  .detail = detail,
                                  .request_id = req->request_id,
                                  .stranger = !who};
    audit_write(c->s->o.audit, &e);
}

static enum traffic_counter refusal_of(const struct call *c, int status)
{
    if (status == 401 && c->refresh)
        return TRAFFIC_TOKENS_REFRESH;
    if (status == 401)
        return TRAFFIC_TOKENS_CREDENTIALS;
    if (status == 429)
        return TRAFFIC_TOKENS_LIMITED;
    if (status == 503)
        return TRAFFIC_TOKENS_UNAVAILABLE;
    if (status >= 500)
        return TRAFFIC_TOKENS_FAILED;
    return TRAFFIC_TOKENS_QUESTION;
}

// Of callers who showed a credential, and of floods. A malformed question is no event.
static void tell_refusal(const struct call *c, const struct http_request *req, int status)
{
    bool shown = c->user || c->refresh || c->oidc;
    const char *what = "login", *outcome = "refused";
    if (c->refresh)
        what = "grant";
    if (c->oidc)
        what = "exchange";
    if (status >= 500)
        outcome = "failed";
    traffic_add(refusal_of(c, status), 1);
    if (status == 401 && !c->refresh)
        traffic_add(TRAFFIC_LOGINS_REFUSED, 1);
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
        http_response_header(req, resp, "Retry-After", "%u",
                             c->retry_after_s ? c->retry_after_s : RETRY_AFTER_S);
    tell_refusal(c, req, status);
}

void call_refuse_code(struct call *c, struct http_request *req, struct http_response *resp, int rc)
{
    switch (rc) {
    case ERR_TOOBIG:
        call_refuse(c, req, resp, 400, "invalid_scope", REFUSED_UNSUPPORTED,
                    "more is asked for than one token can carry");
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

bool call_within_limits(struct call *c, struct http_request *req, struct http_response *resp,
                        const struct principal *who)
{
    static const char *const whose[N_RATE_SCOPES] = {"all callers of this registry together", "you",
                                                     "all callers of your network together"};
    struct throttle_verdict v;
    struct throttle_ask q = {
        .registry = c->r->key, .class = REQUEST_TOKEN, .rates = policy_rates(c->r)};
    if (who) {
        q.identity = who->name;
    } else {
        q.whole = true;
        q.client = &req->client;
    }
    if (throttle_take(c->s->o.throttle, &q, clock_mono_ms(), &v))
        return true;
    c->retry_after_s = v.wait_s;
    const char *text = arena_printf(&req->arena,
                                    "%s may ask for %u tokens a minute in region %s: try again in "
                                    "%u s",
                                    whose[v.scope], v.per_minute, c->s->region, v.wait_s);
    call_refuse(c, req, resp, 429, "temporarily_unavailable", REFUSED_BUSY,
                text ? text : "too many requests");
    return false;
}

// What a question's words ask for. A client that pulls asks for `pull` and reads lists as well; one
// that pushes asks for `push`, and may be somebody who may only add.
static unsigned asked_for(unsigned words)
{
    unsigned all = words | actions_of_old(words);
    if (words & ACTION_PUSH)
        all |= ACTION_ADD;
    return all;
}

unsigned auth_repository_actions(const struct registry *r, const struct principal *who,
                                 const char *repository)
{
    unsigned held = 0;
    if (who)
        held = principal_actions(who, r->name, repository);
    if (r->anonymous_pull)
        held |= ACTION_PULL | ACTION_META_READ;
    return held;
}

static unsigned actions_held(const struct call *c, const struct principal *who,
                             const struct access_grant *asked)
{
    unsigned held = 0;
    if (asked->actions & ACTIONS_OF_REGISTRY) {
        if (who)
            held = principal_registry_actions(who, c->r->name);
        return held & asked->actions;
    }
    held = auth_repository_actions(c->r, who, asked->repository) & asked_for(asked->actions);
    if (held & ACTION_PUSH)
        held &= ~(unsigned)ACTION_ADD; // who may replace may add
    return held;
}

static void repository_scope_text(const struct access_grant *g, struct buf *out)
{
    unsigned old = g->actions & (ACTION_PULL | ACTION_PUSH | ACTION_DELETE);
    unsigned said = g->actions;
    if (said == actions_of_old(old))
        said = old; // as they were always said
    const char *comma = "";
    buf_printf(out, "repository:%s:", g->repository);
    for (unsigned bit = 1; bit <= ACTION_ADD; bit <<= 1) {
        const char *word = action_word(bit);
        if (!(said & bit) || !word)
            continue;
        buf_printf(out, "%s%s", comma, word);
        comma = ",";
    }
}

// In the words of the question, for the reply to a POST (RFC 6749 section 5.1).
static void scope_text(const struct access_grant *g, struct buf *out)
{
    if (out->n)
        buf_u8(out, ' ');
    if (!(g->actions & ACTIONS_OF_REGISTRY)) {
        repository_scope_text(g, out);
        return;
    }
    const char *blank = "";
    if (g->actions & ACTION_CATALOG) {
        buf_str(out, "registry:catalog:*");
        blank = " ";
    }
    if (g->actions & ACTION_AUDIT)
        buf_printf(out, "%sregistry:audit:*", blank);
}

// The patterns of what the catalogue shows: where the principal's rules have the catalogue, and
// where they let him read lists anyhow. Those that others cover are left out. ERR_TOOBIG: more than
// a token can carry.
static int visible_find(const struct call *c, const struct principal *who, const char **list,
                        size_t *out_n)
{
    size_t n = 0;
    for (size_t i = 0; i < who->n_grants; i++) {
        const struct grant *g = &who->grants[i];
        bool counts = g->actions & (ACTION_CATALOG | ACTION_META_READ);
        if (!counts || strcmp(g->registry, c->r->name) != 0)
            continue;
        for (size_t k = 0; k < g->n_repositories; k++)
            if (!patterns_add(list, &n, VISIBLE_MAX, g->repositories[k]))
                return ERR_TOOBIG;
    }
    *out_n = n;
    return 0;
}

// NULL: no memory.
static json_t *reply_json(const struct call *c, const struct token_ask *ask, const char *access,
                          const char *refresh, const char *scope)
{
    char issued[CLOCK_TEXT_SIZE];
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:s}", "token", access, "access_token", access, "expires_in",
                  (int)ask->lifetime_s, "issued_at", clock_format(ask->now_ms, issued));
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
                  const struct token_ask *ask, const char *access, const char *refresh,
                  const char *scope)
{
    json_t *root = reply_json(c, ask, access, refresh, scope);
    if (http_response_json(req, resp, 200, root)) {
        call_refuse_code(c, req, resp, ERR_NOMEM);
        return;
    }
    http_response_header(req, resp, "Cache-Control", "no-store");
}

// A refresh token is given to who asks for one and may have it; the one that the question came with
// is given back. *out NULL: none.
static int refresh_issue(struct call *c, struct http_request *req, const struct principal *who,
                         const struct token_ask *access, const char *kept, const char **out)
{
    char id[JTI_BYTES * 2 + 1], password[REFRESH_PASSWORD_SIZE];
    *out = NULL;
    if (!who || !c->offline || !principal_refreshes(who))
        return 0;
    *out = kept;
    if (kept)
        return 0;
    struct token_ask ask = {.service = access->service,
                            .incarnation = access->incarnation,
                            .subject = access->subject,
                            .now_ms = access->now_ms,
                            .generation = who->generation,
                            .id = id};
    int rc = random_hex(id, JTI_BYTES);
    if (!rc && who->token && c->by_hash) {
        rc = refresh_password_text(c->by_hash, password);
        ask.password = password;
    }
    if (!rc)
        rc = token_issue_refresh(c->s->o.keys, &ask, &req->arena, out);
    if (rc)
        return rc;
    issued_note(c->s->o.issued,
                &(struct issued_token){.id = id,
                                       .principal = who->name,
                                       .registry = c->r->name,
                                       .client = req->client,
                                       .generation = who->generation,
                                       .password = ask.password,
                                       .expires_s = access->now_ms / 1000 + REFRESH_LIFETIME_S});
    return 0;
}

void call_grant(struct call *c, struct http_request *req, struct http_response *resp,
                const struct principal *who, const char *kept)
{
    struct access_grant granted[SCOPE_MAX_COUNT];
    const char *visible[VISIBLE_MAX];
    struct token_ask ask = {.service = c->service,
                            .incarnation = c->r->incarnation,
                            .subject = "",
                            .now_ms = clock_wall_ms(),
                            .lifetime_s = ACCESS_LIFETIME_S,
                            .grants = granted,
                            .visible = visible};
    int rc = 0;
    AUTO_BUF struct buf scope;
    buf_init(&scope, 0);
    if (who) {
        ask.subject = who->name;
        ask.lifetime_s = principal_lifetime_s(who);
    }
    for (size_t i = 0; i < c->scopes.n; i++) {
        unsigned actions = actions_held(c, who, &c->scopes.items[i]);
        if (!actions)
            continue;
        if (who && (actions & ACTION_CATALOG))
            rc = visible_find(c, who, visible, &ask.n_visible);
        granted[ask.n_grants] = (struct access_grant){c->scopes.items[i].repository, actions};
        scope_text(&granted[ask.n_grants++], &scope);
    }
    const char *access, *refresh;
    if (!rc)
        rc = scope.err;
    if (!rc)
        rc = token_issue_access(c->s->o.keys, &ask, &req->arena, &access);
    if (!rc)
        rc = refresh_issue(c, req, who, &ask, kept, &refresh);
    if (rc) {
        call_refuse_code(c, req, resp, rc);
        return;
    }
    reply(c, req, resp, &ask, access, refresh, buf_cstr(&scope));
    if (resp->status != 200)
        return;
    bool login = refresh && refresh != kept; // a login is what gives a refresh token
    traffic_add(TRAFFIC_GRANTS, 1);
    if (login)
        traffic_add(TRAFFIC_LOGINS, 1);
    tell(c, req, login ? "login" : "grant", "done", who, buf_cstr(&scope));
}

void call_exchanged(struct call *c, struct http_request *req, struct http_response *resp,
                    const struct principal *who, const char *rule, const char *refresh)
{
    if (http_response_json(req, resp, 200, json_pack("{s:s}", "refresh_token", refresh))) {
        call_refuse_code(c, req, resp, ERR_NOMEM);
        return;
    }
    http_response_header(req, resp, "Cache-Control", "no-store");
    tell(c, req, "exchange", "done", who, rule);
}
