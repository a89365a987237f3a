// SPDX-License-Identifier: Apache-2.0
// The durable queue; see meta_queue.h.
//
// Invariants
//   1. Fair by registry (design section 9, invariant 6): registries take turns, and where there are
//      more of them than places, the first one changes from call to call.
//   2. A task ends only by task_cancel, or by meta_task_done of the revision that ran.
#include "store/meta_queue.h"

#include "base/err.h"
#include "store/meta_priv.h"

#include <assert.h>
#include <string.h>

#define REGISTRIES_MAX 4096 // that have due tasks, looked at in one call

static const char *const names[TASK_N_KINDS] = {
#define NAME_ROW(symbol, number, name) [symbol] = name,
    TASK_KINDS(NAME_ROW)
#undef NAME_ROW
};

const char *task_kind_name(enum task_kind kind)
{
    if ((unsigned)kind >= TASK_N_KINDS)
        return "";
    return names[kind];
}

enum task_kind task_kind_named(const char *name)
{
    for (int i = 0; i < TASK_N_KINDS; i++)
        if (strcmp(names[i], name) == 0)
            return (enum task_kind)i;
    return TASK_N_KINDS;
}

// --- in a transaction ---

static int task_check(const struct task_new *t)
{
    if (t->kind == TASK_APPLY || (unsigned)t->kind >= TASK_N_KINDS || !*t->key)
        return ERR_INVAL;
    if (strlen(t->key) > TASK_KEY_MAX)
        return ERR_TOOBIG;
    if (t->payload && strlen(t->payload) > TASK_PAYLOAD_MAX)
        return ERR_TOOBIG;
    return 0;
}

int task_add(struct tx *tx, const struct task_new *t)
{
    int rc = task_check(t);
    if (rc)
        return rc;
    return task_put(tx, t, true);
}

int task_move(struct tx *tx, const struct task_new *t)
{
    int rc = task_check(t);
    if (rc)
        return rc;
    return task_put(tx, t, false);
}

int task_cancel(struct tx *tx, enum task_kind kind, const char *key)
{
    return task_remove_key(tx, kind, key);
}

// --- in a transaction of its own ---

static int add_run(struct tx *tx, void *arg)
{
    return task_add(tx, arg);
}

int meta_task_add(struct meta *m, const struct task_new *t)
{
    return meta_write(m, add_run, (void *)t, false);
}

struct many {
    const struct task_new *list;
    size_t n;
};

static int add_many_run(struct tx *tx, void *arg)
{
    const struct many *many = arg;
    for (size_t i = 0; i < many->n; i++) {
        int rc = task_add(tx, &many->list[i]);
        if (rc)
            return rc;
    }
    return 0;
}

int meta_tasks_add(struct meta *m, const struct task_new *list, size_t n)
{
    struct many many = {list, n};
    if (!n)
        return 0;
    return meta_write(m, add_many_run, &many, false);
}

static int move_run(struct tx *tx, void *arg)
{
    return task_move(tx, arg);
}

int meta_task_move(struct meta *m, const struct task_new *t)
{
    return meta_write(m, move_run, (void *)t, false);
}

static int cancel_run(struct tx *tx, void *arg)
{
    const struct task_new *t = arg;
    return task_cancel(tx, t->kind, t->key);
}

int meta_task_cancel(struct meta *m, enum task_kind kind, const char *key)
{
    struct task_new t = {.kind = kind, .key = key};
    return meta_write(m, cancel_run, &t, false);
}

int meta_task_get(struct meta *m, enum task_kind kind, const char *key, struct arena *a,
                  struct task *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = task_find(tx, kind, key, a, out);
    tx_end(tx);
    return rc;
}

// How a try ended.
struct outcome {
    int64_t id, due_ms;
    uint64_t revision;
    const char *payload;
    char reason[TASK_REASON_MAX + 1];
};

