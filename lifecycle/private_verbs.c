// SPDX-License-Identifier: Apache-2.0
// `private-endpoint create|delete`: the network's side of a connection. Objects are names of private
// endpoints, which are those of their connections.
//
//   create   {"registry": "contoso", "view": "corp", "pool": "corp-pool", "auto": false,
//             "ip": {"registry": "10.4.0.4", …}, "answeredBy": "edge", "message": "please"}
//   delete   {"now": false}
//
// Addresses come from the pool, or `ip` has one for each member. `auto` approves in the same
// operation, for who may do both.
#include "base/err.h"
#include "base/mem.h"
#include "config/address_pool.h"
#include "config/registry_key.h"
#include "config/topology_control.h"
#include "lifecycle/connection_goal.h"
#include "lifecycle/connection_needs.h"
#include "lifecycle/connection_step.h"
#include "lifecycle/private_endpoints.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_verbs.h"
#include "lifecycle/verbs.h"

#include <string.h>

struct creating {
    const struct plan_ctx *x;
    struct plan *out;
    struct diag *diag;
    const char **out_code;
    struct connection c;
    const struct registry *r;
    const struct view *view;
    // {"key": ["address"]} of the request, or NULL
    json_t *given;
};

// ---- whose it is ----

static int name_is_free(struct creating *k)
{
    const struct ledger_look l = deps_ledger(k->x->deps);
    struct connection other;
    const char *name = k->x->object;
    if (!topology_name_ok(name)) {
        refuse(k->diag,
               "\"%.80s\" cannot be a private endpoint's name: at most 63 lower-case letters, "
               "digits, hyphens and underscores",
               name);
        return ERR_INVAL;
    }
    int rc = connection_get(&l, name, k->x->arena, &other);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc && !topology_private_endpoint(k->x->t, name, NULL))
        return 0;
    *k->out_code = "AlreadyExists";
    refuse(k->diag,
           "there is a private endpoint %s already: names of all registries and views differ",
           name);
    return ERR_CONFLICT;
}

static int find_sides(struct creating *k)
{
    const char *registry, *view;
    int rc = argument_text(k->x->arguments, "registry", &registry, k->diag);
    if (!rc)
        rc = argument_text(k->x->arguments, "view", &view, k->diag);
    if (rc)
        return rc;
    if (!registry || !view) {
        refuse(k->diag, "a private endpoint leads from a view to a registry: give both");
        return ERR_INVAL;
    }
    registry = plain_name(k->x, registry);
    if (!registry)
        return ERR_NOMEM;
    k->r = plan_registry(k->x, registry, k->diag);
    k->view = topology_view(k->x->t, view);
    if (!k->view)
        refuse(k->diag, "there is no view %.80s: the topology's views are private networks", view);
    if (!k->r || !k->view)
        return ERR_NOTFOUND;
    k->c.registry = k->r->key;
    k->c.view = k->view->name;
    return 0;
}

static int refuse_second(struct creating *k, const char *other)
{
    refuse(k->diag, "registry %s has private endpoint %s in view %s, and no second one there",
           k->r->name, other, k->view->name);
    return ERR_CONFLICT;
}

static int there_is_room(struct creating *k)
{
    const struct ledger_look l = deps_ledger(k->x->deps);
    struct connection *list;
    size_t n;
    int rc = connections_of(&l, k->r->key, k->x->arena, &list, &n);
    if (rc)
        return rc;
    if (n >= CONNECTIONS_MAX) {
        refuse(k->diag, "registry %s has %zu private endpoint connections; it may have %d",
               k->r->name, n, CONNECTIONS_MAX);
        return ERR_CONFLICT;
    }
    for (size_t i = 0; i < n; i++)
        if ((list[i].state == CONNECTION_PENDING || list[i].state == CONNECTION_APPROVED) &&
            !strcmp(list[i].view, k->view->name))
            return refuse_second(k, list[i].name);
    for (size_t i = 0; i < k->r->n_private_endpoints; i++)
        if (&k->x->t->views[k->r->private_endpoints[i]->view] == k->view)
            return refuse_second(k, k->r->private_endpoints[i]->name);
    return 0;
}

// ---- its addresses ----

static int choose_pool(struct creating *k, const char *name)
{
    const struct view *of = NULL;
    const struct address_pool *p = NULL;
    if (name)
        p = topology_pool(k->x->t, name, &of);
    else if (k->view->n_pools == 1)
        p = &k->view->pools[0];
    if (!name && !p) {
        refuse(k->diag,
               "view %s has %zu pools of addresses: name one, or give an address for each member",
               k->view->name, k->view->n_pools);
        return ERR_INVAL;
    }
    if (!p || (of && of != k->view)) {
        refuse(k->diag, "view %s has no pool %.80s", k->view->name, name);
        return ERR_NOTFOUND;
    }
    k->c.pool = p->name;
    k->c.answered_by = (enum answered_by)p->answered_by;
    return 0;
}

