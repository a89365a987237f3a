// SPDX-License-Identifier: Apache-2.0
// `meridian identities`: who the regions are by the topology, and dropping what is not used any
// more. Adding is `meridian init`'s and `identities add`'s (identities_add.c). Like `dns keys`, a command refuses while somebody may still
// rely on what would go, and says until when.
//
//   list     all of them
//   show     a region's, whole
//   retire   a fingerprint, once the region shows another of its certificates; a token key, once
//            the tokens that it signed have ended; a feed key stays, and verifies only what it
//            signed
#include "cli/identities.h"
#include "cli/edit.h"
#include "control/identity_list.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/plan.h"
#include "config/principals.h"
#include "config/topology_control.h"
#include "dns/dnskey.h"

#include <stdio.h>
#include <string.h>

#define MARGIN_S 300 // until every node has taken a new topology over
#define LOOK_MS 10000
#define ID_MIN 8 // of a fingerprint, that many digits will do

struct retiring {
    struct cli *cli;
    struct identity_list all;
    struct identity *region;
    enum identity_kind kind;
    struct identity_item *item;
    const char *unused_since;
    bool now, last;
    int64_t now_s;
};

// ---- list, show ----

static const char *state_of(const struct identity *r, const struct identity_item *x)
{
    if (identity_revoked(r, x->id))
        return "revoked";
    if (x->retired_s)
        return "retired";
    return "in force";
}

static json_t *item_json(struct cli *c, const struct identity *r, enum identity_kind kind,
                         const struct identity_item *x, bool whole)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "region", r->region, "what",
                          identity_kind_name(kind), "id", x->id, "state", state_of(r, x));
    if (o && x->retired_s)
        json_object_set_new(o, "retired", json_string(identity_time(x->retired_s, &c->arena)));
    if (o && whole && x->key)
        json_object_set_new(o, "key", json_string(x->key));
    return o;
}

static json_t *list_json(struct cli *c, const char *region, bool whole)
{
    struct identity_list *l = arena_alloc(&c->arena, sizeof *l);
    json_t *all = NULL;
    if (l)
        all = json_array();
    if (!all)
        return NULL;
    identity_list_init(l);
    identity_list_add_all(l, c->topo);
    for (size_t i = 0; i < l->n; i++)
        for (int kind = 0; kind < N_IDENTITY_KINDS; kind++)
            for (size_t k = 0; k < l->list[i].n[kind]; k++)
                if (!region || !strcmp(region, l->list[i].region))
                    json_array_append_new(all, item_json(c, &l->list[i], (enum identity_kind)kind,
                                                         &l->list[i].items[kind][k], whole));
    return all;
}

static int print_list(struct cli *c, const char *region)
{
    static const char *const columns[] = {"region", "what", "id", "state", "retired", "key"};
    json_t *all = list_json(c, region, region != NULL);
    if (!all)
        return cli_fail(EXIT_FAILED, "out of memory");
    return cli_print_rows(c, all, columns, region ? 6 : 5);
}

static int identities_list(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc && argc != 1)
        rc = cli_fail(EXIT_USAGE, "identities list takes no words");
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    return print_list(c, NULL);
}

static int identities_show(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc && argc != 2)
        rc = cli_fail(EXIT_USAGE, "identities show: name one region");
    if (!rc)
        rc = cli_topology_in_force(c);
    if (!rc && !cli_region(c, argv[1]))
        rc = EXIT_FAILED;
    if (rc)
        return rc;
    return print_list(c, argv[1]);
}

// ---- retire ----

static int not_yet(const struct retiring *q, const char *why)
{
    return cli_fail(EXIT_NOT_YET, "%s %s of %s stays: %s (--now drops it all the same)",
                    identity_kind_name(q->kind), q->item->id, q->region->region, why);
}

// What is not sure to be another's beginning: one that begins so, and no second.
static struct identity_item *find_by_start(struct identity *x, enum identity_kind kind,
                                           const char *id)
{
    struct identity_item *found = identity_find(x, kind, id);
    size_t n = strlen(id);
    for (size_t i = 0; !found && kind == IDENTITY_FINGERPRINT && n >= ID_MIN && i < x->n[kind]; i++)
        if (!strncmp(x->items[kind][i].id, id, n)) {
            found = &x->items[kind][i];
            for (size_t k = i + 1; k < x->n[kind]; k++)
                if (!strncmp(x->items[kind][k].id, id, n))
                    return NULL;
        }
    return found;
}

