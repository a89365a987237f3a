// SPDX-License-Identifier: Apache-2.0
// Documents by stages; see document_stages.h.
#include "lifecycle/document_stages.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "control/change_number.h"
#include "control/topology_reserve.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"
#include "lifecycle/registry_verbs.h"

#include <string.h>

// Sentences about private endpoints; how many more there are is one of its own.
#define NOTES_OF_PRIVATES 4

struct staging {
    const struct plan_ctx *x;
    const struct staged_document *d;
    struct plan *out;
    // as it is to be in the end
    struct topology *after;
    // the document with names that come at the edge, and those that go as they are
    struct change c;
    json_t *goals, *befores;
    size_t n_at_once;
    // of registries that are there
    bool replicas;
    bool comes;
    int rc;
};

// ---- what one registry is to be ----

static void want(struct staging *s, json_t *goal, const char *key, bool wanted)
{
    if (json_object_set_new(goal, key, json_boolean(wanted)))
        s->rc = ERR_NOMEM;
    s->comes |= wanted;
}

// `drained`: whether the document has it so (config/endpoints.h, replica_is_leaving).
static void want_replica(struct staging *s, json_t *goal, const char *region, bool wanted,
                         bool drained)
{
    json_t *replicas = json_object_get(goal, "replicas");
    s->replicas = true;
    if (!replicas) {
        replicas = json_object();
        if (json_object_set_new(goal, "replicas", replicas))
            s->rc = ERR_NOMEM;
    }
    json_t *said = json_pack("{s:b}", "present", (int)wanted);
    if (wanted)
        json_object_set_new(said, "drained", json_boolean(drained));
    if (json_object_set_new(replicas, region, said))
        s->rc = ERR_NOMEM;
    s->comes |= wanted;
}

// A name that is there, or comes: at the stage that it has, or at the edge. One whose stage the
// document says itself has it at once.
static bool rises(unsigned *stage, unsigned was)
{
    if (*stage != STAGE_PUBLIC || was == STAGE_PUBLIC)
        return false;
    *stage = was;
    return true;
}

static void stage_kind(struct staging *s, json_t *goal, const char *key, bool *on, unsigned *stage,
                       bool was_on, unsigned was)
{
    if (*on && rises(stage, was_on ? was : STAGE_EDGE))
        want(s, goal, key, true);
    if (*on || !was_on)
        return;
    *on = true;
    *stage = was;
    want(s, goal, key, false);
}

static const struct spec_replica *replica_in(const struct spec_registry *row, const char *region)
{
    for (size_t i = 0; i < row->n_replicas; i++)
        if (!strcmp(row->replicas[i].region, region))
            return &row->replicas[i];
    return NULL;
}

// Replicas of the document, then those of before that it does not have.
static void stage_replicas(struct staging *s, json_t *goal, struct spec_registry *row,
                           const struct spec_registry *was)
{
    size_t n = 0;
    struct spec_replica *all =
        arena_array(s->x->arena, row->n_replicas + was->n_replicas + 1, sizeof *all);
    if (!all) {
        s->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < row->n_replicas; i++) {
        const struct spec_replica *had = replica_in(was, row->replicas[i].region);
        all[n] = row->replicas[i];
        if (rises(&all[n].stage, had ? had->stage : STAGE_EDGE))
            want_replica(s, goal, all[n].region, true, all[n].drained);
        n++;
    }
    for (size_t i = 0; i < was->n_replicas; i++) {
        if (replica_in(row, was->replicas[i].region))
            continue;
        all[n++] = was->replicas[i];
        want_replica(s, goal, was->replicas[i].region, false, false);
    }
    row->replicas = all;
    row->n_replicas = n;
}

static bool has_privates(const struct topology *t, const char *registry)
{
    const struct registry *r = topology_registry(t, registry);
    return r && r->n_private_endpoints;
}

static void stage_there(struct staging *s, json_t *goal, struct spec_registry *row,
                        const struct registry *r)
{
    struct spec_registry was;
    s->rc = change_registry_row(s->x->t, r, s->x->arena, &was);
    if (s->rc)
        return;
    if (rises(&row->stage, was.stage))
        want(s, goal, "present", true);
    stage_kind(s, goal, "regional", &row->regional_endpoints, &row->regional_stage,
               was.regional_endpoints, was.regional_stage);
    // a private endpoint, of before or of now, has data names whatever the switch says
    if (!has_privates(s->x->t, row->name) && !has_privates(s->after, row->name))
        stage_kind(s, goal, "data", &row->data_endpoints, &row->data_stage, was.data_endpoints,
                   was.data_stage);
    stage_replicas(s, goal, row, &was);
}

// Takes the goal, if it says anything.
static void keep_goal(struct staging *s, json_t *goal)
{
    json_t *before = NULL;
    if (!s->rc && json_object_size(goal) > 1) {
        s->rc = registry_goal_before(s->x, goal, &before);
        if (!s->rc && (json_array_append(s->goals, goal) || json_array_append(s->befores, before)))
            s->rc = ERR_NOMEM;
    }
    json_decref(before);
    json_decref(goal);
}

