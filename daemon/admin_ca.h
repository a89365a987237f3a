// SPDX-License-Identifier: Apache-2.0
// The private CA's replacement by the admin socket (`meridian certs roll-ca`, `certs show`).
//
//   GET  /v1/certs/ca                               ca_rolling_json
//   POST /v1/certs/ca?do=begin&issue_after_ms=N     these answer as GET does
//   POST /v1/certs/ca?do=cancel|without-away|drop-old
#ifndef MERIDIAN_DAEMON_ADMIN_CA_H
#define MERIDIAN_DAEMON_ADMIN_CA_H

#include "daemon/app.h"

void admin_get_ca(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_ca(struct app *app, struct http_request *req, struct http_response *resp);

#endif
