// SPDX-License-Identifier: Apache-2.0
// `meridian user`: who may log in and do what (cli/principals_call.h). A change of password, a
// removal or `revoke` raises the user's generation, which ends its refresh tokens.
#include "cli/user.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/principals_call.h"
#include "config/password.h"

#include <stdio.h>
#include <string.h>

static int new_hash(struct cli *c, json_t *arguments)
{
    char *password = cli_password(c), hash[PASSWORD_HASH_SIZE];
    if (!password)
        return EXIT_FAILED;
    int rc = ERR_RANGE;
    if (strlen(password) >= 8)
        rc = password_hash(password, hash);
    explicit_bzero(password, strlen(password));
    free(password);
    if (rc == ERR_RANGE)
        return cli_fail(EXIT_FAILED, "the password is shorter than 8 bytes");
    if (rc)
        return cli_fail(EXIT_FAILED, "the password cannot be hashed: %s", err_text(rc));
    json_object_set_new(arguments, "passwordHash", json_string(hash));
    return 0;
}

struct grant_opts {
    const char *registry, *repositories, *actions;
};

#define GRANT_OPTS(g)                                                                          \
    {'n', "registry", "REGISTRY", "on this registry", &(g).registry, NULL},                    \
        {0,                                                                                    \
         "repositories",                                                                       \
         "LIST",                                                                               \
         "names, prefixes ending in /*, or * (default *)",                                     \
         &(g).repositories,                                                                    \
         NULL},                                                                                \
    {                                                                                          \
        0, "actions", "LIST", "pull, push, delete, catalog (default pull,push)", &(g).actions, \
            NULL                                                                               \
    }

static json_t *grant_arguments(const struct grant_opts *g)
{
    json_t *o = json_object();
    principals_argument(o, "registry", g->registry);
    principals_argument(o, "repositories", g->repositories);
    principals_argument(o, "actions", g->actions);
    return o;
}

// A verb about the user of that name, with these arguments (taken).
static int change(struct cli *c, const char *path, const char *word, const char *name,
                  json_t *arguments)
{
    const struct principals_call q = {.noun = "user",
                                      .word = word,
                                      .object = name,
                                      .arguments = arguments,
                                      .path = path,
                                      .may_be_new = !strcmp(word, "create")};
    return principals_call(c, &q);
}

static int change_password(struct cli *c, const char *path, const char *word, const char *name,
                           json_t *arguments)
{
    int rc = new_hash(c, arguments);
    if (!rc)
        return change(c, path, word, name, arguments);
    json_decref(arguments);
    return rc;
}

static int create(struct cli *c, int argc, char **argv, bool with_grant)
{
    const char *path = NULL;
    struct grant_opts g = {0};
    const struct opt rows[] = {PRINCIPALS_OPT(&path), GRANT_OPTS(g)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!g.registry && (g.repositories || g.actions))
        return cli_fail(EXIT_USAGE,
                        "%s: --repositories and --actions are of a registry: give "
                        "--registry",
                        c->path);
    if (!g.registry && with_grant)
        return cli_fail(EXIT_USAGE,
                        "%s: give --registry; `meridian user create` makes a user without a grant",
                        c->path);
    return change_password(c, path, "create", argv[1], grant_arguments(&g));
}

static int user_create(struct cli *c, int argc, char **argv)
{
    return create(c, argc, argv, false);
}

// As it was called before: one without a grant was a slip more often than not.
static int user_add(struct cli *c, int argc, char **argv)
{
    return create(c, argc, argv, true);
}

