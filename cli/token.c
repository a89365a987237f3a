// SPDX-License-Identifier: Apache-2.0
// `meridian token`: named tokens of principals.yaml, what machines log in with (config/principals.h).
// Nodes that watch the file follow within a second.
#include "cli/token.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct ask { // the words of a command
    const char *path, *registry, *scope_map, *repositories, *lifetime, *refresh, *enabled;
    struct expiry_ask expiry;
    const char *name;
};

static int ask_read(struct cli *c, struct ask *a, int argc, char **argv)
{
    const struct opt rows[] = {
        PRINCIPALS_OPT(&a->path),
        {'n', "registry", "REGISTRY", "the registry that the token is of", &a->registry, NULL},
        {0, "scope-map", "MAP", "what it may do: a scope map, or a ready-made one (_pull …)",
         &a->scope_map, NULL},
        {0, "repositories", "LIST", "only there: names, prefixes ending in /*, or *",
         &a->repositories, NULL},
        {0, "lifetime", "DURATION", "of the access tokens that it gets, 1m to 1h (15m)",
         &a->lifetime, NULL},
        {0, "refresh", "WORD", "whether it gets refresh tokens: allowed or refused (refused)",
         &a->refresh, NULL},
        {0, "enabled", "WORD", "true or false", &a->enabled, NULL},
        EXPIRY_OPTS(a->expiry)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc == 2)
        a->name = argv[1];
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "token %s: give one NAME", c->row->name);
    return 0;
}

static int named_read(struct cli *c, struct ask *a, int argc, char **argv)
{
    int rc = ask_read(c, a, argc, argv);
    if (!rc && !a->name)
        rc = cli_fail(EXIT_USAGE, "token %s: give a NAME", c->row->name);
    return rc;
}

int token_find(struct principals_edit *e, const char *name, struct principal **out)
{
    *out = principals_edit_token(e, name);
    if (*out)
        return 0;
    return cli_fail(EXIT_FAILED, "%s: there is no token %s", e->path, name);
}

struct named_token *token_change(struct cli *c, struct principal *p)
{
    struct named_token *t = arena_copy(&c->arena, p->token, sizeof *t);
    p->token = t;
    return t;
}

// --- what create and update set ---

static int lifetime_set(struct named_token *t, const char *text)
{
    uint64_t ms;
    if (!text)
        return 0;
    if (duration_parse(text, &ms) || ms < 1000ull * ACCESS_LIFETIME_MIN_S ||
        ms > 1000ull * ACCESS_LIFETIME_MAX_S)
        return cli_fail(EXIT_USAGE, "--lifetime: from 1m to 1h, not %s", text);
    t->lifetime_s = (uint32_t)(ms / 1000);
    return 0;
}

static int refresh_set(struct named_token *t, const char *text)
{
    if (!text)
        return 0;
    t->refreshes = !strcmp(text, "allowed");
    if (!t->refreshes && strcmp(text, "refused") != 0)
        return cli_fail(EXIT_USAGE, "--refresh: allowed or refused, not %s", text);
    return 0;
}

static int enabled_set(struct principal *p, const char *text)
{
    if (!text)
        return 0;
    p->enabled = !strcmp(text, "true");
    if (!p->enabled && strcmp(text, "false") != 0)
        return cli_fail(EXIT_USAGE, "--enabled: true or false, not %s", text);
    return 0;
}

static int ask_apply(struct cli *c, const struct ask *a, struct principal *p, struct named_token *t)
{
    if (a->scope_map)
        t->scope_map = a->scope_map;
    if (a->repositories)
        t->repositories = principals_words(c, a->repositories, &t->n_repositories);
    int rc = lifetime_set(t, a->lifetime);
    if (!rc)
        rc = refresh_set(t, a->refresh);
    if (!rc)
        rc = enabled_set(p, a->enabled);
    return rc;
}

// --- the commands ---