static int answered_by(struct creating *k, const char *word)
{
    k->c.answered_by = ANSWERED_BY_EDGE;
    for (size_t i = 0; word && i < ARRAY_LEN(spec_answered_by_words); i++)
        if (!strcmp(word, spec_answered_by_words[i].word)) {
            k->c.answered_by = (enum answered_by)spec_answered_by_words[i].value;
            return 0;
        }
    if (!word)
        return 0;
    refuse(k->diag, "answeredBy: edge, balancer or none, not %.40s", word);
    return ERR_INVAL;
}

static int judge_address(struct creating *k, const struct address_set *held, const char *key,
                         const struct ip *ip)
{
    char text[IP_TEXT_SIZE];
    ip_format(ip, text);
    if (!topology_ip_sensible(ip)) {
        refuse(k->diag, "%s: %s cannot be a host's address", key, text);
        return ERR_INVAL;
    }
    if (!view_holds(k->view, ip)) {
        refuse(k->diag, "%s: %s lies outside the networks of view %s", key, text, k->view->name);
        return ERR_INVAL;
    }
    if (!ip_set_contains(held->list, held->n, ip))
        return 0;
    refuse(k->diag,
           "%s: %s is another private endpoint's in view %s, or was, and caches may lead there",
           key, text, k->view->name);
    return ERR_CONFLICT;
}

// Of one that brings its addresses along.
static int judge_addresses(struct creating *k)
{
    const struct ledger_look l = deps_ledger(k->x->deps);
    struct address_set held;
    int rc = addresses_held(&l, k->x->t, (uint32_t)(k->view - k->x->t->views), k->x->sure_ms, NULL,
                            k->x->arena, &held);
    for (size_t i = 0; i < k->c.n_members && !rc; i++) {
        const struct spec_member *m = &k->c.members[i];
        for (size_t n = 0; n < m->n_ips && !rc; n++)
            rc = judge_address(k, &held, m->key, &m->ips[n]);
    }
    return rc;
}

static int put_given(struct creating *k, const char *key, const json_t *v)
{
    const struct member_shape shape = shape_of(k->r);
    json_t *list = json_is_string(v) ? json_pack("[O]", v) : json_deep_copy(v);
    if (!shape_has(k->x->t, &shape, key)) {
        json_decref(list);
        refuse(k->diag, "ip: registry %s has no member %.80s", k->r->name, key);
        return ERR_INVAL;
    }
    if (!list || json_object_set_new(k->given, key, list))
        return ERR_NOMEM;
    if (json_is_array(list) && json_array_size(list) &&
        json_array_size(list) <= PRIVATE_ADDRESSES_MAX)
        return 0;
    refuse(k->diag, "ip: %.80s: expected an address, or a list of up to %d", key,
           PRIVATE_ADDRESSES_MAX);
    return ERR_INVAL;
}

static int take_given(struct creating *k)
{
    const json_t *ip = json_object_get(k->x->arguments, "ip");
    const char *key;
    json_t *v;
    int rc = 0;
    if (!json_is_object(ip)) {
        refuse(k->diag, "ip: expected members with their addresses");
        return ERR_INVAL;
    }
    k->given = json_object();
    if (!k->given)
        return ERR_NOMEM;
    k->c.is_static = true;
    json_object_foreach((json_t *)ip, key, v)
    {
        rc = put_given(k, key, v);
        if (rc)
            break;
    }
    return rc;
}

static int find_addresses(struct creating *k)
{
    const char *pool, *answerer;
    const json_t *ip = json_object_get(k->x->arguments, "ip");
    k->c.pool = "";
    int rc = argument_text(k->x->arguments, "pool", &pool, k->diag);
    if (!rc)
        rc = argument_text(k->x->arguments, "answeredBy", &answerer, k->diag);
    if (rc)
        return rc;
    if (ip && pool) {
        refuse(k->diag, "give a pool or addresses, not both");
        return ERR_INVAL;
    }
    if (answerer && !ip) {
        refuse(k->diag, "answeredBy goes with addresses: a pool says itself who answers there");
        return ERR_INVAL;
    }
    if (ip)
        rc = answered_by(k, answerer);
    else
        rc = choose_pool(k, pool);
    if (!rc && ip)
        rc = take_given(k);
    if (!rc)
        rc = connection_members(k->x, k->r, &k->c, k->given, k->out, k->diag);
    if (!rc && ip)
        rc = judge_addresses(k);
    return rc;
}

