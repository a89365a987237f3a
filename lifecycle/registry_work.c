// SPDX-License-Identifier: Apache-2.0
// A registry's row under work; see registry_goal_priv.h.
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

enum wanted goal_wants(const json_t *goal, const char *key)
{
    const json_t *v = json_object_get(goal, key);
    if (!json_is_boolean(v))
        return NOT_SAID;
    if (json_is_true(v))
        return WANTED;
    return NOT_WANTED;
}

const json_t *goal_replica(const json_t *goal, const char *region)
{
    return json_object_get(json_object_get(goal, "replicas"), region);
}

// ---- taking the row from what is in force ----

static int take_row(struct work *w)
{
    const struct plan_ctx *x = w->x;
    int rc = change_registry_row(x->t, w->r, x->arena, &w->row);
    if (rc)
        return rc;
    memcpy(w->replicas, w->row.replicas, w->row.n_replicas * sizeof *w->replicas);
    w->row.replicas = w->replicas;
    w->n_privates = w->r->n_private_endpoints;
    w->privates = arena_array(x->arena, w->n_privates + 1, sizeof *w->privates);
    if (!w->privates)
        return ERR_NOMEM;
    for (size_t i = 0; i < w->n_privates && !rc; i++) {
        w->privates[i].changed = false;
        rc = change_private_row(x->t, w->name, w->r->private_endpoints[i], x->arena,
                                &w->privates[i].row);
    }
    return rc;
}

int work_begin(struct work *w, const struct plan_ctx *x, const json_t *goal, struct diag *diag)
{
    *w = (struct work){.x = x, .goal = goal, .diag = diag, .name = record_text(goal, "registry")};
    w->r = topology_registry(x->t, w->name);
    w->replicas = arena_array(x->arena, TOPOLOGY_MAX_REGIONS, sizeof *w->replicas);
    if (!w->replicas)
        return ERR_NOMEM;
    if (w->r)
        return take_row(w);
    w->row = (struct spec_registry){.name = w->name, .replicas = w->replicas};
    return 0;
}

struct spec_replica *work_replica(struct work *w, const char *region)
{
    for (size_t i = 0; i < w->row.n_replicas; i++)
        if (!strcmp(w->replicas[i].region, region))
            return &w->replicas[i];
    return NULL;
}

void work_replica_remove(struct work *w, const char *region)
{
    struct spec_replica *rep = work_replica(w, region);
    if (!rep)
        return;
    size_t after = w->row.n_replicas - (size_t)(rep - w->replicas) - 1;
    memmove(rep, rep + 1, after * sizeof *rep);
    w->row.n_replicas--;
    w->changed = true;
}

// ---- settings ----

static void set_bool(struct work *w, bool *at, enum wanted wanted)
{
    if (wanted == NOT_SAID || *at == (wanted == WANTED))
        return;
    *at = wanted == WANTED;
    w->changed = true;
}

static bool same_access(const struct spec_public *x, const struct spec_public *y)
{
    return x->mode == y->mode && x->n_cidrs == y->n_cidrs &&
           !memcmp(x->cidrs ? (const void *)x->cidrs : "", y->cidrs ? (const void *)y->cidrs : "",
                   x->n_cidrs * sizeof *x->cidrs);
}

static int set_access(struct work *w)
{
    static const struct spec_public open = {.mode = ACCESS_ENABLED};
    const json_t *v = json_object_get(w->goal, "access");
    const json_t *list = json_object_get(v, "cidrs");
    if (!v)
        return 0;
    struct spec_public *access = arena_alloc(w->x->arena, sizeof *access);
    struct cidr *cidrs = arena_array(w->x->arena, json_array_size(list) + 1, sizeof *cidrs);
    if (!access || !cidrs)
        return ERR_NOMEM;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text && !cidr_parse(text, &cidrs[i]))
            continue;
        refuse(w->diag, "%.80s is no network such as 192.0.2.0/24", text ? text : "cidrs");
        return ERR_INVAL;
    }
    *access = (struct spec_public){(enum access_mode)record_number(v, "mode"), cidrs,
                                   json_array_size(list)};
    if (same_access(access, w->row.access ? w->row.access : &open))
        return 0;
    w->row.access = access;
    w->changed = true;
    return 0;
}

// A replica that is to have its content first takes no global traffic before that. Its names being
// public was the phase that waited for it.
static bool waits_for_content(const struct spec_replica *rep, const json_t *said)
{
    return goal_wants(said, "whole") == WANTED && rep->stage != STAGE_PUBLIC;
}

static void set_replica(struct work *w, struct spec_replica *rep, const json_t *said)
{
    const json_t *weight = json_object_get(said, "weight");
    if (json_is_integer(weight) && rep->weight != json_integer_value(weight)) {
        rep->weight = (uint8_t)json_integer_value(weight);
        w->changed = true;
    }
    if (!waits_for_content(rep, said))
        set_bool(w, &rep->global_routing, goal_wants(said, "globalRouting"));
    bool was = rep->drained;
    set_bool(w, &rep->drained, goal_wants(said, "drained"));
    w->drains |= rep->drained && !was;
}

static void set_ack(struct work *w)
{
    const json_t *ack = json_object_get(w->goal, "ack");
    unsigned n = (unsigned)json_integer_value(ack);
    if (!ack || n == w->row.ack_peers)
        return;
    w->row.ack_peers = n;
    w->changed = true;
}

int work_settings(struct work *w)
{
    const char *region;
    json_t *said;
    int rc = set_access(w);
    if (rc)
        return rc;
    set_bool(w, &w->row.anonymous_pull, goal_wants(w->goal, "anonymous"));
    set_ack(w);
    json_object_foreach(json_object_get(w->goal, "replicas"), region, said)
    {
        struct spec_replica *rep = work_replica(w, region);
        if (rep && goal_wants(said, "present") != NOT_WANTED)
            set_replica(w, rep, said);
    }
    return 0;
}