static bool too_many(const struct staging *s)
{
    return json_array_size(s->goals) > DOCUMENT_STAGES_MAX;
}

static void stage_registry(struct staging *s, struct spec_registry *row)
{
    const struct registry *r = topology_registry(s->x->t, row->name);
    json_t *goal = json_pack("{s:s}", "registry", row->name);
    if (!goal) {
        s->rc = ERR_NOMEM;
        return;
    }
    if (r)
        stage_there(s, goal, row, r);
    else if (rises(&row->stage, STAGE_EDGE))
        want(s, goal, "present", true);
    keep_goal(s, goal);
}

static void stage_removal(struct staging *s, const char *name)
{
    keep_goal(s, json_pack("{s:s, s:b, s:i, s:b, s:b}", "registry", name, "present", 0,
                           "reserveDays", TOPOLOGY_RESERVE_DAYS, "grants", 1, "purge", 0));
}

// ---- private endpoints ----

static const struct private_endpoint *private_in_force(const struct topology *t,
                                                       const char *registry, const char *name)
{
    const struct registry *r = topology_registry(t, registry);
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

static const json_t *goal_of(const struct staging *s, const char *registry)
{
    for (size_t i = 0; i < json_array_size(s->goals); i++) {
        const json_t *goal = json_array_get(s->goals, i);
        if (!strcmp(record_text(goal, "registry"), registry))
            return goal;
    }
    return NULL;
}

static bool has_member(const struct spec_private *row, const char *key)
{
    for (size_t i = 0; i < row->n_members; i++)
        if (!strcmp(row->members[i].key, key))
            return true;
    return false;
}

// Members of names that go stay until these have gone.
static void keep_members(struct staging *s, struct spec_private *row,
                         const struct private_endpoint *pe)
{
    struct spec_private was;
    const json_t *goal = goal_of(s, row->registry);
    if (!goal)
        return;
    s->rc = change_private_row(s->x->t, row->registry, pe, s->x->arena, &was);
    if (s->rc)
        return;
    struct spec_member *all =
        arena_array(s->x->arena, row->n_members + was.n_members + 1, sizeof *all);
    if (!all) {
        s->rc = ERR_NOMEM;
        return;
    }
    if (row->n_members)
        memcpy(all, row->members, row->n_members * sizeof *all);
    size_t n = row->n_members;
    for (size_t i = 0; i < was.n_members; i++)
        if (!has_member(row, was.members[i].key) && member_goes(goal, was.members[i].key))
            all[n++] = was.members[i];
    row->members = all;
    row->n_members = n;
}

static void at_once(struct staging *s, const char *name, const char *what)
{
    if (s->n_at_once++ < NOTES_OF_PRIVATES)
        plan_note(
            s->x, s->out,
            "private endpoint %s %s at once: its names go through no stages, and caches of its "
            "view may hold what was there before",
            name, what);
}

static void stage_private(struct staging *s, struct spec_private *row)
{
    const struct private_endpoint *pe = private_in_force(s->x->t, row->registry, row->name);
    if (pe)
        keep_members(s, row, pe);
    else if (topology_registry(s->x->t, row->registry))
        at_once(s, row->name, "comes");
}

// Those of registries that go stay with them for now.
static void stage_private_removals(struct staging *s)
{
    const char **kept = arena_array(s->x->arena, s->c.n_remove_private_endpoints + 1, sizeof *kept);
    size_t n = 0;
    if (!kept) {
        s->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < s->c.n_remove_private_endpoints; i++) {
        const char *name = s->c.remove_private_endpoints[i];
        bool with_its_registry = false;
        for (size_t k = 0; k < s->c.n_remove && !with_its_registry; k++)
            with_its_registry = private_in_force(s->x->t, s->c.remove[k], name) != NULL;
        if (with_its_registry)
            continue;
        kept[n++] = name;
        at_once(s, name, "goes");
    }
    s->c.remove_private_endpoints = kept;
    s->c.n_remove_private_endpoints = n;
}

// ---- the whole ----

// Is one of the registries that go there afterwards, made anew?
static bool is_replaced(const struct staging *s)
{
    for (size_t i = 0; i < s->c.n_remove; i++)
        if (topology_registry(s->after, s->c.remove[i]))
            return true;
    return false;
}

static int read_change(struct staging *s)
{
    AUTO_BUF struct buf text;
    int front;
    buf_init(&text, 0);
    int rc = change_number((const char *)s->d->change.p, s->d->change.n, s->x->t->version + 1,
                           s->x->t, &text, &front);
    if (rc)
        return rc;
    const char *copy = arena_strndup(s->x->arena, buf_cstr(&text), text.n);
    if (!copy)
        return ERR_NOMEM;
    rc = change_parse(copy, text.n, "change", 1, s->x->arena, NULL, &s->c);
    // the feed numbers it
    s->c.version = 0;
    s->c.incarnation = 0;
    return rc;
}

static void stage_all(struct staging *s)
{
    for (size_t i = 0; !s->rc && !too_many(s) && i < s->c.n_registries; i++)
        stage_registry(s, &s->c.registries[i]);
    for (size_t i = 0; !s->rc && !too_many(s) && i < s->c.n_remove; i++)
        stage_removal(s, s->c.remove[i]);
    if (too_many(s))
        return;
    for (size_t i = 0; !s->rc && i < s->c.n_private_endpoints; i++)
        // the array was made by change_parse just now
        stage_private(s, (struct spec_private *)&s->c.private_endpoints[i]);
    if (!s->rc)
        stage_private_removals(s);
    s->c.n_remove = 0;
    if (s->n_at_once > NOTES_OF_PRIVATES)
        plan_note(s->x, s->out, "and so do %zu more private endpoints",
                  s->n_at_once - NOTES_OF_PRIVATES);
}

static bool is_empty(const struct change *c)
{
    return !c->n_registries && !c->n_private_endpoints && !c->n_remove && !c->n_reserve &&
           !c->n_release && !c->n_remove_private_endpoints;
}

// The document as it is first. False: it cannot be so.
static bool first_document(struct staging *s, struct bytes *out)
{
    struct topology *t = NULL;
    AUTO_BUF struct buf text;
    struct diag unheard;
    buf_init(&text, CHANGE_MAX_BYTES);
    *out = (struct bytes){0};
    if (!is_empty(&s->c)) {
        if (change_format(&s->c, &text))
            return false;
        const void *copy = arena_copy(s->x->arena, text.p, text.n);
        if (!copy)
            return false;
        *out = bytes_of(copy, text.n);
    }
    const struct control_draft draft = {.by = s->x->by, .frame = s->d->frame, .change = *out};
    if (!draft.frame.n && !draft.change.n)
        return true;
    diag_init(&unheard);
    int rc = s->x->deps->judge(s->x->deps->ctx, &draft, &unheard, &t);
    diag_done(&unheard);
    snapshot_unref(t);
    return !rc;
}

// What nobody else may change while names are on their way.
static int hold(struct staging *s)
{
    struct plan *out = s->out;
    size_t n = json_array_size(s->goals);
    if (n > PLAN_LOCKS_MAX) {
        out->holds[out->n_holds++] = PLAN_LOCK_REGISTRIES;
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const char *lock = arena_printf(s->x->arena, "registry/%s",
                                        record_text(json_array_get(s->goals, i), "registry"));
        if (!lock)
            return ERR_NOMEM;
        out->holds[out->n_holds++] = lock;
    }
    return 0;
}

static int staged_plan(struct staging *s, struct bytes change)
{
    struct phase *first = &s->out->first;
    first->frame = s->d->frame;
    first->change = change;
    if (s->comes) {
        first->with[0] = "certificates";
        first->with[1] = "edge";
        first->waits = WAIT_CERTIFICATES;
    }
    s->out->goal = json_pack("{s:O, s:b}", "registries", s->goals, "apply", (int)s->d->apply);
    s->out->before = json_pack("{s:O, s:b}", "registries", s->befores, "apply", (int)s->d->apply);
    if (!s->out->goal || !s->out->before)
        return ERR_NOMEM;
    return hold(s);
}

static int decide(struct staging *s)
{
    size_t n = json_array_size(s->goals);
    struct bytes change;
    if (!n)
        return 0;
    if (s->replicas)
        plan_note(
            s->x, s->out,
            "a replica that a document brings takes global traffic before its content is there, "
            "and one that it takes away waits for nobody to copy what it alone wrote: meridian "
            "replication create and delete wait for that");
    if (too_many(s)) {
        plan_note(s->x, s->out,
                  "names of more than %d registries come or go, and do so at once, without stages: "
                  "resolvers may lead to edges that do not have them yet, or any more",
                  DOCUMENT_STAGES_MAX);
        return 0;
    }
    if (first_document(s, &change))
        return staged_plan(s, change);
    plan_note(
        s->x, s->out,
        "names of %zu registries come or go at once, without stages: what is new cannot stand "
        "beside what goes",
        n);
    return 0;
}

static int stage(struct staging *s)
{
    const struct plan_ctx *x = s->x;
    const struct control_draft whole = {.by = x->by, .frame = s->d->frame, .change = s->d->change};
    struct diag unheard;
    diag_init(&unheard);
    int rc = x->deps->judge(x->deps->ctx, &whole, &unheard, &s->after);
    diag_done(&unheard);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc) // as the trial will find
        return 0;
    rc = read_change(s);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc || is_replaced(s))
        return 0;
    s->goals = json_array();
    s->befores = json_array();
    if (!s->goals || !s->befores)
        return ERR_NOMEM;
    stage_all(s);
    if (s->rc)
        return s->rc;
    return decide(s);
}

int document_stages(const struct plan_ctx *x, const struct staged_document *d, struct plan *out)
{
    struct staging s = {.x = x, .d = d, .out = out};
    out->first.name = "document";
    out->first.frame = d->frame;
    out->first.change = d->change;
    if (!d->change.n)
        return 0;
    int rc = stage(&s);
    json_decref(s.goals);
    json_decref(s.befores);
    snapshot_unref(s.after);
    return rc;
}