// ---- create ----

static int create_record(struct creating *k)
{
    const char *message;
    int rc = plan_message(k->x, &message, k->diag);
    if (rc)
        return rc;
    k->c.name = k->x->object;
    k->c.error = "";
    connection_move(&k->c, CONNECTION_PENDING, k->x->by, message, k->x->now_ms);
    k->out->first.name = "record";
    rc = phase_connection(k->x, &k->out->first, &k->c);
    if (rc == ERR_TOOBIG) {
        refuse(k->diag, "its addresses are more than a connection may have");
        rc = ERR_INVAL;
    }
    return rc;
}

// The same operation approves what it creates.
static int approve_too(struct creating *k)
{
    json_t *record = json_loads(k->out->first.records[0].value, 0, NULL);
    k->out->goal =
        json_pack("{s:s, s:s, s:s, s:s, s:o}", "connection", k->c.name, "registry", k->r->name,
                  "state", "Approved", "text", "with its creation", "create", record);
    k->out->before = connection_goal_back(&k->c, k->r);
    k->out->first = (struct phase){0};
    if (!k->out->goal || !k->out->before)
        return ERR_NOMEM;
    int rc = plan_need_registry(k->x, k->out, k->r);
    plan_need(k->out, CONTROL_RIGHT_REGISTRIES, "approving it too");
    return rc ? rc : plan_approval(k->x, &k->c, k->r, k->out, k->diag);
}

static int create(struct creating *k)
{
    bool given, automatic = false;
    int rc = argument_switch(k->x->arguments, "auto", &given, &automatic, k->diag);
    k->c.automatic = automatic;
    if (!rc)
        rc = name_is_free(k);
    if (!rc)
        rc = find_sides(k);
    if (!rc)
        rc = plan_need_view(k->x, k->out, k->view->name);
    if (!rc)
        rc = there_is_room(k);
    if (!rc) {
        k->c.name = k->x->object;
        rc = find_addresses(k);
    }
    if (!rc)
        rc = create_record(k);
    if (!rc)
        rc = plan_of_connection(k->x, k->x->object, k->r->name, k->out);
    if (!rc && automatic)
        rc = approve_too(k);
    if (!rc && !automatic)
        plan_note(k->x, k->out,
                  "it is Pending until the registry's side approves it: meridian "
                  "private-endpoint-connection approve %s -r %s",
                  k->x->object, k->r->name);
    return rc;
}

static int plan_create(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"registry", "view",    "pool",      "ip",
                                        "auto",     "message", "answeredBy"};
    struct creating k = {.x = x, .out = out, .diag = diag, .out_code = out_code};
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = create(&k);
    json_decref(k.given);
    return rc;
}

// ---- delete ----

static int plan_delete(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                       const char **out_code)
{
    static const char *const known[] = {"now"};
    struct planned_connection p;
    struct registry_key key = {.name = ""};
    bool given, now = false;
    (void)out_code;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_switch(x->arguments, "now", &given, &now, diag);
    if (!rc)
        rc = plan_connection(x, &p, diag);
    if (!rc)
        rc = plan_need_view(x, out, p.c.view);
    if (rc)
        return rc;
    registry_key_parse(p.c.registry, &key);
    note_takedown(x, &p.c, p.row, now, out);
    out->goal = json_pack("{s:s, s:s, s:s, s:s, s:b}", "connection", p.c.name, "registry", key.name,
                          "state", "", "text", "the network deletes it", "now", (int)now);
    out->before = connection_goal_back(&p.c, p.r);
    const char *registry = arena_strdup(x->arena, key.name);
    if (!out->goal || !out->before || !registry || goal_by_hand(x, &p, out->goal))
        return ERR_NOMEM;
    return plan_of_connection(x, p.c.name, registry, out);
}

const struct verb verb_private_endpoint_create = {.noun = "private-endpoint",
                                                  .word = "create",
                                                  .right = CONTROL_RIGHT_PRIVATE_ENDPOINTS,
                                                  .state = "Creating",
                                                  .plan = plan_create,
                                                  .step = connection_step};
const struct verb verb_private_endpoint_delete = {.noun = "private-endpoint",
                                                  .word = "delete",
                                                  .right = CONTROL_RIGHT_PRIVATE_ENDPOINTS,
                                                  .takes_away = true,
                                                  .state = "Deleting",
                                                  .plan = plan_delete,
                                                  .step = connection_step};
