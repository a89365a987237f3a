// SPDX-License-Identifier: Apache-2.0
// `meridian repository`: what a registry holds in one of its regions, and taking a repository away.
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

// ---- list ----

static int print_repositories(struct cli *c, const struct registry_api *api, json_t *rows)
{
    if (cli_json(c))
        return cli_print_json(c, api_document(api, NULL, "repositories", rows));
    size_t n = json_array_size(rows);
    const char *head[] = {"repository", "tags", "manifests", "size", "quota"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(rows, i);
        const char *quota = size_text(c, json_object_get(o, "quota"));
        if (json_is_true(json_object_get(o, "over")))
            quota = arena_printf(&c->arena, "%s (over)", quota);
        const char *row[] = {json_text(o, "repository"), json_count(c, o, "tags"),
                             json_count(c, o, "manifests"),
                             size_text(c, json_object_get(o, "bytes")), quota};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
    json_decref(rows);
    return EXIT_DONE;
}

static int repository_list(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *region = NULL;
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name, NULL},
                               {0, "region", "REGION", "the region to ask", &region, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!name && argc != 2)
        return cli_fail(EXIT_USAGE, "repository list: give a REGISTRY");
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return EXIT_FAILED;
    struct registry_api api;
    json_t *list = NULL;
    rc = api_open(c, r, region, API_SCOPE_CATALOG, &api);
    if (!rc)
        rc = api_pages(&api, "/registry/v1/repositories", r->name, "repositories", &list);
    if (!rc)
        rc = print_repositories(c, &api, list);
    api_close(&api);
    return rc;
}

// ---- show ----

static const char *joined(struct cli *c, const json_t *list)
{
    const char *all = "";
    for (size_t i = 0; i < json_array_size(list); i++)
        all = arena_printf(&c->arena, "%s%s%s", all, i ? ", " : "",
                           json_string_value(json_array_get(list, i)));
    if (*all)
        return all;
    return "none";
}

static void print_repository(struct cli *c, const json_t *o)
{
    const json_t *policy = json_object_get(o, "policy");
    const char *runner = json_text(policy, "runner"),
               *locked = lock_text(json_object_get(o, "lock"));
    printf("repository  %s/%s\n", json_text(o, "registry"), json_text(o, "repository"));
    printf("tags        %s\n", json_count(c, o, "tags"));
    printf("manifests   %s\n", json_count(c, o, "manifests"));
    printf("size        %s\n", size_text(c, json_object_get(o, "bytes")));
    printf("quota       %s%s\n", size_text(c, json_object_get(o, "quota")),
           json_is_true(json_object_get(o, "over")) ? " (over)" : "");
    printf("locked      %s\n", *locked ? locked : "no");
    printf("immutable   %s\n", joined(c, json_object_get(policy, "immutable")));
    printf("sparse      %s\n", json_text(policy, "sparse"));
    printf("retention   %s%s\n",
           json_is_true(json_object_get(policy, "retention")) ? "yes, run by " : "no", runner);
}

static int show(struct registry_api *api, const struct target *at)
{
    struct cli *c = api->c;
    const char *path = arena_printf(&c->arena, "/registry/v1/repository?%s", target_query(c, at));
    json_t *doc = NULL;
    int rc = api_call(api, &(struct api_request){.path = path, .about = target_text(c, at)}, &doc);
    if (rc)
        return rc;
    json_object_set_new(doc, "region", json_string(api->region->name));
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_repository(c, doc);
    json_decref(doc);
    return EXIT_DONE;
}

static int repository_show(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region, NULL}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "repository show", TARGET_REPOSITORY, argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api);
    if (!rc)
        rc = show(&api, &at);
    api_close(&api);
    return rc;
}

// ---- delete ----

#define IDLE_CALLS_MAX 3 // that take nothing away, and say that there is more

struct deleting {
    json_int_t tags, manifests;
    // what stays, and why
    json_t *kept;
    unsigned idle_calls;
};

