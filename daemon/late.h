// SPDX-License-Identifier: Apache-2.0
// Late requests: those that still reach a worker after it has yielded to its successor
// (http_server_yield_begin in net/http.h), over a connection that the edge keeps or with a body
// that was not whole in time. The old worker goes on with uploads under way and with logins. It
// passes every other request to the successor, over the unix socket that both use, and returns the
// successor's answer. So no request fails because it came to the old worker.
#ifndef MERIDIAN_DAEMON_LATE_H
#define MERIDIAN_DAEMON_LATE_H

#include "daemon/app.h"

void late_begin_public(void *app, struct http_request *req, struct http_plan *plan);
void late_begin_peer(void *app, struct http_request *req, struct http_plan *plan);
// blocks: on the pool
void late_run(void *app, struct http_request *req, struct http_response *resp);

#endif
