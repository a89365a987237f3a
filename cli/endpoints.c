// SPDX-License-Identifier: Apache-2.0
// `meridian show-endpoints` and `meridian registry`: what the topology says of registries. Field
// names are those of `az acr show-endpoints` and `az acr show`.
#include "cli/cli.h"

#include "base/mem.h"
#include "config/dnl.h"
#include "config/endpoints.h"
#include "config/policy.h"

#include <stdio.h>
#include <string.h>

static const char *host_of(struct cli *c, enum name_kind kind, const struct registry *r,
                           const char *region)
{
    char text[HOSTNAME_TEXT_SIZE];
    if (hostname_format(kind, c->topo->domain, r->label, region, NULL, text))
        return "";
    return cli_public_host(c, text);
}

static json_t *endpoint_list(struct cli *c, enum name_kind kind, const struct registry *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        if (!registry_name_is_public(r, kind, r->replicas[i].region))
            continue;
        const char *region = c->topo->regions[r->replicas[i].region].name;
        const char *orders = cli_region_orders(c, r, &r->replicas[i], NULL);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s*}", "region", region, "endpoint",
                                              host_of(c, kind, r, region), "orders",
                                              *orders ? orders : NULL));
    }
    return list;
}

static json_t *endpoints_json(struct cli *c, const struct registry *r)
{
    return json_pack("{s:s, s:o, s:o}", "loginServer", host_of(c, NAME_GLOBAL, r, NULL),
                     "dataEndpoints", endpoint_list(c, NAME_DATA, r), "regionalEndpoints",
                     endpoint_list(c, NAME_REGIONAL, r));
}

int cmd_show_endpoints(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    if (cli_json(c))
        return cli_print_json(c, endpoints_json(c, r));
    size_t n = 0;
    const char **cells = arena_array(&c->arena, 4 * (2 + 2 * r->n_replicas), sizeof *cells);
    const char *head[] = {"kind", "region", "endpoint", "orders"};
    memcpy(cells, head, sizeof head);
    cells[4] = "global", cells[5] = "", cells[6] = host_of(c, NAME_GLOBAL, r, NULL), cells[7] = "";
    n = 2;
    const enum name_kind kinds[] = {NAME_REGIONAL, NAME_DATA};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < r->n_replicas; i++) {
            if (!registry_name_is_public(r, kinds[k], r->replicas[i].region))
                continue;
            const char *region = c->topo->regions[r->replicas[i].region].name;
            cells[4 * n] = k ? "data" : "regional";
            cells[4 * n + 1] = region;
            cells[4 * n + 2] = host_of(c, kinds[k], r, region);
            cells[4 * n + 3] = cli_region_orders(c, r, &r->replicas[i], NULL);
            n++;
        }
    cli_table(cells, n, 4);
    return EXIT_DONE;
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

static json_t *registry_json(struct cli *c, const struct registry *r)
{
    static const char *const access[] = {"Enabled", "Disabled", "SelectedNetworks"};
    json_t *replicas = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        json_t *o =
            json_pack("{s:s, s:b, s:b}", "region", c->topo->regions[rep->region].name,
                      "globalEndpointRouting", rep->global_routing, "drained", rep->drained);
        cli_home_stamp_json(c, o, r, rep);
        add_stage(o, "stage", rep->stage);
        json_array_append_new(replicas, o);
    }
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:b, s:o}", "name", r->name, "loginServer",
                  host_of(c, NAME_GLOBAL, r, NULL), "regionalEndpoints",
                  r->regional_endpoints ? "Enabled" : "Disabled", "publicNetworkAccess",
                  access[r->public_access], "anonymousPullEnabled", r->anonymous_pull,
                  "dataEndpoints", registry_offers(r, NAME_DATA) ? "Enabled" : "Disabled",
                  "privateEndpoints", r->n_private_endpoints > 0, "replications", replicas);
    add_policy(out, r);
    add_lifecycle(out, r);
    return out;
}

static int registry_list(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_topology(c);
    if (rc)
        return rc;
    const struct topology *t = c->topo;
    AUTO_FREE const struct registry **all = topology_sorted(t);
    if (!all)
        return cli_fail(EXIT_FAILED, "out of memory");
    if (cli_json(c)) {
        json_t *list = json_array();
        for (size_t i = 0; i < t->n_registries; i++)
            json_array_append_new(list, registry_json(c, all[i]));
        return cli_print_json(c, list);
    }
    const char **cells = arena_array(&c->arena, 4 * (t->n_registries + 1), sizeof *cells);
    const char *head[] = {"name", "login server", "regions", "regional endpoints"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < t->n_registries; i++) {
        const struct registry *r = all[i];
        struct buf regions;
        buf_init(&regions, 0);
        for (size_t j = 0; j < r->n_replicas; j++)
            buf_printf(&regions, "%s%s", j ? "," : "", t->regions[r->replicas[j].region].name);
        const char **row = cells + 4 * (i + 1);
        row[0] = r->name;
        row[1] = host_of(c, NAME_GLOBAL, r, NULL);
        row[2] = arena_strdup(&c->arena, buf_cstr(&regions));
        if (r->regional_endpoints)
            row[3] = "enabled";
        else
            row[3] = "disabled";
        buf_done(&regions);
    }
    cli_table(cells, t->n_registries + 1, 4);
    return EXIT_DONE;
}

static int registry_show(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    if (cli_json(c))
        return cli_print_json(c, registry_json(c, r));
    const char **cells = arena_array(&c->arena, 5 * (r->n_replicas + 1), sizeof *cells);
    const char *head[] = {"name", "location", "home stamp", "global routing", "drained"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        const char *row[] = {r->name, c->topo->regions[rep->region].name, cli_home_stamp(c, r, rep),
                             rep->global_routing ? "true" : "false",
                             rep->drained ? "true" : "false"};
        memcpy(cells + 5 * (i + 1), row, sizeof row);
    }
    cli_table(cells, r->n_replicas + 1, 5);
    return EXIT_DONE;
}

static const struct command registry_cmds[] = {
    {"list",
     "all registries of the topology",
     "",
     registry_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian registry list", "meridian registry list -o tsv --query '[].loginServer'"}},
    {"show",
     "one registry and its replicas",
     "-n REGISTRY",
     registry_show,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     1,
     {"meridian registry show contoso", "meridian registry show -n contoso -o yaml"}},
};

int cmd_registry(struct cli *c, int argc, char **argv)
{
    return command_group(c, registry_cmds, ARRAY_LEN(registry_cmds), argc, argv);
}
