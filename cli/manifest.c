// SPDX-License-Identifier: Apache-2.0
// `meridian manifest`: the manifests of a repository, tagged or not, and deleting them.
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#define TAGS_SHOWN 3

static const char *tags_text(struct cli *c, const json_t *list)
{
    size_t n = json_array_size(list);
    const char *all = "";
    for (size_t i = 0; i < n && i < TAGS_SHOWN; i++)
        all = arena_printf(&c->arena, "%s%s%s", all, i ? "," : "",
                           json_string_value(json_array_get(list, i)));
    if (n > TAGS_SHOWN)
        all = arena_printf(&c->arena, "%s and %zu more", all, n - TAGS_SHOWN);
    return all;
}

// What it is of: the artifact's type, where it says one.
static const char *type_text(const json_t *o)
{
    const char *artifact = json_text(o, "artifactType");
    if (*artifact)
        return artifact;
    return json_text(o, "mediaType");
}

static int print_manifests(struct registry_api *api, const struct target *at, json_t *rows)
{
    struct cli *c = api->c;
    if (cli_json(c))
        return cli_print_json(c, api_document(api, at->repository, "manifests", rows));
    size_t n = json_array_size(rows);
    const char *head[] = {"digest", "size", "time", "last pulled", "type", "tags"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(rows, i);
        const char *pulled = json_text(o, "lastPulled");
        const char *row[] = {json_text(o, "digest"), size_text(c, json_object_get(o, "size")),
                             json_text(o, "time"),   *pulled ? pulled : "-",
                             type_text(o),           tags_text(c, json_object_get(o, "tags"))};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
    json_decref(rows);
    return EXIT_DONE;
}

static int manifest_list(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    bool untagged = false;
    const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region, NULL},
                               {0, "untagged", NULL, "only those without a tag", NULL, &untagged}};
    struct target at;
    struct registry_api api;
    json_t *list = NULL;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "manifest list", TARGET_REPOSITORY, argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    const char *path = arena_printf(&c->arena, "/registry/v1/manifests?%s%s", target_query(c, &at),
                                    untagged ? "&untagged=true" : "");
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api);
    if (!rc)
        rc = api_pages(&api, path, target_text(c, &at), "manifests", &list);
    if (!rc)
        rc = print_manifests(&api, &at, list);
    api_close(&api);
    return rc;
}

static int manifest_delete(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to ask; all regions follow", &region, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return delete_run(c, "manifest delete", TARGET_MANIFEST, region, NULL, argc, argv);
}

static int manifest_lock(struct cli *c, int argc, char **argv)
{
    return lock_run(c, "manifest", TARGET_MANIFEST, argc, argv);
}

static const struct command manifest_cmds[] = {
    {"list",
     "a repository's manifests, with their tags",
     "REGISTRY/REPOSITORY [--untagged] [--region R]",
     manifest_list,
     USES_ENDPOINT,
     1,
     1,
     {"meridian manifest list contoso/app -u ada",
      "meridian manifest list contoso/app --untagged -o tsv --query '[].digest'"}},
    {"delete",
     "delete manifests and their tags, in every region",
     "REGISTRY/REPOSITORY@DIGEST... [--region R]",
     manifest_delete,
     USES_ENDPOINT | TAKES_AWAY,
     1,
     WORDS_ANY,
     {"meridian manifest delete contoso/app@sha256:… -u ada",
      "meridian manifest delete contoso/app@sha256:… --region eastus --yes"}},
    {"lock",
     "look at its lock, or set it",
     "REGISTRY/REPOSITORY@DIGEST [--write on|off] [--delete on|off]",
     manifest_lock,
     USES_ENDPOINT,
     1,
     1,
     {"meridian manifest lock contoso/app@sha256:…",
      "meridian manifest lock contoso/app@sha256:… --delete on"}},
};

int cmd_manifest(struct cli *c, int argc, char **argv)
{
    return command_group(c, manifest_cmds, ARRAY_LEN(manifest_cmds), argc, argv);
}