static int delete_some(struct registry_api *api, const struct api_request *q, struct deleting *d,
                       bool *out_more)
{
    json_t *doc = NULL;
    int rc = api_call(api, q, &doc);
    if (rc)
        return rc;
    json_int_t tags = json_integer_value(json_object_get(doc, "deletedTags")),
               manifests = json_integer_value(json_object_get(doc, "deletedManifests"));
    json_t *kept = json_object_get(doc, "kept");
    d->tags += tags;
    d->manifests += manifests;
    d->idle_calls = tags + manifests ? 0 : d->idle_calls + 1;
    *out_more = json_is_true(json_object_get(doc, "more"));
    if (json_is_array(kept)) {
        json_decref(d->kept);
        d->kept = json_incref(kept);
    }
    json_decref(doc);
    progress_show("%s: %lld tags and %lld manifests deleted", q->about, (long long)d->tags,
                  (long long)d->manifests);
    return EXIT_DONE;
}

static int print_deleted(struct registry_api *api, const struct target *at, struct deleting *d)
{
    struct cli *c = api->c;
    size_t n = json_array_size(d->kept);
    if (cli_json(c))
        cli_print_json(c, json_pack("{s:s, s:s, s:s, s:I, s:I, s:O}", "registry",
                                    at->registry->name, "region", api->region->name, "repository",
                                    at->repository, "deletedTags", d->tags, "deletedManifests",
                                    d->manifests, "kept", d->kept));
    else
        printf("%s: %lld tags and %lld manifests deleted\n", target_text(c, at), (long long)d->tags,
               (long long)d->manifests);
    for (size_t i = 0; i < n && !cli_json(c); i++) {
        const json_t *o = json_array_get(d->kept, i);
        const char *what = json_text(o, "tag");
        printf("kept %s: %s\n", *what ? what : json_text(o, "digest"), json_text(o, "why"));
    }
    if (!n)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%s: not all of it could be deleted", target_text(c, at));
}

static int delete_all(struct registry_api *api, const struct target *at)
{
    struct cli *c = api->c;
    struct deleting d = {.kept = json_array()};
    const struct api_request q = {
        .method = "DELETE",
        .path = arena_printf(&c->arena, "/registry/v1/repository?%s", target_query(c, at)),
        .about = target_text(c, at)};
    bool more = true;
    int rc = EXIT_DONE;
    while (!rc && more && d.idle_calls < IDLE_CALLS_MAX)
        rc = delete_some(api, &q, &d, &more);
    progress_end();
    if (!rc && more)
        rc = cli_fail(EXIT_FAILED, "%s: %s says that there is more, and takes nothing away",
                      q.about, api->region->name);
    if (!rc)
        rc = print_deleted(api, at, &d);
    else if (d.tags + d.manifests)
        cli_complain("%s: %lld tags and %lld manifests were deleted before; the same command goes "
                     "on",
                     q.about, (long long)d.tags, (long long)d.manifests);
    json_decref(d.kept);
    return rc;
}

static int repository_delete(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to ask; all regions follow", &region}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "repository delete", TARGET_REPOSITORY, argc == 2 ? argv[1] : NULL,
                          &at);
    if (rc)
        return rc;
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull,delete"), &api);
    if (!rc)
        rc = delete_all(&api, &at);
    api_close(&api);
    return rc;
}

// ---- lock ----

static int repository_lock(struct cli *c, int argc, char **argv)
{
    return lock_run(c, "repository", TARGET_REPOSITORY, argc, argv);
}

// ---- retention ----

