// SPDX-License-Identifier: Apache-2.0
// Registries as documents; see registry_view.h.
#include "cli/registry_view.h"

#include "base/mem.h"
#include "config/dnl.h"
#include "config/endpoints.h"
#include "config/policy.h"
#include "config/registry_spec.h"

#include <stdio.h>
#include <string.h>

const char *registry_host(struct cli *c, enum name_kind kind, const struct registry *r,
                          const char *region)
{
    char text[HOSTNAME_TEXT_SIZE];
    if (hostname_format(kind, c->topo->domain, r->label, region, NULL, text))
        return "";
    return cli_public_host(c, text);
}

static json_t *globs_json(const struct policy_globs *g)
{
    json_t *list = json_array();
    for (size_t i = 0; i < g->n; i++)
        json_array_append_new(list, json_string(g->list[i]));
    return list;
}

static json_t *bytes_json(uint64_t n)
{
    if (n)
        return json_integer((json_int_t)n);
    return json_null();
}

static json_t *rule_json(const struct repository_policy *p)
{
    json_t *o = json_pack("{s:s, s:o, s:s, s:o}", "match", p->match, "quota",
                          bytes_json(p->quota_bytes), "sparse", p->sparse ? "allowed" : "refused",
                          "immutable", globs_json(&p->immutable));
    json_t *r = json_object();
    if (p->retention.untagged_ms)
        json_object_set_new(r, "untaggedSeconds",
                            json_integer((json_int_t)(p->retention.untagged_ms / 1000)));
    if (p->retention.keep_last)
        json_object_set_new(r, "keepLast", json_integer(p->retention.keep_last));
    if (p->retention.tags.n)
        json_object_set_new(r, "tags", globs_json(&p->retention.tags));
    json_object_set_new(o, "retention", policy_retains(p) ? json_incref(r) : json_null());
    json_decref(r);
    return o;
}

// {"registry": {"read": 60000}, "identity": {…}, …}; null: none is limited.
static json_t *rates_json(const struct rates *r)
{
    if (!r)
        return json_null();
    json_t *all = json_object();
    for (unsigned s = 0; s < N_RATE_SCOPES; s++) {
        json_t *one = json_object();
        for (unsigned c = 0; c < N_REQUEST_CLASSES; c++)
            if (r->per_minute[s][c])
                json_object_set_new(one, request_class_name((enum request_class)c),
                                    json_integer(r->per_minute[s][c]));
        if (json_object_size(one))
            json_object_set(all, rate_scope_name((enum rate_scope)s), one);
        json_decref(one);
    }
    return all;
}

static void add_policy(json_t *o, const struct registry *r)
{
    json_t *rules = json_array();
    for (size_t i = 0; r->policy && i < r->policy->n_repositories; i++)
        json_array_append_new(rules, rule_json(&r->policy->repositories[i]));
    if (r->incarnation)
        json_object_set_new(o, "incarnation", json_integer((json_int_t)r->incarnation));
    json_object_set_new(o, "quota", bytes_json(policy_quota(r)));
    json_object_set_new(
        o, "pushMove",
        json_string(policy_push_move(r) == PUSH_MOVE_REGIONAL ? "regional" : "none"));
    json_object_set_new(
        o, "copyAhead",
        json_string(policy_copy_ahead(r) == COPY_AHEAD_DISABLED ? "disabled" : "enabled"));
    json_object_set_new(o, "ack", json_string(spec_ack_words[policy_ack_peers(r)].word));
    json_object_set_new(o, "limitsPerMinute", rates_json(policy_rates(r)));
    json_object_set_new(o, "repositories", rules);
}

static void add_stage(json_t *o, const char *key, unsigned stage)
{
    if (stage)
        json_object_set_new(o, key, json_string(name_stage_word((enum name_stage)stage)));
}

// How far its names are served, where that is not everywhere, and whose it is.
static void add_lifecycle(json_t *o, const struct registry *r)
{
    add_stage(o, "stage", r->stage);
    add_stage(o, "regionalStage", r->regional_stage);
    add_stage(o, "dataStage", r->data_stage);
    if (*r->owner)
        json_object_set_new(o, "owner", json_string(r->owner));
    if (r->dnl_scope)
        json_object_set_new(o, "dnlScope",
                            json_string(dnl_scope_azure((enum dnl_scope)r->dnl_scope)));
}

static const char *enabled(bool on)
{
    if (on)
        return "Enabled";
    return "Disabled";
}

static const char *region_name(const struct cli *c, const struct replica *rep)
{
    return c->topo->regions[rep->region].name;
}

static json_t *data_hosts(struct cli *c, const struct registry *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_replicas; i++)
        if (registry_name_is_public(r, NAME_DATA, r->replicas[i].region))
            json_array_append_new(
                list, json_string(registry_host(c, NAME_DATA, r, region_name(c, &r->replicas[i]))));
    return list;
}

