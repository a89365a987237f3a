// SPDX-License-Identifier: Apache-2.0
// What the engine has found out of operations without writing a document: records as they stand now,
// many in one entry.
#include "base/err.h"
#include "lifecycle/lifecycle_priv.h"
#include "lifecycle/parts.h"

#include <string.h>

// in one entry
#define NOTES_MAX 256

struct noting {
    struct arena arena;
    struct control_record *records;
    size_t n, cap;
};

static int note_add(struct noting *t, const struct control_record *more, size_t n)
{
    if (t->n + n > t->cap) {
        size_t cap = 2 * (t->n + n);
        struct control_record *all = arena_array(&t->arena, cap, sizeof *all);
        if (!all)
            return ERR_NOMEM;
        if (t->n)
            memcpy(all, t->records, t->n * sizeof *all);
        t->records = all;
        t->cap = cap;
    }
    if (n)
        memcpy(t->records + t->n, more, n * sizeof *more);
    t->n += n;
    return 0;
}

// Its record, and what it need not remember any longer if it has ended.
static int note_one(const struct lifecycle *l, struct noting *t, const struct operation *o)
{
    struct control_record record, *gone = NULL;
    size_t n = 0;
    int rc = lifecycle_record(o->record, &t->arena, &record);
    if (!rc)
        rc = note_add(t, &record, 1);
    if (!rc && record_ended(o->record))
        rc = parts_gone(&l->deps, o->id, &t->arena, &gone, &n);
    if (!rc)
        rc = note_add(t, gone, n);
    return rc;
}

static int note_all(const struct lifecycle *l, struct operation **noted, size_t n)
{
    struct noting t = {.n = 0};
    struct control_place place;
    int rc = 0;
    arena_init(&t.arena, 0);
    for (size_t i = 0; !rc && i < n; i++)
        rc = note_one(l, &t, noted[i]);
    const struct control_draft d = {.by = l->deps.by, .records = t.records, .n_records = t.n};
    if (!rc)
        rc = l->deps.append(l->deps.ctx, &d, NULL, &place);
    arena_done(&t.arena);
    return rc;
}

// Up to NOTES_MAX of what was altered without a document. *out_n: how many.
static int note_some(struct lifecycle *l, size_t *out_n)
{
    struct operation *noted[NOTES_MAX];
    size_t n = 0;
    *out_n = 0;
    for (size_t i = 0; i < l->n_running && n < NOTES_MAX; i++)
        if (l->running[i]->dirty)
            noted[n++] = l->running[i];
    if (!n)
        return 0;
    int rc = note_all(l, noted, n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        noted[i]->dirty = false;
    *out_n = n;
    return 0;
}

int lifecycle_note(struct lifecycle *l)
{
    size_t n = NOTES_MAX;
    int rc = 0;
    while (!rc && n == NOTES_MAX)
        rc = note_some(l, &n);
    if (rc) {
        l->loaded = false; // what the ledger has is what holds
        return rc;
    }
    for (size_t i = l->n_running; i-- > 0;)
        if (record_ended(l->running[i]->record))
            lifecycle_ended(l, i);
    return 0;
}
