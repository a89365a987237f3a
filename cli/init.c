// SPDX-License-Identifier: Apache-2.0
// `meridian init`: makes the private CA outside all regions' data directories, each region's keys
// and certificates, and a topology that carries their public halves. Safe to repeat: it keeps what
// is there and adds what is missing. Of identities it takes none away: those of the given topology,
// of the one in OUT, and of the files in OUT all stay, and it says which are which. The files in
// OUT may be older than what a region uses: it renews its certificates by itself. Dropping is
// `meridian identities retire`.
//
//   OUT/topology.yaml       the given topology with its `identities` section; a version higher when
//                           that changes it
//   OUT/principals.yaml     without users, if there is none
//   OUT/ca/                 ca.pem, ca.key
//   OUT/<region>/keys, OUT/<region>/certs
#include "cli/edit.h"
#include "control/identity_list.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs.h"
#include "certs/keys.h"
#include "config/principals.h"
#include "control/topology_file.h"

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
    // A release before the control feed refuses a topology that names them.
    bool control_keys;
    // OUT/topology.yaml from before; NULL: none, or it is the given one
    struct topology *was;
    // what was known before, then with what is added
    struct identity_list all;
    // what the files in OUT say
    struct identity_list files;
    size_t n_added;
};

static int say(struct init *in, int rc, const char *what)
{
    if (!rc)
        return 0;
    diag_print(&in->diag, stderr);
    return cli_fail(EXIT_FAILED, "%s: %s", what, err_text(rc));
}

static bool changes_by_feed(const struct topology *t, const char *region)
{
    if (!t)
        return false;
    const struct region *r = topology_region(t, region);
    return t->control || (r && r->n_control_keys);
}

static bool wants_control_key(const struct init *in, const char *region)
{
    return in->control_keys || changes_by_feed(in->cli->topo, region) ||
           changes_by_feed(in->was, region);
}

// What the files in OUT say of a region.
static int region_has(struct init *in, const char *region, const struct cert_info *peer,
                      const struct region_keys *k)
{
    struct arena *a = &in->cli->arena;
    const struct identity_item items[N_IDENTITY_KINDS] = {
        [IDENTITY_FINGERPRINT] = {.id = arena_strdup(a, peer->fingerprint)},
        [IDENTITY_TOKEN_KEY] = {.id = arena_strdup(a, region_keys_token_id(k)),
                                .key = arena_strdup(a, region_keys_token_spki(k))},
        [IDENTITY_FEED_KEY] = {.id = arena_strdup(a, region_keys_feed_id(k)),
                               .key = arena_strdup(a, region_keys_feed_spki(k))},
        [IDENTITY_CONTROL_KEY] = {.id = arena_strdup(a, region_keys_control_id(k)),
                                  .key = arena_strdup(a, region_keys_control_spki(k))},
    };
    int rc = 0;
    for (int kind = 0; kind < N_IDENTITY_KINDS && rc >= 0; kind++) {
        if (kind == IDENTITY_CONTROL_KEY && !wants_control_key(in, region))
            continue;
        if (items[kind].id && (items[kind].key || kind == IDENTITY_FINGERPRINT))
            rc = identity_add(&in->files, region, (enum identity_kind)kind, items[kind]);
        else
            rc = ERR_NOMEM;
    }
    if (rc < 0)
        return rc;
    return 0;
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
        rc = region_has(in, r->name, &peer, k);
    region_keys_free(k);
    return say(in, rc, r->name);
}

// ---- what it adds, keeps, and would drop ----

static void say_identity(struct init *in, const char *action, const char *region,
                         enum identity_kind kind, const char *id, const char *more)
{
    cli_tell(in->cli,
             json_pack("{s:s, s:s, s:s, s:s}", "action", action, "region", region, "what",
                       identity_kind_name(kind), "id", id),
             "%-6s %s %s %s%s", action, region, identity_kind_name(kind), id, more);
}

static int merge_one(struct init *in, const struct identity *x, enum identity_kind kind,
                     const struct identity_item *item)
{
    int rc = identity_add(&in->all, x->region, kind, *item);
    if (rc == ERR_CONFLICT)
        return cli_fail(
            EXIT_FAILED,
            "%s %s of %s stands in the topology with another key than the files in %s have",
            identity_kind_name(kind), item->id, x->region, in->out);
    if (rc == ERR_TOOBIG)
        return cli_fail(
            EXIT_FAILED,
            "%s has %d of %s, which is all it may have; drop one: meridian identities retire",
            x->region, IDENTITIES_MAX, identity_kind_name(kind));
    const struct identity_item *now =
        identity_find(identity_of_region(&in->all, x->region), kind, item->id);
    bool revoked = identity_revoked(identity_of_region(&in->all, x->region), item->id);
    if (now->retired_s || revoked)
        return cli_fail(EXIT_FAILED,
                        "%s %s of %s is %s in the topology, and is what the files in %s have; a "
                        "region cannot go back to "
                        "it: take %s/%s/keys/feed.pem away, and a new one is made",
                        identity_kind_name(kind), item->id, x->region,
                        revoked ? "revoked" : "retired", in->out, in->out, x->region);
    if (rc)
        say_identity(in, "adds", x->region, kind, item->id, "");
    in->n_added += rc > 0;
    return EXIT_DONE;
}

