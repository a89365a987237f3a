// SPDX-License-Identifier: Apache-2.0
// The topology in force, for the admin API:
//
//   GET /v1/topology     the whole document (text/yaml), as `meridian topology export` prints it
#ifndef MERIDIAN_DAEMON_ADMIN_TOPOLOGY_H
#define MERIDIAN_DAEMON_ADMIN_TOPOLOGY_H

#include "daemon/app.h"

void admin_get_topology(struct app *app, struct http_request *req, struct http_response *resp);

#endif
