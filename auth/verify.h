// SPDX-License-Identifier: Apache-2.0
// What other rooms need of auth: who a request is, what it may do here, and the challenge when it
// may not (design section 6; RFC 6750, RFC 7515, RFC 7519, the distribution token specification).
// Pure CPU: safe on HTTP threads.
//
//   struct access acc;
//   int rc = auth_check(t, reg, req, now, principals, &acc);   // Bearer, or anonymous
//   if (rc || !(access_actions(&acc, repo) & ACTION_PULL))
//       return auth_challenge(req, t, &host, scope, rc, &plan->response);
//
// A token says what it permits in the words that every release knows (pull, push, delete), in which
// reading content means reading lists too, and deleting means locking. What is not of that form is
// said beside them, where an older release does not look: it grants less then, never more than those
// words say.
#ifndef MERIDIAN_AUTH_VERIFY_H
#define MERIDIAN_AUTH_VERIFY_H

#include "base/snapshot.h"
#include "config/hostname.h"
#include "config/principals.h"
#include "config/topology.h"
#include "net/http.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_MAX_BYTES 8192
#define TOKEN_SKEW_S 60 // clocks of regions may differ by so much

struct access_grant {
    // exact name; "*" with ACTIONS_OF_REGISTRY, for registry:catalog:* and registry:audit:*
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
    // With ACTION_CATALOG: patterns of the repositories that the catalogue shows to the caller.
    const char *const *visible;
    size_t n_visible;
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
// it). Basic gives ERR_AUTH here: it belongs to the token endpoint. `principals` (struct principals)
// say which tokens were revoked; NULL: none.
int auth_check(const struct topology *t, const struct registry *r, struct http_request *req,
               int64_t now_ms, struct snapshot *principals, struct access *out);
unsigned access_actions(const struct access *a, const char *repository);
unsigned access_registry_actions(const struct access *a); // which of ACTIONS_OF_REGISTRY
// Does the catalogue show all repositories to the caller?
bool access_sees_all(const struct access *a);
// May the caller know this repository's name and its tags: by reading lists there, or since the
// catalogue shows it?
bool access_sees(const struct access *a, const char *repository);

// 401 with `WWW-Authenticate: Bearer realm="https://<host>/oauth2/token",service="L.D",scope="…"`
// and a refusal in the server's words. The realm is formatted from the parsed name and the public
// port, never echoed. `scope` may be NULL (GET /v2/); `why` 0, ERR_AUTH or ERR_EXPIRED (adds
// error="invalid_token") or ERR_DENIED (error="insufficient_scope").
void auth_challenge(struct http_request *req, const struct topology *t, const struct hostname *host,
                    const char *scope, int why, struct http_response *out);

#endif
