// SPDX-License-Identifier: Apache-2.0
// `meridian fleet create`: the first node of a fleet, by one command. It makes the fleet's root key,
// the private CA, the region's keys and certificates, the first topology and an empty list of
// principals, the node's settings, and runs the node. Further regions: `meridian fleet join`.
//
//   DIR/root-key.pem    the fleet's root key: for takeovers, and to be taken away at once
//   DIR/ca/             the private CA
//   DIR/topology.yaml, DIR/principals.yaml, DIR/meridiand.yaml
//   DATA/keys, DATA/certs
#include "cli/fleet.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "certs/certs.h"
#include "certs/keys.h"
#include "certs/signing_key.h"
#include "config/principals.h"
#include "control/identity_list.h"
#include "control/operators.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct create {
    struct cli *cli;
    struct fleet_node n;
    const char *domain;
    const char *root_path, *ca_dir;
    char root_spki[128];
    struct diag diag;
    struct ca *ca;
    struct topology *topology;
};

// A key that an interrupted call made is this call's.
static int root_key(struct create *x)
{
    struct signing_key *k = NULL;
    int rc = 0;
    if (access(x->root_path, F_OK))
        rc = signing_key_create(x->root_path, &x->diag);
    if (!rc)
        rc = signing_key_open(x->root_path, &x->diag, &k);
    if (!rc)
        snprintf(x->root_spki, sizeof x->root_spki, "%s", signing_key_spki(k));
    signing_key_free(k);
    return rc;
}

static int ca_make(struct create *x)
{
    int rc = dir_make(x->ca_dir, 0700);
    if (!rc)
        rc = ca_create(x->ca_dir, x->domain, &x->diag);
    if (rc == ERR_EXISTS)
        rc = 0;
    if (!rc)
        rc = ca_open(x->ca_dir, &x->diag, &x->ca);
    return rc;
}

// The document; without identities while there are none yet. Its version is 2: what a region joins
// with is version 1 (fleet/join.c), and older than all that the feed brings.
static void put_document(struct create *x, const char *identities, struct buf *b)
{
    const struct region_row *row = &x->n.row;
    char at[ENDPOINT_TEXT_SIZE], ip[IP_TEXT_SIZE];
    const char *control = control_section_text(x->root_spki, row->name, NULL, 0, &x->cli->arena);
    buf_printf(b, "version: 2\ndomain: %s\nregions:\n  - name: %s\n    peer: \"%s\"\n", x->domain,
               row->name, endpoint_format(&row->peer, at));
    if (row->location)
        buf_printf(b, "    location: \"%s\"\n", row->location);
    buf_printf(b, "    stamps:\n      - { name: %s", row->stamp);
    for (size_t i = 0; i < row->n_ipv4; i++)
        buf_printf(b, "%s%s%s", i ? ", " : ", ipv4: [", ip_format(&row->ipv4[i], ip),
                   i + 1 == row->n_ipv4 ? "]" : "");
    for (size_t i = 0; i < row->n_ipv6; i++)
        buf_printf(b, "%s\"%s\"%s", i ? ", " : ", ipv6: [", ip_format(&row->ipv6[i], ip),
                   i + 1 == row->n_ipv6 ? "]" : "");
    buf_printf(b, " }\nname_servers: [%s.%s]\ncertificates: { ca_region: %s }\n%s%s", row->stamp,
               row->name, row->name, control ? control : "", identities);
    if (!control)
        b->err = ERR_NOMEM;
}

static int document_parse(struct create *x, const char *identities, struct buf *b)
{
    const char *path = fleet_node_file(&x->n, "topology.yaml");
    buf_clear(b);
    put_document(x, identities, b);
    if (!path || b->err)
        return ERR_NOMEM;
    snapshot_unref(x->topology);
    x->topology = NULL;
    return topology_parse(b->p, b->n, path, &x->diag, &x->topology);
}

