// SPDX-License-Identifier: Apache-2.0
// `meridian control`: the control feed as a whole. What changes who writes is signed by the fleet's
// root key, which is on no node: a command drafts a line at a node, the key signs it wherever it is,
// and any node takes the signed line.
//
//   status     where this node's feed is, and what is wrong with it
//   takeover   another region writes from now on, or the same one with another control key
//   confirm    what is written here is done, although no majority can say so
//   sign       a draft by the root key, offline; submit: the signed line to a node
//   adopt      a topology file gets the section with which a fleet carries it by itself
#include "cli/edit.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/signing_key.h"
#include "cli/control_show.h"
#include "cli/topology.h"
#include "config/document.h"
#include "config/topology_control.h"
#include "control/control_key.h"
#include "control/entry.h"
#include "control/operators.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALL_MS 30000
#define SPKI_SIZE 128

// ---- status ----

static int control_status(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {
        "region",    "source", "writer", "place", "topologyVersion", "principalsVersion",
        "confirmed", "alarm"};
    json_t *doc = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/control", &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    return cli_print_array(c, json_pack("[o]", doc), columns, ARRAY_LEN(columns));
}

// ---- drafts, signatures ----

// POSTs to the node; the member of its answer, in the arena.
static int call(struct cli *c, const char *path, struct bytes body, const char *member,
                const char **out)
{
    struct fetch_result r = {0};
    int rc = cli_node_fetch(c, "POST", path, body, CALL_MS, &r);
    if (rc)
        return rc;
    if (r.status != 200) {
        rc = cli_node_refused(c, &r);
        fetch_result_done(&r);
        return rc;
    }
    json_t *doc = json_loadb(buf_cstr(&r.body), r.body.n, 0, NULL);
    const char *text = json_string_value(json_object_get(doc, member));
    *out = text ? arena_strdup(&c->arena, text) : NULL;
    json_decref(doc);
    fetch_result_done(&r);
    if (*out)
        return 0;
    return cli_fail(EXIT_FAILED, "%s: the node's answer has no \"%s\"", cli_node_name(c), member);
}

static int draft(struct cli *c, json_t *ask, const char **out_line)
{
    AUTO_FREE char *text = NULL;
    if (ask)
        text = json_dumps(ask, JSON_COMPACT);
    json_decref(ask);
    if (!text)
        return cli_fail(EXIT_FAILED, "out of memory");
    return call(c, "/v1/control/draft", bytes_str(text), "line", out_line);
}

static int said(struct diag *d, int rc, const char *what)
{
    diag_print(d, stderr);
    if (rc && !diag_count(d))
        cli_complain("%s: %s", what, err_text(rc));
    diag_done(d);
    if (rc)
        return EXIT_FAILED;
    return 0;
}

static int sign_line(struct cli *c, const char *line, const char *key, const char **out_line)
{
    struct signing_key *root = NULL;
    struct diag d;
    AUTO_BUF struct buf out;
    diag_init(&d);
    buf_init(&out, CONTROL_ENTRY_MAX_BYTES);
    int rc = signing_key_open(key, &d, &root);
    if (!rc)
        rc = control_entry_sign(bytes_str(line), root, &d, &out);
    signing_key_free(root);
    if (!rc) {
        *out_line = arena_strdup(&c->arena, buf_cstr(&out));
        if (!*out_line)
            rc = ERR_NOMEM;
    }
    return said(&d, rc, key);
}

static int write_line(const char *path, const char *line)
{
    int rc = file_write_atomic(path, line, strlen(line), 0600);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be written: %s", path, err_text(rc));
    return 0;
}

static int submit_line(struct cli *c, const char *line, const char *what)
{
    const char *place = NULL;
    int rc = call(c, "/v1/control/signed", bytes_str(line), "place", &place);
    if (rc)
        return rc;
    return cli_done(c, json_pack("{s:s}", "place", place), "%s; the control feed is at %s", what,
                    place);
}

static int show_draft(const char *line, const struct topology *before)
{
    struct diag d;
    diag_init(&d);
    int rc = control_show(line, before, &d);
    return said(&d, rc, "the draft");
}

// Beside what the node itself has in force.
static int show_drafted(struct cli *c, const char *line)
{
    int rc = 0;
    if (control_has_frame(line))
        rc = cli_topology_of_node(c);
    if (!rc)
        rc = show_draft(line, c->topo);
    return rc;
}

static int no_way_to_sign(void)
{
    return cli_fail(EXIT_USAGE,
                    "give --root-key FILE, or --draft FILE and sign that where the root key is "
                    "(meridian control sign)");
}

