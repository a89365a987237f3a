// SPDX-License-Identifier: Apache-2.0
// `meridian token refresh list`: the refresh tokens that a region has issued, as the node whose admin
// socket is here says. `meridian token revoke`: a token that was given out, of whichever region, is
// none any more: its id goes into principals.yaml, and travels with it.
#include "cli/token.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

// --- listing ---

#define PAGES_MAX 256
#define TOKEN_FILE_MAX (64u << 10)

static const struct command refresh_cmds[];

struct list_ask {
    const char *registry, *principal, *state;
};

static void page_add(json_t *all, json_t *page, const struct list_ask *ask)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(page, "tokens"), i, t)
    {
        const char *state = json_string_value(json_object_get(t, "state"));
        if (!ask->state || (state && !strcmp(state, ask->state)))
            json_array_append(all, t);
    }
}

// All pages, into `all`; *out_region: whose list it is.
static int pages_read(struct cli *c, const struct list_ask *ask, json_t *all,
                      const char **out_region)
{
    const char *next = "";
    for (int i = 0; i < PAGES_MAX; i++) {
        json_t *doc = NULL;
        const char *path = arena_printf(&c->arena, "/v1/tokens/issued?registry=%s&n=1000",
                                        cli_urlencode(c, ask->registry));
        if (ask->principal)
            path =
                arena_printf(&c->arena, "%s&principal=%s", path, cli_urlencode(c, ask->principal));
        if (*next)
            path = arena_printf(&c->arena, "%s&cursor=%s", path, cli_urlencode(c, next));
        int rc = cli_admin(c, "GET", path, &doc);
        const char *region = json_string_value(json_object_get(doc, "region"));
        const char *more = json_string_value(json_object_get(doc, "next"));
        if (!rc && (!region || !more))
            rc = cli_fail(EXIT_FAILED, "%s: not an answer that is understood here",
                          cli_node_name(c));
        if (!rc) {
            page_add(all, doc, ask);
            *out_region = arena_strdup(&c->arena, region);
            next = arena_strdup(&c->arena, more);
        }
        json_decref(doc);
        if (rc || !*next)
            return rc;
    }
    cli_complain("there are more; name a --principal");
    return 0;
}

static int refresh_list(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"id",     "principal", "client",
                                          "issued", "expires",   "state"};
    struct list_ask ask = {0};
    const struct opt rows[] = {
        {'n', "registry", "REGISTRY", "of this registry", &ask.registry, NULL},
        {0, "principal", "NAME", "only of this user or token", &ask.principal, NULL},
        {0, "state", "WORD", "only these: valid, revoked, ended, expired", &ask.state, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && (argc != 1 || !ask.registry))
        rc = cli_fail(EXIT_USAGE, "token refresh list: give --registry");
    if (rc)
        return rc;
    const char *region = "";
    json_t *all = json_array();
    rc = pages_read(c, &ask, all, &region);
    if (rc) {
        json_decref(all);
        return rc;
    }
    if (cli_json(c))
        return cli_print_json(c, json_pack("{s:s, s:o}", "region", region, "tokens", all));
    rc = cli_print_array(c, all, columns, ARRAY_LEN(columns));
    if (!rc)
        printf("issued by region %s; other regions keep lists of their own\n", region);
    return rc;
}

static const struct command refresh_cmds[] = {
    {"list",
     "those that this region has issued",
     "-n R [--principal NAME]",
     refresh_list,
     USES_ADMIN,
     0,
     0,
     {"meridian token refresh list -n contoso",
      "meridian token refresh list -n contoso --state valid --principal ada"}},
};

int token_refresh(struct cli *c, int argc, char **argv)
{
    return command_group(c, refresh_cmds, ARRAY_LEN(refresh_cmds), argc, argv);
}

// --- revoking ---

#define LIFETIME_LONGEST_S (90 * 86400) // of any token that a region accepts

// What a token says of itself: nobody need believe it, since all that is done with it is to refuse
// a token with that id.
static int token_read(struct cli *c, const char *path, const char **out_id, int64_t *out_expires_s)
{
    AUTO_BUF struct buf text;
    buf_init(&text, TOKEN_FILE_MAX + 1);
    int rc = file_read(path, TOKEN_FILE_MAX, &text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be read: %s", path, err_text(rc));
    buf_u8(&text, 0);
    if (text.err)
        return cli_fail(EXIT_FAILED, "out of memory");
    char *payload = strchr(text.p, '.'), *end = NULL;
    if (payload)
        end = strchr(++payload, '.');
    size_t n = 0;
    uint8_t *json = arena_alloc(&c->arena, TOKEN_FILE_MAX);
    json_t *claims = NULL;
    if (end && !b64url_parse(payload, (size_t)(end - payload), json, TOKEN_FILE_MAX, &n))
        claims = json_loadb((const char *)json, n, 0, NULL);
    const char *id = json_string_value(json_object_get(claims, "jti"));
    json_int_t expires = json_integer_value(json_object_get(claims, "exp"));
    explicit_bzero(text.p, text.n);
    rc = EXIT_DONE;
    if (!id || expires <= 0)
        rc = cli_fail(EXIT_FAILED, "%s: there is no token in it", path);
    else
        *out_id = arena_strdup(&c->arena, id);
    *out_expires_s = expires;
    json_decref(claims);
    return rc;
}

static int revoke_ask(struct cli *c, int argc, char **argv, const char **out_path,
                      const char **out_id, int64_t *out_expires_s)
{
    const char *file = NULL, *at = NULL;
    const struct opt rows[] = {
        PRINCIPALS_OPT(out_path),
        {0, "token-file", "FILE", "the token itself, instead of its id", &file, NULL},
        {0, "expires", "TIME",
         "when the token ends by itself (as the list says); then the entry "
         "goes. Without it: in 90 days",
         &at, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if ((argc == 2) == (file != NULL) || argc > 2)
        return cli_fail(EXIT_USAGE, "token revoke: give the ID of one token, or --token-file");
    *out_expires_s = clock_wall_ms() / 1000 + LIFETIME_LONGEST_S;
    if (file)
        return token_read(c, file, out_id, out_expires_s);
    *out_id = argv[1];
    if (at && clock_parse_s(at, out_expires_s))
        return cli_fail(EXIT_USAGE, "--expires: a time in UTC, as in 2027-01-31T00:00:00Z, not %s",
                        at);
    return 0;
}

int token_revoke(struct cli *c, int argc, char **argv)
{
    const char *path = NULL, *id = NULL;
    char ends[CLOCK_TEXT_SIZE];
    int64_t expires_s;
    int rc = revoke_ask(c, argc, argv, &path, &id, &expires_s);
    if (rc)
        return rc;
    const struct principals_call q = {
        .noun = "token",
        .word = "revoke",
        .object = id,
        .arguments = json_pack("{s:s}", "expires", clock_format_s(expires_s, ends)),
        .path = path};
    return principals_call(c, &q);
}
