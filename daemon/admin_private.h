// SPDX-License-Identifier: Apache-2.0
// GET /v1/private-endpoints[?name=&registry=&view=]: private endpoints and their connections, on any
// node (lifecycle/private_list.h has the form). Where the topology comes from files they are its rows.
// GET /v1/private-zone?view=V[&registry=]: the names that the view has private addresses for, for other
// resolvers (resolver/answer/private_names.h has the form).
#ifndef MERIDIAN_DAEMON_ADMIN_PRIVATE_H
#define MERIDIAN_DAEMON_ADMIN_PRIVATE_H

#include "daemon/admin_route.h"

void admin_get_private_endpoints(struct app *app, struct http_request *req,
                                 struct http_response *resp);
void admin_get_private_zone(struct app *app, struct http_request *req, struct http_response *resp);

#endif
