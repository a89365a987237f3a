// SPDX-License-Identifier: Apache-2.0
// What the files of auth/ share about tokens and scopes. Nobody outside this room includes it.
#ifndef MERIDIAN_AUTH_TOKEN_PRIV_H
#define MERIDIAN_AUTH_TOKEN_PRIV_H

#include "auth/verify.h"
#include "base/bytes.h"
#include "certs/keys.h"
#include "config/principals.h"
#include "config/repository.h"

#include <jansson.h>

#define TOKEN_ISSUER "meridian"
#define REFRESH_LIFETIME_MAX_S (90u * 86400)
#define SCOPE_MAX_COUNT 50   // grants in one token, and scopes in one question
#define SCOPE_MAX_BYTES 8192 // all scopes of one question
#define SCOPE_SHOWN_BYTES 80 // of a malformed one, in the error
#define KID_MAX_BYTES 128
#define JTI_BYTES 16
#define VISIBLE_MAX 256 // patterns of what the catalogue shows, in one token

// --- compact JWS (RFC 7515 section 3.1) ---
struct jws {
    // arena
    const char *kid;
    // the signing input: header '.' payload, in the token's own text
    const char *signed_at;
    size_t n_signed;
    uint8_t sig[64];
    // decoded, arena; not to be believed before the signature was checked
    struct bytes payload;
};
// Strict: at most TOKEN_MAX_BYTES, exactly three parts, unpadded canonical base64url, a header of
// exactly alg ES256, kid, and optionally typ JWT, no key twice. ERR_AUTH for anything else;
// ERR_NOMEM.
int jws_parse(const char *token, struct arena *a, struct jws *out);
// Signs; takes over `claims`. The text hangs off the arena. ERR_TOOBIG past TOKEN_MAX_BYTES.
int jws_issue(const struct region_keys *keys, json_t *claims, struct arena *a, const char **out);

// --- claims ---
enum token_type { TOKEN_ACCESS, TOKEN_REFRESH };
struct claims {
    // arena
    const char *subject, *id;
    // wall
    int64_t issued_s, from_s, until_s;
    // TOKEN_REFRESH
    uint64_t generation;
    // and of a named token: refresh_password_text; NULL: none
    const char *password;
    const struct access_grant *grants;
    size_t n_grants;
    const char *const *visible;
    size_t n_visible;
};
// Signature, key, issuer, audience, dates, type: everything but the principal. ERR_AUTH,
// ERR_EXPIRED, ERR_NOMEM.
int token_verify(const struct topology *t, const struct registry *r, const char *token,
                 enum token_type type, int64_t now_ms, struct arena *a, struct claims *out);

// What is wrong with a token that gave `rc`, in a clause for the log: static text.
const char *token_fault(const struct topology *t, const struct registry *r, const char *token,
                        int rc, struct arena *a);

// What a token is to say. It is of the registry with that service and incarnation
// (config/registry_key.h): a token for one that was deleted is none for the next of its name.
struct token_ask {
    const char *service;
    uint64_t incarnation;
    // "": nobody in particular
    const char *subject;
    int64_t now_ms;
    // 0: ACCESS_LIFETIME_S, or REFRESH_LIFETIME_S
    uint32_t lifetime_s;
    // of an access token; ACTIONS_OF_REGISTRY stand with the repository "*"
    const struct access_grant *grants;
    size_t n_grants;
    // where they have ACTION_CATALOG: patterns of what the catalogue shows
    const char *const *visible;
    size_t n_visible;
    // of a refresh token: the principal's
    uint64_t generation;
    // and its id, which somebody keeps; NULL: any
    const char *id;
    // and of a named token: by which of its passwords it was got; NULL: none
    const char *password;
};
int token_issue_access(const struct region_keys *keys, const struct token_ask *ask, struct arena *a,
                       const char **out);
int token_issue_refresh(const struct region_keys *keys, const struct token_ask *ask,
                        struct arena *a, const char **out);
// A refresh token of a named token ends with the password that got it. It says which one that was by
// a fingerprint of its hash.
#define REFRESH_PASSWORD_SIZE 17
int refresh_password_text(const char *hash, char out[REFRESH_PASSWORD_SIZE]);
// Is it one of the principal's still? Of a user there is none: NULL holds.
bool refresh_password_holds(const struct principal *who, const char *text, int64_t now_s);
// The registry's global name: the service of its tokens.
int token_service(const struct topology *t, const struct registry *r, struct arena *a,
                  const char **out);

// The value of the Authorization header; *out NULL: there is none. ERR_AUTH when there is more than
// one: which of them counts would be a guess.
int authorization_get(const struct http_request *req, const char **out);
// User and password of `Authorization: Basic`; both NULL: the header is not there. ERR_AUTH: it is
// another scheme, malformed, or there is more than one. On the request's arena.
int basic_get(struct http_request *req, const char **out_user, const char **out_password);

// --- scopes (distribution, "Token Scope Documentation") ---
struct scopes {
    // one per repository, actions joined; ACTIONS_OF_REGISTRY with "*"; strings on the arena
    struct access_grant items[SCOPE_MAX_COUNT];
    size_t n;
    // of text seen
    size_t n_bytes;
    // those that were in the right form, whether or not anybody knows their type
    size_t n_formed;
    // the first that was not, made printable and cut; "": none
    char malformed[SCOPE_SHOWN_BYTES + 1];
};
// Adds what one `scope` parameter asks for: blank-separated "repository:NAME:actions",
// "registry:catalog:*", "registry:audit:*". Unknown types and actions are passed over, since clients ask for more than
// there is. A malformed one is left out, and kept to be named: it does not spoil those beside it.
// ERR_TOOBIG.
int scopes_add(struct scopes *s, const char *text, struct arena *a);

#endif
