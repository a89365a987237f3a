// SPDX-License-Identifier: Apache-2.0
// `meridian token credential`: the two passwords of a named token. While they are rotated both are
// good: generate the second, give it to the clients, delete the first. A refresh token ends with the
// password that got it.
#include "cli/token.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/principals.h"

#include <stdio.h>
#include <string.h>

int token_expiry(const struct expiry_ask *ask, int64_t *out_s)
{
    uint64_t ms;
    int64_t now_s = clock_wall_ms() / 1000;
    *out_s = 0;
    if (ask->in && ask->at)
        return cli_fail(EXIT_USAGE, "give --expires-in or --expires, not both");
    if (ask->in && duration_parse(ask->in, &ms))
        return cli_fail(EXIT_USAGE, "--expires-in: a time as in 90d or 12h, not %s", ask->in);
    if (ask->in)
        *out_s = now_s + (int64_t)(ms / 1000);
    if (ask->at && clock_parse_s(ask->at, out_s))
        return cli_fail(EXIT_USAGE, "--expires: a time in UTC, as in 2027-01-31T00:00:00Z, not %s",
                        ask->at);
    if ((ask->in || ask->at) && *out_s <= now_s)
        return cli_fail(EXIT_USAGE, "the password would have ended already");
    return 0;
}

int token_password_new(struct token_made *m, json_t *o)
{
    char hash[PASSWORD_HASH_SIZE], ends[CLOCK_TEXT_SIZE];
    int rc = token_password_make(m->id, m->password);
    if (!rc)
        rc = password_hash(m->password, hash);
    if (rc)
        return cli_fail(EXIT_FAILED, "the password cannot be made: %s", err_text(rc));
    json_object_set_new(o, "id", json_integer(m->id));
    json_object_set_new(o, "passwordHash", json_string(hash));
    if (m->expires_s)
        json_object_set_new(o, "expires", json_string(clock_format_s(m->expires_s, ends)));
    return 0;
}

int token_password_show(struct cli *c, void *ctx)
{
    const struct token_made *m = ctx;
    char ends[CLOCK_TEXT_SIZE] = "";
    if (m->expires_s)
        clock_format_s(m->expires_s, ends);
    if (cli_json(c))
        return cli_print_json(c, json_pack("{s:s, s:i, s:s, s:s}", "name", m->name, "id",
                                           (int)m->id, "password", m->password, "expires", ends));
    fprintf(stderr, "password %u of token %s, which is shown this once%s%s:\n", m->id, m->name,
            *ends ? "; it ends at " : "", ends);
    puts(m->password);
    return EXIT_DONE;
}

// 1 or 2
static unsigned id_of(const char *text)
{
    return *text == '1' ? 1 : 2;
}

// Is the place of this password free: not there, or ended?
static bool id_free(const json_t *token, unsigned id)
{
    const json_t *w;
    size_t i;
    int64_t ends_s;
    json_array_foreach(json_object_get(token, "passwords"), i, w)
    {
        const char *expires = json_string_value(json_object_get(w, "expires"));
        if (json_integer_value(json_object_get(w, "id")) != (json_int_t)id)
            continue;
        return expires && !clock_parse_s(expires, &ends_s) && ends_s <= clock_wall_ms() / 1000;
    }
    return true;
}

static const json_t *token_in(const json_t *view, const char *name)
{
    const json_t *t;
    size_t i;
    json_array_foreach(json_object_get(view, "tokens"), i, t)
    {
        const char *its = json_string_value(json_object_get(t, "name"));
        if (its && !strcmp(its, name))
            return t;
    }
    return NULL;
}

// The place that is free; with both in use somebody must say which one goes.
static int id_choose(struct cli *c, const char *path, const char *name, unsigned *out)
{
    json_t *view = NULL;
    int rc = principals_read(c, path, false, &view);
    if (rc)
        return rc;
    const json_t *token = token_in(view, name);
    if (!token)
        rc = cli_fail(EXIT_FAILED, "%s: there is no token %s", c->path, name);
    else if (id_free(token, 1))
        *out = 1;
    else if (id_free(token, 2))
        *out = 2;
    else
        rc = cli_fail(EXIT_FAILED,
                      "token %s has two passwords: say with --id which one is replaced", name);
    json_decref(view);
    return rc;
}

static int generate(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *id = NULL;
    struct expiry_ask expiry = {0};
    struct token_made made = {0};
    const struct opt rows[] = {PRINCIPALS_OPT(&path),
                               {0, "id", "1|2", "which of the two", &id, .choices = "1|2"},
                               EXPIRY_OPTS(expiry)};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = token_expiry(&expiry, &made.expires_s);
    if (rc)
        return rc;
    made.name = argv[1];
    if (id)
        made.id = id_of(id);
    else
        rc = id_choose(c, path, argv[1], &made.id);
    if (rc)
        return rc;
    json_t *o = json_object();
    const struct principals_call q = {.noun = "token",
                                      .word = "credential generate",
                                      .object = argv[1],
                                      .arguments = o,
                                      .path = path,
                                      .show = token_password_show,
                                      .ctx = &made};
    rc = token_password_new(&made, o);
    if (!rc)
        return principals_call(c, &q);
    json_decref(o);
    return rc;
}

static int drop(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *id = NULL;
    const struct opt rows[] = {PRINCIPALS_OPT(&path),
                               {0, "id", "1|2", "which of the two", &id, .choices = "1|2"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && !id)
        rc = cli_fail(EXIT_USAGE, "%s: give --id", c->path);
    if (rc)
        return rc;
    const struct principals_call q = {.noun = "token",
                                      .word = "credential delete",
                                      .object = argv[1],
                                      .arguments = json_pack("{s:i}", "id", (int)id_of(id)),
                                      .path = path};
    return principals_call(c, &q);
}

static const struct command credential_cmds[] = {
    {"generate",
     "a new password, which is printed once",
     "NAME [--id 1|2] [--expires-in 90d]",
     generate,
     USES_TOPOLOGY | USES_CHANGE,
     1,
     1,
     {"meridian token credential generate ci",
      "meridian token credential generate ci --id 2 --expires-in 90d"}},
    {"delete",
     "end a password, and the refresh tokens that it got",
     "NAME --id 1|2",
     drop,
     USES_TOPOLOGY | USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian token credential delete ci --id 1",
      "meridian token credential delete ci --id 1 --yes"}},
};

int token_credential(struct cli *c, int argc, char **argv)
{
    return command_group(c, credential_cmds, ARRAY_LEN(credential_cmds), argc, argv);
}