// The task as it is now, without its texts.
static int task_look(struct tx *tx, int64_t id, struct task *out)
{
    struct arena a;
    arena_init(&a, 0);
    int rc = task_get(tx, id, &a, out);
    arena_done(&a);
    if (!rc)
        out->key = out->registry = out->payload = out->reason = NULL;
    return rc;
}

static int done_run(struct tx *tx, void *arg)
{
    const struct outcome *o = arg;
    struct task now;
    int rc = task_look(tx, o->id, &now);
    if (rc)
        return missing_ok(rc);
    if (now.revision == o->revision)
        return task_remove(tx, o->id); // 2
    return task_set(tx, o->id, &(struct task_state){.due_ms = now.due_ms});
}

int meta_task_done(struct meta *m, int64_t id, uint64_t revision)
{
    struct outcome o = {.id = id, .revision = revision};
    return meta_write(m, done_run, &o, false);
}

static int later_run(struct tx *tx, void *arg)
{
    const struct outcome *o = arg;
    struct task now;
    struct task_state s = {.due_ms = o->due_ms, .payload = o->payload};
    int rc = task_look(tx, o->id, &now);
    if (rc)
        return rc;
    if (now.revision != o->revision && now.due_ms < s.due_ms)
        s.due_ms = now.due_ms;
    return task_set(tx, o->id, &s);
}

int meta_task_later(struct meta *m, int64_t id, uint64_t revision, int64_t due_ms,
                    const char *payload)
{
    struct outcome o = {.id = id, .revision = revision, .due_ms = due_ms, .payload = payload};
    if (payload && strlen(payload) > TASK_PAYLOAD_MAX)
        return ERR_TOOBIG;
    return meta_write(m, later_run, &o, false);
}

static int retry_run(struct tx *tx, void *arg)
{
    const struct outcome *o = arg;
    struct task now;
    int rc = task_look(tx, o->id, &now);
    if (rc)
        return rc;
    struct task_state s = {.due_ms = o->due_ms, .attempts = now.attempts, .reason = o->reason};
    if (s.attempts < UINT32_MAX)
        s.attempts++;
    return task_set(tx, o->id, &s);
}

