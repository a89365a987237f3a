// SPDX-License-Identifier: Apache-2.0
// `meridian registry`: looking at registries, and asking the fleet for new ones, other settings and
// their end. Words and fields are those of `az acr`; where those changed over time, both are taken.
#include "cli/registry_view.h"

#include "base/mem.h"
#include "cli/registry_words.h"
#include "cli/request.h"

#include <stdio.h>
#include <string.h>

// ---- looking ----

static int print_list(struct cli *c, const struct registry *const *all,
                      const struct provisioning *states)
{
    const struct topology *t = c->topo;
    const char *head[] = {"name", "login server", "regions", "regional endpoints",
                          "provisioning state"};
    const char **cells =
        arena_array(&c->arena, ARRAY_LEN(head) * (t->n_registries + 1), sizeof *cells);
    if (!cells)
        return cli_fail(EXIT_FAILED, "out of memory");
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < t->n_registries; i++) {
        const struct registry *r = all[i];
        const char *regions = "";
        for (size_t j = 0; j < r->n_replicas; j++)
            regions = arena_printf(&c->arena, "%s%s%s", regions, j ? "," : "",
                                   t->regions[r->replicas[j].region].name);
        const char *object = arena_printf(&c->arena, "registry/%s", r->name);
        const char *row[] = {r->name, registry_host(c, NAME_GLOBAL, r, NULL), regions,
                             r->regional_endpoints ? "enabled" : "disabled",
                             provisioning_state(states, object)};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, t->n_registries + 1, ARRAY_LEN(head));
    return EXIT_DONE;
}

static int registry_list(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    AUTO_FREE const struct registry **all = topology_sorted(c->topo);
    if (!all)
        return cli_fail(EXIT_FAILED, "out of memory");
    struct provisioning states;
    provisioning_open(c, NULL, &states);
    json_t *list = json_array();
    for (size_t i = 0; cli_json(c) && i < c->topo->n_registries; i++)
        json_array_append_new(list, registry_json(c, all[i], &states));
    if (cli_json(c))
        rc = cli_print_json(c, json_incref(list));
    else
        rc = print_list(c, all, &states);
    json_decref(list);
    provisioning_close(&states);
    return rc;
}

// The options, and the registry: by --name, or the only word.
static int name_parse(struct cli *c, const struct opt *rows, size_t n_rows, int argc, char **argv,
                      const char **name)
{
    int rc = opt_parse(c, rows, n_rows, argc, argv, &argc);
    if (rc)
        return rc;
    return registry_word(c, *name, argc, argv, name);
}

static int print_it(struct cli *c, const char *name)
{
    const struct registry *r = cli_registry(c, name);
    if (!r)
        return EXIT_FAILED;
    return registry_print(c, r);
}

static int registry_show(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name}};
    int rc = name_parse(c, rows, ARRAY_LEN(rows), argc, argv, &name);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    return print_it(c, name);
}

// ---- changing ----

// As the node has it after the change; `ctx` is the name.
static int show_changed(struct cli *c, const json_t *answer, void *ctx)
{
    (void)answer;
    int rc = cli_topology_of_node(c);
    if (rc)
        return rc;
    return print_it(c, ctx);
}

// Asks with these arguments (taken), unless `rc` says that they could not be had.
static int change(struct cli *c, const char *verb, const char *name, json_t *arguments, int rc)
{
    const struct request q = {.verb = verb,
                              .object = name,
                              .arguments = arguments,
                              .show = show_changed,
                              .ctx = (void *)name};
    return cli_request_if(c, rc, &q);
}

