// SPDX-License-Identifier: Apache-2.0
// `meridian usage`: what a registry holds in each of its regions, or a node's whole store. `meridian
// collect`: what of it nobody needs any more. The latter two through a node's admin socket.
#include "cli/ask.h"
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

// ---- usage ----

static void print_usage(struct cli *c, const char *first, const json_t *rows)
{
    size_t n = json_array_size(rows);
    const char *head[] = {first, "repositories", "tags", "manifests", "size", "quota", "error"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(rows, i);
        const char *quota = size_text(c, json_object_get(o, "quota"));
        if (json_is_true(json_object_get(o, "over")))
            quota = arena_printf(&c->arena, "%s (over)", quota);
        const char *row[] = {json_text(o, first),
                             json_count(c, o, "repositories"),
                             json_count(c, o, "tags"),
                             json_count(c, o, "manifests"),
                             size_text(c, json_object_get(o, "bytes")),
                             quota,
                             json_text(o, "error")};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

// One region's row. What is wrong with it is said, and stands in the row.
static int usage_at(struct cli *c, const struct registry *r, const char *region, json_t *rows)
{
    struct registry_api api;
    json_t *doc = NULL;
    const struct api_request q = {.path = "/registry/v1/usage", .about = r->name};
    int rc = api_open(c, r, region, API_SCOPE_CATALOG, &api);
    if (!rc)
        rc = api_call(&api, &q, &doc);
    api_close(&api);
    if (rc)
        doc = json_pack("{s:s, s:s, s:s}", "registry", r->name, "region", region, "error",
                        rc == EXIT_UNREACHABLE ? "cannot be reached" : "refused");
    json_array_append_new(rows, doc);
    return rc;
}

static int usage_of_registry(struct cli *c, const struct registry *r, const char *region)
{
    json_t *rows = json_array();
    int worst = EXIT_DONE;
    if (c->password_stdin && !region && r->n_replicas > 1) {
        json_decref(rows);
        return cli_fail(EXIT_USAGE, "usage asks every region: give --password-file, not "
                                    "--password-stdin, or one --region");
    }
    for (size_t i = 0; i < r->n_replicas; i++) {
        const char *name = c->topo->regions[r->replicas[i].region].name;
        if (region && strcmp(region, name) != 0)
            continue;
        int rc = usage_at(c, r, name, rows);
        if (rc > worst)
            worst = rc;
    }
    if (!json_array_size(rows))
        worst = cli_fail(EXIT_FAILED, "%s has no replica in %s", r->name, region);
    else if (cli_json(c))
        cli_print_json(c, json_incref(rows));
    else
        print_usage(c, "region", rows);
    json_decref(rows);
    return worst;
}

static int usage_of_node(struct cli *c)
{
    json_t *doc = NULL;
    int rc = cli_admin(c, "GET", "/v1/usage", &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_usage(c, "registry", json_object_get(doc, "usage"));
    json_decref(doc);
    return EXIT_DONE;
}

int cmd_usage(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *region = NULL;
    bool node = false;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", "only this region (default: all of the registry's)", &region, NULL},
        {0, "node", NULL, "all registries of the node whose admin socket is here", NULL, &node}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (node && (name || region || argc > 1))
        return cli_fail(EXIT_USAGE, "usage: --node is of all registries of one node");
    if (node)
        return usage_of_node(c);
    if (!name && argc != 2)
        return cli_fail(EXIT_USAGE, "usage: give a REGISTRY, or --node");
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return EXIT_FAILED;
    return usage_of_registry(c, r, region);
}

// ---- collect ----

static const char *left_text(struct cli *c, const json_t *o)
{
    const json_t *v = json_object_get(o, "leftSeconds");
    long long s = json_integer_value(v);
    if (!json_is_integer(v))
        return "-";
    if (s <= 0)
        return "now";
    if (s < 120)
        return arena_printf(&c->arena, "%lld s", s);
    if (s < 7200)
        return arena_printf(&c->arena, "%lld min", s / 60);
    if (s < 172800)
        return arena_printf(&c->arena, "%lld h", s / 3600);
    return arena_printf(&c->arena, "%lld d", s / 86400);
}

static void print_items(struct cli *c, const json_t *items)
{
    size_t n = json_array_size(items);
    const char *head[] = {"kind", "registry", "repository", "digest", "size", "goes in", "why"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(items, i);
        const char *row[] = {json_text(o, "kind"),
                             json_text(o, "registry"),
                             json_text(o, "repository"),
                             json_text(o, "digest"),
                             size_text(c, json_object_get(o, "bytes")),
                             left_text(c, o),
                             json_text(o, "why")};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    if (n)
        cli_table(cells, n + 1, ARRAY_LEN(head));
    else
        printf("nothing would go\n");
}

static void print_space(struct cli *c, const json_t *space)
{
    const json_t *list = json_object_get(space, "registries");
    size_t n = json_array_size(list);
    if (!json_is_object(space))
        return;
    printf("\nblobs      %s in %s, %s of them shared by registries, %s condemned\n\n",
           size_text(c, json_object_get(space, "bytes")), json_count(c, space, "blobs"),
           size_text(c, json_object_get(space, "sharedBytes")),
           size_text(c, json_object_get(space, "condemnedBytes")));
    const char *head[] = {"registry", "size", "of nobody else"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *row[] = {json_text(o, "registry"), size_text(c, json_object_get(o, "bytes")),
                             size_text(c, json_object_get(o, "ownBytes"))};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

// A page more of the plan. *plan: the first page, with the items of all.
static int plan_add(struct cli *c, const char *registry, const char **after, json_t **plan)
{
    const char *more = "";
    json_t *page = NULL;
    if (registry)
        more = arena_printf(&c->arena, "&registry=%s", cli_urlencode(c, registry));
    if (*after)
        more = arena_printf(&c->arena, "%s&after=%s", more, cli_urlencode(c, *after));
    int rc = cli_admin(c, "GET", arena_printf(&c->arena, "/v1/collect?n=1000%s", more), &page);
    if (rc)
        return rc;
    json_t *items = json_object_get(page, "items");
    const char *next = json_string_value(json_object_get(page, "next"));
    *after = NULL;
    if (next && json_array_size(items))
        *after = arena_strdup(&c->arena, next);
    json_object_del(page, "next");
    if (!*plan) {
        *plan = page;
        return EXIT_DONE;
    }
    json_array_extend(json_object_get(*plan, "items"), items);
    json_decref(page);
    return EXIT_DONE;
}

static int collect_dry(struct cli *c, const char *registry)
{
    const char *after = NULL;
    json_t *plan = NULL;
    int rc;
    do {
        rc = plan_add(c, registry, &after, &plan);
        if (!rc && after)
            progress_show("%zu looked at", json_array_size(json_object_get(plan, "items")));
    } while (!rc && after);
    progress_end();
    if (rc) {
        json_decref(plan);
        return rc;
    }
    if (cli_json(c))
        return cli_print_json(c, plan);
    print_items(c, json_object_get(plan, "items"));
    print_space(c, json_object_get(plan, "space"));
    json_decref(plan);
    return EXIT_DONE;
}

static int collect_now(struct cli *c)
{
    json_t *doc = NULL;
    int rc = cli_admin(c, "POST", "/v1/collect", &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    printf("%s collects\n", json_text(doc, "region"));
    json_decref(doc);
    return EXIT_DONE;
}

int cmd_collect(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    bool dry_run = false;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "only of this registry", &name, NULL},
        {0, "dry-run", NULL, "list what would go, when and why, and the space", NULL, &dry_run}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 1 || (name && !dry_run))
        return cli_fail(EXIT_USAGE, "collect: it is of the whole store; --dry-run may be of one "
                                    "registry: -n REGISTRY");
    if (dry_run)
        return collect_dry(c, name);
    return collect_now(c);
}