static void say_kept(struct init *in, const struct identity *x, enum identity_kind kind,
                     const struct identity_item *item)
{
    struct identity *files = identity_of_region(&in->files, x->region);
    const char *more = "";
    if (identity_revoked(x, item->id))
        more = ", revoked: it verifies what it signed before";
    else if (item->retired_s)
        more = ", retired: it verifies what it signed";
    else if (!files || !identity_find(files, kind, item->id))
        more = arena_printf(&in->cli->arena,
                            ", which no file in %s has; if nothing uses it any more: meridian "
                            "identities retire %s %s %s --topology %s/topology.yaml",
                            in->out, x->region, identity_kind_name(kind), item->id, in->out);
    say_identity(in, "keeps", x->region, kind, item->id, more);
}

static void say_all_kept(struct init *in)
{
    for (size_t i = 0; i < in->all.n; i++)
        for (int kind = 0; kind < N_IDENTITY_KINDS; kind++)
            for (size_t k = 0; k < in->all.list[i].n[kind]; k++)
                say_kept(in, &in->all.list[i], (enum identity_kind)kind,
                         &in->all.list[i].items[kind][k]);
}

// A region that is not in the given topology any more cannot have identities there.
static bool region_stays(struct init *in, const char *region)
{
    if (topology_region(in->cli->topo, region))
        return true;
    cli_tell(in->cli, json_pack("{s:s, s:s}", "action", "drops", "region", region),
             "drops  %s: it is no region of %s", region, in->cli->topology);
    return false;
}

static int known_before(struct init *in)
{
    struct identity_list *all = &in->all;
    int rc = identity_list_add_all(all, in->cli->topo);
    if (!rc && in->was)
        rc = identity_list_add_all(all, in->was);
    if (rc)
        return cli_fail(
            EXIT_FAILED, "the identities of %s and of %s/topology.yaml do not go together: %s",
            in->cli->topology, in->out,
            rc == ERR_CONFLICT
                ? "one id stands for two keys"
                : "they are more than a topology may have; drop some (meridian identities "
                  "retire)");
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        if (region_stays(in, all->list[i].region))
            all->list[n++] = all->list[i];
    all->n = n;
    return EXIT_DONE;
}

static int merge_files(struct init *in)
{
    int status = EXIT_DONE;
    say_all_kept(in);
    for (size_t i = 0; i < in->files.n && !status; i++)
        for (int kind = 0; kind < N_IDENTITY_KINDS && !status; kind++)
            for (size_t k = 0; k < in->files.list[i].n[kind] && !status; k++)
                status = merge_one(in, &in->files.list[i], (enum identity_kind)kind,
                                   &in->files.list[i].items[kind][k]);
    return status;
}

static int topology_text(struct init *in, const char *path, uint64_t version, struct buf *out)
{
    AUTO_BUF struct buf given;
    buf_init(&given, 0);
    const struct edit_section s = {"identities", identity_list_text(&in->all, &in->cli->arena)};
    int rc = ERR_NOMEM;
    if (s.text)
        rc = file_read(in->cli->topology, TOPOLOGY_MAX_BYTES, &given);
    if (rc)
        return rc;
    if (!edit_allowed(in->cli, &given))
        return ERR_UNSUPPORTED;
    buf_clear(out);
    edit_sections(buf_cstr(&given), &s, 1, version, out);
    struct topology *t = NULL;
    if (out->err)
        rc = out->err;
    else
        rc = topology_parse(out->p, out->n, path, &in->diag, &t);
    snapshot_unref(t);
    return rc;
}

// Nodes take a document only if its version is higher than the one they have.
static int write_topology(struct init *in)
{
    const char *path = arena_printf(&in->cli->arena, "%s/topology.yaml", in->out);
    AUTO_BUF struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    bool had = path && !file_read(path, TOPOLOGY_MAX_BYTES, &was);
    uint64_t version = in->cli->topo->version, had_version = in->was ? in->was->version : version;
    if (version <= had_version)
        version = had_version;
    int rc = ERR_NOMEM;
    if (path)
        rc = topology_text(in, path, version, &now);
    bool same = !rc && had && was.n == now.n && !memcmp(was.p, now.p, now.n);
    if (!rc && !same && had && version <= had_version) {
        version = had_version + 1;
        rc = topology_text(in, path, version, &now);
    }
    if (!rc && !same)
        rc = file_write_atomic(path, now.p, now.n, 0644);
    if (rc)
        return say(in, rc, path ? path : in->out);
    json_t *doc = json_pack("{s:s, s:s, s:I, s:b}", "action", "writes", "file", path, "version",
                            (json_int_t)version, "changed", !same);
    if (same)
        cli_tell(in->cli, doc, "%s: as it was, version %llu", path, (unsigned long long)version);
    else
        cli_tell(in->cli, doc, "%s: version %llu; copy it to the nodes", path,
                 (unsigned long long)version);
    return EXIT_DONE;
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

static int give(struct init *in, const char *path, bool whole)
{
    if (path && !(whole ? nftw(path, chown_one, 16, FTW_PHYS) : lchown(path, owner_uid, owner_gid)))
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%s: cannot be given to %s: %s", path ? path : in->out, in->owner,
                    strerror(errno));
}

