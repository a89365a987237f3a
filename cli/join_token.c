// SPDX-License-Identifier: Apache-2.0
// `meridian join-token`: tokens with which regions join (fleet/join_token.h). The token's secret is
// made here and printed; the fleet gets its public half, so no node ever has it. And `meridian
// region replace`, which makes a token for a region whose node is lost.
#include "cli/join_token.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/request.h"
#include "cli/show.h"
#include "config/options.h"
#include "config/topology_control.h"
#include "fleet/join_record.h"

#include <stdio.h>
#include <string.h>

// What a token says of the fleet: where the writer is, its key, the CA.
static int token_fill(struct cli *c, const json_t *tokens, struct join_token *t)
{
    const struct region *w = topology_writer(c->topo);
    const char *ca = json_text(tokens, "ca");
    char hex[65];
    if (!w || !w->n_control_keys)
        return cli_fail(EXIT_FAILED,
                        "the topology in force names no writer with a control key: the "
                        "fleet does not carry it by itself (see `meridian control "
                        "adopt`)");
    if (join_token_set_ca(t, bytes_str(ca)))
        return cli_fail(EXIT_FAILED, "%s does not say what the fleet's CA is", cli_node_name(c));
    const struct public_key *key = &w->control_keys[w->n_control_keys - 1];
    if (signing_key_fingerprint(key->spki_b64, hex) || hex_parse(hex, 64, t->writer_key, 32))
        return cli_fail(EXIT_FAILED, "the writer's control key cannot be read");
    snprintf(t->domain, sizeof t->domain, "%s", c->topo->domain);
    snprintf(t->writer, sizeof t->writer, "%s", w->name);
    t->at[0] = w->peer;
    t->n_at = 1;
    if (w->peer.port)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "the topology has no peer address of %s", w->name);
}

static int token_show(struct cli *c, const struct join_token *t)
{
    AUTO_BUF struct buf text;
    buf_init(&text, JOIN_TOKEN_MAX_BYTES);
    char at[CLOCK_TEXT_SIZE];
    int rc = join_token_format(t, &text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s", err_text(rc));
    if (cli_json(c)) {
        rc = cli_print_json(c, json_pack("{s:s, s:s, s:s, s:s}", "token", buf_cstr(&text), "id",
                                         t->id, "region", t->region, "expires",
                                         clock_format(t->expires_ms, at)));
    } else {
        printf("%s\n", buf_cstr(&text));
        fprintf(stderr,
                "token %s lets %s join once, until %s; it is a secret. On the new machine:\n"
                "  meridian fleet join - --address ADDRESS < FILE\n",
                t->id, t->region, clock_format(t->expires_ms, at));
    }
    explicit_bzero(text.p, text.n);
    return rc;
}

static int token_ask(struct cli *c, struct join_token *t, bool replace)
{
    struct signing_key *key = NULL;
    json_t *tokens = NULL;
    int rc = cli_topology_in_force(c);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/join-tokens", &tokens);
    if (!rc)
        rc = token_fill(c, tokens, t);
    json_decref(tokens);
    if (rc)
        return rc;
    if (join_token_key(t, &key))
        return cli_fail(EXIT_FAILED, "no key can be made");
    json_t *answer = NULL;
    rc = cli_request_answer(
        c,
        &(struct request){.verb = "join-token create",
                          .object = t->region,
                          .arguments =
                              json_pack("{s:s, s:I, s:b}", "key", signing_key_spki(key), "expires",
                                        (json_int_t)t->expires_ms, "replace", (int)replace)},
        &answer);
    json_decref(answer);
    signing_key_free(key);
    return rc;
}

int join_token_make(struct cli *c, const char *region, const char *valid, bool replace)
{
    struct join_token t;
    uint64_t life_ms = JOIN_LIFE_MS;
    if (valid && (duration_parse(valid, &life_ms) || life_ms < 60000 || life_ms > JOIN_LIFE_MAX_MS))
        return cli_fail(EXIT_USAGE, "--valid %s: a time such as 30m, from 1m to 24h", valid);
    if (!hostname_region_ok(region))
        return cli_fail(EXIT_USAGE,
                        "\"%s\" is not a region's name: a letter, then at most 30 letters "
                        "and digits",
                        region);
    if (join_token_new(&t))
        return cli_fail(EXIT_FAILED, "no random bytes");
    snprintf(t.region, sizeof t.region, "%s", region);
    t.expires_ms = clock_wall_ms() + (int64_t)life_ms;
    int rc = token_ask(c, &t, replace);
    if (!rc && !c->what_if)
        rc = token_show(c, &t);
    explicit_bzero(&t, sizeof t);
    return rc;
}

static int create(struct cli *c, int argc, char **argv)
{
    const char *valid = NULL;
    const struct opt rows[] = {{0, "valid", "TIME", "how long; 1h when not given", &valid}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return join_token_make(c, argv[1], valid, false);
}

static int revoke(struct cli *c, int argc, char **argv)
{
    return cli_request_word(c, "join-token revoke", argc, argv);
}

static int list(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"id", "region", "state", "expires", "by", "refused"};
    json_t *doc = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/join-tokens", &doc);
    if (rc)
        return rc;
    json_t *tokens = json_incref(json_object_get(doc, "tokens"));
    json_decref(doc);
    return cli_print_rows(c, tokens, columns, ARRAY_LEN(columns));
}

static const struct command join_token_cmds[] = {
    {"create",
     "make a token with which one region joins, once and for a short time",
     "REGION [--valid TIME]",
     create,
     USES_CHANGE,
     1,
     1,
     {"meridian join-token create westeurope",
      "meridian join-token create westeurope --valid 15m -o tsv --query token"}},
    {"list",
     "tokens that were made, and what became of them",
     "",
     list,
     USES_ADMIN,
     0,
     0,
     {"meridian join-token list", "meridian join-token list -o json --query '[].state'"}},
    {"revoke",
     "make a token useless",
     "ID",
     revoke,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian join-token revoke 00a1b2c3d4e5f607",
      "meridian join-token revoke 00a1b2c3d4e5f607 --yes"}},
};

int cmd_join_token(struct cli *c, int argc, char **argv)
{
    return command_group(c, join_token_cmds, ARRAY_LEN(join_token_cmds), argc, argv);
}
