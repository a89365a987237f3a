// SPDX-License-Identifier: Apache-2.0
// `meridian scope-map`: what named tokens may do (cli/principals_call.h). Tokens
// that have a map follow its changes with the next access token that they ask for.
#include "cli/principals_call.h"

#include "base/mem.h"
#include "config/principals.h"

#include <stdio.h>
#include <string.h>

struct ask { // the words of a command
    const char *path, *registry, *repositories, *actions;
    bool replace;
    const char *name;
};

// The options of list, show and delete, of create, and of update: the first so many.
enum { OPTS_NAMING = 2, OPTS_CREATE = 4, OPTS_UPDATE = 5 };

static int ask_read(struct cli *c, struct ask *a, size_t n_rows, int argc, char **argv)
{
    const struct opt rows[OPTS_UPDATE] = {
        PRINCIPALS_OPT(&a->path),
        {'n', "registry", "REGISTRY", "the registry that the map is of", &a->registry, NULL},
        {0, "repositories", "LIST", "names, prefixes ending in /*, or *", &a->repositories, NULL},
        {0, "actions", "LIST",
         "content/read, content/write, content/delete, content/add, metadata/read, "
         "metadata/write, catalog, audit/read",
         &a->actions, NULL},
        {0, "replace", NULL, "the grant stands in the place of all that were there", NULL,
         &a->replace}};
    int rc = opt_parse(c, rows, n_rows, argc, argv, &argc);
    if (!rc && argc == 2)
        a->name = argv[1];
    return rc;
}

static int named_read(struct cli *c, struct ask *a, size_t n_rows, int argc, char **argv)
{
    int rc = ask_read(c, a, n_rows, argc, argv);
    if (!rc && !a->registry)
        rc = cli_fail(EXIT_USAGE, "%s: give --registry", c->path);
    return rc;
}

static json_t *grant_arguments(const struct ask *a)
{
    json_t *o = json_object();
    principals_argument(o, "registry", a->registry);
    principals_argument(o, "repositories", a->repositories);
    principals_argument(o, "actions", a->actions);
    return o;
}

static int change(struct cli *c, const struct ask *a, json_t *arguments)
{
    const struct principals_call q = {.noun = "scope-map",
                                      .word = c->row->name,
                                      .object = a->name,
                                      .arguments = arguments,
                                      .path = a->path,
                                      .may_be_new = !strcmp(c->row->name, "create")};
    return principals_call(c, &q);
}

static int granted_read(struct cli *c, struct ask *a, size_t n_rows, int argc, char **argv)
{
    int rc = named_read(c, a, n_rows, argc, argv);
    if (!rc && (!a->repositories || !a->actions))
        rc = cli_fail(EXIT_USAGE, "give --repositories and --actions, lists with commas");
    return rc;
}

static int map_create(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    int rc = granted_read(c, &a, OPTS_CREATE, argc, argv);
    if (rc)
        return rc;
    return change(c, &a, grant_arguments(&a));
}

static int map_update(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    int rc = granted_read(c, &a, OPTS_UPDATE, argc, argv);
    if (rc)
        return rc;
    json_t *o = grant_arguments(&a);
    if (a.replace)
        json_object_set_new(o, "replace", json_true());
    return change(c, &a, o);
}

static int map_delete(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    int rc = named_read(c, &a, OPTS_NAMING, argc, argv);
    if (rc)
        return rc;
    json_t *o = json_object();
    principals_argument(o, "registry", a.registry);
    return change(c, &a, o);
}

// --- showing ---

static const char *words_text(struct cli *c, unsigned actions)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    scope_words_format(actions, ",", &b);
    return arena_strdup(&c->arena, buf_cstr(&b));
}

static void row_add(json_t *list, const char *name, const char *registry, const char *repositories,
                    const char *actions, const char *purpose)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "registry",
                                          registry, "repositories", repositories, "actions",
                                          actions, "purpose", purpose));
}

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static void map_rows(struct cli *c, const json_t *map, json_t *list)
{
    const json_t *g;
    size_t i;
    json_array_foreach(json_object_get(map, "grants"), i, g)
        row_add(list, member(map, "name"), member(map, "registry"),
                principals_joined(c, json_object_get(g, "repositories")), member(g, "actions"), "");
}

// One grant a row. A ready-made one is of every registry, on the repositories of its token.
static int rows_print(struct cli *c, const json_t *view, const struct ask *a)
{
    static const char *const columns[] = {"name", "registry", "repositories", "actions", "purpose"};
    json_t *list = json_array();
    const json_t *map;
    const char *role, *purpose;
    size_t at;
    json_array_foreach(json_object_get(view, "scopeMaps"), at, map)
    {
        bool asked = !a->registry || !strcmp(a->registry, member(map, "registry"));
        if (asked && (!a->name || !strcmp(a->name, member(map, "name"))))
            map_rows(c, map, list);
    }
    for (size_t i = 0; (role = scope_map_role_name(i, &purpose)); i++)
        if (!a->name || !strcmp(a->name, role))
            row_add(list, role, "", "", words_text(c, scope_map_role(role)), purpose);
    if (a->name && !json_array_size(list)) {
        json_decref(list);
        return cli_fail(EXIT_FAILED, "%s: there is no scope map %s", c->path, a->name);
    }
    return cli_print_rows(c, list, columns, ARRAY_LEN(columns));
}

static int map_print(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    json_t *view = NULL;
    int rc = ask_read(c, &a, OPTS_NAMING, argc, argv);
    if (!rc)
        rc = principals_read(c, a.path, true, &view);
    if (!rc)
        rc = rows_print(c, view, &a);
    json_decref(view);
    return rc;
}

static const struct command map_cmds[] = {
    {"list",
     "scope maps, the ready-made ones too",
     "[-n R]",
     map_print,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian scope-map list", "meridian scope-map list -n contoso -o json"}},
    {"show",
     "one of them",
     "NAME [-n R]",
     map_print,
     USES_TOPOLOGY | USES_ADMIN,
     1,
     1,
     {"meridian scope-map show _pull", "meridian scope-map show releases -n contoso -o yaml"}},
    {"create",
     "a new one, with one grant",
     "NAME -n R --repositories LIST --actions LIST",
     map_create,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian scope-map create releases -n contoso --repositories 'release/*' --actions "
      "content/read",
      "meridian scope-map create all -n contoso --repositories '*' --actions "
      "content/read,content/write"}},
    {"update",
     "one more grant, or another",
     "NAME -n R --repositories LIST --actions LIST",
     map_update,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian scope-map update releases -n contoso --repositories app --actions content/read",
      "meridian scope-map update releases -n contoso --repositories app --actions content/read "
      "--replace"}},
    {"delete",
     "take it away",
     "NAME -n R",
     map_delete,
     USES_TOPOLOGY | USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian scope-map delete releases -n contoso",
      "meridian scope-map delete releases -n contoso --yes"}},
};

int cmd_scope_map(struct cli *c, int argc, char **argv)
{
    return command_group(c, map_cmds, ARRAY_LEN(map_cmds), argc, argv);
}
