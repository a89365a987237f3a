// SPDX-License-Identifier: Apache-2.0
// The topology, for the admin API:
//
//   GET /v1/topology[?version=N]        the whole document in force, or as it was at a version that
//                                       the control feed still has (text/yaml)
//   GET /v1/topology/history[?n=COUNT]  {"history": [{"version","time","by","what"}]}, the latest
//                                       first; of the control feed only
#ifndef MERIDIAN_DAEMON_ADMIN_TOPOLOGY_H
#define MERIDIAN_DAEMON_ADMIN_TOPOLOGY_H

#include "daemon/app.h"

void admin_get_topology(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_topology_history(struct app *app, struct http_request *req,
                                struct http_response *resp);

#endif
