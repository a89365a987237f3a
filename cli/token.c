// SPDX-License-Identifier: Apache-2.0
// `meridian token`: named tokens, what machines log in with (config/principals.h). Those of the fleet,
// with --admin and --regions, look at nodes and drain them from afar.
#include "cli/token.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct ask { // the words of a command
    const char *path, *registry, *scope_map, *repositories, *lifetime, *refresh, *admin, *regions,
        *enabled;
    struct expiry_ask expiry;
    const char *name;
};

// The options of list, of update, and of create: the first so many.
enum { OPTS_LIST = 2, OPTS_UPDATE = 9, OPTS_CREATE = 11 };

static int ask_read(struct cli *c, struct ask *a, size_t n_rows, int argc, char **argv)
{
    const struct opt rows[OPTS_CREATE] = {
        PRINCIPALS_OPT(&a->path),
        {'n', "registry", "REGISTRY", "the registry that the token is of", &a->registry, NULL},
        {0, "scope-map", "MAP", "what it may do: a scope map, or a ready-made one (_pull …)",
         &a->scope_map, NULL},
        {0, "repositories", "LIST", "only there: names, prefixes ending in /*, or *",
         &a->repositories, NULL},
        {0, "lifetime", "DURATION", "of the access tokens that it gets, 1m to 1h (15m)",
         &a->lifetime, NULL},
        {0, "refresh", "WORD", "whether it gets refresh tokens (refused)", &a->refresh,
         .choices = "allowed|refused"},
        {0, "admin", "LIST", "of a token of the fleet: admin/read, admin/drain", &a->admin, NULL},
        {0, "regions", "LIST", "of a token of the fleet: where it logs in", &a->regions, NULL},
        {0, "enabled", "WORD", "whether it may log in", &a->enabled, .choices = "true|false"},
        EXPIRY_OPTS(a->expiry)};
    int rc = opt_parse(c, rows, n_rows, argc, argv, &argc);
    if (!rc && argc == 2)
        a->name = argv[1];
    return rc;
}

static json_t *arguments_of(const struct ask *a)
{
    json_t *o = json_object();
    principals_argument(o, "registry", a->registry);
    principals_argument(o, "scopeMap", a->scope_map);
    principals_argument(o, "repositories", a->repositories);
    principals_argument(o, "lifetime", a->lifetime);
    principals_argument(o, "refresh", a->refresh);
    principals_argument(o, "admin", a->admin);
    principals_argument(o, "regions", a->regions);
    principals_argument(o, "enabled", a->enabled);
    return o;
}

// --- the commands ---

static int kind_judge(struct cli *c, const struct ask *a)
{
    if (a->admin && a->regions && !a->registry && !a->scope_map)
        return 0;
    if (a->registry && a->scope_map && !a->admin && !a->regions)
        return 0;
    return cli_fail(EXIT_USAGE,
                    "%s: give --registry and --scope-map, or of a token of the fleet --admin and "
                    "--regions",
                    c->path);
}

static int token_create(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct token_made made = {.id = 1};
    int rc = ask_read(c, &a, OPTS_CREATE, argc, argv);
    if (!rc)
        rc = kind_judge(c, &a);
    if (!rc)
        rc = token_expiry(&a.expiry, &made.expires_s);
    if (rc)
        return rc;
    json_t *o = arguments_of(&a), *password = json_object();
    made.name = a.name;
    json_object_set_new(o, "passwords", json_pack("[o]", password));
    const struct principals_call q = {.noun = "token",
                                      .word = "create",
                                      .object = a.name,
                                      .arguments = o,
                                      .path = a.path,
                                      .may_be_new = true,
                                      .show = token_password_show,
                                      .ctx = &made};
    rc = token_password_new(&made, password);
    if (!rc)
        return principals_call(c, &q);
    json_decref(o);
    return rc;
}

static int change(struct cli *c, const struct ask *a, json_t *arguments)
{
    const struct principals_call q = {.noun = "token",
                                      .word = c->row->name,
                                      .object = a->name,
                                      .arguments = arguments,
                                      .path = a->path};
    return principals_call(c, &q);
}

static int token_update(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    int rc = ask_read(c, &a, OPTS_UPDATE, argc, argv);
    if (!rc && a.registry)
        rc = cli_fail(EXIT_USAGE, "%s: a token's registry stays", c->path);
    if (rc)
        return rc;
    return change(c, &a, arguments_of(&a));
}

static int token_delete(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    int rc = ask_read(c, &a, 1, argc, argv);
    if (rc)
        return rc;
    return change(c, &a, NULL);
}

// --- showing ---

static const char *end_text(const json_t *password)
{
    const char *at = json_string_value(json_object_get(password, "expires"));
    return at ? at : "never";
}