// Signs and submits at once where the key is at hand; else leaves the draft in a file.
static int act(struct cli *c, json_t *ask, const char *key, const char *out, const char *what)
{
    const char *line = NULL, *with = NULL;
    if (!key == !out) {
        json_decref(ask);
        return no_way_to_sign();
    }
    int rc = draft(c, ask, &line);
    if (!rc)
        rc = show_drafted(c, line);
    if (!rc && out)
        rc = write_line(out, line);
    if (!rc && out)
        return cli_done(c, json_pack("{s:s}", "draft", out),
                        "%s is to be signed by the root key (meridian control sign), and then "
                        "submitted (meridian control submit)",
                        out);
    if (!rc)
        rc = sign_line(c, line, key, &with);
    if (!rc)
        rc = submit_line(c, with, what);
    return rc;
}

// The public half of the key at `path`. *out_made: the path, when the key was made there just now.
static int key_at(const char *path, char spki[SPKI_SIZE], const char **out_made)
{
    struct signing_key *k = NULL;
    struct diag d;
    diag_init(&d);
    int rc = 0;
    *out_made = NULL;
    if (access(path, F_OK)) {
        rc = signing_key_create(path, &d);
        *out_made = path;
    }
    if (!rc)
        rc = signing_key_open(path, &d, &k);
    if (!rc)
        snprintf(spki, SPKI_SIZE, "%s", signing_key_spki(k));
    signing_key_free(k);
    return said(&d, rc, path);
}

// What is to be done at the region's node, and why at once.
static void tell_key(const char *region, const char *spki, const char *path)
{
    char id[CONTROL_KEY_ID_SIZE];
    if (control_key_id(region, spki, id))
        return;
    fprintf(stderr,
            "%s writes with the control key %s and with no other, as soon as that takeover is in "
            "force. Put %s in the place of keys/control.pem in the data folder of its node, owned "
            "by the user that the node runs as (0600), and restart the node: until then nobody "
            "writes\n",
            region, id, path ? path : "its private half");
}

static int control_takeover(struct cli *c, int argc, char **argv)
{
    const char *key = NULL, *out = NULL, *control = NULL, *spki = NULL, *made;
    char own[SPKI_SIZE];
    const struct opt rows[] = {
        {0, "root-key", "FILE", "the fleet's root key, which signs it at once", &key},
        {0, "draft", "FILE", "write what is to be signed, for where the root key is", &out},
        {0, "control-key", "FILE",
         "the region's new control key, made there when there is none: no other counts then",
         &control},
        {0, "public-key", "BASE64",
         "the public half of a control key that was made elsewhere, in the place of --control-key",
         &spki}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!key == !out)
        return no_way_to_sign();
    if (control && spki)
        return cli_fail(EXIT_USAGE, "control takeover: give --control-key or --public-key");
    if (control)
        rc = key_at(control, own, &made);
    if (rc)
        return rc;
    if (control)
        spki = own;
    const char *what = arena_printf(&c->arena, "region %s writes from now on", argv[1]);
    rc = act(
        c, json_pack("{s:s, s:s, s:s*}", "kind", "takeover", "region", argv[1], "controlKey", spki),
        key, out, what ? what : "");
    if (!rc && spki)
        tell_key(argv[1], spki, control);
    return rc;
}

static int control_confirm(struct cli *c, int argc, char **argv)
{
    const char *key = NULL, *out = NULL, *upto = NULL;
    const struct opt rows[] = {
        {0, "root-key", "FILE", "the fleet's root key, which signs it at once", &key},
        {0, "draft", "FILE", "write what is to be signed, for where the root key is", &out},
        {0, "upto", "PLACE", "up to where; the last entry when not given", &upto}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return act(c, json_pack("{s:s, s:s*}", "kind", "confirm", "upto", upto), key, out,
               "what was written up to there is done");
}

static int read_line(struct cli *c, const char *path, const char **out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CONTROL_ENTRY_MAX_BYTES);
    int rc = file_read(path, CONTROL_ENTRY_MAX_BYTES, &b);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be read: %s", path, err_text(rc));
    *out = arena_strdup(&c->arena, buf_cstr(&b));
    if (*out)
        return 0;
    return cli_fail(EXIT_FAILED, "out of memory");
}

static int control_sign(struct cli *c, int argc, char **argv)
{
    const char *key = NULL, *out = NULL, *against = NULL, *line = NULL, *with = NULL;
    struct topology_loaded known = {0};
    const struct opt rows[] = {
        {0, "root-key", "FILE", "the fleet's root key", &key},
        {0, "out", "FILE", "where the signed line goes", &out},
        {0, "against", "FILE",
         "the topology as you know it (meridian topology export): what the draft changes is shown",
         &against}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!key || !out)
        return cli_fail(EXIT_USAGE, "control sign: give --root-key FILE and --out FILE");
    rc = read_line(c, argv[1], &line);
    if (!rc && against)
        rc = topology_load(against, &known);
    if (!rc)
        rc = show_draft(line, known.t);
    snapshot_unref(known.t);
    if (!rc)
        rc = sign_line(c, line, key, &with);
    if (!rc)
        rc = write_line(out, with);
    if (rc)
        return rc;
    return cli_done(c, json_pack("{s:s}", "line", out),
                    "%s is signed: meridian control submit %s, on any node", out, out);
}

