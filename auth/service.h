// SPDX-License-Identifier: Apache-2.0
// The token service: `GET /oauth2/token` (Basic, or anonymous), `POST /oauth2/token` (grant_type
// password or refresh_token), `POST /oauth2/exchange` (auth/exchange.c), at every endpoint of a
// registry (design section 6, and what real clients send). Password hashes are checked by bounded workers, in turn by the client's network
// and the user name (net/fair.h; a full queue answers 429 with Retry-After), with a dummy hash for
// unknown users and a keyed cache of verified credentials that empties when the principals change.
// Requests that need no hash never wait for one.
//
// Access tokens: 15 minutes, typ "access", aud = the global name, access[] as granted. Refresh
// tokens: typ "refresh", carry the principal's generation, read again at each use. Both are signed
// by this region's key.
#ifndef MERIDIAN_AUTH_SERVICE_H
#define MERIDIAN_AUTH_SERVICE_H

#include "auth/audit.h"
#include "auth/verify.h"
#include "base/snapshot.h"
#include "certs/keys.h"
#include "net/outbound.h"
#include "net/throttle.h"

struct auth_service;
struct issued;
struct auth_service_options {
    struct snapshot *topology, *principals;
    const struct region_keys *keys;
    // NULL: none
    struct audit *audit;
    // limits of requests; NULL: nothing is limited
    struct throttle *throttle;
    const char *region;
    // keys of issuers are fetched through it; NULL: none are
    struct outbound *outbound;
    // where exchanged tokens are noted; NULL: in memory alone
    const char *state_dir;
    // where refresh tokens that are issued are written down; NULL: nowhere
    struct issued *issued;
    // password hashing threads; 0: 2
    unsigned n_workers;
    // requests that wait for a hash; 0: 512; one network may have an eighth of them
    size_t max_waiting;
    // How long ago the principals were last known to be current; past the topology's max_stale
    // nothing is issued (503). NULL: they are a file of this node, and always current.
    int64_t (*principals_age_ms)(void *ctx);
    void *age_ctx;
};
int auth_service_start(const struct auth_service_options *o, struct auth_service **out);
void auth_service_stop(struct auth_service *s);
// For requests whose path begins with /oauth2/ on a host of `reg`. Fills the plan, whatever the
// request.
void auth_service_begin(struct auth_service *s, struct http_request *req, const struct topology *t,
                        const struct registry *reg, const struct hostname *host,
                        struct http_plan *plan);
// What a token for one repository may hold (enum action): the rules of the principal (NULL:
// anonymous), and what the registry gives everybody. Whether he may log in at all is another matter.
unsigned auth_repository_actions(const struct registry *r, const struct principal *who,
                                 const char *repository);
// Would other regions accept the tokens of this one? Checks that the topology names this region's
// token key, and that this node's own verifier accepts a token signed with it now, for some
// registry that lives here. 0, or an error (ERR_AUTH, …) with a sentence that says what to do.
int auth_self_check(const struct topology *t, const char *region, const struct region_keys *keys,
                    int64_t now_ms, struct diag *diag);
// Whether issuers whose tokens are exchanged give no keys: how many, and a sentence on one of them.
size_t auth_issuers_failing(struct auth_service *s, char *out, size_t cap);
bool auth_principals_stale(int64_t age_ms, uint32_t max_stale_s);

#endif
