// SPDX-License-Identifier: Apache-2.0
// The way of a registry to its goal, step by step; see registry_goal.h. Every step is tried in the
// same order: what is wanted comes up first, then what is not wanted goes down.
#include "lifecycle/registry_goal.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/dnl.h"
#include "config/hostname.h"
#include "config/reserved.h"
#include "control/principals_change.h"
#include "lifecycle/caches.h"
#include "lifecycle/lifecycle.h"
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

static int put(struct work *w, const char *name, struct phase *out)
{
    out->name = name;
    return work_change(w, &out->change);
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

static bool raise(struct work *w, unsigned to)
{
    bool any = raise_one(goal_wants(w->goal, "present"), &w->row.stage, to);
    any |= raise_one(goal_wants(w->goal, "regional"), &w->row.regional_stage, to);
    any |= raise_one(goal_wants(w->goal, "data"), &w->row.data_stage, to);
    for (size_t i = 0; i < w->row.n_replicas; i++) {
        struct spec_replica *rep = &w->replicas[i];
        any |=
            raise_one(goal_wants(goal_replica(w->goal, rep->region), "present"), &rep->stage, to);
    }
    return any;
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
        any |= lower_one(goal_wants(goal_replica(w->goal, rep->region), "present"), &rep->stage,
                         from, to);
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
        return put(w, "edge", out);
    }
    if (members_add(w))
        return put(w, "members", out);
    if (w->n_privates && raise(w, STAGE_PRIVATE))
        return put(w, "private-dns", out);
    if (raise(w, STAGE_PUBLIC))
        return put(w, "public-dns", out);
    return 0;
}

