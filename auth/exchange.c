// SPDX-License-Identifier: Apache-2.0
// `POST /oauth2/exchange`: a token of an issuer that the registry trusts (config/issuers.h) for one of
// ours, as Azure Container Registry's clients ask it: grant_type=access_token, service, access_token
// → refresh_token. See service_priv.h.
//
// HTTP threads read the form and the token's form, and look the issuer up: who names one that the
// registry does not trust causes no call. All else runs on a pool of the exchange's own, in turn by
// network and issuer, so that neither logins nor other issuers wait for a slow one. Its threads let
// all others go first: what they check, strangers may have sent.
#include "auth/service_priv.h"

#include "auth/issued.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define FORM_MAX_BYTES (32u << 10) // the longest token, percent-encoded in part
#define WORKERS 6
#define WAITERS 4 // of them wait for keys at most
#define MAX_WAITING 256

int exchange_start(struct auth_service *s)
{
    const char *dir = NULL;
    int rc = 0;
    AUTO_BUF struct buf path;
    buf_init(&path, 0);
    if (s->o.state_dir) {
        buf_printf(&path, "%s/exchanged", s->o.state_dir);
        dir = path.p;
        rc = path.err;
    }
    if (!rc)
        rc = used_tokens_new(dir, &s->used);
    if (!rc)
        rc = issuer_keys_new(s->o.outbound, WAITERS, &s->issuer_keys);
    if (rc)
        return rc;
    s->exchange_pool = pool_new(&(struct pool_options){.name = "exchange",
                                                       .n_threads = WORKERS,
                                                       .max_waiting = MAX_WAITING,
                                                       .max_per_network = MAX_WAITING / 4,
                                                       .steps_back = true});
    if (s->exchange_pool)
        return 0;
    return ERR_NOMEM;
}

void exchange_stop(struct auth_service *s)
{
    if (s->issuer_keys)
        issuer_keys_stop(s->issuer_keys);
    if (s->exchange_pool)
        pool_free(s->exchange_pool);
    issuer_keys_free(s->issuer_keys);
    used_tokens_free(s->used);
}

size_t auth_issuers_failing(struct auth_service *s, char *out, size_t cap)
{
    char name[ISSUER_NAME_MAX + 1], why[KEYS_WHY_SIZE];
    size_t n = issuer_keys_failing(s->issuer_keys, name, why);
    if (n)
        snprintf(
            out, cap,
            "the keys of issuer %s cannot be had: %s. Its tokens are exchanged by keys that were "
            "fetched in the last day, if there are any",
            name, why);
    return n;
}

// --- refusals ---

static void refuse(struct call *c, struct http_request *req, struct http_response *resp, int status,
                   const char *text)
{
    if (status == 400)
        call_refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED, text);
    else if (status == 503)
        call_refuse(c, req, resp, 503, "temporarily_unavailable", REFUSED_UNAVAILABLE, text);
    else
        call_refuse(c, req, resp, 401, "invalid_grant", REFUSED_UNAUTHORIZED, text);
}

// What went wrong with an issuer's keys is the operator's to know, and in the log.
static void refuse_keys(struct call *c, struct http_request *req, struct http_response *resp,
                        const struct issuer *i, int rc, const char *why)
{
    http_request_detail(req, "an exchange: the keys of issuer %s: %s", i->name, why);
    if (rc == ERR_NOTFOUND)
        refuse(c, req, resp, 401, "the issuer has no key by the name that the token gives (kid)");
    else if (rc == ERR_BUSY)
        refuse(c, req, resp, 503, "the issuer's keys are being fetched; try again");
    else if (rc == ERR_NOMEM)
        call_refuse_code(c, req, resp, rc);
    else
        refuse(c, req, resp, 503,
               "the issuer's keys cannot be had now; the registry's log says why");
}