static int create_in(struct principals_edit *e, const struct ask *a)
{
    struct named_token *t = arena_alloc(&e->c->arena, sizeof *t);
    *t = (struct named_token){.registry = a->registry, .lifetime_s = ACCESS_LIFETIME_S};
    struct principal p = {.name = a->name, .generation = 1, .enabled = true, .token = t};
    int64_t expires_s;
    const char *password;
    int rc = ask_apply(e->c, a, &p, t);
    if (!rc)
        rc = token_expiry(&a->expiry, &expires_s);
    if (!rc)
        rc = token_password_put(e->c, t, 1, expires_s, &password);
    if (rc)
        return rc;
    e->tokens[e->doc.n_tokens++] = p;
    rc = principals_edit_commit(e, true, "token %s of registry %s is made", a->name, a->registry);
    if (!rc)
        rc = token_password_show(e->c, a->name, 1, password, expires_s);
    return rc;
}

static int token_create(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc && (!a.registry || !a.scope_map))
        rc = cli_fail(EXIT_USAGE, "token create: give --registry and --scope-map");
    if (!rc && !principals_registry_known(c, a.registry))
        rc = EXIT_FAILED;
    if (!rc)
        rc = principals_edit_begin(c, a.path, true, &e);
    if (rc)
        return rc;
    if (principals_edit_token(&e, a.name))
        return cli_fail(EXIT_FAILED, "token %s is there already; use update", a.name);
    if (principals_edit_user(&e, a.name))
        return cli_fail(EXIT_FAILED, "a user has the name %s", a.name);
    return create_in(&e, &a);
}

static int token_update(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct principal *p;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc && (a.registry || a.expiry.in || a.expiry.at))
        rc = cli_fail(EXIT_USAGE, "token update: a token's registry stays, and the end of its "
                                  "passwords is given with credential generate");
    if (!rc)
        rc = principals_edit_begin(c, a.path, false, &e);
    if (!rc)
        rc = token_find(&e, a.name, &p);
    if (!rc)
        rc = ask_apply(c, &a, p, token_change(c, p));
    if (rc)
        return rc;
    return principals_edit_commit(&e, false, "token %s is changed", a.name);
}

static int token_delete(struct cli *c, int argc, char **argv)
{
    struct ask a = {0};
    struct principal *p;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = named_read(c, &a, argc, argv);
    if (!rc)
        rc = principals_edit_begin(c, a.path, false, &e);
    if (!rc)
        rc = token_find(&e, a.name, &p);
    if (rc)
        return rc;
    memmove(p, p + 1, (e.doc.n_tokens - (size_t)(p - e.tokens) - 1) * sizeof *p);
    e.doc.n_tokens--;
    return principals_edit_commit(&e, false, "token %s is gone", a.name);
}

// --- showing ---

static const char *list_text(struct cli *c, const char *const *list, size_t n)
{
    const char *text = "";
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&c->arena, "%s%s%s", text, i ? "," : "", list[i]);
    return text;
}

static const char *end_text(int64_t expires_s, char buf[CLOCK_TEXT_SIZE])
{
    if (expires_s)
        return clock_format_s(expires_s, buf);
    return "never";
}

static json_t *passwords_json(const struct named_token *t)
{
    char created[CLOCK_TEXT_SIZE] = "", ends[CLOCK_TEXT_SIZE];
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_passwords; i++) {
        const struct token_password *w = &t->passwords[i];
        if (w->created_s)
            clock_format_s(w->created_s, created);
        json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "id", (int)w->id, "created",
                                              created, "expires", end_text(w->expires_s, ends)));
    }
    return list;
}

// "1 never, 2 2027-01-31T00:00:00Z"
static const char *passwords_text(struct cli *c, const struct named_token *t)
{
    char ends[CLOCK_TEXT_SIZE];
    const char *text = "";
    for (size_t i = 0; i < t->n_passwords; i++)
        text = arena_printf(&c->arena, "%s%s%u %s", text, i ? ", " : "", t->passwords[i].id,
                            end_text(t->passwords[i].expires_s, ends));
    return text;
}

