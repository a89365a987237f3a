// SPDX-License-Identifier: Apache-2.0
// Steps of many registries; see many_registries.h.
#include "lifecycle/many_registries.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/applied.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

// of one document
#define BATCH_MAX 500

// What a step does, in the order in which it is done.
enum turn {
    TURN_EDGE,
    TURN_MEMBERS,
    TURN_PRIVATE,
    TURN_PUBLIC,
    TURN_OTHER,
    TURN_PUBLIC_OFF,
    TURN_PRIVATE_OFF,
    TURN_EDGE_OFF,
    TURN_GONE,
    TURN_NONE,
};

static enum turn turn_of(const struct work *w, const struct phase *p)
{
    if (!p->name)
        return TURN_NONE;
    if (w->goes)
        return TURN_GONE;
    if (!strcmp(p->name, "public-dns"))
        return p->rest_s ? TURN_PUBLIC_OFF : TURN_PUBLIC;
    if (!strcmp(p->name, "private-dns"))
        return p->rest_s ? TURN_PRIVATE_OFF : TURN_PRIVATE;
    if (!strcmp(p->name, "members"))
        return TURN_MEMBERS;
    if (!strcmp(p->name, "edge"))
        return p->waits & WAIT_CERTIFICATES ? TURN_EDGE : TURN_EDGE_OFF;
    return TURN_OTHER;
}

struct batch {
    const struct plan_ctx *x;
    enum turn turn;
    // of that turn
    struct work *works;
    size_t n;
    bool more;
    struct phase phase;
};

static void batch_add(struct batch *b, enum turn turn, const struct work *w, const struct phase *p)
{
    if (turn > b->turn || turn == TURN_NONE)
        return;
    if (turn < b->turn) {
        b->turn = turn;
        b->n = 0;
        b->more = false;
        b->phase = *p;
    }
    if (b->n == BATCH_MAX) {
        b->more = true;
        return;
    }
    b->works[b->n++] = *w;
    if (p->rest_s > b->phase.rest_s)
        b->phase.rest_s = p->rest_s;
    if (!b->phase.with[1]) // "members", of any of them
        b->phase.with[1] = p->with[1];
}

static int batch_fill(struct batch *b, const json_t *goal, struct diag *diag)
{
    const json_t *list = json_object_get(goal, "registries");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct work w;
        struct phase p;
        int rc = work_begin(&w, b->x, json_array_get(list, i), diag);
        if (rc)
            return rc;
        if (!w.r && goal_wants(w.goal, "present") != NOT_WANTED)
            continue;
        rc = work_step(&w, &p);
        if (rc)
            return rc;
        batch_add(b, turn_of(&w, &p), &w, &p);
    }
    return 0;
}

// ---- what the entry says of the last apply ----

static int look_up(void *ctx, const char *key, struct buf *out)
{
    const struct lifecycle_deps *deps = ctx;
    AUTO_BUF struct buf unused;
    buf_init(&unused, 0);
    return deps->record(deps->ctx, key, out ? out : &unused);
}

static int add_mark(const struct plan_ctx *x, struct phase *p)
{
    struct applied_mark mark = applied_mark_read(look_up, (void *)x->deps);
    struct control_record *all = arena_array(x->arena, p->n_records + 1, sizeof *all);
    if (!all)
        return ERR_NOMEM;
    if (p->n_records)
        memcpy(all, p->records, p->n_records * sizeof *all);
    mark.at = x->t->version + 1;
    all[p->n_records] = (struct control_record){APPLIED_MARK, applied_mark_value(x->arena, &mark)};
    if (!all[p->n_records].value)
        return ERR_NOMEM;
    p->records = all;
    p->n_records++;
    return 0;
}

int registries_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag)
{
    struct batch b = {.x = x, .turn = TURN_NONE};
    *out = (struct phase){0};
    b.works = arena_array(x->arena, BATCH_MAX, sizeof *b.works);
    if (!b.works)
        return ERR_NOMEM;
    int rc = batch_fill(&b, goal, diag);
    if (rc || !b.n)
        return rc;
    if (b.more) // the last document of this turn waits for all of them
        b.phase.rest_s = 0;
    rc = works_documents(b.works, b.n, &b.phase);
    if (!rc && json_is_true(json_object_get(goal, "apply")))
        rc = add_mark(x, &b.phase);
    if (!rc)
        *out = b.phase;
    return rc;
}
