// SPDX-License-Identifier: Apache-2.0
// Content of registries that were deleted: from the time that the control feed's ledger names
// (`gone/<key>`, lifecycle/registry_goal.h), this region deletes all that it holds of one, and the
// collection of blobs takes the bytes. Nobody else reads these deletions: no region shares a registry
// that the topology does not have. A registry that takes the name later has another key.
//
//   retire_init(&r, meta, &topology, due_ms, ctx);
//   task_runner_register(runner, TASK_RETIRE, retire_step, &r);
//   task_runner_every(runner, RETIRE_LOOK_MS, retire_schedule, &r);
//
// What carries a delete lock goes too: the lock was the registry's. All runs on the runner's thread.
#ifndef MERIDIAN_DAEMON_RETIRE_H
#define MERIDIAN_DAEMON_RETIRE_H

#include "base/snapshot.h"
#include "daemon/task_runner.h"

#include <stdint.h>

struct meta;

#define RETIRE_LOOK_MS 60000

// When the content of the registry of that key goes, wall; -1: nothing is said of it.
typedef int64_t retire_due(void *ctx, const char *key);

struct retire {
    struct meta *meta;
    struct snapshot *topology;
    retire_due *due_ms;
    void *ctx;
};

void retire_init(struct retire *r, struct meta *meta, struct snapshot *topology, retire_due *due_ms,
                 void *ctx);
int retire_step(void *ctx, struct task_step *s);
// Queues what is due.
void retire_schedule(void *ctx);

#endif
