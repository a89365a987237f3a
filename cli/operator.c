// SPDX-License-Identifier: Apache-2.0
// `meridian operator`: whose signed requests the writer takes. The private key is made here and goes
// nowhere; the topology gets its public half.
#include "cli/fleet.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signing_key.h"
#include "cli/request.h"
#include "config/topology_control.h"
#include "control/operators.h"
#include "control/request.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The private key in `out`: made, or, when an earlier call was interrupted, the one that is there.
static int key_make(const char *out, const char **out_spki, struct cli *c)
{
    struct signing_key *k = NULL;
    struct diag diag;
    diag_init(&diag);
    int rc = 0;
    if (access(out, F_OK))
        rc = signing_key_create(out, &diag);
    if (!rc)
        rc = signing_key_open(out, &diag, &k);
    if (!rc) {
        *out_spki = arena_strdup(&c->arena, signing_key_spki(k));
        if (!*out_spki)
            rc = ERR_NOMEM;
    }
    signing_key_free(k);
    rc = fleet_node_said(&diag, rc, out);
    diag_done(&diag);
    return rc;
}

static json_t *rights_json(const struct opt_list *rights)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rights->n; i++)
        json_array_append_new(list, json_string(rights->v[i]));
    if (!rights->n)
        json_array_append_new(list, json_string("all"));
    return list;
}

static int operator_create(struct cli *c, int argc, char **argv)
{
    const char *out = NULL, *key = NULL;
    struct opt_list rights = {0};
    const struct opt rows[] = {
        {0, "out", "FILE", "where the private key goes (0600)", &out},
        {0, "public-key", "BASE64",
         "the public half of a key that the operator made, in the place of --out", &key},
        {0, "rights", "RIGHT",
         "registries, principals, regions, topology, private-endpoints, or all (when not given)",
         .list = &rights}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    unsigned bits;
    if (rc)
        return rc;
    if (!out == !key)
        return cli_fail(EXIT_USAGE, "operator create: give --out FILE or --public-key");
    if (!control_operator_name_ok(argv[1]))
        return cli_fail(EXIT_USAGE,
                        "operator create: \"%s\" is no operator's name: lower-case "
                        "letters and digits, and inner . _ -",
                        argv[1]);
    for (size_t i = 0; i < rights.n; i++)
        if (!control_right_parse(rights.v[i], &bits))
            return cli_fail(EXIT_USAGE, "--rights %s: no such right", rights.v[i]);
    if (out && !c->what_if)
        rc = key_make(out, &key, c);
    if (rc)
        return rc;
    if (!key) // of a what-if: any will do
        key = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    rc = cli_request(c, &(struct request){.verb = "operator create",
                                          .object = argv[1],
                                          .arguments = json_pack("{s:s, s:o}", "key", key, "rights",
                                                                 rights_json(&rights))});
    if (!rc && out && !c->what_if)
        fprintf(stderr,
                "%s holds the private key of %s: whoever has it may change the fleet. Use it with "
                "--operator %s --key %s\n",
                out, argv[1], argv[1], out);
    return rc;
}

static int operator_revoke(struct cli *c, int argc, char **argv)
{
    return cli_request_word(c, "operator revoke", argc, argv);
}

static int operator_list(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"name", "rights", "state", "fingerprint"};
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    json_t *list = json_array();
    const struct control_settings *s = c->topo->control;
    for (size_t i = 0; s && i < s->n_operators; i++) {
        const struct control_operator *o = &s->operators[i];
        char fingerprint[65] = "";
        signing_key_fingerprint(o->key, fingerprint);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", o->name,
                                              "rights", control_rights_text(o->rights, &c->arena),
                                              "state", o->revoked ? "revoked" : "active",
                                              "fingerprint", fingerprint, "key", o->key));
    }
    return cli_print_rows(c, list, columns, ARRAY_LEN(columns));
}

static const struct command operator_cmds[] = {
    {"create",
     "let an operator change the fleet by requests that a key of theirs signs",
     "NAME --out FILE [--rights RIGHT]",
     operator_create,
     USES_CHANGE,
     1,
     1,
     {"meridian operator create ada --out ada.pem",
      "meridian operator create ci --out ci.pem --rights registries --rights principals"}},
    {"list",
     "whose requests the writer takes",
     "",
     operator_list,
     USES_ADMIN | USES_TOPOLOGY,
     0,
     0,
     {"meridian operator list", "meridian operator list -o tsv --query '[].name'"}},
    {"revoke",
     "take an operator's key out of use, for ever",
     "NAME",
     operator_revoke,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian operator revoke ada", "meridian operator revoke ci --yes"}},
};

int cmd_operator(struct cli *c, int argc, char **argv)
{
    return command_group(c, operator_cmds, ARRAY_LEN(operator_cmds), argc, argv);
}
