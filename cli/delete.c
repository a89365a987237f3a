// SPDX-License-Identifier: Apache-2.0
// `meridian tag delete`, `manifest delete`: one word after the other, each at its own repository.
// What is done is told also when a later one fails.
#include "cli/registry_api.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

// The same region and token serve words of one repository that follow each other.
static int api_for(struct cli *c, struct registry_api *api, const char *region,
                   const struct target *before, const struct target *at)
{
    bool same =
        api->c && before->registry == at->registry && !strcmp(before->repository, at->repository);
    if (same)
        return EXIT_DONE;
    api_close(api);
    return api_open(c, at->registry, region, api_scope(c, at, "pull,delete"), api);
}

static int delete_one(struct registry_api *api, const struct target *at, const char *header)
{
    struct cli *c = api->c;
    const char *path = arena_printf(&c->arena, "/v2/%s/manifests/%s", at->repository,
                                    cli_urlencode(c, at->tag ? at->tag : at->digest));
    return api_call(
        api,
        &(struct api_request){
            .method = "DELETE", .path = path, .header = header, .about = target_text(c, at)},
        NULL);
}

static int targets_parse(struct cli *c, const char *command, enum target_form form, int argc,
                         char **argv, struct target *out)
{
    if (argc < 2)
        return target_parse(c, command, form, NULL, out);
    for (int i = 1; i < argc; i++) {
        int rc = target_parse(c, command, form, argv[i], &out[i - 1]);
        if (rc)
            return rc;
    }
    return EXIT_DONE;
}

int delete_run(struct cli *c, const char *command, enum target_form form, const char *region,
               const char *header, int argc, char **argv)
{
    size_t n = argc > 1 ? (size_t)(argc - 1) : 1;
    struct target *all = arena_array(&c->arena, n, sizeof *all);
    int rc = targets_parse(c, command, form, argc, argv, all);
    if (rc)
        return rc;
    if (header && n > 1)
        return cli_fail(EXIT_USAGE, "%s: --if-match is for one tag", command);
    struct registry_api api = {0};
    json_t *done = json_array();
    for (size_t i = 0; !rc && i < n; i++) {
        rc = api_for(c, &api, region, &all[i ? i - 1 : 0], &all[i]);
        if (!rc)
            rc = delete_one(&api, &all[i], header);
        if (rc)
            break;
        const char *text = target_text(c, &all[i]);
        json_array_append_new(done,
                              json_pack("{s:s, s:s}", "deleted", text, "region", api.region->name));
        if (!cli_json(c))
            printf("%s is deleted\n", text);
    }
    if (cli_json(c) && (!rc || json_array_size(done)))
        cli_print_json(c, json_incref(done));
    json_decref(done);
    api_close(&api);
    return rc;
}