static void refuse_token(struct call *c, struct http_request *req, struct http_response *resp,
                         const struct issuer *i, const char *why)
{
    http_request_detail(req, "an exchange: a token of issuer %s: %s", i->name, why);
    refuse(c, req, resp, 401, why);
}

// --- the exchange ---

static void grant(struct call *c, struct http_request *req, struct http_response *resp,
                  const struct issuer *i, const struct issuer_rule *rule)
{
    const char *refresh;
    char id[JTI_BYTES * 2 + 1];
    const struct token_ask ask = {.service = c->service,
                                  .incarnation = c->r->incarnation,
                                  .subject = req->principal,
                                  .now_ms = clock_wall_ms(),
                                  .lifetime_s = i->lifetime_s,
                                  .generation = rule->fingerprint,
                                  .id = id};
    int rc = random_hex(id, JTI_BYTES);
    if (!rc)
        rc = token_issue_refresh(c->s->o.keys, &ask, &req->arena, &refresh);
    if (!rc)
        issued_note(c->s->o.issued,
                    &(struct issued_token){.id = id,
                                           .principal = req->principal,
                                           .registry = c->r->name,
                                           .client = req->client,
                                           .generation = rule->fingerprint,
                                           .expires_s = ask.now_ms / 1000 + ask.lifetime_s});
    if (rc)
        call_refuse_code(c, req, resp, rc);
    else
        call_exchanged(c, req, resp, &(struct principal){.name = req->principal}, rule->name,
                       refresh);
}

// Who it is, is clear: within his limits, and the first time that the token is shown?
static void take(struct call *c, struct http_request *req, struct http_response *resp,
                 const struct issuer *i, const struct oidc_caller *caller)
{
    req->principal = oidc_principal_name(i, caller->subject, &req->arena);
    if (!req->principal) {
        call_refuse_code(c, req, resp, ERR_NOMEM);
        return;
    }
    if (!call_within_limits(c, req, resp, &(struct principal){.name = req->principal}))
        return;
    int rc = used_tokens_take(c->s->used, caller->id, caller->remember_s, clock_wall_ms() / 1000);
    if (rc == ERR_EXISTS)
        refuse_token(c, req, resp, i,
                     "the token was exchanged before, and is good once; ask the issuer for a new "
                     "one");
    else if (rc == ERR_FULL)
        refuse(c, req, resp, 503, "too many tokens were exchanged in the last hour; try again");
    else if (rc)
        call_refuse_code(c, req, resp, rc);
    else
        grant(c, req, resp, i, caller->rule);
}

// The signature holds.
static void judge(struct call *c, struct http_request *req, struct http_response *resp,
                  const struct issuer *i)
{
    struct oidc_caller caller;
    const char *why = NULL;
    int rc = oidc_judge(&c->jwt, i, c->service, clock_wall_ms(), &caller, &why);
    if (rc == ERR_NOMEM)
        call_refuse_code(c, req, resp, rc);
    else if (rc)
        refuse_token(c, req, resp, i, why);
    else
        take(c, req, resp, i, &caller);
}

static void exchange(struct call *c, struct http_request *req, struct http_response *resp,
                     const struct issuer *i)
{
    const struct key_want want = {.kid = c->jwt.kid, .alg = c->jwt.alg};
    char why[KEYS_WHY_SIZE];
    struct jwks *keys;
    int rc = issuer_keys_get(c->s->issuer_keys, i, &want, &keys, why);
    if (rc) {
        refuse_keys(c, req, resp, i, rc, why);
        return;
    }
    rc = jwt_verify(&c->jwt, jwks_find(keys, want.kid, want.alg));
    jwks_unref(keys);
    if (rc)
        refuse_token(c, req, resp, i, "the token's signature is not the issuer's");
    else
        judge(c, req, resp, i);
}

static const struct issuer *issuer_of(const struct call *c, const struct principals *all)
{
    const char *iss = claim_string(c->jwt.claims, "iss", ISSUER_URL_MAX);
    if (iss)
        return issuer_by_url(all, c->r->name, iss);
    return NULL;
}

