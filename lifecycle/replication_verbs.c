// SPDX-License-Identifier: Apache-2.0
// `replication create|update|delete`: plans. A replica is REGISTRY/REGION.
#include "base/err.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "config/policy.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "dns/dnskey.h"
#include "lifecycle/caches.h"
#include "lifecycle/content.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"
#include "lifecycle/registry_verbs.h"
#include "lifecycle/stamp_move.h"
#include "lifecycle/verbs.h"

#include <string.h>

struct place { // of a replica
    const char *registry, *region, *object;
    const struct registry *r;
    const struct region *at;
    // NULL: there is none
    const struct replica *replica;
};

static int place_of(const struct plan_ctx *x, struct place *out, struct diag *diag)
{
    const char *plain = plain_name(x, x->object);
    if (!plain)
        return ERR_NOMEM;
    const char *slash = strchr(plain, '/');
    if (!slash) {
        refuse(diag, "a replica is named REGISTRY/REGION, such as contoso/eastus");
        return ERR_INVAL;
    }
    *out = (struct place){.registry = arena_strndup(x->arena, plain, (size_t)(slash - plain)),
                          .region = slash + 1,
                          .object = arena_printf(x->arena, "replication/%s", plain)};
    if (!out->registry || !out->object)
        return ERR_NOMEM;
    out->r = plan_registry(x, out->registry, diag);
    if (!out->r)
        return ERR_NOTFOUND;
    out->at = plan_region(x, out->region, diag);
    if (!out->at)
        return ERR_NOTFOUND;
    out->replica = registry_replica(out->r, out->at->index);
    return 0;
}

// The goal's word on that replica, to be filled in; NULL: out of memory.
static json_t *goal_of(const struct place *p, bool present, struct plan *out)
{
    json_t *said = json_pack("{s:b}", "present", present);
    out->goal = json_pack("{s:s, s:{s:O}}", "registry", p->registry, "replicas", p->region, said);
    json_decref(said); // the goal holds it
    if (out->goal)
        return said;
    return NULL;
}

static int routing(const struct plan_ctx *x, json_t *said, struct diag *diag)
{
    bool given, on = true;
    int64_t weight = 0;
    int rc = argument_switch(x->arguments, "globalEndpointRouting", &given, &on, diag);
    if (!rc && given && json_object_set_new(said, "globalRouting", json_boolean(on)))
        rc = ERR_NOMEM;
    if (rc)
        return rc;
    rc = argument_number(x->arguments, "weight", 0, 100, &given, &weight, diag);
    if (!rc && given && json_object_set_new(said, "weight", json_integer(weight)))
        rc = ERR_NOMEM;
    return rc;
}

// ---- create ----

static int create_stamp(const struct plan_ctx *x, const struct place *p, json_t *said,
                        struct diag *diag)
{
    const char *stamp;
    int rc = argument_text(x->arguments, "stamp", &stamp, diag);
    if (rc || !stamp)
        return rc;
    if (!region_stamp(p->at, stamp)) {
        refuse(diag, "region %s has no stamp %.80s: meridian stamp list", p->region, stamp);
        return ERR_NOTFOUND;
    }
    if (json_object_set_new(said, "stamp", json_string(stamp)))
        return ERR_NOMEM;
    return 0;
}

// From when on it takes traffic of the global name.
static int create_traffic(const struct plan_ctx *x, json_t *said, struct plan *out,
                          struct diag *diag)
{
    bool given, early = false;
    int rc = argument_switch(x->arguments, "early", &given, &early, diag);
    if (rc)
        return rc;
    if (json_is_false(json_object_get(said, "globalRouting"))) {
        plan_note(x, out,
                  "it takes no traffic of the global name until replication update says so");
        return 0;
    }
    if (early) {
        plan_note(x, out, "it takes traffic of the global name before all content is there");
        return 0;
    }
    plan_note(x, out,
              "it takes traffic of the global name once it has all that the other replicas wrote; "
              "its own names are there before (with early: all at once)");
    int bad = json_object_set_new(said, "globalRouting", json_true());
    bad |= json_object_set_new(said, "whole", json_true());
    return bad ? ERR_NOMEM : 0;
}

