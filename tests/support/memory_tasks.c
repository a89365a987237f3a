// SPDX-License-Identifier: Apache-2.0
// The queue in memory; see store/backend_tasks.h, and memory_jobs.c for its jobs.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct m_task *task_at(struct tx *tx, int64_t id)
{
    if (id >= 0)
        return NULL;
    return row_find(tx, T_TASKS, &(struct m_task){.id = id});
}

static const struct m_task *task_with(struct tx *tx, enum task_kind kind, const char *key)
{
    EACH_ROW(tx, T_TASKS, struct m_task, t)
    if (t->kind == kind && t->key && strcmp(t->key, key) == 0)
        return t;
    return NULL;
}

static int number_take(struct tx *tx, uint64_t *out)
{
    struct m_own own = own_row(tx);
    own.task_n++;
    *out = own.task_n;
    return row_put(tx, T_OWN, &own);
}

static int put(struct tx *tx, const struct task_new *t, bool only_earlier)
{
    uint64_t number;
    assert(t->kind != TASK_APPLY);
    int rc = number_take(tx, &number);
    if (rc)
        return rc;
    const struct m_task *is = task_with(tx, t->kind, t->key);
    struct m_task row = {.id = -(int64_t)number,
                         .kind = t->kind,
                         .key = t->key,
                         .registry = t->registry,
                         .payload = "",
                         .due_ms = t->due_ms};
    if (is) {
        row = *is;
        if (!only_earlier || t->due_ms < row.due_ms)
            row.due_ms = t->due_ms;
    }
    row.revision = number;
    if (t->payload)
        row.payload = t->payload;
    return row_put(tx, T_TASKS, &row);
}

static int task_out(const struct m_task *t, struct arena *a, struct task *out)
{
    struct task copy = {.id = t->id,
                        .revision = t->revision,
                        .kind = t->kind,
                        .due_ms = t->due_ms,
                        .attempts = t->attempts};
    int rc = text_out(a, t->key, &copy.key);
    if (!rc)
        rc = text_out(a, t->registry, &copy.registry);
    if (!rc)
        rc = text_out(a, t->payload, &copy.payload);
    if (!rc)
        rc = text_out(a, t->reason, &copy.reason);
    if (!rc)
        *out = copy;
    return rc;
}

static int get(struct tx *tx, int64_t id, struct arena *a, struct task *out)
{
    const struct m_task *t = task_at(tx, id);
    if (!t)
        return ERR_NOTFOUND;
    return task_out(t, a, out);
}

static int find(struct tx *tx, enum task_kind kind, const char *key, struct arena *a,
                struct task *out)
{
    const struct m_task *t = task_with(tx, kind, key);
    if (!t)
        return ERR_NOTFOUND;
    return task_out(t, a, out);
}

static int set(struct tx *tx, int64_t id, const struct task_state *s)
{
    const struct m_task *is = task_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    struct m_task row = *is;
    row.due_ms = s->due_ms;
    row.attempts = s->attempts;
    row.reason = s->reason;
    if (s->payload)
        row.payload = s->payload;
    return row_put(tx, T_TASKS, &row);
}

static int remove_task(struct tx *tx, int64_t id)
{
    if (!task_at(tx, id))
        return 0;
    return row_remove(tx, T_TASKS, &(struct m_task){.id = id});
}

static int remove_key(struct tx *tx, enum task_kind kind, const char *key)
{
    const struct m_task *is = task_with(tx, kind, key);
    if (!is)
        return 0;
    return remove_task(tx, is->id);
}

// --- lists of rows, freed by the caller ---

typedef const struct m_task *task_ptr;

static task_ptr *list_of(struct tx *tx, enum task_kind kind,
                         int (*order)(const void *, const void *), size_t *out_n)
{
    size_t n = 0;
    task_ptr *list = malloc((row_count(tx, T_TASKS) + 1) * sizeof *list);
    if (!list)
        return NULL;
    EACH_ROW(tx, T_TASKS, struct m_task, t)
    if (t->kind == kind)
        list[n++] = t;
    qsort(list, n, sizeof *list, order);
    *out_n = n;
    return list;
}

static int by_registry(const void *a, const void *b)
{
    return strcmp((*(const task_ptr *)a)->registry, (*(const task_ptr *)b)->registry);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const task_ptr *)a)->key, (*(const task_ptr *)b)->key);
}

