// SPDX-License-Identifier: Apache-2.0
// What would become of a plan: its phases gone through on topologies that nobody else sees, by the
// judge of changes. It finds a refusal before anything is written, names the phases to come, and
// gives what-if its "after".
#include "base/err.h"
#include "base/mem.h"
#include "control/change_number.h"
#include "lifecycle/lifecycle_priv.h"
#include "lifecycle/trial_ledger.h"

#include <string.h>

// A step that never reaches its goal would go on for ever.
#define TRIAL_STEPS_MAX 4096

struct control_draft phase_draft(const struct plan_ctx *x, const struct phase *p,
                                 const char *request)
{
    struct control_draft d = {.by = x->by,
                              .request = request,
                              .frame = p->frame,
                              .change = p->change,
                              .principals = p->principals,
                              .expect_principals = p->principals_from};
    // What was made from another version would take back what came between.
    if (p->frame.n || p->change.n)
        d.expect_topology = x->t->version;
    return d;
}

static json_t *members_json(const struct phase *p)
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < p->n_members; i++)
        json_array_append_new(names, json_string(p->members[i]));
    return names;
}

int phase_begin(const struct plan_ctx *x, const struct phase *p, uint64_t version, json_t *record)
{
    int rc = 0;
    if (p->frame.n || p->change.n)
        version = x->t->version + 1;
    else if (p->principals.n)
        version++;
    else
        version = 0;
    for (size_t i = 0; i < 2; i++)
        if (!rc && p->with[i])
            rc = record_start(record, p->with[i], version, x->now_ms);
    if (!rc)
        rc = record_start(record, p->name, version, x->now_ms);
    if (rc)
        return rc;
    json_t *phase = record_running(record);
    if (p->waits & WAIT_CERTIFICATES)
        rc |= json_object_set_new(phase, "certificates", json_true());
    if (p->waits & WAIT_MEMBERS)
        rc |= json_object_set_new(phase, "members", members_json(p));
    if (p->waits & WAIT_CONTENT)
        rc |= json_object_set_new(phase, "content",
                                  json_pack("{s:s, s:s, s:b}", "registry", p->content.registry,
                                            "region", p->content.region, "comes",
                                            (int)p->content.comes));
    if (p->rest_s)
        rc |= json_object_set_new(phase, "restSeconds", json_integer(p->rest_s));
    if (p->rest)
        rc |= json_object_set_new(phase, "rest", json_string(p->rest));
    if (p->stamp)
        rc |= json_object_set_new(phase, "stamp", json_string(p->stamp));
    if (p->waits & WAIT_PUBLISHED)
        rc |= json_object_set_new(phase, "published", json_true());
    if (version)
        rc |= json_object_set_new(record, "to", json_integer((json_int_t)version));
    rc |= json_object_set_new(record, "updated", json_integer(x->now_ms));
    if (rc)
        return ERR_NOMEM;
    return 0;
}

static int names_add(json_t *phases, const char *name)
{
    if (!name)
        return 0;
    if (json_array_append_new(phases, json_string(name)))
        return ERR_NOMEM;
    return 0;
}

static int phases_add(json_t *phases, const struct phase *p)
{
    for (size_t i = 0; i < 2; i++)
        if (names_add(phases, p->with[i]))
            return ERR_NOMEM;
    int rc = names_add(phases, p->name);
    if (!rc && p->rest_s)
        rc = names_add(phases, p->rest ? p->rest : "wait");
    return rc;
}

static int try_one(const struct plan_ctx *x, const struct plan *plan, struct diag *diag,
                   struct trial *t)
{
    const struct control_draft d = phase_draft(x, &plan->first, NULL);
    int rc = phases_add(t->phases, &plan->first);
    if (rc)
        return rc;
    if (d.frame.n || d.change.n || d.principals.n)
        return x->deps->judge(x->deps->ctx, &d, diag, &t->after);
    t->after = snapshot_ref((struct topology *)x->t);
    return 0;
}

struct trying {
    const struct verb *v;
    // with the trial's ledger
    struct plan_ctx x;
    const struct plan *plan;
    struct changer *changer;
    struct trial_ledger ledger;
    struct diag *diag;
    struct trial *t;
};

