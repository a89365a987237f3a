// SPDX-License-Identifier: Apache-2.0
// What the files of the token service share, lowest first: service_answer.c (refusals and grants),
// service_judge.c (authentication), service_question.c (what is asked), exchange.c (tokens of other
// issuers), service.c (routes, plans, life). Nobody else includes this.
#ifndef MERIDIAN_AUTH_SERVICE_PRIV_H
#define MERIDIAN_AUTH_SERVICE_PRIV_H

#include "auth/issuer_keys_priv.h"
#include "auth/oidc_priv.h"
#include "auth/passwords_priv.h"
#include "auth/service.h"
#include "auth/token_priv.h"
#include "auth/used_tokens_priv.h"
#include "net/refuse.h"

struct auth_service {
    struct auth_service_options o;
    char *region;
    struct pool *pool;
    struct passwords *passwords;
    // exchange.c's
    struct pool *exchange_pool;
    struct issuer_keys *issuer_keys;
    struct used_tokens *used;
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
    // another issuer's token, and what it says
    const char *oidc;
    struct jwt jwt;
    // of the password that it was, once it was judged; borrowed from the principals
    const char *by_hash;
    struct scopes scopes;
    // of a refusal with 429
    unsigned retry_after_s;
};

// --- service_answer.c ---
// The one place that chooses the words of refusals: the server's for GET (net/refuse.h), OAuth 2.0
// (RFC 6749 section 5.2) for POST, with the registry's form beside it because docker prints that
// one.
void call_refuse(struct call *c, struct http_request *req, struct http_response *resp, int status,
                 const char *oauth_error, enum refusal kind, const char *text);
void call_refuse_code(struct call *c, struct http_request *req, struct http_response *resp, int rc);
// Answers with the tokens that were asked for, as far as `who` may have them; NULL: nobody in
// particular. `kept` is the refresh token that the question came with.
void call_grant(struct call *c, struct http_request *req, struct http_response *resp,
                const struct principal *who, const char *kept);

// Within the registry's limits of token requests? False: refused. Before authentication `who` is
// NULL, and the registry's and the network's buckets are asked; after it the principal's own. So
// nobody is locked out by who tries his name from elsewhere.
bool call_within_limits(struct call *c, struct http_request *req, struct http_response *resp,
                        const struct principal *who);
// Answers an exchange. `rule` is the one that took the token.
void call_exchanged(struct call *c, struct http_request *req, struct http_response *resp,
                    const struct principal *who, const char *rule, const char *refresh);

// --- service_judge.c ---
// The principals in force; snapshot_unref. ERR_CLOSED: there are none, or they are too old.
int call_principals(const struct call *c, struct principals **out);
// *out NULL: anonymous. ERR_AUTH, ERR_EXPIRED; ERR_BUSY: only a password hash can tell, and
// `may_hash` is not set.
int call_judge(struct call *c, struct http_request *req, const struct principals *all,
               uint64_t generation, bool may_hash, const struct principal **out);

// --- service_question.c: false, or an error: refused already ---
bool question_of_get(struct call *c, struct http_request *req, struct http_response *resp);
bool question_of_form(struct call *c, struct http_request *req, struct http_response *resp);
bool question_form_type_ok(const char *content_type);
// A parameter that must not be repeated (RFC 6749 section 3.2). NULL: absent, or repeated.
const char *form_once(struct http_request *req, const char *key);

// --- exchange.c ---
int exchange_start(struct auth_service *s);
void exchange_stop(struct auth_service *s);
void exchange_begin(struct call *c, struct http_request *req, struct http_plan *plan);

#endif
