// SPDX-License-Identifier: Apache-2.0
// `meridian tag`: the tags of a repository, what they were before, and taking them back or away.
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

// ---- list ----

static int print_tags(struct registry_api *api, const struct target *at, json_t *rows)
{
    struct cli *c = api->c;
    if (cli_json(c))
        return cli_print_json(c, api_document(api, at->repository, "tags", rows));
    size_t n = json_array_size(rows);
    const char *head[] = {"tag", "digest", "time", "region", "by", "locked"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(rows, i);
        const char *row[] = {json_text(o, "tag"),  json_text(o, "digest"),
                             json_text(o, "time"), json_text(o, "region"),
                             json_text(o, "by"),   lock_text(json_object_get(o, "locked"))};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
    json_decref(rows);
    return EXIT_DONE;
}

static int tag_list(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region, NULL}};
    struct target at;
    struct registry_api api;
    json_t *list = NULL;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "tag list", TARGET_REPOSITORY, argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    const char *path = arena_printf(&c->arena, "/registry/v1/tags?%s", target_query(c, &at));
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api);
    if (!rc)
        rc = api_pages(&api, path, target_text(c, &at), "tags", &list);
    if (!rc)
        rc = print_tags(&api, &at, list);
    api_close(&api);
    return rc;
}

// ---- delete ----

static int tag_delete(struct cli *c, int argc, char **argv)
{
    const char *region = NULL, *if_match = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to ask; all regions follow", &region, NULL},
        {0, "if-match", "DIGEST", "only if the tag is still this", &if_match, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const char *header = NULL;
    if (if_match)
        header = arena_printf(&c->arena, "If-Match: \"%s\"", if_match);
    return delete_run(c, "tag delete", TARGET_TAG, region, header, argc, argv);
}

// ---- history ----

static void print_history(struct cli *c, const json_t *list)
{
    size_t n = json_array_size(list);
    const char *head[] = {"digest", "time", "region", "by", "here"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        bool gone = json_is_true(json_object_get(o, "gone")),
             here = json_is_true(json_object_get(o, "here"));
        const char *row[] = {gone ? "deleted" : json_text(o, "digest"), json_text(o, "time"),
                             json_text(o, "region"), json_text(o, "by"), here ? "yes" : "no"};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

static int history(struct registry_api *api, const struct target *at)
{
    struct cli *c = api->c;
    const char *path = arena_printf(&c->arena, "/registry/v1/history?%s", target_query(c, at));
    json_t *doc = NULL;
    int rc = api_call(api, &(struct api_request){.path = path, .about = target_text(c, at)}, &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_history(c, json_object_get(doc, "versions"));
    json_decref(doc);
    return EXIT_DONE;
}

static int tag_history(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region, NULL}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "tag history", TARGET_TAG, argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api);
    if (!rc)
        rc = history(&api, &at);
    api_close(&api);
    return rc;
}

// ---- restore ----

static int restore(struct registry_api *api, const struct target *at, const char *digest)
{
    struct cli *c = api->c;
    const char *path = arena_printf(&c->arena, "/registry/v1/restore?%s&digest=%s",
                                    target_query(c, at), cli_urlencode(c, digest));
    json_t *doc = NULL;
    int rc = api_call(
        api, &(struct api_request){.method = "POST", .path = path, .about = target_text(c, at)},
        &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    json_decref(doc);
    printf("%s is %s again\n", target_text(c, at), digest);
    return EXIT_DONE;
}

static int tag_restore(struct cli *c, int argc, char **argv)
{
    const char *region = NULL, *digest = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to ask; all regions follow", &region, NULL},
        {0, "digest", "DIGEST", "what it is to be, of its history", &digest, NULL}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "tag restore", TARGET_TAG, argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    if (!digest)
        return cli_fail(EXIT_USAGE,
                        "tag restore: give --digest DIGEST; `meridian tag history` lists those "
                        "that the tag was");
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull,push"), &api);
    if (!rc)
        rc = restore(&api, &at, digest);
    api_close(&api);
    return rc;
}

static int tag_lock(struct cli *c, int argc, char **argv)
{
    return lock_run(c, "tag", TARGET_TAG, argc, argv);
}

static const struct command tag_cmds[] = {
    {"list",
     "a repository's tags: digest, when, where, by whom",
     "REGISTRY/REPOSITORY [--region R]",
     tag_list,
     USES_ENDPOINT | MAY_WATCH,
     1,
     1,
     {"meridian tag list contoso/app -u ada",
      "meridian tag list contoso/app -o tsv --query '[].name'"}},
    {"delete",
     "delete tags, in every region; manifests stay",
     "REGISTRY/REPOSITORY:TAG... [--if-match DIGEST]",
     tag_delete,
     USES_ENDPOINT | TAKES_AWAY,
     1,
     WORDS_ANY,
     {"meridian tag delete contoso/app:1.0 -u ada",
      "meridian tag delete contoso/app:1.0 contoso/app:1.1 --yes"}},
    {"history",
     "what a tag was, the present first",
     "REGISTRY/REPOSITORY:TAG [--region R]",
     tag_history,
     USES_ENDPOINT | MAY_WATCH,
     1,
     1,
     {"meridian tag history contoso/app:1.0",
      "meridian tag history contoso/app:1.0 --region eastus -o json"}},
    {"restore",
     "the tag is again what it was",
     "REGISTRY/REPOSITORY:TAG --digest DIGEST",
     tag_restore,
     USES_ENDPOINT,
     1,
     1,
     {"meridian tag restore contoso/app:1.0 --digest sha256:…",
      "meridian tag restore contoso/app:1.0 --digest sha256:… --region eastus"}},
    {"lock",
     "look at its lock, or set it",
     "REGISTRY/REPOSITORY:TAG [--write on|off] [--delete on|off]",
     tag_lock,
     USES_ENDPOINT,
     1,
     1,
     {"meridian tag lock contoso/app:1.0",
      "meridian tag lock contoso/app:1.0 --write on --delete on"}},
};

int cmd_tag(struct cli *c, int argc, char **argv)
{
    return command_group(c, tag_cmds, ARRAY_LEN(tag_cmds), argc, argv);
}