// What was made here, and no more: a directory that a node runs in, or ran in, has owners of its
// own (daemon/paths.h).
static int give_region(struct init *in, const char *region)
{
    struct arena *a = &in->cli->arena;
    const char *dir = arena_printf(a, "%s/%s", in->out, region),
               *lock = arena_printf(a, "%s/%s/lock", in->out, region);
    int rc = give(in, arena_printf(a, "%s/%s/keys", in->out, region), true);
    if (!rc)
        rc = give(in, arena_printf(a, "%s/%s/certs", in->out, region), true);
    if (rc || !lock || !access(lock, F_OK))
        return rc;
    return give(in, dir, false);
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
    int rc = give(in, arena_printf(&in->cli->arena, "%s/ca", in->out), true);
    for (size_t i = 0; i < t->n_regions && !rc; i++)
        rc = give_region(in, t->regions[i].name);
    if (rc)
        return rc;
    return give(in, arena_printf(&in->cli->arena, "%s/principals.yaml", in->out), false);
}

// A file without users, so that a node starts, and that `meridian user` then edits under its owner.
static int write_principals(struct init *in)
{
    const char *path = arena_printf(&in->cli->arena, "%s/principals.yaml", in->out);
    if (!access(path, F_OK))
        return EXIT_DONE;
    return say(in, principals_write(&(struct principals){.version = 1}, path), path);
}

// The topology that an earlier run wrote, or that was edited since, when it is another file than
// the given one.
static int load_was(struct init *in)
{
    const char *path = arena_printf(&in->cli->arena, "%s/topology.yaml", in->out);
    struct stat a, b;
    if (!path || stat(path, &a)) {
        if (path)
            return EXIT_DONE;
        return say(in, ERR_NOMEM, in->out);
    }
    if (!stat(in->cli->topology, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return EXIT_DONE;
    return say(in, topology_file_load(path, &in->diag, &in->was), path);
}

static int ca_make(struct init *in, struct ca **out)
{
    const char *dir = arena_printf(&in->cli->arena, "%s/ca", in->out);
    int rc = ERR_NOMEM;
    if (dir)
        rc = dir_make(in->out, 0755);
    if (!rc)
        rc = dir_make(dir, 0700);
    if (!rc) {
        rc = ca_create(dir, in->cli->topo->domain, &in->diag);
        if (rc == ERR_EXISTS)
            rc = 0;
    }
    if (!rc)
        rc = ca_open(dir, &in->diag, out);
    return say(in, rc, dir ? dir : in->out);
}

static int init_all(struct init *in)
{
    struct ca *ca = NULL;
    int status = load_was(in);
    if (!status)
        status = known_before(in);
    if (!status)
        status = ca_make(in, &ca);
    for (size_t i = 0; !status && i < in->cli->topo->n_regions; i++)
        status = region_init(in, ca, &in->cli->topo->regions[i]);
    ca_close(ca);
    if (!status)
        status = merge_files(in);
    if (!status)
        status = write_topology(in);
    if (!status)
        status = write_principals(in);
    if (status)
        return status;
    return give_to_owner(in);
}

int cmd_init(struct cli *c, int argc, char **argv)
{
    const char *out = NULL, *owner = NULL;
    bool control_keys = false;
    const struct opt rows[] = {
        {0, "out", "DIR", "where all of it goes", &out, NULL},
        {0, "owner", "USER", "give the files to this user (started by root)", &owner, NULL},
        {0, "control-keys", NULL,
         "name the regions' keys for changes too (for `control adopt`; every node must be of this "
         "release)",
         NULL, &control_keys}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!out || argc > 1)
        return cli_fail(EXIT_USAGE, "init: give --topology FILE and --out DIR");
    rc = cli_topology(c);
    struct init *in = NULL;
    if (!rc)
        in = arena_alloc(&c->arena, sizeof *in);
    if (!in) {
        if (rc)
            return rc;
        return cli_fail(EXIT_FAILED, "init: %s", err_text(ERR_NOMEM));
    }
    *in = (struct init){.cli = c, .out = out, .owner = owner, .control_keys = control_keys};
    diag_init(&in->diag);
    int status = init_all(in);
    if (!status)
        cli_tell(c,
                 json_pack("{s:s, s:s, s:I, s:I}", "action", "made", "directory", in->out,
                           "regions", (json_int_t)c->topo->n_regions, "newIdentities",
                           (json_int_t)in->n_added),
                 "%s: CA, %zu regions; %zu identities are new", in->out, c->topo->n_regions,
                 in->n_added);
    snapshot_unref(in->was);
    diag_done(&in->diag);
    return status;
}
