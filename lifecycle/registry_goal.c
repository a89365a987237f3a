// SPDX-License-Identifier: Apache-2.0
// The way of a registry to its goal, step by step; see registry_goal.h. Every step is tried in the
// same order: what is wanted comes up first, then what is not wanted goes down.
#include "lifecycle/registry_goal.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/dnl.h"
#include "config/hostname.h"
#include "lifecycle/caches.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

// Where a name goes that leaves public DNS.
static unsigned below_public(const struct work *w)
{
    if (w->n_privates)
        return STAGE_PRIVATE;
    return STAGE_EDGE;
}

// ---- names that come ----

static void add_kind(struct work *w, enum wanted wanted, bool *on, unsigned *stage)
{
    if (wanted != WANTED || *on)
        return;
    *on = true;
    *stage = STAGE_EDGE;
    w->changed = true;
}

// The first private endpoint has switched data names on already, whatever the switch says.
static void switch_data(struct work *w)
{
    enum wanted wanted = goal_wants(w->goal, "data");
    if (!w->n_privates || wanted == NOT_SAID || w->row.data_endpoints == (wanted == WANTED))
        return;
    w->row.data_endpoints = wanted == WANTED;
    w->row.data_stage = STAGE_PUBLIC;
    w->changed = true;
}

static void replica_new(const struct work *w, const char *region, const json_t *said,
                        unsigned stage, struct spec_replica *out)
{
    const json_t *weight = json_object_get(said, "weight");
    const char *stamp = record_text(said, "stamp");
    (void)w;
    *out = (struct spec_replica){.region = region,
                                 .stamp = *stamp ? stamp : NULL,
                                 .global_routing = goal_wants(said, "globalRouting") != NOT_WANTED,
                                 .drained = goal_wants(said, "drained") == WANTED,
                                 .weight = 100,
                                 .stage = stage};
    if (goal_wants(said, "whole") == WANTED)
        out->global_routing = false;
    if (json_is_integer(weight))
        out->weight = (uint8_t)json_integer_value(weight);
}

static bool add_replicas(struct work *w, unsigned stage)
{
    bool any = false;
    for (size_t i = 0; i < w->x->t->n_regions; i++) {
        const char *region = w->x->t->regions[i].name;
        const json_t *said = goal_replica(w->goal, region);
        if (goal_wants(said, "present") != WANTED || work_replica(w, region))
            continue;
        replica_new(w, region, said, stage, &w->replicas[w->row.n_replicas++]);
        any = true;
    }
    w->changed |= any;
    return any;
}

static bool add_names(struct work *w)
{
    bool regional = w->row.regional_endpoints, data = w->row.data_endpoints;
    add_kind(w, goal_wants(w->goal, "regional"), &w->row.regional_endpoints,
             &w->row.regional_stage);
    add_kind(w, goal_wants(w->goal, "data"), &w->row.data_endpoints, &w->row.data_stage);
    bool any = add_replicas(w, STAGE_EDGE);
    return any || regional != w->row.regional_endpoints || data != w->row.data_endpoints;
}

static bool raise_one(enum wanted wanted, unsigned *stage, unsigned to)
{
    if (wanted != WANTED || *stage <= to)
        return false;
    *stage = to;
    return true;
}

// One that was about to go takes writes again.
static bool raise_replica(struct work *w, struct spec_replica *rep, unsigned to)
{
    const json_t *said = goal_replica(w->goal, rep->region);
    if (!raise_one(goal_wants(said, "present"), &rep->stage, to))
        return false;
    if (goal_wants(said, "drained") == NOT_SAID)
        rep->drained = false;
    return true;
}

static bool raise(struct work *w, unsigned to)
{
    bool any = raise_one(goal_wants(w->goal, "present"), &w->row.stage, to);
    any |= raise_one(goal_wants(w->goal, "regional"), &w->row.regional_stage, to);
    any |= raise_one(goal_wants(w->goal, "data"), &w->row.data_stage, to);
    for (size_t i = 0; i < w->row.n_replicas; i++)
        any |= raise_replica(w, &w->replicas[i], to);
    return any;
}