// Cut at TASK_REASON_MAX, not inside of a character.
static void reason_copy(const char *reason, char out[TASK_REASON_MAX + 1])
{
    size_t n = strlen(reason);
    if (n > TASK_REASON_MAX) {
        n = TASK_REASON_MAX;
        while (n && ((unsigned char)reason[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(out, reason, n);
    out[n] = '\0';
}

int meta_task_retry(struct meta *m, int64_t id, int64_t due_ms, const char *reason)
{
    struct outcome o = {.id = id, .due_ms = due_ms};
    reason_copy(reason, o.reason);
    return meta_write(m, retry_run, &o, false);
}

// --- which tasks are due ---

// One registry and its due tasks.
struct turn {
    const char *registry;
    int64_t *ids;
    size_t n;
};

struct due {
    struct tx *tx;
    struct arena *a;
    enum task_kind kind;
    int64_t now_ms;
    size_t max;
    struct turn *turns;
    size_t n_turns;
    int64_t *picked;
    size_t n_picked;
    // due tasks are left
    bool more;
};

static int turns_find(struct due *u)
{
    const char **registries;
    int rc = tasks_registries_due(u->tx, u->kind, u->now_ms, REGISTRIES_MAX, u->a, &registries,
                                  &u->n_turns);
    if (rc)
        return rc;
    u->turns = arena_array(u->a, u->n_turns + 1, sizeof *u->turns);
    if (!u->turns)
        return ERR_NOMEM;
    for (size_t i = 0; i < u->n_turns; i++)
        u->turns[i].registry = registries[i];
    return 0;
}

static struct turn *turn_of(struct due *u, size_t first, size_t i)
{
    return &u->turns[(first + i) % u->n_turns];
}

static int turn_fill(struct due *u, struct turn *t)
{
    t->ids = arena_array(u->a, u->max, sizeof *t->ids);
    if (!t->ids)
        return ERR_NOMEM;
    return tasks_due(u->tx, u->kind, t->registry, u->now_ms, u->max, t->ids, &t->n);
}

// Takes turns among the n registries from `first` on: one task of each in every round.
static void rounds(struct due *u, size_t first, size_t n)
{
    for (size_t round = 0;; round++) {
        size_t before = u->n_picked;
        for (size_t i = 0; i < n; i++) {
            const struct turn *t = turn_of(u, first, i);
            if (u->n_picked == u->max)
                return;
            if (round < t->n)
                u->picked[u->n_picked++] = t->ids[round];
        }
        if (u->n_picked == before)
            return;
    }
}

static int pick(struct due *u, size_t first)
{
    u->picked = arena_array(u->a, u->max, sizeof *u->picked);
    if (!u->picked)
        return ERR_NOMEM;
    // A registry whose turn cannot come in this call is not read.
    size_t n = u->n_turns < u->max ? u->n_turns : u->max, total = 0;
    u->more = n < u->n_turns;
    for (size_t i = 0; i < n; i++) {
        struct turn *t = turn_of(u, first, i);
        int rc = turn_fill(u, t);
        if (rc)
            return rc;
        total += t->n;
        if (t->n == u->max)
            u->more = true;
    }
    rounds(u, first, n);
    assert(u->n_picked == (total < u->max ? total : u->max)); // 1: no turn was lost
    if (u->n_picked < total)
        u->more = true;
    return 0;
}

int tasks_pick(struct tx *tx, const struct task_pick *p, struct arena *a, int64_t **out_ids,
               size_t *out_n, int64_t *out_next_ms)
{
    struct due u = {
        .tx = tx, .a = a, .kind = p->kind, .now_ms = p->now_ms, .max = p->max ? p->max : 1};
    int64_t next_ms = p->now_ms;
    int rc = turns_find(&u);
    if (!rc && u.n_turns)
        rc = pick(&u, (*p->turn)++ % u.n_turns);
    if (!rc && !u.more)
        rc = tasks_next_due(tx, p->kind, p->now_ms, &next_ms);
    if (rc)
        return rc;
    *out_ids = u.picked;
    *out_n = u.n_picked;
    *out_next_ms = next_ms;
    return 0;
}

static int due_read(struct tx *tx, const struct task_pick *p, struct arena *a, struct task **out,
                    size_t *out_n, int64_t *out_next_ms)
{
    int64_t *ids;
    size_t n;
    int rc = tasks_pick(tx, p, a, &ids, &n, out_next_ms);
    if (rc)
        return rc;
    struct task *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        rc = task_get(tx, ids[i], a, &list[i]);
        if (rc)
            return rc;
    }
    *out = list;
    *out_n = n;
    return 0;
}

int meta_tasks_due(struct meta *m, enum task_kind kind, int64_t now_ms, size_t max, struct arena *a,
                   struct task **out, size_t *out_n, int64_t *out_next_ms)
{
    struct tx *tx;
    const struct task_pick p = {.kind = kind, .now_ms = now_ms, .max = max, .turn = &m->turn[kind]};
    struct task *list;
    size_t n;
    int64_t next_ms;
    assert(kind != TASK_APPLY); // meta_jobs_due
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = due_read(tx, &p, a, &list, &n, &next_ms);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    *out_next_ms = next_ms;
    return 0;
}

// --- status ---

int meta_tasks_count(struct meta *m, enum task_kind kind, int64_t now_ms, size_t max,
                     struct arena *a, struct task_count **out, size_t *out_n)
{
    struct tx *tx;
    assert(kind != TASK_APPLY);
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = tasks_count(tx, kind, now_ms, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

int meta_tasks_list(struct meta *m, enum task_kind kind, const char *after, size_t max,
                    struct arena *a, struct task **out, size_t *out_n)
{
    struct tx *tx;
    assert(kind != TASK_APPLY);
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = tasks_list(tx, kind, after, max, a, out, out_n);
    tx_end(tx);
    return rc;
}