// Jobs by age alone; others by their time first.
static int by_turn(const void *pa, const void *pb)
{
    const struct m_task *a = *(const task_ptr *)pa, *b = *(const task_ptr *)pb;
    if (a->kind == TASK_APPLY)
        return (a->id > b->id) - (a->id < b->id);
    if (a->due_ms != b->due_ms)
        return (a->due_ms > b->due_ms) - (a->due_ms < b->due_ms);
    return (a->id < b->id) - (a->id > b->id);
}

// --- which are due ---

static int registries_due(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max,
                          struct arena *a, const char ***out, size_t *out_n)
{
    size_t n, n_out = 0;
    int rc = 0;
    const char **found = arena_array(a, max + 1, sizeof *found);
    task_ptr *list = list_of(tx, kind, by_registry, &n);
    if (!list || !found) {
        free(list);
        return ERR_NOMEM;
    }
    for (size_t i = 0; !rc && i < n && n_out < max; i++) {
        if (list[i]->due_ms > now_ms)
            continue;
        if (n_out && strcmp(found[n_out - 1], list[i]->registry) == 0)
            continue;
        rc = text_out(a, list[i]->registry, &found[n_out++]);
    }
    free(list);
    if (rc)
        return rc;
    *out = found;
    *out_n = n_out;
    return 0;
}

static int due(struct tx *tx, enum task_kind kind, const char *registry, int64_t now_ms, size_t max,
               int64_t *out_ids, size_t *out_n)
{
    size_t n, n_out = 0;
    task_ptr *list = list_of(tx, kind, by_turn, &n);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n && n_out < max; i++)
        if (list[i]->due_ms <= now_ms && strcmp(list[i]->registry, registry) == 0)
            out_ids[n_out++] = list[i]->id;
    free(list);
    *out_n = n_out;
    return 0;
}

static int next_due(struct tx *tx, enum task_kind kind, int64_t now_ms, int64_t *out_due_ms)
{
    int64_t next_ms = INT64_MAX;
    EACH_ROW(tx, T_TASKS, struct m_task, t)
    if (t->kind == kind && t->due_ms > now_ms && t->due_ms < next_ms)
        next_ms = t->due_ms;
    *out_due_ms = next_ms;
    return 0;
}

// --- status ---

static int counts_add(struct task_count *list, size_t *n, size_t max, const struct m_task *t,
                      int64_t now_ms, struct arena *a)
{
    if (!*n || strcmp(list[*n - 1].registry, t->registry) != 0) {
        if (*n == max)
            return 0;
        struct task_count *c = &list[*n];
        int rc = text_out(a, t->registry, &c->registry);
        if (rc)
            return rc;
        (*n)++;
    }
    struct task_count *c = &list[*n - 1];
    c->n_all++;
    c->n_due += t->due_ms <= now_ms;
    c->n_failing += t->attempts > 0;
    return 0;
}

static int counts(struct tx *tx, enum task_kind kind, int64_t now_ms, size_t max, struct arena *a,
                  struct task_count **out, size_t *out_n)
{
    size_t n, n_out = 0;
    int rc = 0;
    struct task_count *found = arena_array(a, max + 1, sizeof *found);
    task_ptr *list = list_of(tx, kind, by_registry, &n);
    if (!list || !found)
        rc = ERR_NOMEM;
    for (size_t i = 0; !rc && i < n; i++)
        rc = counts_add(found, &n_out, max, list[i], now_ms, a);
    free(list);
    if (rc)
        return rc;
    *out = found;
    *out_n = n_out;
    return 0;
}

static int list_tasks(struct tx *tx, enum task_kind kind, const char *after, size_t max,
                      struct arena *a, struct task **out, size_t *out_n)
{
    size_t n, n_out = 0;
    int rc = 0;
    struct task *found = arena_array(a, max + 1, sizeof *found);
    task_ptr *list = list_of(tx, kind, by_key, &n);
    if (!list || !found)
        rc = ERR_NOMEM;
    for (size_t i = 0; !rc && i < n && n_out < max; i++)
        if (!after || strcmp(list[i]->key, after) > 0)
            rc = task_out(list[i], a, &found[n_out++]);
    free(list);
    if (rc)
        return rc;
    *out = found;
    *out_n = n_out;
    return 0;
}

const struct task_ops memory_task_ops = {
    .put = put,
    .get = get,
    .find = find,
    .set = set,
    .remove = remove_task,
    .remove_key = remove_key,
    .registries_due = registries_due,
    .due = due,
    .next_due = next_due,
    .counts = counts,
    .list = list_tasks,
};
