// SPDX-License-Identifier: Apache-2.0
// The admin calls of fault drills (health/drill.h). See admin.c for the calls. On the pool.
#ifndef MERIDIAN_DAEMON_ADMIN_DRILL_H
#define MERIDIAN_DAEMON_ADMIN_DRILL_H

#include "daemon/app.h"

// Who gives an order to this node's resolver: "root@eastus"; from afar the token's name.
void admin_by(const struct app *app, const struct http_request *req, char out[HEALTH_BY_SIZE]);

void admin_get_drills(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_drill(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_drill_stop(struct app *app, struct http_request *req, struct http_response *resp);

#endif
