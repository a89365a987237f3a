// SPDX-License-Identifier: Apache-2.0
// `registry create|update|delete`: plans.
#include "lifecycle/registry_verbs.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/dnl.h"
#include "config/hostname.h"
#include "config/reserved.h"
#include "config/topology_control.h"
#include "control/principals_change.h"
#include "lifecycle/caches.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/verbs.h"

#include <string.h>

#define RESERVE_DAYS 90
#define RESERVE_DAYS_MAX 3650
#define GRANTS_NOTED 8

static const char *object_name(const struct plan_ctx *x, const char *name)
{
    return arena_printf(x->arena, "registry/%s", name);
}

// ---- create ----

static int name_is_free(const struct plan_ctx *x, const char *name, const char *owner,
                        struct plan *out, struct diag *diag, const char **out_code)
{
    const struct reserved_name *reserved = topology_reserved(x->t, name);
    char until[CLOCK_TEXT_SIZE];
    if (!hostname_registry_ok(name)) {
        refuse(diag, "\"%.80s\" cannot be a registry's name: 5 to 50 lower-case letters and digits",
               name);
        return ERR_INVAL;
    }
    if (topology_registry(x->t, name)) {
        *out_code = "AlreadyExists";
        refuse(diag, "there is a registry %s already: registry update changes it", name);
        return ERR_CONFLICT;
    }
    if (!reserved || !reserved_name_refuses(reserved, owner, x->sure_ms / 1000))
        return plan_need_name(x, out, name);
    *out_code = "NameReserved";
    refuse(diag,
           "the name %s is reserved for %s until %s: its owner may take it again, or release it "
           "(meridian name release %s)",
           name, *reserved->owner ? reserved->owner : "who deleted it",
           clock_format_s(reserved->until_s, until), name);
    return ERR_CONFLICT;
}

static int create_facts(const struct plan_ctx *x, const char *owner, json_t *goal,
                        struct diag *diag)
{
    const char *word;
    enum dnl_scope scope = DNL_UNSECURE;
    int rc = argument_text(x->arguments, "dnlScope", &word, diag);
    if (rc)
        return rc;
    if (word && dnl_scope_parse(word, &scope)) {
        refuse(diag,
               "dnlScope: \"%.40s\" is none of Unsecure, TenantReuse, SubscriptionReuse, "
               "ResourceGroupReuse, NoReuse",
               word);
        return ERR_INVAL;
    }
    if (!registry_owner_ok(owner)) {
        refuse(diag, "owner: expected 1 to 128 letters, digits and -_.@:/+");
        return ERR_INVAL;
    }
    if (json_object_set_new(goal, "create",
                            json_pack("{s:s, s:i}", "owner", owner, "dnlScope", (int)scope)))
        return ERR_NOMEM;
    return 0;
}

static int one_location(const struct plan_ctx *x, const char *text, json_t *replicas,
                        struct diag *diag)
{
    const char *name = plain_name(x, text);
    if (!name)
        return ERR_NOMEM;
    if (!plan_region(x, name, diag))
        return ERR_NOTFOUND;
    if (json_object_set_new(replicas, name, json_pack("{s:b}", "present", true)))
        return ERR_NOMEM;
    return 0;
}

// Where it is not said: the only region, else the writer's.
static const char *home(const struct plan_ctx *x)
{
    if (x->t->n_regions == 1 || !x->t->control)
        return x->t->regions[0].name;
    return x->t->regions[x->t->control->writer].name;
}

static int create_locations(const struct plan_ctx *x, json_t *goal, struct diag *diag)
{
    const char *location;
    const json_t *more = json_object_get(x->arguments, "replicas");
    json_t *replicas = json_object();
    if (json_object_set_new(goal, "replicas", replicas))
        return ERR_NOMEM;
    int rc = argument_text(x->arguments, "location", &location, diag);
    if (!rc && more && !json_is_array(more)) {
        refuse(diag, "replicas: expected a list of regions");
        rc = ERR_INVAL;
    }
    if (!rc && !location && !json_array_size(more))
        location = home(x);
    if (!rc && location)
        rc = one_location(x, location, replicas, diag);
    for (size_t i = 0; !rc && i < json_array_size(more); i++)
        rc = one_location(x, record_text_at(more, i), replicas, diag);
    return rc;
}

static int create_goal(const struct plan_ctx *x, const char *owner, json_t *goal, struct diag *diag)
{
    int rc = create_facts(x, owner, goal, diag);
    if (!rc)
        rc = create_locations(x, goal, diag);
    if (!rc)
        rc = goal_endpoints(x, goal, diag);
    if (!rc)
        rc = goal_access(x, goal, diag);
    return rc;
}

static int plan_create(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"location",
                                        "replicas",
                                        "regionalEndpoints",
                                        "dataEndpointEnabled",
                                        "cidrs",
                                        "publicNetworkEnabled",
                                        "dnlScope",
                                        "anonymousPullEnabled",
                                        "owner"};
    const char *name = plain_name(x, x->object), *owner;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_text(x->arguments, "owner", &owner, diag);
    if (rc)
        return rc;
    if (!owner)
        owner = plan_asker(x);
    if (!name || !owner)
        return ERR_NOMEM;
    rc = name_is_free(x, name, owner, out, diag, out_code);
    if (rc)
        return rc;
    out->goal = json_pack("{s:s, s:b}", "registry", name, "present", true);
    if (!out->goal)
        return ERR_NOMEM;
    rc = create_goal(x, owner, out->goal, diag);
    if (rc)
        return rc;
    return plan_goal(x, object_name(x, name), out, diag);
}

// ---- update ----

