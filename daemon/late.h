// SPDX-License-Identifier: Apache-2.0
// A worker that has yielded to its successor (http_server_yield_begin in net/http.h): uploads that
// are under way, and logins, are served on as ever; any other request that still reaches it, over a
// connection that the edge keeps or with a body that was not whole in time, is handed to the
// successor over the socket that both know, and its answer back. So no request fails for having
// come to the wrong one.
#ifndef MERIDIAN_DAEMON_LATE_H
#define MERIDIAN_DAEMON_LATE_H

#include "daemon/app.h"

void late_begin_public(void *app, struct http_request *req, struct http_plan *plan);
void late_begin_peer(void *app, struct http_request *req, struct http_plan *plan);
// blocks: on the pool
void late_run(void *app, struct http_request *req, struct http_response *resp);

#endif
