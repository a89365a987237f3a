// SPDX-License-Identifier: Apache-2.0
// See private_model.h.
#include "tests/unit/lifecycle/private_model.h"

#include "base/mem.h"
#include "lifecycle/record.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

const char *const model_names[NAMES] = {"ape", "bee", "cat", "dog", "hand"};
const struct pool model_pools[3] = {
    {"corp", "small", "10.1.1.0", 8},
    {"corp", "corp-pool", "10.1.0.4", 27},
    {"lab", "lab-pool", "10.2.0.4", 27},
};

static struct asked *a;
static struct private_watch *watch;

void model_begin(struct asked *fleet, struct private_watch *of)
{
    a = fleet;
    watch = of;
}

// ---- what is there ----

static bool needs(const struct registry *r, const char *member)
{
    if (!strcmp(member, "registry"))
        return true;
    for (size_t i = 0; i < r->n_replicas; i++) {
        const char *region = a->fleet.t->regions[r->replicas[i].region].name;
        char data[64], regional[64];
        snprintf(data, sizeof data, "registry_data_%s", region);
        snprintf(regional, sizeof regional, "registry_%s", region);
        if (!strcmp(member, data) || (r->regional_endpoints && !strcmp(member, regional)))
            return true;
    }
    return false;
}

static unsigned need_of(const struct registry *r)
{
    return 1 + r->n_replicas * (r->regional_endpoints ? 2 : 1);
}

static void text(char out[WATCH_NAME], const char *value)
{
    snprintf(out, WATCH_NAME, "%s", value);
}

bool look(const char *name, struct there *out)
{
    json_t *record = watch_record(a, name);
    const char *member;
    json_t *ips;
    *out = (struct there){0};
    if (!record)
        return false;
    text(out->name, name);
    text(out->key, record_text(record, "registry"));
    text(out->registry, out->key);
    out->registry[strcspn(out->registry, "@")] = 0;
    text(out->view, record_text(record, "view"));
    text(out->pool, record_text(record, "pool"));
    text(out->state, record_text(record, "state"));
    out->is_static = json_is_true(json_object_get(record, "static"));
    const struct registry *r = topology_registry_by_key(a->fleet.t, out->key);
    unsigned n_needed = 0;
    json_object_foreach(json_object_get(record, "members"), member, ips)
    {
        if (!*out->address)
            text(out->address, json_string_value(json_array_get(ips, 0)));
        bool is_needed = r && needs(r, member);
        n_needed += is_needed;
        out->n_more += !is_needed;
    }
    out->n_lacking = r ? need_of(r) - n_needed : 0;
    json_decref(record);
    return true;
}

static bool is(const struct there *c, const char *word)
{
    return !strcmp(c->state, word);
}

bool is_open(const struct there *c)
{
    return is(c, "Pending") || is(c, "Approved");
}

static unsigned free_in(const char *pool, const char *but)
{
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_LEN(model_pools); i++)
        for (uint32_t k = 0; k < model_pools[i].n && !strcmp(model_pools[i].name, pool); k++)
            n += !private_watch_held(watch, a, model_pools[i].view,
                                     watch_ip(model_pools[i].first) + k, but);
    return n;
}

static const struct private_endpoint *row_in(const struct registry *r, const char *view,
                                             const char *but)
{
    for (size_t i = 0; r && i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        if (!strcmp(a->fleet.t->views[pe->view].name, view) && strcmp(pe->name, but) != 0)
            return pe;
    }
    return NULL;
}

// ---- what should come of it ----

static bool is_enough(const struct registry *r, bool regional, size_t n_replicas)
{
    unsigned wanted[ARRAY_LEN(model_pools)] = {0};
    unsigned need = 1 + (unsigned)n_replicas * (regional ? 2 : 1);
    struct there c;
    for (size_t i = 0; i < NAMES; i++) {
        if (!look(model_names[i], &c) || strcmp(c.key, r->key) != 0 || !is_open(&c))
            continue;
        if (c.is_static && need > need_of(r))
            return false; // it asks for addresses, and gets none here
        for (size_t k = 0; k < ARRAY_LEN(model_pools); k++)
            if (!c.is_static && !strcmp(c.pool, model_pools[k].name))
                wanted[k] += need - need_of(r);
    }
    for (size_t k = 0; k < ARRAY_LEN(model_pools); k++)
        if (wanted[k] > free_in(model_pools[k].name, NULL))
            return false;
    return true;
}

