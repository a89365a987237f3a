// SPDX-License-Identifier: Apache-2.0
// The durable queue: what has to be done later, each a task with a kind, a key, a registry, the
// time when it is due, and the reason why it failed. See meta.h for threads, arenas and errors.
//
//   // in a rule, inside its transaction: the queue holds it if and only if the change is there
//   rc = task_add(tx, &(struct task_new){.kind = TASK_RETAIN, .key = key, .registry = registry});
//   // who runs tasks (daemon/task_runner.h):
//   rc = meta_tasks_due(m, TASK_RETAIN, clock_mono_ms(), 16, &a, &tasks, &n, &next_ms);
//   rc = meta_task_done(m, tasks[0].id, tasks[0].revision);
//   rc = meta_task_retry(m, tasks[0].id, due_ms, "the disk is full");
//
// A kind's key is unique: a task that is asked for again while it is queued stays one task, due at
// the earlier of both times. What asks for it while it runs is not lost either: `revision` grows,
// and a task of another revision than the one that ran does not end.
//
// The jobs of entries (meta_jobs.h) are the kind TASK_APPLY of the same table. They are made, moved
// and ended by the functions of meta_jobs.h alone; their key is their entry's place in the log.
//
// Times are milliseconds of the monotonic clock. When a store opens, all tasks are due; attempts and
// reasons stay.
#ifndef MERIDIAN_STORE_META_QUEUE_H
#define MERIDIAN_STORE_META_QUEUE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;
struct tx;

// X(symbol, number, name). Numbers are in databases: they never change, and none is used twice.
// A new kind is a row here and a function that the daemon registers (daemon/task_runner.h).
#define TASK_KINDS(X)                                      \
    /* applies an entry of another region (meta_jobs.h) */ \
    X(TASK_APPLY, 0, "apply")                              \
    /* one step of the collection of blobs */              \
    X(TASK_COLLECT, 1, "collect")                          \
    /* the retention rules of one repository */            \
    X(TASK_RETAIN, 2, "retain")                            \
    /* the content of a registry that was deleted */       \
    X(TASK_RETIRE, 3, "retire")

enum task_kind {
#define TASK_KIND(symbol, number, name) symbol = number,
    TASK_KINDS(TASK_KIND)
#undef TASK_KIND
        TASK_N_KINDS
};

// "" when there is no such kind.
const char *task_kind_name(enum task_kind kind);
// TASK_N_KINDS: no kind has this name.
enum task_kind task_kind_named(const char *name);

#define TASK_KEY_MAX 1024
#define TASK_PAYLOAD_MAX 4096
#define TASK_REASON_MAX 512 // a longer one is cut

struct task_new {
    // any but TASK_APPLY
    enum task_kind kind;
    // of a repository: "<registry key>/<repository>"
    const char *key;
    // its key, for turns; "" when the task is of no registry
    const char *registry;
    // mono; 0: at once
    int64_t due_ms;
    // What the kind keeps with it. NULL: none, or what the task has already.
    const char *payload;
};

struct task {
    int64_t id;
    uint64_t revision;
    enum task_kind kind;
    const char *key, *registry;
    // "" when there is none
    const char *payload;
    int64_t due_ms;
    // tries that failed since one succeeded
    uint32_t attempts;
    // why the last try failed; NULL: it did not
    const char *reason;
};

// ---- inside a transaction of backend_write ----

// Queues it; one that is queued already becomes due no later than this. ERR_TOOBIG: key or payload.
int task_add(struct tx *tx, const struct task_new *t);
// Queues it, and sets time and payload of one that is queued already.
int task_move(struct tx *tx, const struct task_new *t);
// Ends it, if there is one.
int task_cancel(struct tx *tx, enum task_kind kind, const char *key);

// ---- each in a transaction of its own ----

int meta_task_add(struct meta *m, const struct task_new *t);
// Several in one transaction: all of them, or none.
int meta_tasks_add(struct meta *m, const struct task_new *list, size_t n);
int meta_task_move(struct meta *m, const struct task_new *t);
int meta_task_cancel(struct meta *m, enum task_kind kind, const char *key);

// ERR_NOTFOUND: nothing of that key is queued.
int meta_task_get(struct meta *m, enum task_kind kind, const char *key, struct arena *a,
                  struct task *out);
// Due tasks of a kind, at most max: registries take turns, and within one the task comes first that
// has been due longest. *out_next_ms: when the next one becomes due; now_ms when more are due than
// were asked for; INT64_MAX: none.
int meta_tasks_due(struct meta *m, enum task_kind kind, int64_t now_ms, size_t max, struct arena *a,
                   struct task **out, size_t *out_n, int64_t *out_next_ms);
// It ends, unless it was asked for again since it had this revision: then it stays, without
// failures. 0 also when it has ended.
int meta_task_done(struct meta *m, int64_t id, uint64_t revision);
// It has more to do, and did not fail; payload NULL: stays. One that was asked for again since it
// had this revision is due no later than it was asked for. ERR_NOTFOUND: it has ended.
int meta_task_later(struct meta *m, int64_t id, uint64_t revision, int64_t due_ms,
                    const char *payload);
// It failed: one more attempt is counted. ERR_NOTFOUND: it has ended.
int meta_task_retry(struct meta *m, int64_t id, int64_t due_ms, const char *reason);

// ---- status ----

// The tasks of a kind in one registry.
struct task_count {
    const char *registry;
    // all; those due; those whose last try failed
    uint64_t n_all, n_due, n_failing;
};
// By registry, at most max. Not of TASK_APPLY: those are counted by origin (meta_origins).
int meta_tasks_count(struct meta *m, enum task_kind kind, int64_t now_ms, size_t max,
                     struct arena *a, struct task_count **out, size_t *out_n);
// By key, those after `after` (NULL: from the first), at most max. Not of TASK_APPLY.
int meta_tasks_list(struct meta *m, enum task_kind kind, const char *after, size_t max,
                    struct arena *a, struct task **out, size_t *out_n);

#endif