// What the document that begins it leaves in the ledger; the feed numbers it.
static int try_first(struct trying *y)
{
    struct control_draft d = phase_draft(&y->x, &y->plan->first, NULL);
    AUTO_BUF struct buf text;
    int front, rc = 0;
    d.records = y->plan->first.records;
    d.n_records = y->plan->first.n_records;
    buf_init(&text, 0);
    if (d.change.n)
        rc = change_number((const char *)d.change.p, d.change.n, y->x.t->version + 1, y->x.t, &text,
                           &front);
    if (rc)
        return rc == ERR_NOMEM ? rc : 0;
    const void *copy = arena_copy(y->x.arena, buf_cstr(&text), text.n + 1);
    if (!copy)
        return ERR_NOMEM;
    d.change = bytes_of(copy, text.n);
    return trial_ledger_entry(&y->ledger, &d, y->x.t, y->x.now_ms, y->diag);
}

static int apply_change(struct trying *y, struct bytes change)
{
    struct topology *next = NULL;
    if (!change.n)
        return 0;
    int rc = changer_apply(y->changer, y->t->after, (const char *)change.p, change.n, "change", 1,
                           y->diag, &next);
    if (rc)
        return rc;
    snapshot_unref(y->t->after);
    y->t->after = next;
    return 0;
}

// What follows a rest is judged by the time that it will be then.
static void try_rest(struct trying *y, uint32_t seconds)
{
    y->x.now_ms += (int64_t)seconds * 1000;
    y->x.sure_ms += (int64_t)seconds * 1000;
    changer_at(y->changer, y->x.now_ms);
}

// The next step from t->after; *out_more: there was one.
static int try_step(struct trying *y, bool *out_more)
{
    struct plan_ctx here = y->x;
    struct phase p = {0};
    here.t = y->t->after;
    int rc = y->v->step(&here, y->plan->goal, &p, y->diag);
    if (rc)
        return rc;
    // A step that changes the frame can be tried only once that frame is in force.
    *out_more = p.name && !p.frame.n;
    if (!p.name)
        return 0;
    rc = phases_add(y->t->phases, &p);
    struct control_draft d = phase_draft(&here, &p, NULL);
    d.records = p.records;
    d.n_records = p.n_records;
    if (!rc)
        rc = trial_ledger_entry(&y->ledger, &d, here.t, y->x.now_ms, y->diag);
    if (!rc)
        rc = apply_change(y, p.change);
    try_rest(y, p.rest_s);
    return rc;
}

static int try_all(struct trying *y)
{
    bool more = y->plan->goal != NULL;
    int rc = 0;
    changer_at(y->changer, y->x.now_ms);
    if (y->plan->first.name)
        rc = try_first(y);
    for (int i = 0; !rc && more && i < TRIAL_STEPS_MAX; i++)
        rc = try_step(y, &more);
    return rc;
}

static int try_steps(const struct verb *v, const struct plan_ctx *x, const struct plan *plan,
                     struct diag *diag, struct trial *t)
{
    struct trying y = {.v = v, .x = *x, .plan = plan, .diag = diag, .t = t};
    int rc = 0;
    if (plan->first.name)
        rc = try_one(x, plan, diag, t);
    else
        t->after = snapshot_ref((struct topology *)x->t);
    if (rc)
        return rc;
    y.changer = changer_new();
    rc = trial_ledger_init(&y.ledger, x->deps, x->arena);
    y.x.deps = &y.ledger.deps;
    if (!y.changer)
        rc = ERR_NOMEM;
    if (!rc)
        rc = try_all(&y);
    trial_ledger_done(&y.ledger);
    changer_free(y.changer);
    return rc;
}

int lifecycle_try(const struct verb *v, const struct plan_ctx *x, const struct plan *plan,
                  struct diag *diag, struct trial *out)
{
    struct trial t = {.phases = json_array()};
    if (!t.phases)
        return ERR_NOMEM;
    int rc;
    if (v->step)
        rc = try_steps(v, x, plan, diag, &t);
    else
        rc = try_one(x, plan, diag, &t);
    if (rc)
        trial_done(&t);
    else
        *out = t;
    return rc;
}

void trial_done(struct trial *t)
{
    json_decref(t->phases);
    snapshot_unref(t->after);
    *t = (struct trial){0};
}