static int user_passwd(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    const struct opt rows[] = {PRINCIPALS_OPT(&path)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return change_password(c, path, "passwd", argv[1], json_object());
}

static int user_update(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *enabled = NULL;
    const struct opt rows[] = {
        PRINCIPALS_OPT(&path),
        {0, "enabled", "WORD", "whether the user may log in", &enabled, .choices = "true|false"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!enabled)
        return cli_fail(EXIT_USAGE, "%s: give --enabled", c->path);
    json_t *o = json_object();
    principals_argument(o, "enabled", enabled);
    return change(c, path, "update", argv[1], o);
}

static int user_grant(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    struct grant_opts g = {0};
    const struct opt rows[] = {PRINCIPALS_OPT(&path), GRANT_OPTS(g)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!g.registry)
        return cli_fail(EXIT_USAGE, "%s: give --registry", c->path);
    return change(c, path, "grant", argv[1], grant_arguments(&g));
}

static int user_revoke(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *registry = NULL;
    const struct opt rows[] = {
        PRINCIPALS_OPT(&path),
        {'n', "registry", "REGISTRY", "the grants on this registry too", &registry, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    json_t *o = json_object();
    principals_argument(o, "registry", registry);
    return change(c, path, "revoke", argv[1], o);
}

static int user_delete(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    const struct opt rows[] = {PRINCIPALS_OPT(&path)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return change(c, path, "delete", argv[1], NULL);
}

// --- showing ---

// The grants of one user, for people: repositories and actions as the options take them.
static json_t *grants_shown(struct cli *c, const json_t *user)
{
    json_t *list = json_array();
    const json_t *g;
    size_t i;
    json_array_foreach(json_object_get(user, "grants"), i, g)
    {
        json_array_append_new(list,
                              json_pack("{s:O, s:s, s:O}", "registry",
                                        json_object_get(g, "registry"), "repositories",
                                        principals_joined(c, json_object_get(g, "repositories")),
                                        "actions", json_object_get(g, "actions")));
    }
    return list;
}

static json_t *users_shown(struct cli *c, const json_t *view)
{
    json_t *list = json_array();
    const json_t *user;
    size_t i;
    json_array_foreach(json_object_get(view, "users"), i, user)
    {
        json_array_append_new(
            list, json_pack("{s:O, s:O, s:O, s:o}", "name", json_object_get(user, "name"),
                            "enabled", json_object_get(user, "enabled"), "generation",
                            json_object_get(user, "generation"), "grants", grants_shown(c, user)));
    }
    return list;
}

// One line for each grant, or one for a user without.
static int users_table(struct cli *c, const json_t *users)
{
    static const char *const columns[] = {"user", "enabled", "registry", "repositories", "actions"};
    json_t *lines = json_array();
    const json_t *user, *g;
    size_t i, j;
    json_array_foreach(users, i, user)
    {
        const char *enabled = json_is_true(json_object_get(user, "enabled")) ? "true" : "false";
        json_t *grants = json_object_get(user, "grants"), *name = json_object_get(user, "name");
        json_array_foreach(grants, j, g)
        {
            json_t *line = json_pack("{s:O, s:s}", "user", name, "enabled", enabled);
            json_object_update(line, (json_t *)g);
            json_array_append_new(lines, line);
        }
        if (!json_array_size(grants))
            json_array_append_new(lines, json_pack("{s:O, s:s, s:s, s:s, s:s}", "user", name,
                                                   "enabled", enabled, "registry", "",
                                                   "repositories", "", "actions", ""));
    }
    return cli_print_array(c, lines, columns, ARRAY_LEN(columns));
}

static int user_list(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    const struct opt rows[] = {PRINCIPALS_OPT(&path)};
    json_t *view = NULL;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = principals_read(c, path, false, &view);
    if (rc)
        return rc;
    json_t *users = users_shown(c, view);
    json_decref(view);
    if (cli_json(c))
        return cli_print_json(c, users);
    rc = users_table(c, users);
    json_decref(users);
    return rc;
}

static const struct command user_cmds[] = {
    {"list",
     "users and their grants",
     "[--principals FILE]",
     user_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian user list", "meridian user list -o tsv --query '[].name'"}},
    {"create",
     "a new user",
     "NAME [--registry R --repositories LIST --actions LIST]",
     user_create,
     USES_TOPOLOGY | USES_PASSWORD | USES_CHANGE,
     1,
     1,
     {"meridian user create ada -n contoso",
      "meridian user create ada -n contoso --repositories 'app/*' --actions pull "
      "--password-stdin"}},
    {"add",
     "a new user with a grant on a registry",
     "NAME --registry R [--repositories LIST] [--actions LIST]",
     user_add,
     USES_TOPOLOGY | USES_PASSWORD | USES_CHANGE,
     1,
     1,
     {"meridian user add ada -n contoso",
      "meridian user add ada -n contoso --repositories 'app/*' --actions pull --password-stdin"}},
    {"passwd",
     "a new password; ends the refresh tokens",
     "NAME",
     user_passwd,
     USES_TOPOLOGY | USES_PASSWORD | USES_CHANGE,
     1,
     1,
     {"meridian user passwd ada", "meridian user passwd ada --password-file pw"}},
    {"update",
     "whether the user may log in",
     "NAME --enabled true|false",
     user_update,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian user update ada --enabled false", "meridian user update ada --enabled true"}},
    {"grant",
     "one more grant",
     "NAME --registry R [--repositories LIST]",
     user_grant,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian user grant ada -n fabrikam",
      "meridian user grant ada -n fabrikam --repositories app --actions pull"}},
    {"revoke",
     "end the refresh tokens, and with --registry the grants there",
     "NAME [--registry R]",
     user_revoke,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian user revoke ada", "meridian user revoke ada -n contoso"}},
    {"delete",
     "take the user away",
     "NAME",
     user_delete,
     USES_TOPOLOGY | USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian user delete ada", "meridian user delete ada --yes"}},
    {"remove",
     "the same",
     "NAME",
     user_delete,
     USES_TOPOLOGY | USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian user remove ada", "meridian user remove ada --yes"}},
    {"import",
     "take the users of an htpasswd file over",
     "--htpasswd FILE [--registry R]",
     user_import,
     USES_TOPOLOGY | USES_CHANGE,
     0,
     0,
     {"meridian user import --htpasswd htpasswd",
      "meridian user import --htpasswd htpasswd -n contoso --actions pull --dry-run"}},
};

int cmd_user(struct cli *c, int argc, char **argv)
{
    return command_group(c, user_cmds, ARRAY_LEN(user_cmds), argc, argv);
}