static int step_down(struct work *w, struct phase *out)
{
    bool members;
    if (lower(w, STAGE_PUBLIC, below_public(w))) {
        out->rest_s = caches_rest_s(w->x);
        return put(w, "public-dns", out);
    }
    if (lower(w, STAGE_PRIVATE, STAGE_EDGE)) {
        out->rest_s = caches_rest_s(w->x);
        return put(w, "private-dns", out);
    }
    if (drop_names(w, &members)) {
        out->with[0] = "certificates";
        if (members)
            out->with[1] = "members";
        return put(w, "edge", out);
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
    return put(w, "document", out);
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
    return put(w, "edge", out);
}

// ---- one that goes ----

static const char *time_text(struct work *w, int64_t s)
{
    char text[CLOCK_TEXT_SIZE];
    const char *copy = arena_strdup(w->x->arena, clock_format_s(s, text));
    if (!copy)
        w->nomem = true;
    return copy;
}

// The principals without what they say of it. They are left out when there is nothing.
static int without_grants(struct work *w, struct phase *out)
{
    const struct plan_ctx *x = w->x;
    AUTO_BUF struct buf now, next;
    uint64_t version;
    buf_init(&now, 0);
    buf_init(&next, 0);
    int rc = x->deps->principals(x->deps->ctx, &now, &version);
    if (!rc && !now.n)
        return 0;
    if (!rc)
        rc = principals_without_registry(bytes_of(now.p, now.n), w->name, w->diag, &next, NULL);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    const void *copy = arena_copy(x->arena, next.p, next.n);
    if (!copy)
        return ERR_NOMEM;
    out->principals = bytes_of(copy, next.n);
    out->principals_from = version;
    return 0;
}

// The reservation that follows; false: none does.
static bool reservation(struct work *w, struct spec_reserved *out)
{
    const json_t *again = json_object_get(w->goal, "reserved");
    int64_t now_s = w->x->now_ms / 1000;
    int64_t days = record_number(w->goal, "reserveDays");
    if (again) { // that its creation had ended
        *out = (struct spec_reserved){.name = w->name,
                                      .label = record_text(again, "label"),
                                      .owner = record_text(again, "owner"),
                                      .since = time_text(w, record_number(again, "since")),
                                      .until = time_text(w, record_number(again, "until"))};
        return true;
    }
    *out = (struct spec_reserved){.name = w->name,
                                  .owner = w->row.owner,
                                  .since = time_text(w, now_s),
                                  .until = time_text(w, now_s + days * 86400)};
    return days > 0;
}

int registry_gone_record(const struct plan_ctx *x, const struct registry *r, int64_t kept_ms,
                         struct control_record *out)
{
    *out = (struct control_record){.key = arena_printf(x->arena, GONE_PREFIX "%s", r->key),
                                   .value = arena_printf(x->arena, "{\"due\":%lld,\"since\":%lld}",
                                                         (long long)(x->now_ms + kept_ms),
                                                         (long long)x->now_ms)};
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

// Says in every region's ledger from when on its content goes (daemon/retire.h).
static int content_goes(struct work *w, struct phase *out)
{
    struct control_record *r = arena_alloc(w->x->arena, sizeof *r);
    int64_t kept_ms = GONE_KEPT_MS;
    if (goal_wants(w->goal, "purge") == WANTED)
        kept_ms = 0;
    if (!r)
        return ERR_NOMEM;
    out->records = r;
    out->n_records = 1;
    return registry_gone_record(w->x, w->r, kept_ms, r);
}

static int remove_registry(struct work *w, struct phase *out)
{
    const char **privates = arena_array(w->x->arena, w->n_privates + 1, sizeof *privates);
    struct spec_reserved reserved;
    bool is_reserved = reservation(w, &reserved);
    struct change c = {
        .remove = &w->name, .n_remove = 1, .reserve = &reserved, .n_reserve = is_reserved};
    if (!privates || w->nomem)
        return ERR_NOMEM;
    for (size_t i = 0; i < w->n_privates; i++)
        privates[i] = w->privates[i].row.name;
    c.remove_private_endpoints = privates;
    c.n_remove_private_endpoints = w->n_privates;
    out->name = "edge";
    out->with[0] = "certificates";
    if (w->n_privates)
        out->with[1] = "members";
    int rc = change_text(w->x, &c, &out->change);
    if (!rc)
        rc = content_goes(w, out);
    if (!rc && goal_wants(w->goal, "grants") == WANTED)
        rc = without_grants(w, out);
    return rc;
}

static int step_delete(struct work *w, struct phase *out)
{
    if (!w->r)
        return 0;
    if (w->row.stage == STAGE_PUBLIC) {
        w->row.stage = below_public(w);
        out->rest_s = caches_rest_s(w->x);
        return put(w, "public-dns", out);
    }
    if (w->row.stage == STAGE_PRIVATE) {
        w->row.stage = STAGE_EDGE;
        out->rest_s = caches_rest_s(w->x);
        return put(w, "private-dns", out);
    }
    return remove_registry(w, out);
}

int registry_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                  struct diag *diag)
{
    struct work w;
    *out = (struct phase){0};
    int rc = work_begin(&w, x, goal, diag);
    if (rc)
        return rc;
    if (goal_wants(goal, "present") == NOT_WANTED)
        return step_delete(&w, out);
    if (!w.r)
        return step_create(&w, out);
    return step_update(&w, out);
}

// ---- the way back ----

static json_t *access_before(const struct registry *r)
{
    json_t *cidrs = json_array();
    char text[CIDR_TEXT_SIZE];
    for (size_t i = 0; cidrs && i < r->n_public_cidrs; i++)
        json_array_append_new(cidrs, json_string(cidr_format(&r->public_cidrs[i], text)));
    return json_pack("{s:i, s:o}", "mode", (int)r->public_access, "cidrs", cidrs);
}

static json_t *replica_before(const struct topology *t, const struct registry *r,
                              const char *region)
{
    const struct region *at = topology_region(t, region);
    const struct replica *rep = NULL;
    if (at)
        rep = registry_replica(r, at->index);
    if (!rep || rep->stage != STAGE_PUBLIC)
        return json_pack("{s:b}", "present", false);
    return json_pack("{s:b, s:s, s:i, s:b, s:b}", "present", true, "stamp",
                     at->stamps[rep->stamp].name, "weight",
                     r->weights ? (int)r->weights[rep->region] : 100, "globalRouting",
                     rep->global_routing, "drained", rep->drained);
}

static int replicas_before(const struct topology *t, const struct registry *r, const json_t *goal,
                           json_t *out)
{
    const char *region;
    json_t *said, *replicas = json_object();
    int rc = json_object_set_new(out, "replicas", replicas);
    json_object_foreach(json_object_get(goal, "replicas"), region, said)
    {
        rc |= json_object_set_new(replicas, region, replica_before(t, r, region));
    }
    if (rc)
        return ERR_NOMEM;
    return 0;
}

static int fields_before(const struct topology *t, const struct registry *r, const json_t *goal,
                         json_t *out)
{
    bool regional = r->regional_endpoints && r->regional_stage == STAGE_PUBLIC;
    bool data = r->data_endpoints && r->data_stage == STAGE_PUBLIC;
    int rc = 0;
    if (goal_wants(goal, "present") != NOT_SAID)
        rc |= json_object_set_new(out, "present", json_true());
    if (goal_wants(goal, "regional") != NOT_SAID)
        rc |= json_object_set_new(out, "regional", json_boolean(regional));
    if (goal_wants(goal, "data") != NOT_SAID)
        rc |= json_object_set_new(out, "data", json_boolean(data));
    if (goal_wants(goal, "anonymous") != NOT_SAID)
        rc |= json_object_set_new(out, "anonymous", json_boolean(r->anonymous_pull));
    if (json_object_get(goal, "access"))
        rc |= json_object_set_new(out, "access", access_before(r));
    if (!rc && json_object_get(goal, "replicas"))
        rc = replicas_before(t, r, goal, out);
    if (rc)
        return ERR_NOMEM;
    return 0;
}

// A name that its owner takes again is not reserved any more; when that comes to nothing, it is.
static int reserved_before(const struct topology *t, const char *name, json_t *out)
{
    const struct reserved_name *x = topology_reserved(t, name);
    int rc = json_object_set_new(out, "present", json_false());
    // those that were given while it was being made
    rc |= json_object_set_new(out, "grants", json_true());
    if (x)
        rc |= json_object_set_new(out, "reserved",
                                  json_pack("{s:s, s:s, s:I, s:I}", "label", x->label, "owner",
                                            x->owner, "since", (json_int_t)x->since_s, "until",
                                            (json_int_t)x->until_s));
    return rc;
}

int registry_goal_before(const struct plan_ctx *x, const json_t *goal, json_t **out)
{
    struct work w;
    int rc = work_begin(&w, x, goal, NULL);
    if (rc)
        return rc;
    json_t *before = json_pack("{s:s}", "registry", w.name);
    if (!before)
        return ERR_NOMEM;
    if (w.r)
        rc = fields_before(x->t, w.r, goal, before);
    else
        rc = reserved_before(x->t, w.name, before);
    if (!rc && w.n_privates)
        rc = members_before(&w, before);
    if (rc) {
        json_decref(before);
        return ERR_NOMEM;
    }
    *out = before;
    return 0;
}