static bool is_public_in_force(const struct work *w, const char *region)
{
    const struct replica *rep = registry_replica(w->r, topology_region(w->x->t, region)->index);
    return rep && rep->stage == STAGE_PUBLIC;
}

// The content of a replica whose names become public with this step is waited for, if it is to be.
static void content_comes(const struct work *w, struct phase *out)
{
    for (size_t i = 0; i < w->row.n_replicas; i++) {
        const struct spec_replica *rep = &w->replicas[i];
        bool rose = rep->stage == STAGE_PUBLIC && !is_public_in_force(w, rep->region);
        if (!rose || goal_wants(goal_replica(w->goal, rep->region), "whole") != WANTED)
            continue;
        out->waits |= WAIT_CONTENT;
        out->content = (struct phase_content){w->r->key, rep->region, true};
    }
}

// ---- names that go ----

static bool lower_one(enum wanted wanted, unsigned *stage, unsigned from, unsigned to)
{
    if (wanted != NOT_WANTED || *stage != from)
        return false;
    *stage = to;
    return true;
}

static bool lower(struct work *w, unsigned from, unsigned to)
{
    bool any = false;
    if (w->row.regional_endpoints)
        any |= lower_one(goal_wants(w->goal, "regional"), &w->row.regional_stage, from, to);
    if (w->row.data_endpoints)
        any |= lower_one(goal_wants(w->goal, "data"), &w->row.data_stage, from, to);
    for (size_t i = 0; i < w->row.n_replicas; i++) {
        struct spec_replica *rep = &w->replicas[i];
        const json_t *said = goal_replica(w->goal, rep->region);
        if (!lower_one(goal_wants(said, "present"), &rep->stage, from, to))
            continue;
        any = true;
        // at the edge it would not take writes any more, while caches lead there
        if (goal_wants(said, "content") == WANTED)
            rep->drained = false;
    }
    return any;
}

// A replica whose names every cache has forgotten takes no writes any more. What it has written is
// then to be copied before it goes.
static bool close_replicas(struct work *w, struct phase *out)
{
    bool any = false;
    for (size_t i = 0; i < w->row.n_replicas; i++) {
        struct spec_replica *rep = &w->replicas[i];
        const json_t *said = goal_replica(w->goal, rep->region);
        bool closes = goal_wants(said, "present") == NOT_WANTED &&
                      goal_wants(said, "content") == WANTED && rep->stage == STAGE_EDGE;
        if (!closes || rep->drained)
            continue;
        rep->drained = true;
        out->content = (struct phase_content){w->r->key, rep->region, false};
        any = true;
    }
    return any;
}

static bool drop_kind(struct work *w, enum wanted wanted, bool *on, unsigned *stage)
{
    if (wanted != NOT_WANTED || !*on)
        return false;
    *on = false;
    *stage = STAGE_PUBLIC;
    w->changed = true;
    return true;
}

// All that is left at the edge alone goes, with its members. *out_members: there were any.
static bool drop_names(struct work *w, bool *out_members)
{
    bool members = false;
    bool any = drop_kind(w, goal_wants(w->goal, "regional"), &w->row.regional_endpoints,
                         &w->row.regional_stage);
    if (any)
        members |= members_remove(w, NAME_REGIONAL, NULL);
    any |= drop_kind(w, goal_wants(w->goal, "data"), &w->row.data_endpoints, &w->row.data_stage);
    for (size_t i = 0; i < w->x->t->n_regions; i++) {
        const char *region = w->x->t->regions[i].name;
        if (goal_wants(goal_replica(w->goal, region), "present") != NOT_WANTED ||
            !work_replica(w, region))
            continue;
        work_replica_remove(w, region);
        members |= members_remove(w, NAME_REGIONAL, region);
        members |= members_remove(w, NAME_DATA, region);
        any = true;
    }
    *out_members = members;
    return any;
}

// ---- a registry that is there and stays ----

