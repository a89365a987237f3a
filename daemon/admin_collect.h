// SPDX-License-Identifier: Apache-2.0
// What blobs take the room of this node, for those who look at it: calls of the admin socket and
// metrics (admin_collect.c).
#ifndef MERIDIAN_DAEMON_ADMIN_COLLECT_H
#define MERIDIAN_DAEMON_ADMIN_COLLECT_H

#include "daemon/app.h"

void admin_get_collect(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_collect(struct app *app, struct http_request *req, struct http_response *resp);
void admin_get_usage(struct app *app, struct http_request *req, struct http_response *resp);
void usage_metrics(const struct app *app, struct buf *out);

#endif
