// SPDX-License-Identifier: Apache-2.0
// The admin calls of fault drills (health/drill.h). See admin.c for the calls. On the pool.
#ifndef MERIDIAN_DAEMON_ADMIN_DRILL_H
#define MERIDIAN_DAEMON_ADMIN_DRILL_H

#include "daemon/app.h"

void admin_get_drills(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_drill(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_drill_stop(struct app *app, struct http_request *req, struct http_response *resp);

#endif
