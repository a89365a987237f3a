// SPDX-License-Identifier: Apache-2.0
// Members of private endpoints that come and go with a registry's names: `registry`,
// `registry_<region>`, `registry_data_<region>`. The goal has their addresses (registry_lacking.c).
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

// Does the row have the name that the key is of?
static bool is_name(struct work *w, const char *key)
{
    enum name_kind kind;
    const char *region = member_key_region(key, &kind);
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
            if (is_name(w, key) && !members_find(p->row.members, p->row.n_members, key))
                any |= member_add(w, p, key, list);
        }
    }
    return any;
}

// ---- removing ----

static bool goes(const struct spec_member *m, enum name_kind kind, const char *region)
{
    enum name_kind of;
    const char *where = member_key_region(m->key, &of);
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
    const char *region = member_key_region(key, &kind);
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
