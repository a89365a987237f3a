// SPDX-License-Identifier: Apache-2.0
// `meridian user`: edits principals.yaml, whole and atomically, 0600. Nodes that watch the file
// swap it within a second. A change of password, a removal or `revoke` raises the user's
// generation, which ends its refresh tokens.
#include "cli/user.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/principals_edit.h"
#include "config/password.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int new_hash(struct cli *c, const char **out)
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
    *out = arena_strdup(&c->arena, hash);
    return 0;
}

int user_grant_parse(struct cli *c, const char *registry, char *repositories, char *actions,
                     struct grant *out)
{
    struct grant g = {.registry = arena_strdup(&c->arena, registry)};
    const char **list = arena_array(&c->arena, strlen(repositories) + 1, sizeof *list);
    char *save = NULL;
    for (char *w = strtok_r(repositories, ",", &save); w; w = strtok_r(NULL, ",", &save))
        list[g.n_repositories++] = w;
    g.repositories = list;
    for (char *w = strtok_r(actions, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        unsigned bit;
        if (grant_word_parse(w, &bit))
            return cli_fail(EXIT_USAGE,
                            "%s is not an action: pull, push, delete, catalog, or a word of scope "
                            "maps (content/read …)",
                            w);
        g.actions |= bit;
    }
    if (!g.n_repositories || !g.actions)
        return cli_fail(EXIT_USAGE, "give repositories and actions, separated by commas");
    *out = g;
    return 0;
}

static void add_grant(struct cli *c, struct principal *p, const struct grant *g)
{
    struct grant *grants = arena_array(&c->arena, p->n_grants + 1, sizeof *grants);
    if (p->n_grants)
        memcpy(grants, p->grants, p->n_grants * sizeof *grants);
    grants[p->n_grants++] = *g;
    p->grants = grants;
}

// Takes every grant on the registry away; false when there was none.
static bool drop_grants(struct cli *c, struct principal *p, const char *registry)
{
    struct grant *left = arena_array(&c->arena, p->n_grants + 1, sizeof *left);
    size_t kept = 0;
    for (size_t i = 0; i < p->n_grants; i++)
        if (strcmp(p->grants[i].registry, registry) != 0)
            left[kept++] = p->grants[i];
    bool any = kept < p->n_grants;
    p->grants = left;
    p->n_grants = kept;
    return any;
}

static int user_change(struct cli *c, int argc, char **argv, size_t row)
{
    const char *path = NULL, *registry = NULL, *repositories = "*", *actions = "pull,push";
    const struct opt rows[] = {
        {0, "principals", "FILE", "the file (default: beside the topology)", &path, NULL},
        {'n', "registry", "REGISTRY", "grant on this registry", &registry, NULL},
        {0, "repositories", "LIST", "names, prefixes ending in /*, or * (default *)", &repositories,
         NULL},
        {0, "actions", "LIST", "pull, push, delete, catalog (default pull,push)", &actions, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 2)
        return cli_fail(EXIT_USAGE, "user %s: give one NAME", c->row->name);
    const char *name = argv[1];
    bool add = !strcmp(c->row->name, "add");
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    rc = principals_edit_begin(c, path, add, &e);
    if (rc)
        return rc;
    struct principal *p = principals_edit_user(&e, name);
    if (add && p)
        return cli_fail(EXIT_FAILED, "user %s is there already; use passwd or grant", name);
    if (add && principals_edit_token(&e, name))
        return cli_fail(EXIT_FAILED, "a named token has the name %s", name);
    if (!add && !p)
        return cli_fail(EXIT_FAILED, "%s: there is no user %s", e.path, name);
    struct grant g;
    bool grants = registry && (add || !strcmp(c->row->name, "grant"));
    if (!strcmp(c->row->name, "grant") && !registry)
        return cli_fail(EXIT_USAGE, "user grant: give --registry");
    if (grants && access(c->topology, R_OK) == 0 && !cli_registry(c, registry))
        return EXIT_FAILED; // a grant on a misspelt registry would never be noticed
    if (grants) {
        rc = user_grant_parse(c, registry, arena_strdup(&c->arena, repositories),
                              arena_strdup(&c->arena, actions), &g);
        if (rc)
            return rc;
    }
    if (add) {
        p = &e.users[e.doc.n_users++];
        *p = (struct principal){.name = name, .generation = 0, .enabled = true};
    }
    if (grants)
        add_grant(c, p, &g);
    if (add || !strcmp(c->row->name, "passwd")) {
        rc = new_hash(c, &p->password_hash);
        if (rc)
            return rc;
    }
    bool revoke = !strcmp(c->row->name, "revoke");
    if (revoke && registry && !drop_grants(c, p, registry))
        return cli_fail(EXIT_FAILED, "%s: user %s has no grant on %s", e.path, name, registry);
    if (strcmp(c->row->name, "grant") != 0)
        p->generation++;
    if (!strcmp(c->row->name, "remove"))
        memmove(p, p + 1, (size_t)(e.users + e.doc.n_users-- - p - 1) * sizeof *p);
    static const char *const said[] = {[1] = "added",
                                       [2] = "has a new password",
                                       [3] = "has a new grant",
                                       [4] = "has no valid refresh token any more",
                                       [5] = "removed"};
    const char *done = said[row];
    if (revoke && registry)
        done = "has lost what was granted on that registry";
    return principals_edit_commit(&e, false, "user %s %s", name, done);
}

static int user_add(struct cli *c, int argc, char **argv)
{
    return user_change(c, argc, argv, 1);
}

static int user_passwd(struct cli *c, int argc, char **argv)
{
    return user_change(c, argc, argv, 2);
}

static int user_grant(struct cli *c, int argc, char **argv)
{
    return user_change(c, argc, argv, 3);
}

static int user_revoke(struct cli *c, int argc, char **argv)
{
    return user_change(c, argc, argv, 4);
}

static int user_remove(struct cli *c, int argc, char **argv)
{
    return user_change(c, argc, argv, 5);
}

static const char *actions_text(struct cli *c, unsigned actions)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    grant_words_format(actions, ",", &b); // as --actions takes it
    return arena_strdup(&c->arena, buf_cstr(&b));
}

static int user_list(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    const struct opt rows[] = {
        {0, "principals", "FILE", "the file (default: beside the topology)", &path, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    if (!rc)
        rc = principals_edit_begin(c, path, false, &e);
    if (rc)
        return rc;
    json_t *list = json_array();
    size_t n = 1;
    for (size_t i = 0; i < e.doc.n_users; i++) {
        if (e.users[i].n_grants)
            n += e.users[i].n_grants;
        else
            n++;
    }
    const char **cells = arena_array(&c->arena, n * 5, sizeof *cells), **row = cells + 5;
    const char *head[] = {"user", "enabled", "registry", "repositories", "actions"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < e.doc.n_users; i++) {
        const struct principal *p = &e.users[i];
        json_t *grants = json_array();
        for (size_t j = 0; j == 0 || j < p->n_grants; j++, row += 5) {
            const struct grant *g = NULL;
            if (p->n_grants)
                g = &p->grants[j];
            const char *repos = "";
            for (size_t k = 0; g && k < g->n_repositories; k++)
                repos = arena_printf(&c->arena, "%s%s%s", repos, k ? "," : "", g->repositories[k]);
            const char *line[] = {p->name, p->enabled ? "true" : "false", g ? g->registry : "",
                                  repos, g ? actions_text(c, g->actions) : ""};
            memcpy(row, line, sizeof line);
            if (g)
                json_array_append_new(grants, json_pack("{s:s, s:s, s:s}", "registry", g->registry,
                                                        "repositories", repos, "actions", line[4]));
        }
        json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:o}", "name", p->name, "enabled",
                                              p->enabled, "generation", (json_int_t)p->generation,
                                              "grants", grants));
    }
    if (cli_json(c))
        return cli_print_json(c, list);
    json_decref(list);
    cli_table(cells, n, 5);
    return EXIT_DONE;
}

