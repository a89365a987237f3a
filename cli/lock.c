// SPDX-License-Identifier: Apache-2.0
// `meridian repository|tag|manifest lock`: a lock is looked at, or set in one of its two parts or
// both. A write lock refuses pushes, a delete lock deletes.
#include "cli/registry_api.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct asked { // of one part; NULL: it stays as it is
    const char *write, *delete;
};

static bool is_word(const char *s)
{
    return !s || !strcmp(s, "on") || !strcmp(s, "off");
}

static bool part(const json_t *doc, const char *key, const char *asked)
{
    if (asked)
        return !strcmp(asked, "on");
    return json_is_true(json_object_get(json_object_get(doc, "locked"), key));
}

static int set(struct registry_api *api, const char *path, const char *about,
               const struct asked *asked, json_t **doc)
{
    struct cli *c = api->c;
    const char *body = arena_printf(&c->arena, "{\"write\":%s,\"delete\":%s}",
                                    part(*doc, "write", asked->write) ? "true" : "false",
                                    part(*doc, "delete", asked->delete) ? "true" : "false");
    json_decref(*doc);
    *doc = NULL;
    return api_call(
        api, &(struct api_request){.method = "PUT", .path = path, .body = body, .about = about},
        doc);
}

static void print_lock(struct cli *c, const char *about, const json_t *doc)
{
    const char *time = json_string_value(json_object_get(doc, "time")),
               *by = json_string_value(json_object_get(doc, "by"));
    const char *cells[] = {"what",
                           "write",
                           "delete",
                           "since",
                           "by",
                           about,
                           part(doc, "write", NULL) ? "locked" : "open",
                           part(doc, "delete", NULL) ? "locked" : "open",
                           time ? time : "-",
                           by && *by ? by : "-"};
    (void)c;
    cli_table(cells, 2, 5);
}

static int look_or_set(struct registry_api *api, const struct target *at, const struct asked *asked)
{
    struct cli *c = api->c;
    const char *path = arena_printf(&c->arena, "/registry/v1/lock?%s", target_query(c, at)),
               *about = target_text(c, at);
    json_t *doc = NULL;
    int rc = api_call(api, &(struct api_request){.path = path, .about = about}, &doc);
    if (!rc && (asked->write || asked->delete))
        rc = set(api, path, about, asked, &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_lock(c, about, doc);
    json_decref(doc);
    return EXIT_DONE;
}

int lock_run(struct cli *c, const char *noun, enum target_form form, int argc, char **argv)
{
    const char *region = NULL;
    struct asked asked = {0};
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to ask; all regions follow", &region, NULL},
        {0, "write", "on|off", "lock against pushes", &asked.write, NULL},
        {0, "delete", "on|off", "lock against deletes, of rules too", &asked.delete, NULL}};
    struct target at;
    struct registry_api api;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = target_parse(c, arena_printf(&c->arena, "%s lock", noun), form,
                          argc == 2 ? argv[1] : NULL, &at);
    if (rc)
        return rc;
    if (!is_word(asked.write) || !is_word(asked.delete))
        return cli_fail(EXIT_USAGE, "%s lock: --write and --delete are on or off", noun);
    const char *actions = "pull";
    if (asked.write || asked.delete)
        actions = "pull,delete";
    rc = api_open(c, at.registry, region, api_scope(c, &at, actions), &api);
    if (!rc)
        rc = look_or_set(&api, &at, &asked);
    api_close(&api);
    return rc;
}