static int step_up(struct work *w, struct phase *out)
{
    if (add_names(w)) {
        out->with[0] = "certificates";
        out->waits = WAIT_CERTIFICATES;
        out->name = "edge";
        return 0;
    }
    if (members_add(w)) {
        out->name = "members";
        return 0;
    }
    if (w->n_privates && raise(w, STAGE_PRIVATE)) {
        out->name = "private-dns";
        return 0;
    }
    if (raise(w, STAGE_PUBLIC)) {
        out->name = "public-dns";
        content_comes(w, out);
    }
    return 0;
}

static int step_down(struct work *w, struct phase *out)
{
    bool members;
    if (lower(w, STAGE_PUBLIC, below_public(w))) {
        out->rest_s = caches_rest_s(w->x);
        out->name = "public-dns";
        return 0;
    }
    if (lower(w, STAGE_PRIVATE, STAGE_EDGE)) {
        out->rest_s = caches_rest_s(w->x);
        out->name = "private-dns";
        return 0;
    }
    if (close_replicas(w, out)) {
        out->waits = WAIT_CONTENT;
        out->name = "content";
        return 0;
    }
    if (drop_names(w, &members)) {
        out->with[0] = "certificates";
        if (members)
            out->with[1] = "members";
        out->name = "edge";
    }
    return 0;
}

static int step_update(struct work *w, struct phase *out)
{
    int rc = work_settings(w);
    if (rc)
        return rc;
    switch_data(w);
    rc = step_up(w, out);
    if (rc || out->name)
        return rc;
    rc = step_down(w, out);
    if (rc || out->name || !w->changed)
        return rc;
    out->name = "document";
    if (w->drains) // when the operation has ended, the region may be stopped
        out->rest_s = caches_rest_s(w->x);
    return 0;
}

// ---- one that comes ----

static int step_create(struct work *w, struct phase *out)
{
    const json_t *create = json_object_get(w->goal, "create");
    struct spec_registry *row = &w->row;
    if (!create) {
        refuse(w->diag, "registry %s is not there any more", w->name);
        return ERR_NOTFOUND;
    }
    row->stage = STAGE_EDGE;
    row->dnl_scope = (unsigned)record_number(create, "dnlScope");
    row->owner = record_text(create, "owner");
    row->regional_endpoints = goal_wants(w->goal, "regional") == WANTED;
    row->data_endpoints = goal_wants(w->goal, "data") == WANTED;
    char *hash = arena_alloc(w->x->arena, HOSTNAME_HASH_SIZE);
    if (!hash)
        return ERR_NOMEM;
    row->hash = dnl_hash((enum dnl_scope)row->dnl_scope, w->x->t->domain, row->owner, w->name,
                         w->x->t->version + 1, hash);
    add_replicas(w, STAGE_PUBLIC);
    int rc = work_settings(w);
    if (rc)
        return rc;
    out->with[0] = "certificates";
    out->waits = WAIT_CERTIFICATES;
    out->name = "edge";
    return 0;
}

// ---- one that goes ----

static int step_delete(struct work *w, struct phase *out)
{
    if (!w->r)
        return 0;
    if (w->row.stage == STAGE_PUBLIC) {
        w->row.stage = below_public(w);
        out->rest_s = caches_rest_s(w->x);
        out->name = "public-dns";
        return 0;
    }
    if (w->row.stage == STAGE_PRIVATE) {
        w->row.stage = STAGE_EDGE;
        out->rest_s = caches_rest_s(w->x);
        out->name = "private-dns";
        return 0;
    }
    w->goes = true;
    out->name = "edge";
    out->with[0] = "certificates";
    if (w->n_privates)
        out->with[1] = "members";
    return 0;
}

int work_step(struct work *w, struct phase *out)
{
    *out = (struct phase){0};
    if (goal_wants(w->goal, "present") == NOT_WANTED)
        return step_delete(w, out);
    if (!w->r)
        return step_create(w, out);
    return step_update(w, out);
}

int registry_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                  struct diag *diag)
{
    struct work w;
    *out = (struct phase){0};
    int rc = work_begin(&w, x, goal, diag);
    if (!rc)
        rc = work_step(&w, out);
    if (rc || !out->name)
        return rc;
    return works_documents(&w, 1, out);
}