static json_t *rules_json(const struct registry *r)
{
    json_t *list = json_array();
    char text[CIDR_TEXT_SIZE];
    for (size_t i = 0; i < r->n_public_cidrs; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "action", "Allow", "value",
                                              cidr_format(&r->public_cidrs[i], text)));
    return json_pack("{s:s, s:o}", "defaultAction",
                     r->public_access == ACCESS_CIDRS ? "Deny" : "Allow", "ipRules", list);
}

static json_t *replications_json(struct cli *c, const struct registry *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        json_t *o =
            json_pack("{s:s, s:b, s:b}", "region", region_name(c, rep), "globalEndpointRouting",
                      rep->global_routing, "drained", rep->drained);
        cli_home_stamp_json(c, o, r, rep);
        add_stage(o, "stage", rep->stage);
        json_array_append_new(list, o);
    }
    return list;
}

json_t *registry_json(struct cli *c, const struct registry *r, const struct provisioning *states)
{
    static const char *const access[] = {"Enabled", "Disabled", "SelectedNetworks"};
    const char *object = arena_printf(&c->arena, "registry/%s", r->name), *location = "";
    if (r->n_replicas)
        location = region_name(c, &r->replicas[0]);
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:s, s:o, s:b, s:s, s:b, s:o, s:I}", "name", r->name,
        "loginServer", registry_host(c, NAME_GLOBAL, r, NULL), "location", location,
        "provisioningState", provisioning_state(states, object), "regionalEndpoints",
        enabled(r->regional_endpoints), "dataEndpointEnabled", registry_offers(r, NAME_DATA),
        "dataEndpointHostNames", data_hosts(c, r), "publicNetworkAccess", access[r->public_access],
        "networkRuleSet", rules_json(r), "anonymousPullEnabled", r->anonymous_pull, "dataEndpoints",
        enabled(registry_offers(r, NAME_DATA)), "privateEndpoints", r->n_private_endpoints > 0,
        "replications", replications_json(c, r), "version", (json_int_t)c->topo->version);
    add_policy(out, r);
    add_lifecycle(out, r);
    return out;
}

int registry_print(struct cli *c, const struct registry *r)
{
    struct provisioning states;
    provisioning_open(c, arena_printf(&c->arena, "registry/%s", r->name), &states);
    json_t *doc = registry_json(c, r, &states);
    provisioning_close(&states);
    if (cli_json(c))
        return cli_print_json(c, doc);
    const char **cells = arena_array(&c->arena, 6 * (r->n_replicas + 1), sizeof *cells);
    const char *head[] = {"name",       "location",       "provisioning state",
                          "home stamp", "global routing", "drained"};
    const char *state = json_string_value(json_object_get(doc, "provisioningState"));
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        const char *row[] = {r->name,
                             region_name(c, rep),
                             state,
                             cli_home_stamp(c, r, rep),
                             rep->global_routing ? "true" : "false",
                             rep->drained ? "true" : "false"};
        memcpy(cells + 6 * (i + 1), row, sizeof row);
    }
    cli_table(cells, r->n_replicas + 1, 6);
    json_decref(doc);
    return EXIT_DONE;
}

// ---- replicas ----

json_t *replica_json(struct cli *c, const struct registry *r, const struct replica *rep,
                     const struct provisioning *states)
{
    const char *region = region_name(c, rep);
    const char *object = arena_printf(&c->arena, "replication/%s/%s", r->name, region);
    const char *state = provisioning_state(states, object);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b}", "name", region, "location", region,
                          "registry", r->name, "provisioningState", state, "regionEndpointEnabled",
                          rep->global_routing, "globalEndpointRouting", rep->global_routing,
                          "drained", rep->drained);
    cli_home_stamp_json(c, o, r, rep);
    json_object_set_new(o, "weight", json_integer(r->weights ? r->weights[rep->region] : 100));
    add_stage(o, "stage", rep->stage);
    return o;
}

int replica_print(struct cli *c, const struct registry *r, const struct replica *rep)
{
    static const char *const columns[] = {
        "name",   "location", "provisioningState", "globalEndpointRouting", "homeStamp",
        "weight", "orders"};
    struct provisioning states;
    provisioning_open(c, arena_printf(&c->arena, "replication/%s/%s", r->name, region_name(c, rep)),
                      &states);
    json_t *doc = replica_json(c, r, rep, &states);
    provisioning_close(&states);
    const char *orders = cli_region_orders(c, r, rep, NULL);
    json_object_set_new(doc, "orders", *orders ? json_string(orders) : json_null());
    if (cli_json(c))
        return cli_print_json(c, doc);
    return cli_print_array(c, json_pack("[o]", doc), columns, ARRAY_LEN(columns));
}
