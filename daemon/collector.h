// SPDX-License-Identifier: Apache-2.0
// Runs the collection of blobs (store/collect.h) and the sweep of files without a row
// (store/orphans.h) as a task of the durable queue, in turns, between which pushes go on.
//
//   collector_new(blobs, meta, &c);
//   collector_register(c, runner);       // before the runner starts
//   …
//   collector_free(c);                   // after the runner has stopped
//
// One task, TASK_COLLECT with the key "all", comes back for good. While there is much to do it rests
// for longer than it works.
#ifndef MERIDIAN_DAEMON_COLLECTOR_H
#define MERIDIAN_DAEMON_COLLECTOR_H

#include "base/bytes.h"
#include "daemon/task_runner.h"
#include "store/collect.h"

#define COLLECTOR_KEY "all"

struct collector;
int collector_new(struct blob_store *bs, struct meta *m, struct collector **out);
void collector_free(struct collector *c); // NULL is accepted
void collector_register(struct collector *c, struct task_runner *r);
// Any thread; `c` NULL writes nothing.
void collector_metrics(struct collector *c, struct buf *out);

#endif