static int retire_begin(struct retiring *q, const char *region, const char *kind, const char *id)
{
    if (identity_kind_parse(kind, &q->kind))
        return cli_fail(
            EXIT_USAGE,
            "identities retire: %s: expected fingerprint, token-key, feed-key or control-key",
            kind);
    int rc = edit_begin(q->cli);
    if (rc)
        return rc;
    identity_list_init(&q->all);
    if (identity_list_add_all(&q->all, q->cli->topo))
        return cli_fail(EXIT_FAILED, "%s: its identities cannot be taken", edit_name(q->cli));
    q->region = identity_of_region(&q->all, region);
    if (q->region)
        q->item = find_by_start(q->region, q->kind, id);
    else
        q->item = NULL;
    if (!q->item)
        return cli_fail(EXIT_FAILED, "%s has no %s %s of %s; `meridian identities list` shows them",
                        edit_name(q->cli), kind, id, region);
    q->now_s = clock_wall_ms() / 1000;
    if (q->item->retired_s)
        return cli_fail(EXIT_FAILED,
                        "%s is retired already, since %s; it stays to verify what it signed",
                        q->item->id, identity_time(q->item->retired_s, &q->cli->arena));
    if (identity_n_in_use(q->region, q->kind) == 1 && !q->last)
        return cli_fail(EXIT_FAILED,
                        "%s is the only %s of %s: without it no other region takes what that "
                        "region says; make another "
                        "one first (`meridian init`), or say --last for a region that is given up",
                        q->item->id, kind, region);
    return 0;
}

// Does the region's peer listener show another of its certificates? Its own is public: no
// certificate of ours is needed.
static int shows_another(const struct retiring *q, struct fetch_result *r)
{
    const struct region *at = topology_region(q->cli->topo, q->region->region);
    const char *pins[IDENTITIES_MAX], *name;
    size_t n = 0;
    for (size_t i = 0; i < q->region->n[IDENTITY_FINGERPRINT]; i++)
        if (&q->region->items[IDENTITY_FINGERPRINT][i] != q->item)
            pins[n++] = q->region->items[IDENTITY_FINGERPRINT][i].id;
    if (cert_peer_name(q->cli->topo->domain, at->name, &q->cli->arena, &name) ||
        (!q->cli->fetcher && fetcher_new(&q->cli->fetcher)))
        return ERR_NOMEM;
    const struct fetch_request f = {
        .url = arena_printf(&q->cli->arena, "https://%s:%u/healthz", name, at->peer.port),
        .connect_to = &at->peer,
        .ca_file = q->cli->ca,
        .pinned = true,
        .pins = pins,
        .n_pins = n,
        .timeout_ms = LOOK_MS,
        .fresh_connection = true,
    };
    if (f.url)
        return fetch_run(q->cli->fetcher, &f, r);
    return ERR_NOMEM;
}

static int fingerprint_wait(const struct retiring *q)
{
    if (q->now || q->last)
        return 0;
    if (!q->cli->ca)
        return cli_fail(
            EXIT_USAGE,
            "identities retire: give --ca, to look which certificate %s shows (or --now)",
            q->region->region);
    struct fetch_result r = {0};
    int rc = shows_another(q, &r);
    char why[640];
    snprintf(why, sizeof why, "%s could not be asked which certificate it shows: %s",
             q->region->region, r.message[0] ? r.message : err_text(rc));
    fetch_result_done(&r);
    if (!rc)
        return 0;
    if (rc == ERR_DENIED)
        return not_yet(q, "the region shows that certificate still, or one that is not in the "
                          "topology: `meridian certs "
                          "show` on its node tells when the next is in use");
    not_yet(q, why);
    return EXIT_UNREACHABLE;
}

// Since when the region signs with another key: which only its node knows.
static int unused_since(const struct retiring *q, int64_t *out)
{
    if (q->now && !q->unused_since) {
        *out = q->now_s;
        return 0;
    }
    if (q->unused_since)
        *out = dnskey_time_parse(q->unused_since);
    else
        *out = -1;
    if (!q->unused_since)
        return cli_fail(
            EXIT_USAGE,
            "identities retire: say since when %s signs with another key, --unused-since TIME "
            "(\"signs\" in "
            "`meridian status` on its node says with which, and since its start), or --now",
            q->region->region);
    if (*out < 0 || *out > q->now_s)
        return cli_fail(EXIT_USAGE, "identities retire: --unused-since is a time in UTC that is "
                                    "past, as in 2026-11-23T19:58:50Z");
    return 0;
}

static int token_key_wait(const struct retiring *q)
{
    int64_t since;
    int rc = unused_since(q, &since);
    if (rc || q->now)
        return rc;
    int64_t until = since + REFRESH_LIFETIME_S + MARGIN_S;
    if (q->now_s >= until)
        return 0;
    return not_yet(
        q, arena_printf(&q->cli->arena,
                        "tokens that it signed last until %s; clients would be logged out before",
                        identity_time(until, &q->cli->arena)));
}

