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

static int print_list(struct cli *c, const json_t *list)
{
    const char *head[] = {"name",   "registry",           "view",     "pool",
                          "status", "provisioning state", "addresses"};
    size_t n = json_array_size(list);
    const char **cells = arena_array(&c->arena, (n + 1) * ARRAY_LEN(head), sizeof *cells);
    if (!cells)
        return cli_fail(EXIT_FAILED, "out of memory");
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(list, i);
        const json_t *state = json_object_get(p, "privateLinkServiceConnectionState");
        size_t n_members = json_array_size(json_object_get(p, "ipConfigurations"));
        const char *row[] = {json_text(p, "name"),
                             json_text(p, "registry"),
                             json_text(p, "view"),
                             json_text(p, "pool"),
                             json_text(state, "status"),
                             json_text(p, "provisioningState"),
                             arena_printf(&c->arena, "%zu", n_members)};
        memcpy(cells + (i + 1) * ARRAY_LEN(head), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
    return EXIT_DONE;
}

static int endpoint_list(struct cli *c, int argc, char **argv)
{
    const char *registry = NULL, *view = NULL;
    json_t *list = NULL;
    const struct opt rows[] = {{'r', "registry", "REGISTRY", "only to this registry", &registry},
                               {0, "view", "VIEW", "only of this view", &view}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = private_get_all(c, words_plain(c, registry), view, &list);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, list);
    rc = print_list(c, list);
    json_decref(list);
    return rc;
}

static int endpoint_show(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    json_t *doc = NULL;
    const struct opt rows[] = {NAME_OPT(name)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = private_word(c, name, argc, argv, &name);
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
        rc = private_word(c, name, argc, argv, &name);
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
        rc = private_word(c, name, argc, argv, &name);
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
