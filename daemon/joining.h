// SPDX-License-Identifier: Apache-2.0
// Regions that join (fleet/join.h), and the secrets that all regions share (fleet/secrets.h), on a
// node whose topology comes over the control feed. Elsewhere there is nothing to join.
//
//   rc = joining_start(&app, &tell, &app.joining);    // after the fleet and the certificates
//   joining_begin(&app, req, peer, plan);             // peer listener: /join, /control/v1/secrets
//   joining_end(app.joining);                         // its thread ends soon
//   joining_stop(app.joining);                        // after the servers that call it have stopped
//
// A thread of its own looks every two seconds, and when the topology changes, whether a secret that
// the topology names is missing here, and fetches it. At the writer it also writes into the ledger
// which secret of DNS cookies is in force, when its own file has changed: the others follow.
#ifndef MERIDIAN_DAEMON_JOINING_H
#define MERIDIAN_DAEMON_JOINING_H

#include "daemon/app.h"

struct joining;
struct joining_tell {           // may be called on its thread
    void (*secrets)(void *ctx); // some came
    void *ctx;
};

// *out stays NULL where files are the source.
int joining_start(struct app *app, const struct joining_tell *tell, struct joining **out);
void joining_end(struct joining *j);  // NULL is fine
void joining_stop(struct joining *j); // likewise

bool joining_is_path(const char *path);
// `peer` NULL: nobody's certificate came. On an HTTP thread.
void joining_begin(struct app *app, struct http_request *req, const struct region *peer,
                   struct http_plan *plan);
// GET /v1/join-tokens: {"ca":PEM,"tokens":[{"id","region","state","expires",…}]}
void joining_get_tokens(struct app *app, struct http_request *req, struct http_response *resp);
// CONDITION_JOIN: somebody else showed a token that was used, until it is revoked or its record is
// gone. Housekeeping, every few seconds.
void joining_judge(struct app *app);

#endif