static int plan_create(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"globalEndpointRouting", "weight", "stamp", "ip", "early"};
    struct place p;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = place_of(x, &p, diag);
    if (rc)
        return rc;
    // one that is on its way out comes up again
    if (p.replica && p.replica->stage == STAGE_PUBLIC) {
        *out_code = "AlreadyExists";
        refuse(diag,
               "Replication could not be created in the same location as the registry: %s has a "
               "replica in %s",
               p.registry, p.region);
        return ERR_CONFLICT;
    }
    json_t *said = goal_of(&p, true, out);
    if (!said)
        return ERR_NOMEM;
    rc = routing(x, said, diag);
    if (!rc)
        rc = create_stamp(x, &p, said, diag);
    if (!rc)
        rc = goal_ip(x, p.r, out->goal, diag);
    if (!rc)
        rc = registry_goal_members(x, out->goal, out, diag);
    if (rc)
        return rc;
    rc = create_traffic(x, said, out, diag);
    if (rc)
        return rc;
    return plan_goal(x, p.object, out, diag);
}

// ---- update ----

static int replica_there(const struct place *p, struct diag *diag)
{
    if (p->replica)
        return 0;
    refuse(diag, "registry %s has no replica in %s", p->registry, p->region);
    return ERR_NOTFOUND;
}

// A drain of the whole stamp may be on its way to the contrary: neither would ever come to its end.
static int lock_stamp(const struct plan_ctx *x, const struct place *p, struct plan *out)
{
    const char *lock =
        arena_printf(x->arena, "stamp/%s/%s", p->region, p->at->stamps[p->replica->stamp].name);
    if (!lock)
        return ERR_NOMEM;
    out->locks[out->n_locks++] = lock;
    return 0;
}

// To another stamp: nothing else goes with it.
static int plan_move(const struct plan_ctx *x, struct plan *out, struct diag *diag)
{
    struct place p;
    struct stamp_move_wish w;
    int rc = argument_text(x->arguments, "stamp", &w.to, diag);
    if (!rc && json_object_size(x->arguments) > 1) {
        refuse(diag, "a move to another stamp is an operation of its own: ask for it alone");
        rc = ERR_INVAL;
    }
    if (!rc)
        rc = place_of(x, &p, diag);
    if (!rc)
        rc = replica_there(&p, diag);
    if (rc)
        return rc;
    w.r = p.r;
    w.at = p.at;
    w.replica = p.replica;
    out->object = p.object;
    return stamp_move_plan(x, &w, out, diag);
}

static int plan_update(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"globalEndpointRouting", "weight", "drained"};
    struct place p;
    bool given, drained = false;
    (void)out_code;
    if (json_object_get(x->arguments, "stamp"))
        return plan_move(x, out, diag);
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = place_of(x, &p, diag);
    if (!rc)
        rc = replica_there(&p, diag);
    if (rc)
        return rc;
    json_t *said = json_object();
    out->goal = json_pack("{s:s, s:{s:o}}", "registry", p.registry, "replicas", p.region, said);
    if (!out->goal)
        return ERR_NOMEM;
    rc = routing(x, said, diag);
    if (!rc)
        rc = argument_switch(x->arguments, "drained", &given, &drained, diag);
    if (!rc && given && json_object_set_new(said, "drained", json_boolean(drained)))
        rc = ERR_NOMEM;
    if (!rc && given)
        rc = lock_stamp(x, &p, out);
    if (rc)
        return rc;
    return plan_goal(x, p.object, out, diag);
}

static int update_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                       struct diag *diag)
{
    if (stamp_move_is(goal))
        return stamp_move_step(x, goal, out, diag);
    return registry_step(x, goal, out, diag);
}

// ---- rebind ----

// The command has counted with the negative TTL of now. A time that is past (--now) is taken as said.
static int judge_denials(const struct plan_ctx *x, const struct place *p, const char *since,
                         struct diag *diag)
{
    uint32_t deny_s = caches_deny_s(x), counted_s = x->t->ttl.negative;
    int64_t since_s = dnskey_time_parse(since), now_s = x->sure_ms / 1000;
    if (deny_s <= counted_s || since_s <= x->now_ms / 1000 || since_s >= now_s + deny_s)
        return 0;
    refuse(
        diag,
        "registry %s: replicas: %s: ttl.negative was shortened lately, and resolvers may say for "
        "%u s more that the new stamp does not exist: ask again in %u s",
        p->registry, p->region, (unsigned)deny_s, (unsigned)(deny_s - counted_s));
    return ERR_CONFLICT;
}