// Those that go, or those that would if no lock kept them.
static void print_would(struct cli *c, const json_t *list, bool kept)
{
    size_t n = json_array_size(list);
    if (!n)
        return;
    const char *head[] = {"kind", "what", "rule", "why"};
    const char **cells = arena_array(&c->arena, ARRAY_LEN(head) * (n + 1), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *tag = json_text(o, "tag");
        const char *why = json_text(o, "why");
        if (kept)
            why = arena_printf(&c->arena, "%s; a lock keeps it", why);
        const char *row[] = {json_text(o, "kind"), *tag ? tag : json_text(o, "digest"),
                             json_text(o, "rule"), why};
        memcpy(cells + ARRAY_LEN(head) * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

// One page more, which may be empty and not the last. *doc: the first, with the rows of all.
static int would_add(struct registry_api *api, const struct target *at, const char **next,
                     json_t **doc)
{
    struct cli *c = api->c;
    const char *path =
        arena_printf(&c->arena, "/registry/v1/retention?%s&n=1000%s%s", target_query(c, at),
                     *next ? "&last=" : "", *next ? cli_urlencode(c, *next) : "");
    json_t *page = NULL;
    int rc = api_call(api, &(struct api_request){.path = path, .about = target_text(c, at)}, &page);
    if (rc)
        return rc;
    const char *more = json_string_value(json_object_get(page, "next"));
    *next = NULL;
    if (more)
        *next = arena_strdup(&c->arena, more);
    json_object_del(page, "next");
    if (!*doc) {
        *doc = page;
        return EXIT_DONE;
    }
    json_array_extend(json_object_get(*doc, "would"), json_object_get(page, "would"));
    json_array_extend(json_object_get(*doc, "kept"), json_object_get(page, "kept"));
    json_object_set(*doc, "more", json_object_get(page, "more"));
    json_decref(page);
    return EXIT_DONE;
}

static int would_find(struct registry_api *api, const struct target *at, json_t **out_doc)
{
    const char *next = NULL;
    json_t *doc = NULL;
    int rc;
    do {
        rc = would_add(api, at, &next, &doc);
        if (!rc && next)
            progress_show("%s: %zu would go", target_text(api->c, at),
                          json_array_size(json_object_get(doc, "would")));
    } while (!rc && next);
    progress_end();
    if (rc)
        json_decref(doc);
    else
        *out_doc = doc;
    return rc;
}

static int retention(struct registry_api *api, const struct target *at)
{
    struct cli *c = api->c;
    json_t *doc = NULL;
    int rc = would_find(api, at, &doc);
    if (rc)
        return rc;
    json_object_set_new(doc, "region", json_string(api->region->name));
    if (cli_json(c))
        return cli_print_json(c, doc);
    const json_t *would = json_object_get(doc, "would");
    const char *runner = json_text(doc, "runner");
    print_would(c, would, false);
    print_would(c, json_object_get(doc, "kept"), true);
    if (!json_array_size(would))
        printf("%s: nothing would go\n", target_text(c, at));
    if (*runner)
        printf("%s runs the rules of this repository\n", runner);
    json_decref(doc);
    return EXIT_DONE;
}

static int repository_retention(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    bool dry_run = false;
    const struct opt rows[] = {{0, "region", "REGION", "the region to ask", &region, NULL},
                               {0, "dry-run", NULL, "list what would go, and why", NULL, &dry_run}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, "repository retention", TARGET_REPOSITORY, argc == 2 ? argv[1] : NULL,
                          &at);
    if (rc)
        return rc;
    if (!dry_run)
        return cli_fail(EXIT_USAGE, "repository retention: regions run the rules by themselves; "
                                    "--dry-run lists what would go");
    rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api);
    if (!rc)
        rc = retention(&api, &at);
    api_close(&api);
    return rc;
}

static const struct command repository_cmds[] = {
    {"list",
     "a registry's repositories, with their use",
     "REGISTRY [--region R]",
     repository_list,
     USES_ENDPOINT | MAY_WATCH,
     1,
     1,
     {"meridian repository list contoso -u ada",
      "meridian repository list contoso -o tsv --query '[].name'"}},
    {"show",
     "one repository: use, lock and policy",
     "REGISTRY/REPOSITORY [--region R]",
     repository_show,
     USES_ENDPOINT | MAY_WATCH,
     1,
     1,
     {"meridian repository show contoso/app",
      "meridian repository show contoso/app --region eastus -o yaml"}},
    {"delete",
     "delete all its tags and manifests, in every region",
     "REGISTRY/REPOSITORY --yes [--region R]",
     repository_delete,
     USES_ENDPOINT | TAKES_AWAY,
     1,
     1,
     {"meridian repository delete contoso/old -u ada",
      "meridian repository delete contoso/old --yes"}},
    {"lock",
     "look at its lock, or set it",
     "REGISTRY/REPOSITORY [--write on|off] [--delete on|off]",
     repository_lock,
     USES_ENDPOINT,
     1,
     1,
     {"meridian repository lock contoso/app", "meridian repository lock contoso/app --write on"}},
    {"retention",
     "what its rules would delete now, and why",
     "REGISTRY/REPOSITORY --dry-run",
     repository_retention,
     USES_ENDPOINT,
     1,
     1,
     {"meridian repository retention contoso/app --dry-run",
      "meridian repository retention contoso/app --dry-run --region eastus"}},
};

int cmd_repository(struct cli *c, int argc, char **argv)
{
    return command_group(c, repository_cmds, ARRAY_LEN(repository_cmds), argc, argv);
}
