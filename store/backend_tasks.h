// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on tasks: rows of the durable queue. See backend.h for what all
// operations keep to, and meta_queue.h for what the rules do with tasks.
//
//   rc = task_put(tx, &(struct task_new){…}, true);
//   rc = tasks_due(tx, TASK_RETAIN, "contoso", now_ms, 16, ids, &n);
//   rc = task_set(tx, ids[0], &(struct task_state){.due_ms = later_ms});
//
// Which are due is asked of every kind, TASK_APPLY too. All else here is of the other kinds; jobs,
// the tasks of kind TASK_APPLY, have operations of their own (backend_jobs.h).
//
// A task of another kind than TASK_APPLY has an id below 0, which no other task ever had or gets.
// (kind, key) is unique among them. Times are as in backend_jobs.h: when a backend is opened, all
// tasks become due.
#ifndef MERIDIAN_STORE_BACKEND_TASKS_H
#define MERIDIAN_STORE_BACKEND_TASKS_H

#include "store/backend.h"
#include "store/meta_queue.h"

#include <stddef.h>

// What a try leaves behind.
struct task_state {
    int64_t due_ms;
    uint32_t attempts;
    // NULL: none
    const char *reason;
    // NULL: stays
    const char *payload;
};

struct task_ops {
    int (*put)(struct tx *tx, const struct task_new *t, bool only_earlier);
    int (*get)(struct tx *tx, int64_t id, struct arena *a, struct task *out);
    int (*find)(struct tx *tx, enum task_kind kind, const char *key, struct arena *a,
                struct task *out);
    int (*set)(struct tx *tx, int64_t id, const struct task_state *s);
    int (*remove)(struct tx *tx, int64_t id);
    int (*remove_key)(struct tx *tx, enum task_kind kind, const char *key);
    int (*registries_due)(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max,
                          struct arena *a, const char ***out, size_t *out_n);
    int (*due)(struct tx *tx, enum task_kind kind, const char *registry, int64_t now_ms, size_t max,
               int64_t *out_ids, size_t *out_n);
    int (*next_due)(struct tx *tx, enum task_kind kind, int64_t now_ms, int64_t *out_due_ms);
    int (*counts)(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max, struct arena *a,
                  struct task_count **out, size_t *out_n);
    int (*list)(struct tx *tx, enum task_kind kind, const char *after, size_t max, struct arena *a,
                struct task **out, size_t *out_n);
};

// --- one task ---

// Adds it; one that has its key gets a higher revision, its payload (NULL: stays), and its time, if
// that is earlier or `only_earlier` is not set. The payload of a new one is "" for NULL.
static inline int task_put(struct tx *tx, const struct task_new *t, bool only_earlier)
{
    return tx->ops->tasks->put(tx, t, only_earlier);
}

// ERR_NOTFOUND.
static inline int task_get(struct tx *tx, int64_t id, struct arena *a, struct task *out)
{
    return tx->ops->tasks->get(tx, id, a, out);
}

// ERR_NOTFOUND.
static inline int task_find(struct tx *tx, enum task_kind kind, const char *key, struct arena *a,
                            struct task *out)
{
    return tx->ops->tasks->find(tx, kind, key, a, out);
}

// Its revision stays. ERR_NOTFOUND.
static inline int task_set(struct tx *tx, int64_t id, const struct task_state *s)
{
    return tx->ops->tasks->set(tx, id, s);
}

// 0 also when there is none.
static inline int task_remove(struct tx *tx, int64_t id)
{
    return tx->ops->tasks->remove(tx, id);
}

// 0 also when there is none.
static inline int task_remove_key(struct tx *tx, enum task_kind kind, const char *key)
{
    return tx->ops->tasks->remove_key(tx, kind, key);
}

// --- which are due, of any kind ---

// Registries that have due tasks of the kind, by name, at most max.
static inline int tasks_registries_due(struct tx *tx, enum task_kind kind, int64_t now_ms,
                                       size_t max, struct arena *a, const char ***out,
                                       size_t *out_n)
{
    return tx->ops->tasks->registries_due(tx, kind, now_ms, max, a, out, out_n);
}

// Due tasks of one registry, in out_ids[max]: of TASK_APPLY the oldest first (the lowest id), of
// other kinds by due_ms, of equal ones the one that was added first.
static inline int tasks_due(struct tx *tx, enum task_kind kind, const char *registry,
                            int64_t now_ms, size_t max, int64_t *out_ids, size_t *out_n)
{
    return tx->ops->tasks->due(tx, kind, registry, now_ms, max, out_ids, out_n);
}

// The lowest due_ms above now_ms; INT64_MAX: none.
static inline int tasks_next_due(struct tx *tx, enum task_kind kind, int64_t now_ms,
                                 int64_t *out_due_ms)
{
    return tx->ops->tasks->next_due(tx, kind, now_ms, out_due_ms);
}

// --- status ---

// By registry, at most max.
static inline int tasks_count(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max,
                              struct arena *a, struct task_count **out, size_t *out_n)
{
    return tx->ops->tasks->counts(tx, kind, now_ms, max, a, out, out_n);
}

// By key, those after `after` (NULL: from the first), at most max.
static inline int tasks_list(struct tx *tx, enum task_kind kind, const char *after, size_t max,
                             struct arena *a, struct task **out, size_t *out_n)
{
    return tx->ops->tasks->list(tx, kind, after, max, a, out, out_n);
}

#endif