static json_t *token_json(struct cli *c, const struct principal *p)
{
    const struct named_token *t = p->token;
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "name", p->name, "registry", t->registry, "scopeMap",
                  t->scope_map, "repositories", list_text(c, t->repositories, t->n_repositories));
    json_object_set_new(o, "enabled", json_string(p->enabled ? "true" : "false"));
    json_object_set_new(o, "lifetime",
                        json_string(arena_printf(&c->arena, "%" PRIu32 "s", t->lifetime_s)));
    json_object_set_new(o, "refresh", json_string(t->refreshes ? "allowed" : "refused"));
    if (cli_json(c))
        json_object_set_new(o, "passwords", passwords_json(t));
    else
        json_object_set_new(o, "passwords", json_string(passwords_text(c, t)));
    return o;
}

static int token_print(struct cli *c, size_t row, int argc, char **argv)
{
    static const char *const columns[] = {"name",    "registry", "scopeMap", "repositories",
                                          "enabled", "lifetime", "refresh",  "passwords"};
    struct ask a = {0};
    struct principal *p;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = ask_read(c, &a, argc, argv);
    if (!rc && row == 1 && !a.name)
        rc = cli_fail(EXIT_USAGE, "token show: give a NAME");
    if (!rc)
        rc = principals_edit_begin(c, a.path, false, &e);
    if (!rc && a.name)
        rc = token_find(&e, a.name, &p);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < e.doc.n_tokens; i++) {
        bool asked = !a.name || !strcmp(a.name, e.tokens[i].name);
        if (asked && (!a.registry || !strcmp(a.registry, e.tokens[i].token->registry)))
            json_array_append_new(list, token_json(c, &e.tokens[i]));
    }
    if (cli_json(c))
        return cli_print_json(c, list);
    return cli_print_array(c, list, columns, ARRAY_LEN(columns));
}

static int token_list(struct cli *c, int argc, char **argv)
{
    return token_print(c, 0, argc, argv);
}

static int token_show(struct cli *c, int argc, char **argv)
{
    return token_print(c, 1, argc, argv);
}

static const struct command token_cmds[] = {
    {"list",
     "named tokens",
     "[-n R]",
     token_list,
     USES_TOPOLOGY,
     0,
     0,
     {"meridian token list", "meridian token list -n contoso -o tsv --query '[].name'"}},
    {"show",
     "one of them",
     "NAME",
     token_show,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian token show ci", "meridian token show ci -o yaml"}},
    {"create",
     "a new one; prints its password, once",
     "NAME -n R --scope-map MAP",
     token_create,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian token create ci -n contoso --scope-map _push --repositories 'app/*'",
      "meridian token create ci -n contoso --scope-map releases --expires-in 90d"}},
    {"update",
     "another scope map, repositories, lifetime …",
     "NAME [--scope-map MAP …]",
     token_update,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian token update ci --scope-map releases", "meridian token update ci --enabled false"}},
    {"delete",
     "take it away",
     "NAME",
     token_delete,
     USES_TOPOLOGY | TAKES_AWAY,
     0,
     1,
     {"meridian token delete ci", "meridian token delete ci --yes"}},
    {"credential", "its passwords", "generate | delete", token_credential},
    {"refresh", "the refresh tokens that a region has issued", "list -n R", token_refresh},
    {"revoke",
     "a token is none any more, in any region",
     "ID | --token-file FILE",
     token_revoke,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian token revoke 00112233445566778899aabbccddeeff",
      "meridian token revoke --token-file token.jwt"}},
};

int cmd_token(struct cli *c, int argc, char **argv)
{
    return command_group(c, token_cmds, ARRAY_LEN(token_cmds), argc, argv);
}
