// SPDX-License-Identifier: Apache-2.0
// Logins at the admin listener: a token of the fleet shows its name and password (Basic) and gets a
// bearer of this region (auth/admin_bearer.h); later calls show that, and are judged here anew.
//
//   rc = admin_login_start(&o, &login);
//   admin_login_begin(login, req, plan);              // POST /v1/token
//   rc = admin_login_judge(login, req, &caller);      // any other call, on HTTP threads
//   admin_login_stop(login);                          // after the server
//
// Password hashes are checked by one thread of its own that steps back before all others, in turn by
// the client's network and the name that is tried; a full queue answers 429. A name that nobody has,
// or that has no rights in this region, costs as much as a wrong password and sounds the same.
#ifndef MERIDIAN_AUTH_ADMIN_LOGIN_H
#define MERIDIAN_AUTH_ADMIN_LOGIN_H

#include "auth/admin_bearer.h"
#include "auth/audit.h"
#include "base/snapshot.h"
#include "net/http.h"

struct admin_login;
struct admin_login_options { // borrowed, and live longer
    struct snapshot *topology, *principals;
    const struct region_keys *keys;
    // NULL: none
    struct audit *audit;
    const char *region;
    // How long ago the principals were last known to be current; past the topology's max_stale
    // nobody gets in. NULL: they are a file of this node, and always current.
    int64_t (*principals_age_ms)(void *ctx);
    void *age_ctx;
};
int admin_login_start(const struct admin_login_options *o, struct admin_login **out);
void admin_login_stop(struct admin_login *l); // NULL is fine
// Fills the plan, whatever the request.
void admin_login_begin(struct admin_login *l, struct http_request *req, struct http_plan *plan);
// Who calls. ERR_AUTH, ERR_EXPIRED: 401; ERR_CLOSED: the principals are too old, 503; ERR_NOMEM.
// Sets req->principal, and for the log why not.
int admin_login_judge(struct admin_login *l, struct http_request *req, struct admin_caller *out);
// An answer in the form that all of /v1 has: {"error":{"code","message"}}.
void admin_refuse(struct http_request *req, struct http_response *resp, int status,
                  const char *code, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
