// SPDX-License-Identifier: Apache-2.0
// `meridian private-endpoint`: private addresses of registries, from the side of the network that has
// them. The registry's side is private_connection.c.
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/private_view.h"
#include "cli/private_zone.h"
#include "cli/registry_words.h"
#include "cli/request.h"
#include "cli/show.h"

#include <string.h>

#define NAME_OPT(name)                                              \
    {                                                               \
        'n', "name", "NAME", "the private endpoint's name", &(name) \
    }

// ---- looking ----

static void list_row(struct cli *c, const json_t *one, const char **cells)
{
    const json_t *state = json_object_get(one, "privateLinkServiceConnectionState");
    size_t n_members = json_array_size(json_object_get(one, "ipConfigurations"));
    cells[0] = json_text(one, "name");
    cells[1] = json_text(one, "registry");
    cells[2] = json_text(one, "view");
    cells[3] = json_text(one, "pool");
    cells[4] = json_text(state, "status");
    cells[5] = json_text(one, "provisioningState");
    cells[6] = arena_printf(&c->arena, "%zu", n_members);
}

static int endpoint_list(struct cli *c, int argc, char **argv)
{
    static const char *const heads[] = {"name",   "registry",           "view",     "pool",
                                        "status", "provisioning state", "addresses"};
    const char *registry = NULL, *view = NULL;
    json_t *list = NULL;
    const struct opt rows[] = {{'r', "registry", "REGISTRY", "only to this registry", &registry},
                               {0, "view", "VIEW", "only of this view", &view}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = private_get_all(c, words_plain(c, registry), view, &list);
    if (rc)
        return rc;
    return private_print_list(c, list, list_row, heads, ARRAY_LEN(heads));
}

static int endpoint_show(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    json_t *doc = NULL;
    const struct opt rows[] = {NAME_OPT(name)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = words_name(c, "a private endpoint", name, argc, argv, &name);
    if (!rc)
        rc = private_get(c, name, NULL, &doc);
    return rc ? rc : private_print(c, doc);
}

// ---- changing ----

static int show_changed(struct cli *c, const json_t *answer, void *ctx)
{
    json_t *doc = NULL;
    (void)answer;
    int rc = private_get(c, ctx, NULL, &doc);
    return rc ? rc : private_print(c, doc);
}

static int endpoint_create(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *registry = NULL, *view = NULL, *pool = NULL, *answered_by = NULL;
    const char *message = NULL;
    bool automatic = false;
    struct opt_list ip = {0};
    const struct opt rows[] = {
        NAME_OPT(name),
        {'r', "registry", "REGISTRY", "the registry it is to lead to", &registry,
         .also = "registry-name"},
        {0, "view", "VIEW", "the private network that is to have it", &view},
        {0, "pool", "POOL", "the pool of the view that gives its addresses", &pool},
        IP_OPT(ip),
        {0, "answered-by", "edge|balancer|none", "who answers at addresses that were given (edge)",
         &answered_by, .choices = "edge|balancer|none"},
        {0, "auto", NULL, "approve it too, for who may do both", .flag = &automatic},
        {0, "message", "TEXT", "to the registry's side, at most 140 characters", &message,
         .also = "request-message"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = words_name(c, "a private endpoint", name, argc, argv, &name);
    if (rc)
        return rc;
    if (!registry || !view)
        return cli_fail(EXIT_USAGE, "%s: it leads from a view to a registry: give --view and -r",
                        c->path);
    json_t *a = json_object();
    words_put(a, "registry", words_plain(c, registry));
    words_put(a, "view", view);
    words_put(a, "pool", pool);
    words_put(a, "answeredBy", answered_by);
    words_put(a, "message", message);
    if (automatic)
        json_object_set_new(a, "auto", json_true());
    rc = words_put_ip(c, a, &ip);
    if (rc) {
        json_decref(a);
        return rc;
    }
    return cli_request(c, &(struct request){.verb = "private-endpoint create",
                                            .object = name,
                                            .arguments = a,
                                            .show = show_changed,
                                            .ctx = (void *)name,
                                            .says_notes = true});
}

static int endpoint_delete(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    bool now = false;
    const struct opt rows[] = {
        NAME_OPT(name),
        {0, "now", NULL,
         "edge and DNS at once: clients that have its addresses in caches are refused",
         .flag = &now}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = words_name(c, "a private endpoint", name, argc, argv, &name);
    if (rc)
        return rc;
    return cli_request(c, &(struct request){.verb = "private-endpoint delete",
                                            .object = name,
                                            .arguments = json_pack("{s:b}", "now", (int)now),
                                            .says_notes = true});
}

static const struct command endpoint_cmds[] = {
    {"list",
     "private endpoints and how far they are",
     "[-r REGISTRY] [--view VIEW]",
     endpoint_list,
     USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian private-endpoint list --view corp",
      "meridian private-endpoint list -r contoso -o json"}},
    {"show",
     "one private endpoint: its addresses, and what became of it",
     "NAME",
     endpoint_show,
     USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian private-endpoint show corp-pe",
      "meridian private-endpoint show corp-pe --query ipConfigurations -o table"}},
    {"create",
     "ask for a registry to be reached from a private network",
     "NAME -r REGISTRY --view VIEW (--pool POOL | --ip MEMBER=ADDRESS ...) [--auto] [--message "
     "TEXT]",
     endpoint_create,
     USES_CHANGE,
     0,
     1,
     {"meridian private-endpoint create corp-pe -r contoso --view corp --pool corp-pool",
      "meridian private-endpoint create corp-pe -r contoso --view corp --auto --what-if"}},
    {"delete",
     "give a private endpoint up: DNS first, access when caches have forgotten it",
     "NAME [--now]",
     endpoint_delete,
     USES_CHANGE | TAKES_AWAY,
     0,
     1,
     {"meridian private-endpoint delete corp-pe --what-if",
      "meridian private-endpoint delete corp-pe --now --yes"}},
    {"export-zone",
     "a view's private names for another resolver of that network",
     "--view VIEW [-r REGISTRY] [--format bind|nsd|knot|coredns|dnsmasq|hosts] [-o FILE]",
     private_export_zone,
     USES_ADMIN | NO_FORMAT,
     0,
     0,
     {"meridian private-endpoint export-zone --view corp -o /etc/bind/privatelink.example.io.zone",
      "meridian private-endpoint export-zone --view corp --format dnsmasq -o "
      "/etc/dnsmasq.d/meridian.conf --check"}},
};

int cmd_private_endpoint(struct cli *c, int argc, char **argv)
{
    return command_group(c, endpoint_cmds, ARRAY_LEN(endpoint_cmds), argc, argv);
}
