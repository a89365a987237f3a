// SPDX-License-Identifier: Apache-2.0
// `meridian init`: makes the private CA outside all regions' data directories, each region's keys and certificates, and
// a topology that carries their public halves. Safe to repeat: it keeps what is there and adds what is missing.
//
//   OUT/topology.yaml       the given topology with its `identities` section
//   OUT/principals.yaml     without users, if there is none
//   OUT/ca/                 ca.pem, ca.key
//   OUT/<region>/keys, OUT/<region>/certs
#include "cli/edit.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs.h"
#include "certs/keys.h"
#include "config/principals.h"

#include <errno.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct init {
    struct cli *cli;
    const char *out, *owner;
    struct diag diag;
    struct buf identities; // the section's text
};

static int say(struct init *in, int rc, const char *what)
{
    if (!rc)
        return 0;
    diag_print(&in->diag, stderr);
    return cli_fail(EXIT_FAILED, "%s: %s", what, err_text(rc));
}

static int region_init(struct init *in, struct ca *ca, const struct region *r)
{
    struct arena *a = &in->cli->arena;
    const char *keys = arena_printf(a, "%s/%s/keys", in->out, r->name);
    const char *certs = arena_printf(a, "%s/%s/certs", in->out, r->name);
    int rc = dir_make(keys, 0700);
    if (!rc)
        rc = dir_make(certs, 0700);
    if (!rc)
        rc = region_keys_create(keys, r->name, &in->diag);
    if (!rc)
        rc = certs_enrol(certs, ca, in->cli->topo, r->name, false, 0, &in->diag);
    struct region_keys *k = NULL;
    if (!rc)
        rc = region_keys_open(keys, r->name, &in->diag, &k);
    struct cert_info peer;
    if (!rc)
        rc = certs_inspect(certs, in->cli->topo, r->name, CERT_PEER, &peer);
    if (!rc)
        buf_printf(&in->identities,
                   "  %s:\n    peer_fingerprints: [%s]\n    token_keys:\n      - { id: %s, key: %s }\n"
                   "    feed_keys:\n      - { id: %s, key: %s }\n",
                   r->name, peer.fingerprint, region_keys_token_id(k), region_keys_token_spki(k),
                   region_keys_feed_id(k), region_keys_feed_spki(k));
    region_keys_free(k);
    return say(in, rc, r->name);
}

static int write_topology(struct init *in)
{
    const char *path = arena_printf(&in->cli->arena, "%s/topology.yaml", in->out);
    struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    int rc = file_read(in->cli->topology, TOPOLOGY_MAX_BYTES, &was);
    if (!rc) {
        const struct edit_section s = {"identities",
                                       arena_printf(&in->cli->arena, "identities:\n%s", buf_cstr(&in->identities))};
        if (s.text)
            edit_sections(buf_cstr(&was), &s, 1, 0, &now);
        rc = s.text ? now.err : ERR_NOMEM;
    }
    struct topology *t = NULL;
    if (!rc)
        rc = topology_parse(buf_cstr(&now), now.n, path, &in->diag, &t);
    snapshot_unref(t);
    if (!rc)
        rc = file_write_atomic(path, now.p, now.n, 0644);
    buf_done(&was);
    buf_done(&now);
    return say(in, rc, path);
}

static uid_t owner_uid;
static gid_t owner_gid;

static int chown_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return lchown(path, owner_uid, owner_gid);
}

static int give_to_owner(struct init *in)
{
    if (!in->owner)
        return 0;
    const struct passwd *pw = getpwnam(in->owner);
    if (!pw)
        return cli_fail(EXIT_FAILED, "--owner %s: there is no such user", in->owner);
    owner_uid = pw->pw_uid;
    owner_gid = pw->pw_gid;
    const struct topology *t = in->cli->topo;
    for (size_t i = 0; i <= t->n_regions; i++) {
        const char *dir = arena_printf(&in->cli->arena, "%s/%s", in->out, i < t->n_regions ? t->regions[i].name : "ca");
        if (nftw(dir, chown_one, 16, FTW_PHYS))
            return cli_fail(EXIT_FAILED, "%s: cannot be given to %s: %s", dir, in->owner, strerror(errno));
    }
    const char *principals = arena_printf(&in->cli->arena, "%s/principals.yaml", in->out);
    if (lchown(principals, owner_uid, owner_gid))
        return cli_fail(EXIT_FAILED, "%s: cannot be given to %s: %s", principals, in->owner, strerror(errno));
    return 0;
}

// A file without users, so that a node starts, and that `meridian user` then edits under its owner.
static int write_principals(struct init *in)
{
    const char *path = arena_printf(&in->cli->arena, "%s/principals.yaml", in->out);
    if (!access(path, F_OK))
        return EXIT_DONE;
    return say(in, principals_write(&(struct principals){.version = 1}, path), path);
}

int cmd_init(struct cli *c, int argc, char **argv)
{
    static const struct command cmd = {"init", "makes the private CA, and keys and certificates of every region",
                                       "--topology FILE --out DIR [--owner USER]", cmd_init};
    struct init in = {.cli = c};
    const struct opt rows[] = {{0, "out", "DIR", "where all of it goes", &in.out, NULL},
                               {0, "owner", "USER", "give the files to this user (started by root)", &in.owner, NULL}};
    int rc = opt_parse(c, &cmd, NULL, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!in.out || argc > 1)
        return cli_fail(EXIT_USAGE, "init: give --topology FILE and --out DIR");
    rc = cli_topology(c);
    if (rc)
        return rc;
    diag_init(&in.diag);
    buf_init(&in.identities, 0);
    const char *ca_dir = arena_printf(&c->arena, "%s/ca", in.out);
    rc = dir_make(in.out, 0755);
    if (!rc)
        rc = dir_make(ca_dir, 0700);
    if (!rc) {
        rc = ca_create(ca_dir, c->topo->domain, &in.diag);
        rc = rc == ERR_EXISTS ? 0 : rc;
    }
    struct ca *ca = NULL;
    if (!rc)
        rc = ca_open(ca_dir, &in.diag, &ca);
    int status = say(&in, rc, ca_dir);
    for (size_t i = 0; !status && i < c->topo->n_regions; i++)
        status = region_init(&in, ca, &c->topo->regions[i]);
    if (!status)
        status = write_topology(&in);
    if (!status)
        status = write_principals(&in);
    if (!status)
        status = give_to_owner(&in);
    if (!status)
        printf("%s: CA, %zu regions, topology.yaml with their identities\n", in.out, c->topo->n_regions);
    ca_close(ca);
    buf_done(&in.identities);
    diag_done(&in.diag);
    return status;
}