static int control_submit(struct cli *c, int argc, char **argv)
{
    const char *line = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = read_line(c, argv[1], &line);
    if (rc)
        return rc;
    return submit_line(c, line, "it is in force here, and goes on to all other regions");
}

// ---- adopt ----

static bool names_writer(const struct topology *t, const void *ctx)
{
    const struct region *w = topology_writer(t);
    return w && !strcmp(w->name, ctx);
}

static int check_keys(struct cli *c)
{
    for (size_t i = 0; i < c->topo->n_regions; i++)
        if (!c->topo->regions[i].n_control_keys)
            return cli_fail(EXIT_FAILED,
                            "%s: region %s has no control key (identities.%s.control_keys); "
                            "`meridian init --control-keys` with the regions' folders makes and "
                            "adds it",
                            c->topology, c->topo->regions[i].name, c->topo->regions[i].name);
    return 0;
}

static int control_adopt(struct cli *c, int argc, char **argv)
{
    const char *key = NULL, *made = NULL;
    char spki[SPKI_SIZE];
    const struct opt rows[] = {
        {0, "root-key", "FILE", "the fleet's root key; made there when there is none", &key}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && !key)
        rc = cli_fail(EXIT_USAGE, "control adopt: give --root-key FILE");
    if (!rc)
        rc = cli_topology(c);
    if (rc)
        return rc;
    if (c->topo->control)
        return cli_fail(EXIT_FAILED, "%s has the section control already", c->topology);
    if (!cli_region(c, argv[1]))
        return EXIT_FAILED;
    rc = check_keys(c);
    if (!rc)
        rc = key_at(key, spki, &made);
    if (rc)
        return rc;
    const struct edit_section s = {"control",
                                   control_section_text(spki, argv[1], NULL, 0, &c->arena)};
    if (!s.text)
        return cli_fail(EXIT_FAILED, "out of memory");
    rc = edit_commit(c, &s, 1, names_writer, argv[1]);
    if (rc)
        return rc;
    if (made)
        fprintf(stderr,
                "%s is the fleet's root key: whoever has it decides who writes. Take it away from "
                "all nodes, and keep a copy\n",
                made);
    return cli_done(c, json_pack("{s:s, s:s}", "topology", c->topology, "writer", argv[1]),
                    "%s says that %s writes. Copy it, and the principals, to every node; then give "
                    "each `source: feed` in meridiand.yaml and start it again, the writer first",
                    c->topology, argv[1]);
}

static const struct command control_cmds[] = {
    {"status",
     "where this node's control feed is, and what is wrong with it",
     "",
     control_status,
     USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian control status", "meridian control status -o json --query void"}},
    {"takeover",
     "let another region write, or the same one with another control key, by the fleet's root key",
     "REGION --root-key FILE | --draft FILE [--control-key FILE | --public-key BASE64]",
     control_takeover,
     USES_ADMIN | TAKES_AWAY,
     1,
     1,
     {"meridian control takeover westus --root-key root-key.pem --yes",
      "meridian control takeover eastus --control-key control.pem.new --draft takeover.json "
      "--yes"}},
    {"confirm",
     "what the writer has written is done, although no majority can say so",
     "--root-key FILE | --draft FILE",
     control_confirm,
     USES_ADMIN,
     0,
     0,
     {"meridian control confirm --root-key root-key.pem",
      "meridian control confirm --draft confirm.json"}},
    {"sign",
     "sign a draft by the fleet's root key, where that is; no node is needed",
     "DRAFT --root-key FILE --out FILE",
     control_sign,
     0,
     1,
     1,
     {"meridian control sign takeover.json --root-key root-key.pem --out signed.json",
      "meridian control sign confirm.json --root-key /media/key/root-key.pem --out signed.json"}},
    {"submit",
     "hand what the root key has signed to a node",
     "SIGNED",
     control_submit,
     USES_ADMIN,
     1,
     1,
     {"meridian control submit signed.json",
      "meridian control submit signed.json --admin /run/meridian/admin.sock"}},
    {"adopt",
     "write into a topology file who writes, so that the fleet carries it from now on",
     "WRITER --root-key FILE",
     control_adopt,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian control adopt eastus --root-key root-key.pem",
      "meridian control adopt eastus --root-key root-key.pem --topology topology.yaml"}},
};

int cmd_control(struct cli *c, int argc, char **argv)
{
    return command_group(c, control_cmds, ARRAY_LEN(control_cmds), argc, argv);
}