static int plan_update(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"regionalEndpoints",
                                        "dataEndpointEnabled",
                                        "cidrs",
                                        "publicNetworkEnabled",
                                        "ip",
                                        "anonymousPullEnabled",
                                        "ack"};
    const char *name = plain_name(x, x->object);
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (rc)
        return rc;
    if (!name)
        return ERR_NOMEM;
    const struct registry *r = plan_registry(x, name, diag);
    if (!r)
        return ERR_NOTFOUND;
    out->goal = json_pack("{s:s}", "registry", name);
    if (!out->goal)
        return ERR_NOMEM;
    rc = goal_endpoints(x, out->goal, diag);
    if (!rc)
        rc = goal_access(x, out->goal, diag);
    if (!rc)
        rc = goal_ack(x, r, out->goal, diag);
    if (!rc)
        rc = goal_ip(x, r, out->goal, diag);
    if (!rc)
        rc = registry_goal_members(x, out->goal, out, diag);
    if (rc)
        return rc;
    return plan_goal(x, object_name(x, name), out, diag);
}

// ---- delete ----

// What goes of the principals, sentence by sentence.
static int grants_notes(const struct plan_ctx *x, const struct registry *r, struct plan *out,
                        struct diag *diag)
{
    AUTO_BUF struct buf now, next;
    uint64_t version;
    json_t *gone = NULL;
    buf_init(&now, 0);
    buf_init(&next, 0);
    int rc = x->deps->principals(x->deps->ctx, &now, &version);
    if (rc || !now.n)
        return rc;
    rc = principals_without_registry(bytes_of(now.p, now.n), r->name, diag, &next, &gone);
    if (rc == ERR_NOTFOUND)
        return 0;
    size_t n = json_array_size(gone);
    for (size_t i = 0; !rc && i < n && i < GRANTS_NOTED; i++)
        plan_note(x, out, "%s: gone with it", record_text_at(gone, i));
    if (n > GRANTS_NOTED)
        plan_note(x, out, "and %zu more grants, scope maps and tokens", n - GRANTS_NOTED);
    json_decref(gone);
    return rc;
}

static void delete_notes(const struct plan_ctx *x, const struct registry *r, int64_t days,
                         bool purge, struct plan *out)
{
    char until[CLOCK_TEXT_SIZE];
    plan_note(x, out,
              "its names leave DNS first; edges and certificates serve on for %u s, until every "
              "cache has forgotten them",
              (unsigned)caches_rest_s(x));
    if (r->n_private_endpoints)
        plan_note(x, out, "%u private endpoints go with it, and their addresses are free again",
                  (unsigned)r->n_private_endpoints);
    if (purge)
        plan_note(x, out,
                  "its content is not served any more, and every region collects it at once");
    else
        plan_note(x, out,
                  "its content is not served any more, and every region collects it from %s on",
                  clock_format(x->now_ms + GONE_KEPT_MS, until));
    if (days)
        plan_note(x, out, "the name %s is reserved for %s until %s", r->name,
                  *r->owner ? r->owner : "nobody by name",
                  clock_format_s(x->now_ms / 1000 + days * 86400, until));
    else
        plan_note(x, out, "the name %s is free at once", r->name);
    plan_note(x, out, "a registry that takes the name later begins empty");
}

// A short reservation frees the name, as `name release` does.
static int early_release_needs(const struct plan_ctx *x, const struct registry *r, int64_t days,
                               struct plan *out)
{
    const char *owner = "nobody";
    if (days >= RESERVE_DAYS)
        return 0;
    if (*r->owner)
        owner = r->owner;
    const char *what =
        arena_printf(x->arena, "a reservation of less than %d days for the name %s, owned by %s,",
                     RESERVE_DAYS, r->name, owner);
    return plan_need_owner(x, out, r->owner, what);
}

static int plan_delete(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"reserveDays", "purge"};
    const char *name = plain_name(x, x->object);
    int64_t days = RESERVE_DAYS;
    bool given, purge = false;
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_number(x->arguments, "reserveDays", 0, RESERVE_DAYS_MAX, &given, &days, diag);
    if (!rc)
        rc = argument_switch(x->arguments, "purge", &given, &purge, diag);
    if (rc)
        return rc;
    if (!name)
        return ERR_NOMEM;
    const struct registry *r = plan_registry(x, name, diag);
    if (!r)
        return ERR_NOTFOUND;
    rc = early_release_needs(x, r, days, out);
    if (rc)
        return rc;
    delete_notes(x, r, days, purge, out);
    rc = grants_notes(x, r, out, diag);
    if (rc)
        return rc;
    out->goal = json_pack("{s:s, s:b, s:I, s:b, s:b}", "registry", name, "present", false,
                          "reserveDays", (json_int_t)days, "grants", true, "purge", purge);
    if (!out->goal)
        return ERR_NOMEM;
    return plan_goal(x, object_name(x, name), out, diag);
}

const struct verb verb_registry_create = {.noun = "registry",
                                          .word = "create",
                                          .right = CONTROL_RIGHT_REGISTRIES,
                                          .state = "Creating",
                                          .plan = plan_create,
                                          .step = registry_step};
const struct verb verb_registry_update = {.noun = "registry",
                                          .word = "update",
                                          .right = CONTROL_RIGHT_REGISTRIES,
                                          // anonymous pulls, networks, the public one
                                          .revokes = true,
                                          .state = "Updating",
                                          .plan = plan_update,
                                          .step = registry_step};
const struct verb verb_registry_delete = {.noun = "registry",
                                          .word = "delete",
                                          .right = CONTROL_RIGHT_REGISTRIES,
                                          .takes_away = true,
                                          .state = "Deleting",
                                          .plan = plan_delete,
                                          .step = registry_step};
