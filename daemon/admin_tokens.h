// SPDX-License-Identifier: Apache-2.0
// The refresh tokens that this region has issued, for those who look at a node (auth/issued.h).
//
//   GET /v1/tokens/issued?registry=NAME[&principal=NAME][&n=COUNT][&cursor=TEXT]
#ifndef MERIDIAN_DAEMON_ADMIN_TOKENS_H
#define MERIDIAN_DAEMON_ADMIN_TOKENS_H

#include "daemon/app.h"

void admin_get_issued(struct app *app, struct http_request *req, struct http_response *resp);

#endif
