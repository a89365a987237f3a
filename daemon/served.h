// SPDX-License-Identifier: Apache-2.0
// What the node has served (net/traffic.h), uploads that are open, and when its certificates end, in
// the metrics. Reads the metadata and the certificates: on the pool.
#ifndef MERIDIAN_DAEMON_SERVED_H
#define MERIDIAN_DAEMON_SERVED_H

#include "daemon/app.h"

void served_metrics(const struct app *app, struct buf *b);

#endif
