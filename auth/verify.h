// SPDX-License-Identifier: Apache-2.0
// What other rooms need of auth: who a request is, what it may do here, and the challenge when it
// may not (design section 6; RFC 6750, RFC 7515, RFC 7519, the distribution token specification).
// Pure CPU: safe on HTTP threads.
//
//   struct access acc;
//   int rc = auth_check(t, reg, req, now, &acc);          // Bearer, or anonymous
//   if (rc || !(access_actions(&acc, reg, repo) & ACTION_PULL))
//       return auth_challenge(req, t, &host, scope, rc, &plan->response);
#ifndef MERIDIAN_AUTH_VERIFY_H
#define MERIDIAN_AUTH_VERIFY_H

#include "config/hostname.h"
#include "config/principals.h"
#include "config/topology.h"
#include "net/http.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_MAX_BYTES 8192
#define ACCESS_LIFETIME_S 900
#define ACCESS_LIFETIME_MAX_S 3600 // verifiers refuse tokens that claim more
#define TOKEN_SKEW_S 60            // clocks of regions may differ by so much

struct access_grant {
    // exact name; "*" with ACTION_CATALOG for registry:catalog:*
    const char *repository;
    // enum action
    unsigned actions;
};

struct access {
    // "" for anonymous; "peer:<region>" for a region
    const char *principal;
    bool anonymous;
    // a region over mutual TLS: it may pull every repository of the registries that it holds
    bool peer;
    const struct access_grant *grants;
    size_t n_grants;
    // actions on every repository (anonymous pull, peers)
    unsigned everywhere;
    // jti, for logs; NULL without a token
    const char *token_id;
};

// Verifies a compact JWS for `service` (the registry's global name). ES256 only, `kid` bound to its
// region, which must hold a replica of the registry, and of its incarnation (config/registry_key.h);
// typ "access"; lifetime capped; skew allowed.
// ERR_AUTH, ERR_EXPIRED. *out hangs off the arena.
int token_verify_access(const struct topology *t, const struct registry *r, const char *token,
                        int64_t now_ms, struct arena *arena, struct access *out);

// Who the caller is: by a Bearer token (a bad one is an error, never anonymous), else by a peer's
// certificate on the peer listener, else anonymous (who may pull everywhere if the registry allows
// it). Basic gives ERR_AUTH here: it belongs to the token endpoint.
int auth_check(const struct topology *t, const struct registry *r, struct http_request *req,
               int64_t now_ms, struct access *out);
unsigned access_actions(const struct access *a, const char *repository);

// 401 with `WWW-Authenticate: Bearer realm="https://<host>/oauth2/token",service="L.D",scope="…"`
// and a refusal in the server's words. The realm is formatted from the parsed name and the public
// port, never echoed. `scope` may be NULL (GET /v2/); `why` 0, ERR_AUTH or ERR_EXPIRED (adds
// error="invalid_token") or ERR_DENIED (error="insufficient_scope").
void auth_challenge(struct http_request *req, const struct topology *t, const struct hostname *host,
                    const char *scope, int why, struct http_response *out);

#endif
