// SPDX-License-Identifier: Apache-2.0
// The goal that leads back from another one; see registry_goal.h.
#include "base/err.h"
#include "config/policy.h"
#include "config/reserved.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

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
    if (json_object_get(goal, "ack"))
        rc |= json_object_set_new(out, "ack", json_integer(policy_ack_peers(r)));
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
