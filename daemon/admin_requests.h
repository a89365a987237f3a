// SPDX-License-Identifier: Apache-2.0
// Changes of the fleet over the admin API (daemon/admin_route.h) and between regions:
//
//   POST /v1/requests                  an operator's envelope (control/request.h), on any node: it
//                                      goes on to the writer. At the writer's admin socket also a
//                                      bare text, root's. 202, 200 or an error; docs/operations.md
//   GET  /v1/operations?object=&state=&max=
//   GET  /v1/operations/ID?wait_ms=    waits for its end for so long, at most 10 s
//   GET  /v1/names                     reserved names
//
// Nothing but the signature counts for who asks: neither the listener nor the region that handed an
// envelope on.
#ifndef MERIDIAN_DAEMON_ADMIN_REQUESTS_H
#define MERIDIAN_DAEMON_ADMIN_REQUESTS_H

#include "daemon/app.h"

void admin_post_request(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_operations(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_operation(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_names(struct app *app, struct http_request *req, struct http_response *resp);
// As fleet_hooks.request: an envelope that another region handed on.
void admin_forwarded_request(void *app, const char *from_region, struct bytes envelope,
                             struct fleet_answer *out);

#endif