static void model_create(struct wish *w, const struct registry *r)
{
    struct there c;
    w->to = w->automatic ? "Approved" : "Pending";
    w->answer = NO;
    if (!r || *w->c.state || row_in(r, w->pool->view, w->name))
        return;
    for (size_t i = 0; i < NAMES; i++)
        if (look(model_names[i], &c) && !strcmp(c.key, r->key) && is_open(&c) &&
            !strcmp(c.view, w->pool->view))
            return;
    if (need_of(r) <= free_in(w->pool->name, NULL))
        w->answer = YES;
}

static void model_approve(struct wish *w)
{
    const struct registry *r = topology_registry_by_key(a->fleet.t, w->c.key);
    w->to = "Approved";
    w->answer = NO;
    w->keeps = private_watch_rests(watch, a, w->c.view, watch_ip(w->c.address), w->name);
    if (is(&w->c, "Approved"))
        w->answer = NOTHING;
    if (!r || is(&w->c, "Disconnected") || is(&w->c, "Approved"))
        return;
    if (row_in(r, w->c.view, w->name) || (w->c.is_static && w->c.n_lacking))
        return;
    if (w->c.is_static) {
        w->answer =
            private_watch_held(watch, a, w->c.view, watch_ip(w->c.address), w->name) ? NO : YES;
        return;
    }
    if (need_of(r) <= free_in(w->c.pool, w->name))
        w->answer = YES;
}

static void model_reject(struct wish *w)
{
    w->to = "Rejected";
    w->answer = YES;
    if (is(&w->c, "Rejected"))
        w->answer = NOTHING;
    if (is(&w->c, "Disconnected"))
        w->answer = NO;
}

static void model_replica(struct wish *w, const struct registry *r)
{
    const struct region *region = topology_region(a->fleet.t, w->region);
    bool has = r && registry_replica(r, region->index);
    w->answer = NO;
    if (!r || has == (w->kind == ADD))
        return;
    if (w->kind == ADD && is_enough(r, r->regional_endpoints, r->n_replicas + 1))
        w->answer = YES;
    if (w->kind != REMOVE || r->n_replicas == 1)
        return;
    // a rollback to the middle of a creation may have left one that takes no global traffic
    w->answer = ANY;
    for (size_t i = 0; i < r->n_replicas; i++)
        if (r->replicas[i].region != region->index && r->replicas[i].global_routing)
            w->answer = YES;
}

static void model_regional(struct wish *w, const struct registry *r)
{
    w->answer = NO;
    if (!r)
        return;
    if (r->regional_endpoints == w->on)
        w->answer = NOTHING;
    else if (!w->on || is_enough(r, true, r->n_replicas))
        w->answer = YES;
}

// A row by hand: one address, in the range of the small pool.
static void model_row_in(struct wish *w, const struct registry *r)
{
    w->to = "Approved";
    w->answer = NO;
    if (r && !row_in(r, "corp", w->name) && !private_watch_held(watch, a, "corp", w->ip, w->name))
        w->answer = YES;
    if (*w->c.state) // replaces what is there, in one way or another
        w->answer = ANY;
}

void model(struct wish *w)
{
    const struct registry *r = topology_registry(a->fleet.t, w->registry);
    look(w->name, &w->c);
    bool is_there = *w->c.state;
    w->answer = NO;
    switch (w->kind) {
    case CREATE:
        model_create(w, r);
        break;
    case APPROVE:
        if (is_there)
            model_approve(w);
        break;
    case REJECT:
        if (is_there)
            model_reject(w);
        break;
    case GIVE_UP:
        w->to = "";
        w->answer = is_there ? YES : NO;
        break;
    case DISCONNECT:
        w->to = "Disconnected";
        if (is_there)
            w->answer = is(&w->c, "Disconnected") ? NOTHING : YES;
        break;
    case ADD:
    case REMOVE:
        model_replica(w, r);
        break;
    case REGIONAL:
        model_regional(w, r);
        break;
    case REGISTRY_OFF:
        w->answer = r ? YES : NO;
        break;
    case REGISTRY_ON:
        w->answer = r ? NO : YES;
        break;
    case ROW_OUT:
        w->answer = ANY;
        if (!is(&w->c, "Approved"))
            break;
        w->to = "Rejected";
        w->answer = YES;
        break;
    case ROW_IN:
        model_row_in(w, r);
        break;
    default:
        w->answer = ANY;
    }
}