// "1 never, 2 2027-01-31T00:00:00Z"
static const char *passwords_text(struct cli *c, const json_t *list)
{
    const char *text = "", *between = "";
    const json_t *w;
    size_t i;
    json_array_foreach(list, i, w)
    {
        text = arena_printf(&c->arena, "%s%s%d %s", text, between,
                            (int)json_integer_value(json_object_get(w, "id")), end_text(w));
        between = ", ";
    }
    return text;
}

static json_t *passwords_json(const json_t *list)
{
    json_t *out = json_array();
    const json_t *w;
    size_t i;
    json_array_foreach(list, i, w)
    {
        const char *created = json_string_value(json_object_get(w, "created"));
        json_array_append_new(out,
                              json_pack("{s:O, s:s, s:s}", "id", json_object_get(w, "id"),
                                        "created", created ? created : "", "expires", end_text(w)));
    }
    return out;
}

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static json_t *token_json(struct cli *c, const json_t *t)
{
    const json_t *passwords = json_object_get(t, "passwords");
    bool enabled = json_is_true(json_object_get(t, "enabled"));
    int lifetime = (int)json_integer_value(json_object_get(t, "lifetimeSeconds"));
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", member(t, "name"),
                          "registry", member(t, "registry"), "scopeMap", member(t, "scopeMap"),
                          "repositories", principals_joined(c, json_object_get(t, "repositories")),
                          "admin", member(t, "admin"), "regions",
                          principals_joined(c, json_object_get(t, "regions")), "enabled",
                          enabled ? "true" : "false");
    json_object_set_new(o, "lifetime", json_string(arena_printf(&c->arena, "%ds", lifetime)));
    json_object_set_new(o, "refresh",
                        json_string(*member(t, "refresh") ? member(t, "refresh") : "refused"));
    if (cli_json(c))
        json_object_set_new(o, "passwords", passwords_json(passwords));
    else
        json_object_set_new(o, "passwords", json_string(passwords_text(c, passwords)));
    return o;
}

static int tokens_print(struct cli *c, const json_t *view, const struct ask *a)
{
    static const char *const columns[] = {"name",    "registry", "scopeMap", "repositories",
                                          "admin",   "regions",  "enabled",  "lifetime",
                                          "refresh", "passwords"};
    json_t *list = json_array();
    const json_t *t;
    size_t i;
    json_array_foreach(json_object_get(view, "tokens"), i, t)
    {
        bool asked = !a->name || !strcmp(a->name, member(t, "name"));
        if (asked && (!a->registry || !strcmp(a->registry, member(t, "registry"))))
            json_array_append_new(list, token_json(c, t));
    }
    if (a->name && !json_array_size(list)) {
        json_decref(list);
        return cli_fail(EXIT_FAILED, "%s: there is no token %s", c->path, a->name);
    }
    if (cli_json(c))
        return cli_print_json(c, list);
    return cli_print_array(c, list, columns, ARRAY_LEN(columns));
}

static int token_print(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    json_t *view = NULL;
    int rc = ask_read(c, &a, OPTS_LIST, argc, argv);
    if (!rc)
        rc = principals_read(c, a.path, false, &view);
    if (!rc)
        rc = tokens_print(c, view, &a);
    json_decref(view);
    return rc;
}

static const struct command token_cmds[] = {
    {"list",
     "named tokens",
     "[-n R]",
     token_print,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian token list", "meridian token list -n contoso -o tsv --query '[].name'"}},
    {"show",
     "one of them",
     "NAME",
     token_print,
     USES_TOPOLOGY | USES_ADMIN,
     1,
     1,
     {"meridian token show ci", "meridian token show ci -o yaml"}},
    {"create",
     "a new one; prints its password, once",
     "NAME -n R --scope-map MAP | NAME --admin LIST --regions LIST",
     token_create,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian token create ci -n contoso --scope-map _push --repositories 'app/*'",
      "meridian token create watcher --admin admin/read --regions eastus --expires-in 90d"}},
    {"update",
     "another scope map, repositories, lifetime …",
     "NAME [--scope-map MAP …]",
     token_update,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian token update ci --scope-map releases", "meridian token update ci --enabled false"}},
    {"delete",
     "take it away",
     "NAME",
     token_delete,
     USES_TOPOLOGY | USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian token delete ci", "meridian token delete ci --yes"}},
    {"credential", "its passwords", "generate | delete", token_credential},
    {"refresh", "the refresh tokens that a region has issued", "list -n R", token_refresh},
    {"revoke",
     "a token is none any more, in any region",
     "ID | --token-file FILE",
     token_revoke,
     USES_TOPOLOGY | USES_CHANGE,
     0,
     1,
     {"meridian token revoke 00112233445566778899aabbccddeeff",
      "meridian token revoke --token-file token.jwt"}},
};

int cmd_token(struct cli *c, int argc, char **argv)
{
    return command_group(c, token_cmds, ARRAY_LEN(token_cmds), argc, argv);
}
