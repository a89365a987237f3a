// SPDX-License-Identifier: Apache-2.0
// `meridian token credential`: the two passwords of a named token. While they are rotated both are
// good: generate the second, give it to the clients, delete the first. A refresh token ends with the
// password that got it.
#include "cli/token.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/password.h"

#include <stdio.h>
#include <string.h>

static const struct command credential_cmds[];

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

static struct token_password *slot_of(struct named_token *t, unsigned id)
{
    for (size_t i = 0; i < t->n_passwords; i++)
        if (t->passwords[i].id == id)
            return &t->passwords[i];
    return NULL;
}

int token_password_put(struct cli *c, struct named_token *t, unsigned id, int64_t expires_s,
                       const char **out)
{
    char *password = arena_alloc(&c->arena, TOKEN_PASSWORD_SIZE), hash[PASSWORD_HASH_SIZE];
    int rc = token_password_make(id, password);
    if (!rc)
        rc = password_hash(password, hash);
    if (rc)
        return cli_fail(EXIT_FAILED, "the password cannot be made: %s", err_text(rc));
    struct token_password *slot = slot_of(t, id);
    if (!slot)
        slot = &t->passwords[t->n_passwords++];
    *slot = (struct token_password){id, arena_strdup(&c->arena, hash), clock_wall_ms() / 1000,
                                    expires_s};
    *out = password;
    return 0;
}

int token_password_show(struct cli *c, const char *name, unsigned id, const char *password,
                        int64_t expires_s)
{
    char ends[CLOCK_TEXT_SIZE] = "";
    if (expires_s)
        clock_format_s(expires_s, ends);
    if (cli_json(c))
        return cli_print_json(c, json_pack("{s:s, s:i, s:s, s:s}", "name", name, "id", (int)id,
                                           "password", password, "expires", ends));
    fprintf(stderr, "password %u of token %s, which is shown this once%s%s:\n", id, name,
            *ends ? "; it ends at " : "", ends);
    puts(password);
    return EXIT_DONE;
}

// 1 or 2; 0: neither, said.
static unsigned id_read(const char *text)
{
    if (!strcmp(text, "1"))
        return 1;
    if (!strcmp(text, "2"))
        return 2;
    cli_complain("--id: 1 or 2, not %s", text);
    return 0;
}

// The one that is free, or has ended; with both in use somebody must say which one goes.
static unsigned id_free(struct named_token *t)
{
    int64_t now_s = clock_wall_ms() / 1000;
    for (unsigned id = 1; id <= TOKEN_PASSWORDS; id++) {
        const struct token_password *w = slot_of(t, id);
        if (!w || (w->expires_s && w->expires_s <= now_s))
            return id;
    }
    return 0;
}

static int generate(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *id_text = NULL, *password;
    struct expiry_ask expiry = {0};
    const struct opt rows[] = {PRINCIPALS_OPT(&path),
                               {0, "id", "1|2", "which of the two", &id_text, NULL},
                               EXPIRY_OPTS(expiry)};
    int64_t expires_s;
    struct principal *p;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc != 2)
        rc = cli_fail(EXIT_USAGE, "token credential generate: give one NAME");
    if (!rc)
        rc = token_expiry(&expiry, &expires_s);
    if (!rc)
        rc = principals_edit_begin(c, path, false, &e);
    if (!rc)
        rc = token_find(&e, argv[1], &p);
    if (rc)
        return rc;
    struct named_token *t = token_change(c, p);
    unsigned id = id_text ? id_read(id_text) : id_free(t);
    if (!id && id_text)
        return EXIT_USAGE;
    if (!id)
        return cli_fail(EXIT_FAILED,
                        "token %s has two passwords: say with --id which one is replaced", argv[1]);
    rc = token_password_put(c, t, id, expires_s, &password);
    if (!rc)
        rc = principals_edit_commit(&e, true, "token %s has a new password %u", argv[1], id);
    if (!rc)
        rc = token_password_show(c, argv[1], id, password, expires_s);
    return rc;
}

static int drop(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *id_text = NULL;
    const struct opt rows[] = {PRINCIPALS_OPT(&path),
                               {0, "id", "1|2", "which of the two", &id_text, NULL}};
    struct principal *p;
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && (argc != 2 || !id_text))
        rc = cli_fail(EXIT_USAGE, "token credential delete: give one NAME and --id");
    unsigned id = 0;
    if (!rc)
        id = id_read(id_text);
    if (!rc && !id)
        rc = EXIT_USAGE;
    if (!rc)
        rc = principals_edit_begin(c, path, false, &e);
    if (!rc)
        rc = token_find(&e, argv[1], &p);
    if (rc)
        return rc;
    struct named_token *t = token_change(c, p);
    struct token_password *slot = slot_of(t, id);
    if (!slot)
        return cli_fail(EXIT_FAILED, "%s: token %s has no password %u", e.path, argv[1], id);
    *slot = t->passwords[--t->n_passwords];
    return principals_edit_commit(&e, false, "token %s has no password %u any more", argv[1], id);
}

static const struct command credential_cmds[] = {
    {"generate",
     "a new password, which is printed once",
     "NAME [--id 1|2] [--expires-in 90d]",
     generate,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian token credential generate ci",
      "meridian token credential generate ci --id 2 --expires-in 90d"}},
    {"delete",
     "end a password, and the refresh tokens that it got",
     "NAME --id 1|2",
     drop,
     USES_TOPOLOGY | TAKES_AWAY,
     1,
     1,
     {"meridian token credential delete ci --id 1",
      "meridian token credential delete ci --id 1 --yes"}},
};

int token_credential(struct cli *c, int argc, char **argv)
{
    return command_group(c, credential_cmds, ARRAY_LEN(credential_cmds), argc, argv);
}
