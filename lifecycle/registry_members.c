// SPDX-License-Identifier: Apache-2.0
// Members of private endpoints that come and go with a registry's names: `registry`,
// `registry_<region>`, `registry_data_<region>`. Their addresses are given with the request; here it
// is said which are lacking, so that no change fails half way.
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

#define DATA_FORM "registry_data_"
#define REGIONAL_FORM "registry_"

// The region of a member's key, and its kind.
static const char *key_region(const char *key, enum name_kind *out_kind)
{
    *out_kind = NAME_GLOBAL;
    if (!strcmp(key, "registry"))
        return "";
    *out_kind = NAME_DATA;
    if (!strncmp(key, DATA_FORM, strlen(DATA_FORM)))
        return key + strlen(DATA_FORM);
    *out_kind = NAME_REGIONAL;
    if (!strncmp(key, REGIONAL_FORM, strlen(REGIONAL_FORM)))
        return key + strlen(REGIONAL_FORM);
    return NULL;
}

static const struct spec_member *member_find(const struct spec_private *p, const char *key)
{
    for (size_t i = 0; i < p->n_members; i++)
        if (!strcmp(p->members[i].key, key))
            return &p->members[i];
    return NULL;
}

// Does the row have the name that the key is of?
static bool is_name(struct work *w, const char *key)
{
    enum name_kind kind;
    const char *region = key_region(key, &kind);
    if (!region)
        return false;
    if (kind == NAME_GLOBAL)
        return true;
    if (kind == NAME_REGIONAL && !w->row.regional_endpoints)
        return false;
    return work_replica(w, region) != NULL;
}

// ---- adding ----

static int addresses(struct work *w, const json_t *list, struct spec_member *out)
{
    struct ip *ips = arena_array(w->x->arena, json_array_size(list) + 1, sizeof *ips);
    if (!ips)
        return ERR_NOMEM;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (ip_parse(record_text_at(list, i), &ips[i]))
            return ERR_INVAL;
    out->ips = ips;
    out->n_ips = json_array_size(list);
    return 0;
}

static bool member_add(struct work *w, struct work_private *p, const char *key, const json_t *list)
{
    struct spec_member *members = arena_array(w->x->arena, p->row.n_members + 1, sizeof *members);
    if (!members) {
        w->nomem = true;
        return false;
    }
    memcpy(members, p->row.members, p->row.n_members * sizeof *members);
    members[p->row.n_members].key = key;
    if (addresses(w, list, &members[p->row.n_members])) {
        w->nomem = true;
        return false;
    }
    p->row.members = members;
    p->row.n_members++;
    p->changed = true;
    return true;
}

bool members_add(struct work *w)
{
    bool any = false;
    for (size_t i = 0; i < w->n_privates; i++) {
        struct work_private *p = &w->privates[i];
        const json_t *given = json_object_get(json_object_get(w->goal, "ip"), p->row.name);
        const char *key;
        json_t *list;
        json_object_foreach((json_t *)given, key, list)
        {
            if (is_name(w, key) && !member_find(&p->row, key))
                any |= member_add(w, p, key, list);
        }
    }
    return any;
}

// ---- removing ----

static bool goes(const struct spec_member *m, enum name_kind kind, const char *region)
{
    enum name_kind of;
    const char *where = key_region(m->key, &of);
    return where && of == kind && (!region || !strcmp(where, region));
}

bool members_remove(struct work *w, enum name_kind kind, const char *region)
{
    bool any = false;
    for (size_t i = 0; i < w->n_privates; i++) {
        struct work_private *p = &w->privates[i];
        struct spec_member *members = (struct spec_member *)p->row.members;
        size_t n = 0;
        for (size_t k = 0; k < p->row.n_members; k++)
            if (!goes(&members[k], kind, region))
                members[n++] = members[k];
        if (n == p->row.n_members)
            continue;
        p->row.n_members = n;
        p->changed = true;
        any = true;
    }
    return any;
}

// ---- the way back ----

bool member_goes(const json_t *goal, const char *key)
{
    enum name_kind kind;
    const char *region = key_region(key, &kind);
    if (!region || kind == NAME_GLOBAL)
        return false;
    if (kind == NAME_REGIONAL && goal_wants(goal, "regional") == NOT_WANTED)
        return true;
    return goal_wants(goal_replica(goal, region), "present") == NOT_WANTED;
}

