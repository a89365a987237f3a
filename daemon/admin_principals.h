// SPDX-License-Identifier: Apache-2.0
// Who may do what, for who looks at a node; no hash of a password is in it.
//
//   GET /v1/principals                 users, tokens, scope maps (control/principals_change.h)
//   GET /v1/principals/judge?registry=NAME&repository=NAME[&principal=NAME]
//                                      what a token of his for that repository would hold, by the
//                                      rules that the token service goes by; without a principal:
//                                      what anybody has
//
//   {"registry","repository","principal","known":true,"kind":"user","enabled":true,
//    "passwords":1,"actions":["pull"],"version":7}
//
// passwords: how many count now, for a user always 1. What is judged is the node's own list of
// principals; a region that lags behind may judge by an older one.
#ifndef MERIDIAN_DAEMON_ADMIN_PRINCIPALS_H
#define MERIDIAN_DAEMON_ADMIN_PRINCIPALS_H

#include "daemon/app.h"

void admin_get_principals(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_judgement(struct app *app, struct http_request *req, struct http_response *resp);

#endif