static int registry_create(struct cli *c, int argc, char **argv)
{
    struct registry_words w = {0};
    const char *name = NULL, *location = NULL, *scope = NULL, *owner = NULL;
    struct opt_list replicas = {0};
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name},
        {'l', "location", "REGION", "its home region (default: the only one, or the writer's)",
         &location, .also = "region"},
        {0, "replicas", "REGIONS", "further regions, by comma", .list = &replicas},
        REGISTRY_OPTS(w),
        {0, "dnl-scope", "SCOPE",
         "how far its host name is bound to its owner (default Unsecure, which has no hash)",
         &scope, .choices = DNL_CHOICES},
        {0, "owner", "NAME", "whose it is (default: who asks)", &owner}};
    int rc = name_parse(c, rows, ARRAY_LEN(rows), argc, argv, &name);
    if (rc)
        return rc;
    json_t *a = json_object();
    words_put(a, "location", words_plain(c, location));
    words_put(a, "dnlScope", scope);
    words_put(a, "owner", owner);
    words_put_list(c, a, "replicas", &replicas);
    rc = registry_words_put(c, &w, a);
    return change(c, "registry create", name, a, rc);
}

static int registry_update(struct cli *c, int argc, char **argv)
{
    struct registry_words w = {0};
    const char *name = NULL;
    struct opt_list ip = {0};
    const char *ack = NULL;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name},
        REGISTRY_OPTS(w),
        {0, "ack", "local|peers:N",
         "when a write is acknowledged: once it is in its region, or in N other regions too", &ack},
        IP_OPT(ip)};
    int rc = name_parse(c, rows, ARRAY_LEN(rows), argc, argv, &name);
    if (rc)
        return rc;
    json_t *a = json_object();
    words_put(a, "ack", ack);
    rc = registry_words_put(c, &w, a);
    if (!rc)
        rc = words_put_ip(c, a, &ip);
    if (!rc)
        rc = words_some(c, a, "--regional-endpoints enabled");
    return change(c, "registry update", name, a, rc);
}

static int registry_delete(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    int64_t days = -1;
    bool purge = false;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name},
        {0, "reserve-days", "N", "so long its name is kept for its owner (default 90)",
         .number = &days, .min = 0, .max = 3650},
        {0, "purge", NULL, "collect its content at once, not after the retention", .flag = &purge}};
    int rc = name_parse(c, rows, ARRAY_LEN(rows), argc, argv, &name);
    if (rc)
        return rc;
    json_t *a = json_object();
    if (days >= 0)
        json_object_set_new(a, "reserveDays", json_integer(days));
    if (purge)
        json_object_set_new(a, "purge", json_true());
    return cli_request(
        c, &(struct request){.verb = "registry delete", .object = name, .arguments = a});
}

static const struct command registry_cmds[] = {
    {"list",
     "all registries of the fleet",
     "",
     registry_list,
     USES_TOPOLOGY | USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian registry list", "meridian registry list -o tsv --query '[].loginServer'"}},
    {"show",
     "one registry and its replicas",
     "REGISTRY",
     registry_show,
     USES_TOPOLOGY | USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian registry show contoso", "meridian registry show -n contoso -o yaml"}},
    {"create",
     "a new registry",
     "REGISTRY [--location REGION] [--replicas REGIONS] [--regional-endpoints enabled]",
     registry_create,
     USES_CHANGE,
     0,
     1,
     {"meridian registry create contoso --location eastus --replicas westeurope",
      "meridian registry create -n contoso --regional-endpoints enabled --what-if"}},
    {"update",
     "other settings: endpoints, public network, anonymous pull, acknowledgement",
     "REGISTRY [--regional-endpoints enabled|disabled] [--cidr NETWORKS]",
     registry_update,
     USES_CHANGE,
     0,
     1,
     {"meridian registry update contoso --regional-endpoints enabled --what-if",
      "meridian registry update contoso --cidr 192.0.2.0/24,198.51.100.0/24 --if-version 41"}},
    {"delete",
     "take a registry away, with its grants; its name is kept for its owner for a time",
     "REGISTRY",
     registry_delete,
     USES_CHANGE | TAKES_AWAY,
     0,
     1,
     {"meridian registry delete contoso --what-if",
      "meridian registry delete contoso --yes --no-wait"}},
};

int cmd_registry(struct cli *c, int argc, char **argv)
{
    return command_group(c, registry_cmds, ARRAY_LEN(registry_cmds), argc, argv);
}