// Nodes that are behind verify with it what the writer signed.
static int control_key_wait(const struct retiring *q)
{
    const struct region *writer = topology_writer(q->cli->topo);
    if (q->now || !writer || strcmp(writer->name, q->region->region) != 0)
        return 0;
    return not_yet(q, "the region is the writer of the control feed, and nodes that are behind "
                      "verify by it what it signed");
}

static bool outcome_holds(const struct topology *t, const void *ctx)
{
    const struct retiring *q = ctx;
    const struct region *r = topology_region(t, q->region->region);
    return r && r->n_peer_fingerprints == q->region->n[IDENTITY_FINGERPRINT] &&
           r->n_token_keys == q->region->n[IDENTITY_TOKEN_KEY] &&
           r->n_feed_keys == q->region->n[IDENTITY_FEED_KEY] &&
           r->n_control_keys == q->region->n[IDENTITY_CONTROL_KEY];
}

static int retire_commit(struct retiring *q)
{
    const struct edit_section s = {"identities", identity_list_text(&q->all, &q->cli->arena)};
    if (!s.text)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", q->cli->topology,
                        err_text(ERR_NOMEM));
    return edit_commit(q->cli, &s, 1, outcome_holds, q);
}

static int retire(struct retiring *q)
{
    int64_t since = q->now_s;
    int rc = 0;
    if (q->kind == IDENTITY_FINGERPRINT)
        rc = fingerprint_wait(q);
    else if (q->kind == IDENTITY_TOKEN_KEY)
        rc = token_key_wait(q);
    else if (q->kind == IDENTITY_CONTROL_KEY)
        rc = control_key_wait(q);
    else
        rc = unused_since(q, &since);
    if (rc)
        return rc;
    const char *id = arena_strdup(&q->cli->arena, q->item->id);
    if (q->kind == IDENTITY_FEED_KEY)
        q->item->retired_s = since;
    else
        identity_remove(q->region, q->kind, q->item);
    rc = retire_commit(q);
    if (rc)
        return rc;
    const char *now = "is taken out";
    if (q->kind == IDENTITY_FEED_KEY)
        now = "is retired: it verifies what it signed until then, and nothing later";
    return cli_done(q->cli,
                    json_pack("{s:s, s:s, s:s}", "region", q->region->region, "what",
                              identity_kind_name(q->kind), "id", id),
                    "%s %s of %s %s", identity_kind_name(q->kind), id, q->region->region, now);
}

static int identities_retire(struct cli *c, int argc, char **argv)
{
    struct retiring *q = arena_alloc(&c->arena, sizeof *q);
    if (!q)
        return cli_fail(EXIT_FAILED, "out of memory");
    *q = (struct retiring){.cli = c};
    const struct opt rows[] = {
        {0, "unused-since", "TIME",
         "of a key: since when the region signs with another, as in 2026-11-23T19:58:50Z",
         &q->unused_since, NULL},
        {0, "now", NULL, "without waiting, and without asking the region", NULL, &q->now},
        {0, "last", NULL, "also the region's only one", NULL, &q->last},
    };
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc && argc != 4)
        rc = cli_fail(EXIT_USAGE,
                      "identities retire: name a region, what it is, and the one that goes: REGION "
                      "fingerprint|token-key|feed-key|control-key ID");
    if (!rc)
        rc = retire_begin(q, argv[1], argv[2], argv[3]);
    if (rc)
        return rc;
    return retire(q);
}

static const struct command identity_cmds[] = {
    {"list",
     "fingerprints and keys of all regions",
     "",
     identities_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian identities list", "meridian identities list -o json"}},
    {"show",
     "a region's, with its public keys",
     "REGION",
     identities_show,
     USES_TOPOLOGY | USES_ADMIN,
     1,
     1,
     {"meridian identities show eastus", "meridian identities show eastus -o yaml"}},
    {"add",
     "the public half of a region's next key, before its first use",
     "REGION token-key|feed-key|control-key --public-key BASE64",
     identities_add,
     USES_CHANGE | USES_TOPOLOGY,
     2,
     2,
     {"meridian identities add eastus token-key --public-key \"$(cat token.pub)\"",
      "meridian identities add eastus feed-key --public-key "
      "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}},
    {"retire",
     "drops what is not used any more; a feed key stays to verify",
     "REGION fingerprint|token-key|feed-key|control-key ID [--unused-since TIME] [--now] [--last]",
     identities_retire,
     USES_CHANGE | USES_TOPOLOGY | TAKES_AWAY | USES_CA,
     3,
     3,
     {"meridian identities retire eastus feed-key eastus-feed-1a2b3c4d",
      "meridian identities retire eastus token-key eastus-1a2b3c4d --unused-since "
      "2026-10-01T00:00:00Z --yes"}},
};

int cmd_identities(struct cli *c, int argc, char **argv)
{
    return command_group(c, identity_cmds, ARRAY_LEN(identity_cmds), argc, argv);
}
