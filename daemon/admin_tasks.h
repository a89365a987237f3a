// SPDX-License-Identifier: Apache-2.0
// The durable queue for those who look at a node: its part of the status, its metrics, and the calls
// of the admin socket (admin_tasks.c).
#ifndef MERIDIAN_DAEMON_ADMIN_TASKS_H
#define MERIDIAN_DAEMON_ADMIN_TASKS_H

#include "daemon/app.h"

#include <jansson.h>

// The kinds that this node runs, by name; empty without a store. The caller's reference.
json_t *tasks_json(const struct app *app);
void tasks_metrics(const struct app *app, struct buf *b);
void admin_get_tasks(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_task_run(struct app *app, struct http_request *req, struct http_response *resp);

#endif
