// SPDX-License-Identifier: Apache-2.0
// `meridian scope-map`: what named tokens may do, in principals.yaml (config/principals.h). Tokens
// that have a map follow its changes with the next access token that they ask for.
#include "cli/principals_edit.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct ask { // the words of a command
    const char *path, *registry, *repositories, *actions;
    bool replace;
    const char *name;
};

static int ask_read(struct cli *c, struct ask *a, int argc, char **argv)
{
    const struct opt rows[] = {
        PRINCIPALS_OPT(&a->path),
        {'n', "registry", "REGISTRY", "the registry that the map is of", &a->registry, NULL},
        {0, "repositories", "LIST", "names, prefixes ending in /*, or *", &a->repositories, NULL},
        {0, "actions", "LIST",
         "content/read, content/write, content/delete, content/add, metadata/read, "
         "metadata/write, catalog, audit/read",
         &a->actions, NULL},
        {0, "replace", NULL, "the grant stands in the place of all that were there", NULL,
         &a->replace}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc == 2)
        a->name = argv[1];
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "scope-map %s: give one NAME", c->row->name);
    return 0;
}

static int named_read(struct cli *c, struct ask *a, int argc, char **argv)
{
    int rc = ask_read(c, a, argc, argv);
    if (rc)
        return rc;
    if (!a->name || !a->registry)
        return cli_fail(EXIT_USAGE, "scope-map %s: give a NAME and --registry", c->row->name);
    if (!principals_registry_known(c, a->registry))
        return EXIT_FAILED;
    return 0;
}

static int grant_read(struct cli *c, const struct ask *a, struct grant *out)
{
    size_t n;
    if (!a->repositories || !a->actions)
        return cli_fail(EXIT_USAGE, "give --repositories and --actions, lists with commas");
    struct grant g = {.registry = a->registry};
    g.repositories = principals_words(c, a->repositories, &g.n_repositories);
    const char *const *words = principals_words(c, a->actions, &n);
    for (size_t i = 0; i < n; i++) {
        unsigned bits;
        bool coarse = !strchr(words[i], '/') && strcmp(words[i], "catalog") != 0;
        if (coarse || grant_word_parse(words[i], &bits))
            return cli_fail(EXIT_USAGE,
                            "%s is not an action of a scope map: content/read, content/write, "
                            "content/delete, content/add, metadata/read, metadata/write, catalog, "
                            "audit/read",
                            words[i]);
        g.actions |= bits;
    }
    *out = g;
    return 0;
}

static int map_create(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct grant *g = arena_alloc(&c->arena, sizeof *g);
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc)
        rc = grant_read(c, &a, g);
    if (!rc)
        rc = principals_edit_begin(c, a.path, true, &e);
    if (rc)
        return rc;
    if (principals_edit_scope_map(&e, a.registry, a.name))
        return cli_fail(EXIT_FAILED, "registry %s has a scope map %s already; use update",
                        a.registry, a.name);
    e.scope_maps[e.doc.n_scope_maps++] = (struct scope_map){a.name, a.registry, g, 1};
    return principals_edit_commit(&e, false, "scope map %s of registry %s is made", a.name,
                                  a.registry);
}

static int map_find(struct principals_edit *e, const struct ask *a, struct scope_map **out)
{
    *out = principals_edit_scope_map(e, a->registry, a->name);
    if (*out)
        return 0;
    if (scope_map_role(a->name))
        return cli_fail(EXIT_FAILED, "%s is ready-made: it stays as it is", a->name);
    return cli_fail(EXIT_FAILED, "%s: registry %s has no scope map %s", e->path, a->registry,
                    a->name);
}

static int map_update(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct grant g;
    struct scope_map *m;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc)
        rc = grant_read(c, &a, &g);
    if (!rc)
        rc = principals_edit_begin(c, a.path, false, &e);
    if (!rc)
        rc = map_find(&e, &a, &m);
    if (rc)
        return rc;
    size_t n = a.replace ? 0 : m->n_grants;
    struct grant *grants = arena_array(&c->arena, n + 1, sizeof *grants);
    if (n)
        memcpy(grants, m->grants, n * sizeof *grants);
    grants[n] = g;
    m->grants = grants;
    m->n_grants = n + 1;
    return principals_edit_commit(&e, false, "scope map %s of registry %s has %zu grants", a.name,
                                  a.registry, m->n_grants);
}

