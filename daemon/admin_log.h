// SPDX-License-Identifier: Apache-2.0
// The last lines of the worker's log (base/log.h), for who looks at a node without its journal:
//
//   GET /v1/log                         text/plain, the oldest line first
//
// What the supervisor and nginx say since the worker began is in the journal alone.
#ifndef MERIDIAN_DAEMON_ADMIN_LOG_H
#define MERIDIAN_DAEMON_ADMIN_LOG_H

#include "daemon/app.h"

void admin_get_log(struct app *app, struct http_request *req, struct http_response *resp);

#endif