// On the exchange's pool.
static void exchange_run(struct http_request *req, struct http_response *resp)
{
    struct call *c = req->ctx;
    struct principals *all;
    int rc = call_principals(c, &all);
    if (rc) {
        call_refuse_code(c, req, resp, rc);
        return;
    }
    const struct issuer *i = issuer_of(c, all);
    if (i)
        exchange(c, req, resp, i);
    else
        refuse(c, req, resp, 401, "this registry does not trust the token's issuer");
    snapshot_unref(all);
}

static void exchange_done(struct http_request *req)
{
    struct call *c = req->ctx;
    jwt_done(&c->jwt);
    snapshot_unref(c->held);
}

// --- the question ---

// NULL: it is answered already.
static const char *token_asked(struct call *c, struct http_request *req, struct http_response *resp)
{
    const char *type = form_once(req, "grant_type"), *service = form_once(req, "service"),
               *token = form_once(req, "access_token");
    if (!type || strcmp(type, "access_token")) {
        call_refuse(c, req, resp, 400, "unsupported_grant_type", REFUSED_UNSUPPORTED,
                    "grant_type is access_token, and given once");
        return NULL;
    }
    if (!service || strcasecmp(service, c->service)) {
        refuse(c, req, resp, 400, "service must be this registry's global name, given once");
        return NULL;
    }
    if (!token || !*token) {
        refuse(c, req, resp, 400, "access_token is missing or repeated");
        return NULL;
    }
    return token;
}

// Whose turn it takes, once it is clear that it leads anywhere.
static bool issuer_known(struct call *c, struct http_request *req, struct http_response *resp,
                         const char **out_name)
{
    struct principals *all;
    int rc = call_principals(c, &all);
    if (rc) {
        call_refuse_code(c, req, resp, rc);
        return false;
    }
    const struct issuer *i = issuer_of(c, all);
    if (i)
        *out_name = arena_strdup(&req->arena, i->name);
    else
        refuse(c, req, resp, 401, "this registry does not trust the token's issuer");
    snapshot_unref(all);
    return i;
}

static bool question(struct call *c, struct http_request *req, struct http_response *resp,
                     const char **out_name)
{
    const char *why = NULL, *token = token_asked(c, req, resp);
    if (!token)
        return false;
    c->oidc = token;
    int rc = jwt_parse(token, &req->arena, &c->jwt, &why);
    if (!rc)
        return issuer_known(c, req, resp, out_name);
    if (rc == ERR_NOMEM)
        call_refuse_code(c, req, resp, rc);
    else
        refuse(c, req, resp, 401, why);
    return false;
}

// On an HTTP thread, the form in req->body.
static void exchange_collected(struct http_request *req, struct http_plan *plan)
{
    if (!question(req->ctx, req, &plan->response, &plan->name))
        plan->kind = HTTP_PLAN_REPLY;
}

void exchange_begin(struct call *c, struct http_request *req, struct http_plan *plan)
{
    c->post = true;
    if (req->method != HTTP_POST) {
        call_refuse(c, req, &plan->response, 405, "invalid_request", REFUSED_UNSUPPORTED,
                    "the exchange takes POST");
        http_response_header(req, &plan->response, "Allow", "POST");
        return;
    }
    if (!question_form_type_ok(http_header_get(req, "Content-Type"))) {
        refuse(c, req, &plan->response, 400, "the body must be application/x-www-form-urlencoded");
        return;
    }
    c->held = snapshot_ref((struct topology *)c->t);
    *plan = (struct http_plan){.kind = HTTP_PLAN_COLLECT,
                               .body_max = FORM_MAX_BYTES,
                               .collected = exchange_collected,
                               .run = exchange_run,
                               .done = exchange_done,
                               .ctx = c,
                               .pool = c->s->exchange_pool,
                               .busy_status = 429,
                               .for_answer = true,
                               .goes_on = true};
}