// The command has asked all who answer for fe.D, and says where names lead until when; whether that
// is enough is for the judge of changes to say (control/moves.h).
static int rebind_row(const struct plan_ctx *x, const struct place *p, struct spec_registry *row,
                      struct diag *diag)
{
    const char *stamp, *was, *since;
    int rc = argument_text(x->arguments, "stamp", &stamp, diag);
    if (!rc)
        rc = argument_text(x->arguments, "was", &was, diag);
    if (!rc)
        rc = argument_text(x->arguments, "since", &since, diag);
    if (!rc)
        rc = change_registry_row(x->t, p->r, x->arena, row);
    if (rc)
        return rc;
    if (!stamp || !was || !since) {
        refuse(diag, "a move needs stamp, was and since: meridian replication rebind gives them");
        return ERR_INVAL;
    }
    struct spec_replica *rep = change_replica(row, p->region);
    rep->stamp = stamp;
    rep->was = was;
    rep->since = since;
    return judge_denials(x, p, since, diag);
}

static int plan_rebind(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"stamp", "was", "since"};
    struct place p;
    struct spec_registry row;
    const struct change c = {.registries = &row, .n_registries = 1};
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = place_of(x, &p, diag);
    if (!rc)
        rc = replica_there(&p, diag);
    if (!rc)
        rc = rebind_row(x, &p, &row, diag);
    if (rc)
        return rc;
    out->object = p.object;
    out->locks[out->n_locks++] = arena_printf(x->arena, "registry/%s", p.registry);
    if (!out->locks[0])
        return ERR_NOMEM;
    out->first.name = "document";
    return change_text(x, &c, &out->first.change);
}

// ---- delete ----

static int plan_delete(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"waitForContent"};
    struct place p;
    bool given, content = true;
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_switch(x->arguments, "waitForContent", &given, &content, diag);
    if (!rc)
        rc = place_of(x, &p, diag);
    if (!rc)
        rc = replica_there(&p, diag);
    if (rc)
        return rc;
    if (p.r->n_replicas == 1) {
        refuse(diag,
               "%s is the last replica of %s: meridian registry delete takes away the registry "
               "with all its content",
               p.region, p.registry);
        return ERR_CONFLICT;
    }
    bool stays = !replica_is_leaving(p.replica);
    if (policy_ack_peers(p.r) + stays > policy_ack_most(p.r)) {
        refuse(
            diag,
            "writes to %s are acknowledged once %u other regions have them (ack), and without %s "
            "too few replicas are left: add one first, or lower it: meridian registry update %s "
            "--ack local",
            p.registry, policy_ack_peers(p.r), p.region, p.registry);
        return ERR_CONFLICT;
    }
    plan_note(x, out, "its names in %s leave DNS first; the edge there serves on for %u s",
              p.region, (unsigned)caches_rest_s(x));
    if (content)
        plan_note(
            x, out,
            "then it takes no writes any more, and goes once the other replicas have all that "
            "it wrote; if they have not within %d minutes, it stays",
            (int)(CONTENT_MAX_MS / 60000));
    else
        plan_note(x, out,
                  "content that %s alone holds is lost with it: meridian replication status %s",
                  p.region, p.registry);
    json_t *said = goal_of(&p, false, out);
    if (!said || json_object_set_new(said, "content", json_boolean(content)))
        return ERR_NOMEM;
    return plan_goal(x, p.object, out, diag);
}

const struct verb verb_replication_create = {.noun = "replication",
                                             .word = "create",
                                             .right = CONTROL_RIGHT_REGISTRIES,
                                             .state = "Creating",
                                             .supersedes = "replication delete",
                                             .plan = plan_create,
                                             .step = registry_step};
const struct verb verb_replication_update = {.noun = "replication",
                                             .word = "update",
                                             .right = CONTROL_RIGHT_REGISTRIES,
                                             .state = "Updating",
                                             .plan = plan_update,
                                             .step = update_step};
const struct verb verb_replication_rebind = {.noun = "replication",
                                             .word = "rebind",
                                             .right = CONTROL_RIGHT_REGISTRIES,
                                             .state = "Updating",
                                             .plan = plan_rebind};
const struct verb verb_replication_delete = {.noun = "replication",
                                             .word = "delete",
                                             .right = CONTROL_RIGHT_REGISTRIES,
                                             .takes_away = true,
                                             .state = "Deleting",
                                             .plan = plan_delete,
                                             .step = registry_step};