static const struct command user_cmds[] = {
    {"list",
     "users and their grants",
     "[--principals FILE]",
     user_list,
     USES_TOPOLOGY,
     0,
     0,
     {"meridian user list", "meridian user list -o tsv --query '[].name'"}},
    {"add",
     "a new user",
     "NAME [--registry R --repositories LIST --actions LIST]",
     user_add,
     USES_TOPOLOGY | USES_PASSWORD,
     1,
     1,
     {"meridian user add ada -n contoso",
      "meridian user add ada -n contoso --repositories 'app/*' --actions pull --password-stdin"}},
    {"passwd",
     "a new password; ends the refresh tokens",
     "NAME",
     user_passwd,
     USES_TOPOLOGY | USES_PASSWORD,
     1,
     1,
     {"meridian user passwd ada", "meridian user passwd ada --password-file pw"}},
    {"grant",
     "one more grant",
     "NAME --registry R [--repositories LIST]",
     user_grant,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian user grant ada -n fabrikam",
      "meridian user grant ada -n fabrikam --repositories app --actions pull"}},
    {"revoke",
     "end the refresh tokens",
     "NAME",
     user_revoke,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian user revoke ada", "meridian user revoke ada -n contoso"}},
    {"remove",
     "take the user away",
     "NAME",
     user_remove,
     USES_TOPOLOGY | TAKES_AWAY,
     1,
     1,
     {"meridian user remove ada", "meridian user remove ada --yes"}},
    {"import",
     "take the users of an htpasswd file over",
     "--htpasswd FILE [--registry R]",
     user_import,
     USES_TOPOLOGY,
     0,
     0,
     {"meridian user import --htpasswd htpasswd",
      "meridian user import --htpasswd htpasswd -n contoso --actions pull --dry-run"}},
};

int cmd_user(struct cli *c, int argc, char **argv)
{
    return command_group(c, user_cmds, ARRAY_LEN(user_cmds), argc, argv);
}
