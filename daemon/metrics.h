// SPDX-License-Identifier: Apache-2.0
// The node's metrics for Prometheus; see metrics.c. Any thread may gather; the listener's begin
// runs on HTTP threads.
#ifndef MERIDIAN_DAEMON_METRICS_H
#define MERIDIAN_DAEMON_METRICS_H

#include "daemon/app.h"

void metrics_reply(const struct app *app, struct http_request *req, struct http_response *resp);
// metrics.listen
void app_begin_metrics(void *app, struct http_request *req, struct http_plan *plan);

#endif
