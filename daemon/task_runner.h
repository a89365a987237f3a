// SPDX-License-Identifier: Apache-2.0
// Runs the tasks of the durable queue (store/meta_queue.h), all but the jobs of entries, on a thread
// of its own. A kind of task gives it a function:
//
//   rc = task_runner_new(meta, &r);
//   task_runner_register(r, TASK_RETAIN, retention_step, retention);
//   task_runner_every(r, 600000, retention_schedule, retention);
//   rc = task_runner_start(r);
//   … task_runner_stop(r); task_runner_free(r);
//
//   static int retention_step(void *ctx, struct task_step *s)
//   {
//       … at most a thousand rows, less than a second …
//       s->again_ms = more_is_left ? 0 : DAY_MS;
//       return 0;
//   }
//
// Kinds take turns, and within a kind registries do. A step runs outside of any transaction and may
// block on the store. What it leaves in *s decides what becomes of its task:
//   0, again_ms < 0 (as it is)  the task is done and ends
//   0, again_ms >= 0            it goes on in so many ms, with `payload` if that is set
//   ERR_CANCELED, ERR_CLOSED    the runner stops, or another process mints: the task stays as it is
//   another code                it failed, for `reason` or the code's text. The next try comes after
//                               1 s, 2 s, 4 s … 1 h, each cut by up to a half at random
//
// Only the process that mints runs tasks: it starts the runner after it has opened the store, and
// stops it before it hands the store over. A step looks at task_stops between its pieces.
//
// Threads: register and every before start; wake, look, stats on any thread.
#ifndef MERIDIAN_DAEMON_TASK_RUNNER_H
#define MERIDIAN_DAEMON_TASK_RUNNER_H

#include "store/meta_queue.h"

struct task_runner;

struct task_step {
    const struct task *task;
    // in
    const struct task_runner *runner;
    // out
    int64_t again_ms;
    // "": what the task has stays
    char payload[TASK_PAYLOAD_MAX + 1];
    char reason[TASK_REASON_MAX + 1];
};

typedef int task_fn(void *ctx, struct task_step *s);

int task_runner_new(struct meta *m, struct task_runner **out);
// Nothing runs any more. NULL is accepted.
void task_runner_free(struct task_runner *r);

void task_runner_register(struct task_runner *r, enum task_kind kind, task_fn *fn, void *ctx);
// Calls `fn` when the runner starts, every `every_ms`, and after task_runner_look. It queues what
// is missing, and must be short as a step is.
void task_runner_every(struct task_runner *r, int64_t every_ms, void (*fn)(void *ctx), void *ctx);

int task_runner_start(struct task_runner *r);
// Returns when the step that runs has ended. NULL, and one that does not run, are accepted.
void task_runner_stop(struct task_runner *r);

// A task was queued that is due before long; without this it may wait for 15 s. NULL is accepted.
void task_runner_wake(struct task_runner *r);
// Something changed that the functions of task_runner_every judge by. NULL is accepted.
void task_runner_look(struct task_runner *r);

bool task_stops(const struct task_step *s);

// What was done since the start.
struct task_stats {
    bool registered;
    // steps that ended their task, that left more to do, that failed
    uint64_t n_done, n_more, n_failed;
    uint64_t run_ms;
    // one runs now
    bool runs;
};
void task_runner_stats(struct task_runner *r, enum task_kind kind, struct task_stats *out);

#endif
