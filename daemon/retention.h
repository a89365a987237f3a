// SPDX-License-Identifier: Apache-2.0
// Runs the retention rules of this region's repositories (store/meta_retention.h) as tasks of the
// durable queue: one for each repository that has rules and of which this region is the runner
// (config/policy.h, policy_runner).
//
//   retention_init(&r, meta, &topology, "eastus");
//   task_runner_register(runner, TASK_RETAIN, retention_step, &r);
//   task_runner_every(runner, RETENTION_LOOK_MS, retention_schedule, &r);
//
// A repository is looked at once a day, soon after it changed, and when its registry's rules or
// replicas changed. The topology is asked anew in every step: rules that are gone, or that another
// region runs now, end the task.
//
// All runs on the runner's thread. Owned by the worker; meta and topology outlive it.
#ifndef MERIDIAN_DAEMON_RETENTION_H
#define MERIDIAN_DAEMON_RETENTION_H

#include "base/snapshot.h"
#include "daemon/task_runner.h"

struct htab;
struct meta;

#define RETENTION_LOOK_MS 5000

struct retention {
    struct meta *meta;
    struct snapshot *topology;
    const char *region;
    // of the topology that was looked at last; 0: none
    uint64_t version;
    // by registry's key: of the rules that were looked at last
    struct htab *marks;
    // up to where the log was looked through for changes; -1: not yet
    int64_t touched;
    // mono: when all repositories are looked for again; and at the earliest, after a change
    int64_t all_ms, changed_ms;
};

void retention_init(struct retention *r, struct meta *meta, struct snapshot *topology,
                    const char *region);
void retention_done(struct retention *r);
int retention_step(void *ctx, struct task_step *s);
// Queues what is missing.
void retention_schedule(void *ctx);

#endif