static int identities_of(struct create *x, const struct region_keys *k, const char **out)
{
    struct identity_list *l = arena_alloc(&x->cli->arena, sizeof *l);
    struct cert_info peer;
    if (!l)
        return ERR_NOMEM;
    int rc = certs_inspect(x->n.certs, x->topology, x->n.row.name, CERT_PEER, &peer);
    if (rc)
        return rc;
    identity_list_init(l);
    const struct {
        enum identity_kind kind;
        struct identity_item item;
    } rows[] = {
        {IDENTITY_FINGERPRINT, {.id = peer.fingerprint}},
        {IDENTITY_TOKEN_KEY, {.id = region_keys_token_id(k), .key = region_keys_token_spki(k)}},
        {IDENTITY_FEED_KEY, {.id = region_keys_feed_id(k), .key = region_keys_feed_spki(k)}},
        {IDENTITY_CONTROL_KEY,
         {.id = region_keys_control_id(k), .key = region_keys_control_spki(k)}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rc = identity_add(l, x->n.row.name, rows[i].kind, rows[i].item);
        if (rc < 0)
            return rc;
    }
    *out = identity_list_text(l, &x->cli->arena);
    if (*out)
        return 0;
    return ERR_NOMEM;
}

static int enrol(struct create *x, struct buf *document)
{
    struct region_keys *k = NULL;
    const char *identities = "";
    int rc = region_keys_create(x->n.keys, x->n.row.name, &x->diag);
    if (!rc)
        rc = region_keys_open(x->n.keys, x->n.row.name, &x->diag, &k);
    if (!rc)
        rc = document_parse(x, identities, document);
    if (!rc)
        rc = certs_enrol(x->n.certs, x->ca, x->topology, x->n.row.name, false, 0, &x->diag);
    if (!rc)
        rc = identities_of(x, k, &identities);
    if (!rc)
        rc = document_parse(x, identities, document);
    region_keys_free(k);
    return rc;
}

// The secret of DNS cookies, which regions that join get.
static int cookies_make(struct create *x)
{
    const char *path = arena_printf(&x->cli->arena, "%s/cookies", x->n.keys);
    char hex[34];
    if (!path)
        return ERR_NOMEM;
    if (!access(path, F_OK))
        return 0;
    int rc = random_hex(hex, 16);
    if (rc)
        return rc;
    hex[32] = '\n';
    rc = file_write_atomic(path, hex, 33, 0600);
    explicit_bzero(hex, sizeof hex);
    return rc;
}

static int documents_write(struct create *x, const struct buf *document)
{
    const char *topology = fleet_node_file(&x->n, "topology.yaml"),
               *principals = fleet_node_file(&x->n, "principals.yaml");
    if (!topology || !principals)
        return ERR_NOMEM;
    int rc = file_write_atomic(topology, document->p, document->n, 0644);
    if (!rc && access(principals, F_OK))
        rc = principals_write(&(struct principals){.version = 1}, principals);
    return rc;
}

static int make(struct create *x)
{
    AUTO_BUF struct buf document;
    buf_init(&document, 0);
    int rc = root_key(x);
    if (!rc)
        rc = ca_make(x);
    if (!rc)
        rc = enrol(x, &document);
    if (!rc)
        rc = cookies_make(x);
    if (!rc)
        rc = documents_write(x, &document);
    return fleet_node_said(&x->diag, rc, x->n.dir);
}

static void tell(const struct create *x)
{
    char fingerprint[65] = "";
    signing_key_fingerprint(x->root_spki, fingerprint);
    printf("The fleet of %s is made; its first region is %s.\n\n"
           "%s\n  is the fleet's root key (SHA-256 %s).\n"
           "  Take it away from this machine now and keep it where no region is: with it a region "
           "takes over\n  when the writer is lost, and whoever has it owns the fleet. Nothing here "
           "needs it.\n\n",
           x->domain, x->n.row.name, x->root_path, fingerprint);
}

static int create_all(struct create *x, const char *region)
{
    int rc = fleet_node_prepare(&x->n, region);
    if (rc)
        return rc;
    x->root_path = fleet_node_file(&x->n, "root-key.pem");
    x->ca_dir = fleet_node_file(&x->n, "ca");
    if (!x->root_path || !x->ca_dir)
        return EXIT_FAILED;
    rc = make(x);
    if (!rc)
        rc = fleet_node_give(&x->n, x->ca_dir);
    if (!rc)
        rc = fleet_node_settings(&x->n, x->ca_dir);
    if (!rc)
        tell(x);
    return rc;
}

static int fleet_create(struct cli *c, int argc, char **argv)
{
    const char *domain = NULL, *region = NULL;
    const struct opt own[] = {
        {0, "domain", "DOMAIN", "the service domain, which is delegated to the fleet", &domain},
        {0, "region", "REGION", "the first region", &region},
    };
    struct create x = {.cli = c};
    int rc = fleet_node_parse(c, &x.n, own, ARRAY_LEN(own), argc, argv, &argc);
    if (rc)
        return rc;
    if (!domain || !region)
        return cli_fail(EXIT_USAGE, "fleet create: give --domain, --region and --address");
    if (!hostname_region_ok(region))
        return cli_fail(EXIT_USAGE, "--region %s: a letter, then at most 30 letters and digits",
                        region);
    x.domain = domain;
    diag_init(&x.diag);
    rc = create_all(&x, region);
    ca_close(x.ca);
    snapshot_unref(x.topology);
    diag_done(&x.diag);
    if (rc)
        return rc;
    return fleet_node_start(&x.n);
}

static const struct command fleet_cmds[] = {
    {"create",
     "make a fleet and its first region, and run its node",
     "--domain DOMAIN --region REGION --address ADDRESS",
     fleet_create,
     NO_FORMAT,
     0,
     0,
     {"meridian fleet create --domain example.io --region eastus --address 192.0.2.1",
      "meridian fleet create --domain example.io --region eastus --address 192.0.2.1 --stamp eus-1 "
      "--dir /etc/meridian --data /var/lib/meridian --no-start"}},
    {"join",
     "make a further region's node with a join token, and run it",
     "TOKEN --address ADDRESS",
     fleet_join,
     NO_FORMAT,
     1,
     1,
     {"meridian fleet join - --address 192.0.2.2",
      "meridian fleet join mjoin1.eyJkIjoi --address 192.0.2.2 --stamp weu-1 --no-start"}},
};

int cmd_fleet(struct cli *c, int argc, char **argv)
{
    return command_group(c, fleet_cmds, ARRAY_LEN(fleet_cmds), argc, argv);
}
