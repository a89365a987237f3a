// SPDX-License-Identifier: Apache-2.0
// The state of the limits of requests (net/throttle.h) in the metrics.
#ifndef MERIDIAN_DAEMON_LIMITING_H
#define MERIDIAN_DAEMON_LIMITING_H

#include "daemon/app.h"

void limiting_metrics(const struct app *app, struct buf *b);

#endif