static json_t *addresses_json(const struct spec_member *m)
{
    char text[IP_TEXT_SIZE];
    json_t *list = json_array();
    for (size_t i = 0; list && i < m->n_ips; i++)
        json_array_append_new(list, json_string(ip_format(&m->ips[i], text)));
    return list;
}

int members_before(const struct work *w, json_t *before)
{
    json_t *ip = json_object();
    int rc = json_object_set_new(before, "ip", ip);
    for (size_t i = 0; !rc && i < w->n_privates; i++) {
        const struct spec_private *p = &w->privates[i].row;
        json_t *of = json_object();
        rc = json_object_set_new(ip, p->name, of);
        for (size_t k = 0; !rc && k < p->n_members; k++)
            if (member_goes(w->goal, p->members[k].key))
                rc = json_object_set_new(of, p->members[k].key, addresses_json(&p->members[k]));
    }
    if (rc)
        return ERR_NOMEM;
    return 0;
}

// ---- what is lacking ----

// The names that the goal brings, as members' keys.
struct coming {
    struct work *w;
    const char *keys[2 * TOPOLOGY_MAX_REGIONS];
    size_t n;
};

static void come(struct coming *c, const char *form, const char *region)
{
    c->keys[c->n] = arena_printf(c->w->x->arena, "%s%s", form, region);
    if (c->keys[c->n])
        c->n++;
    else
        c->w->nomem = true;
}

static void coming_names(struct coming *c)
{
    struct work *w = c->w;
    bool regional_now = w->row.regional_endpoints;
    bool regional = regional_now;
    enum wanted wanted = goal_wants(w->goal, "regional");
    if (wanted != NOT_SAID)
        regional = wanted == WANTED;
    for (size_t i = 0; i < w->x->t->n_regions; i++) {
        const char *region = w->x->t->regions[i].name;
        bool is_there = work_replica(w, region) != NULL;
        bool comes = !is_there && goal_wants(goal_replica(w->goal, region), "present") == WANTED;
        bool goes_away = goal_wants(goal_replica(w->goal, region), "present") == NOT_WANTED;
        if (comes)
            come(c, DATA_FORM, region);
        if (regional && (comes || (is_there && !goes_away && !regional_now)))
            come(c, REGIONAL_FORM, region);
    }
}

static bool is_coming(const struct coming *c, const char *key)
{
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->keys[i], key))
            return true;
    return false;
}

static int lacking(const struct coming *c, const struct work_private *p)
{
    struct work *w = c->w;
    const json_t *given = json_object_get(json_object_get(w->goal, "ip"), p->row.name);
    int rc = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (json_object_get(given, c->keys[i]) || member_find(&p->row, c->keys[i]))
            continue;
        refuse(w->diag,
               "private endpoint %s (view %s) needs an address for %s: give --ip %s/%s=ADDRESS",
               p->row.name, p->row.view, c->keys[i], p->row.name, c->keys[i]);
        rc = ERR_INVAL;
    }
    return rc;
}

static int unasked(const struct coming *c, const struct work_private *p)
{
    struct work *w = c->w;
    const json_t *given = json_object_get(json_object_get(w->goal, "ip"), p->row.name);
    const char *key;
    json_t *list;
    int rc = 0;
    json_object_foreach((json_t *)given, key, list)
    {
        if (is_coming(c, key) && json_array_size(list))
            continue;
        refuse(w->diag, "private endpoint %s: this change brings no %.80s to give an address to",
               p->row.name, key);
        rc = ERR_INVAL;
    }
    return rc;
}

static bool has_private(const struct work *w, const char *name)
{
    for (size_t i = 0; i < w->n_privates; i++)
        if (!strcmp(w->privates[i].row.name, name))
            return true;
    return false;
}

int registry_goal_members(const struct plan_ctx *x, const json_t *goal, struct diag *diag)
{
    struct work w;
    const char *name;
    json_t *members;
    int rc = work_begin(&w, x, goal, diag);
    if (rc)
        return rc;
    struct coming c = {.w = &w};
    coming_names(&c);
    if (w.nomem)
        return ERR_NOMEM;
    json_object_foreach(json_object_get(goal, "ip"), name, members)
    {
        if (has_private(&w, name))
            continue;
        refuse(diag, "registry %s has no private endpoint %.80s", w.name, name);
        rc = ERR_INVAL;
    }
    for (size_t i = 0; i < w.n_privates; i++) {
        int lack = lacking(&c, &w.privates[i]);
        int more = unasked(&c, &w.privates[i]);
        if (lack || more)
            rc = ERR_INVAL;
    }
    return rc;
}