static int map_delete(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct scope_map *m;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc)
        rc = principals_edit_begin(c, a.path, false, &e);
    if (!rc)
        rc = map_find(&e, &a, &m);
    if (rc)
        return rc;
    for (size_t i = 0; i < e.doc.n_tokens; i++) {
        const struct named_token *t = e.tokens[i].token;
        if (!strcmp(t->registry, a.registry) && !strcmp(t->scope_map, a.name))
            return cli_fail(EXIT_FAILED, "token %s has the scope map %s: give it another one first",
                            e.tokens[i].name, a.name);
    }
    size_t after = e.doc.n_scope_maps - (size_t)(m - e.scope_maps) - 1;
    memmove(m, m + 1, after * sizeof *m);
    e.doc.n_scope_maps--;
    return principals_edit_commit(&e, false, "scope map %s of registry %s is gone", a.name,
                                  a.registry);
}

// --- showing ---

static const char *words_text(struct cli *c, unsigned actions)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    scope_words_format(actions, ",", &b);
    return arena_strdup(&c->arena, buf_cstr(&b));
}

static const char *list_text(struct cli *c, const char *const *list, size_t n)
{
    const char *text = "";
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&c->arena, "%s%s%s", text, i ? "," : "", list[i]);
    return text;
}

static void row_add(json_t *list, const char *name, const char *registry, const char *repositories,
                    const char *actions, const char *purpose)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "registry",
                                          registry, "repositories", repositories, "actions",
                                          actions, "purpose", purpose));
}

static void map_rows(struct cli *c, const struct scope_map *m, json_t *list)
{
    for (size_t i = 0; i < m->n_grants; i++)
        row_add(list, m->name, m->registry,
                list_text(c, m->grants[i].repositories, m->grants[i].n_repositories),
                words_text(c, m->grants[i].actions), "");
}

// One grant a row. A ready-made one is of every registry, on the repositories of its token.
static int rows_print(struct cli *c, const struct principals_edit *e, const struct ask *a)
{
    static const char *const columns[] = {"name", "registry", "repositories", "actions", "purpose"};
    json_t *list = json_array();
    const char *role, *purpose;
    for (size_t i = 0; i < e->doc.n_scope_maps; i++) {
        const struct scope_map *m = &e->scope_maps[i];
        bool asked = !a->registry || !strcmp(a->registry, m->registry);
        if (asked && (!a->name || !strcmp(a->name, m->name)))
            map_rows(c, m, list);
    }
    for (size_t i = 0; (role = scope_map_role_name(i, &purpose)); i++)
        if (!a->name || !strcmp(a->name, role))
            row_add(list, role, "", "", words_text(c, scope_map_role(role)), purpose);
    if (a->name && !json_array_size(list)) {
        json_decref(list);
        return cli_fail(EXIT_FAILED, "%s: there is no scope map %s", e->path, a->name);
    }
    if (cli_json(c))
        return cli_print_json(c, list);
    return cli_print_array(c, list, columns, ARRAY_LEN(columns));
}

static int map_print(struct cli *c, size_t row, int argc, char **argv)
{
    struct ask a = {0};
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = ask_read(c, &a, argc, argv);
    if (!rc && row == 1 && !a.name)
        rc = cli_fail(EXIT_USAGE, "scope-map show: give one NAME");
    if (!rc)
        rc = principals_edit_begin(c, a.path, true, &e);
    if (!rc)
        rc = rows_print(c, &e, &a);
    return rc;
}

static int map_list(struct cli *c, int argc, char **argv)
{
    return map_print(c, 0, argc, argv);
}

static int map_show(struct cli *c, int argc, char **argv)
{
    return map_print(c, 1, argc, argv);
}

static const struct command map_cmds[] = {
    {"list",
     "scope maps, the ready-made ones too",
     "[-n R]",
     map_list,
     USES_TOPOLOGY,
     0,
     0,
     {"meridian scope-map list", "meridian scope-map list -n contoso -o json"}},
    {"show",
     "one of them",
     "NAME [-n R]",
     map_show,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian scope-map show _pull", "meridian scope-map show releases -n contoso -o yaml"}},
    {"create",
     "a new one, with one grant",
     "NAME -n R --repositories LIST --actions LIST",
     map_create,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian scope-map create releases -n contoso --repositories 'release/*' --actions "
      "content/read",
      "meridian scope-map create all -n contoso --repositories '*' --actions "
      "content/read,content/write"}},
    {"update",
     "one more grant, or another",
     "NAME -n R --repositories LIST --actions LIST",
     map_update,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian scope-map update releases -n contoso --repositories app --actions content/read",
      "meridian scope-map update releases -n contoso --repositories app --actions content/read "
      "--replace"}},
    {"delete",
     "take it away",
     "NAME -n R",
     map_delete,
     USES_TOPOLOGY | TAKES_AWAY,
     0,
     1,
     {"meridian scope-map delete releases -n contoso",
      "meridian scope-map delete releases -n contoso --yes"}},
};

int cmd_scope_map(struct cli *c, int argc, char **argv)
{
    return command_group(c, map_cmds, ARRAY_LEN(map_cmds), argc, argv);
}
