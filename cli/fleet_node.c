// SPDX-License-Identifier: Apache-2.0
// A node's files and life, for `meridian fleet`; see fleet.h.
#include "cli/fleet.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEER_PORT 8443
#define NODE_FILE "meridiand.yaml"

int fleet_node_said(const struct diag *d, int rc, const char *what)
{
    if (!rc)
        return EXIT_DONE;
    diag_print(d, stderr);
    return cli_fail(EXIT_FAILED, "%s: %s", what, err_text(rc));
}

// --- options ---

static int addresses_take(struct fleet_node *n, const struct opt_list *list)
{
    n->row.ipv4 = n->ipv4;
    n->row.ipv6 = n->ipv6;
    for (size_t i = 0; i < list->n; i++) {
        struct ip ip;
        if (ip_parse(list->v[i], &ip))
            return cli_fail(EXIT_USAGE, "--address %s: not an IP address", list->v[i]);
        size_t *count = &n->row.n_ipv6;
        struct ip *to = n->ipv6;
        if (ip_is_v4(&ip)) {
            count = &n->row.n_ipv4;
            to = n->ipv4;
        }
        if (*count == REGION_ROW_ADDRESSES_MAX)
            return cli_fail(EXIT_USAGE, "--address: %d of a family at most",
                            REGION_ROW_ADDRESSES_MAX);
        to[(*count)++] = ip;
    }
    return EXIT_DONE;
}

static int peer_take(struct fleet_node *n, const char *peer)
{
    if (peer) {
        if (!endpoint_parse(peer, PEER_PORT, &n->row.peer))
            return EXIT_DONE;
        return cli_fail(EXIT_USAGE, "--peer %s: expected ADDRESS or ADDRESS:PORT", peer);
    }
    const struct ip *first = n->row.ipv6;
    if (n->row.n_ipv4)
        first = n->row.ipv4;
    n->row.peer = (struct endpoint){*first, PEER_PORT};
    return EXIT_DONE;
}

int fleet_node_parse(struct cli *c, struct fleet_node *out, const struct opt *more, size_t n_more,
                     int argc, char **argv, int *out_argc)
{
    struct opt_list addresses = {0};
    const char *peer = NULL;
    *out = (struct fleet_node){.c = c, .dir = "/etc/meridian", .data = "/var/lib/meridian"};
    const struct opt shared[] = {
        {0, "address", "ADDRESS", "address at which clients reach it; may be repeated",
         .list = &addresses},
        {0, "stamp", "STAMP", "name of its stamp; REGION-1 when not given", &out->row.stamp},
        {0, "peer", "ADDRESS[:PORT]",
         "where other regions reach it; the first address and port 8443 when not given", &peer},
        {0, "location", "LAT,LONG", "where it is, for routing by distance", &out->row.location},
        {0, "dir", "DIR", "its settings and documents; /etc/meridian when not given", &out->dir},
        {0, "data", "DIR", "its data; /var/lib/meridian when not given", &out->data},
        {0, "owner", "USER", "who the daemon works as (started by root); meridian when not given",
         &out->owner},
        {0, "admin-listen", "ADDRESS:PORT",
         "an admin listener, for `--server`; none when not given", &out->admin_listen},
        {0, "program", "FILE",
         "the meridiand to run; beside this program or in PATH when not given", &out->program},
        {0, "no-start", NULL, "do not run it", NULL, &out->no_start},
    };
    struct opt rows[FLEET_NODE_OPTIONS_MAX];
    size_t n_rows = 0;
    for (size_t i = 0; i < n_more; i++)
        rows[n_rows++] = more[i];
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        rows[n_rows++] = shared[i];
    int rc = opt_parse(c, rows, n_rows, argc, argv, out_argc);
    if (rc)
        return rc;
    rc = addresses_take(out, &addresses);
    if (rc)
        return rc;
    if (!out->row.n_ipv4 && !out->row.n_ipv6)
        return cli_fail(EXIT_USAGE, "%s: give at least one --address", c->path);
    return peer_take(out, peer);
}

// --- folders ---

static const char *absolute(struct cli *c, const char *path)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return NULL;
    return arena_strdup(&c->arena, real);
}

const char *fleet_node_file(const struct fleet_node *n, const char *name)
{
    const char *path = arena_printf(&n->c->arena, "%s/%s", n->dir, name);
    if (!path)
        cli_complain("%s", err_text(ERR_NOMEM));
    return path;
}

static int owner_find(struct fleet_node *n)
{
    if (geteuid() != 0) {
        n->owner = NULL;
        return EXIT_DONE;
    }
    if (!n->owner)
        n->owner = "meridian";
    if (getpwnam(n->owner))
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED,
                    "there is no user %s for the daemon to work as: make it (useradd --system "
                    "--no-create-home %s; and meridian-edge, for nginx), or give --owner",
                    n->owner, n->owner);
}

static int folder_make(struct fleet_node *n, const char **path, mode_t mode)
{
    int rc = dir_make(*path, mode);
    const char *full = NULL;
    if (!rc)
        full = absolute(n->c, *path);
    if (!full)
        return cli_fail(EXIT_FAILED, "%s: cannot be made: %s", *path, err_text(rc ? rc : ERR_IO));
    *path = full;
    return EXIT_DONE;
}

int fleet_node_prepare(struct fleet_node *n, const char *region)
{
    n->row.name = region;
    if (!n->row.stamp)
        n->row.stamp = arena_printf(&n->c->arena, "%s-1", region);
    if (!n->row.stamp)
        return cli_fail(EXIT_FAILED, "%s", err_text(ERR_NOMEM));
    if (!hostname_stamp_ok(n->row.stamp))
        return cli_fail(EXIT_USAGE, "--stamp %s: letters, digits and inner hyphens, lower case",
                        n->row.stamp);
    umask(0022); // the CLI's own is for secrets, which say their mode themselves
    int rc = owner_find(n);
    if (!rc)
        rc = folder_make(n, &n->dir, 0755);
    if (!rc)
        rc = folder_make(n, &n->data, 0711);
    if (rc)
        return rc;
    const char *settings = fleet_node_file(n, NODE_FILE);
    n->keys = arena_printf(&n->c->arena, "%s/keys", n->data);
    n->certs = arena_printf(&n->c->arena, "%s/certs", n->data);
    if (!settings || !n->keys || !n->certs)
        return EXIT_FAILED;
    if (!access(settings, F_OK))
        return cli_fail(EXIT_CONFLICT,
                        "%s is there already: this is a node. To make another one, give --dir and "
                        "--data; to begin anew, take both folders away",
                        settings);
    return EXIT_DONE;
}

// --- settings ---

// An address that no interface here has is somebody else's (a translator's): then all are listened
// on.
static bool is_local(const struct ip *ip)
{
    struct sockaddr_storage at;
    const struct endpoint e = {*ip, 0};
    socklen_t size = endpoint_to_sockaddr(&e, &at);
    AUTO_CLOSE int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && !bind(fd, (struct sockaddr *)&at, size);
}

static void put_listeners(struct buf *b, const char *key, const struct region_row *row,
                          uint16_t port)
{
    char text[ENDPOINT_TEXT_SIZE];
    bool all = true;
    for (size_t i = 0; i < row->n_ipv4; i++)
        all &= is_local(&row->ipv4[i]);
    for (size_t i = 0; i < row->n_ipv6; i++)
        all &= is_local(&row->ipv6[i]);
    if (!all)
        return; // the default: every address
    buf_printf(b, "  %s: [", key);
    for (size_t i = 0; i < row->n_ipv4 + row->n_ipv6; i++) {
        struct endpoint e = {.port = port};
        if (i < row->n_ipv4)
            e.ip = row->ipv4[i];
        else
            e.ip = row->ipv6[i - row->n_ipv4];
        buf_printf(b, "%s\"%s\"", i ? ", " : "", endpoint_format(&e, text));
    }
    buf_str(b, "]\n");
}

static void put_settings(struct buf *b, const struct fleet_node *n, const char *ca_dir)
{
    char at[ENDPOINT_TEXT_SIZE];
    buf_printf(
        b,
        "# Made by `meridian fleet`; meridiand(8) has all settings, `meridiand --sample node` "
        "shows them.\n"
        "region: %s\nstamp: %s\n"
        "# The fleet carries topology and principals by itself. The files are what this node "
        "began with.\n"
        "source: feed\ndata_dir: \"%s\"\ntopology: \"%s/topology.yaml\"\n"
        "principals: \"%s/principals.yaml\"\n",
        n->row.name, n->row.stamp, n->data, n->dir, n->dir);
    if (ca_dir)
        buf_printf(b, "ca_dir: \"%s\"\n", ca_dir);
    if (n->owner && strcmp(n->owner, "meridian") != 0)
        buf_printf(b, "users: { daemon: %s }\n", n->owner);
    buf_str(b, "listen:\n");
    put_listeners(b, "dns", &n->row, 53);
    put_listeners(b, "https", &n->row, 443);
    struct endpoint peer = n->row.peer;
    if (!is_local(&peer.ip))
        memset(&peer.ip.b[12], 0, 4); // 0.0.0.0, mapped
    if (!is_local(&n->row.peer.ip) && !ip_is_v4(&n->row.peer.ip))
        memset(&peer.ip, 0, sizeof peer.ip);
    buf_printf(b, "  peer: \"%s\"\n", endpoint_format(&peer, at));
    if (n->admin_listen)
        buf_printf(b, "  admin: \"%s\"\n", n->admin_listen);
    buf_printf(b,
               "# One secret for the cookies of all regions; the fleet shares it.\n"
               "dns: { cookies: { secret: \"%s/cookies\" } }\n",
               n->keys);
}

int fleet_node_settings(const struct fleet_node *n, const char *ca_dir)
{
    const char *path = fleet_node_file(n, NODE_FILE);
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 16);
    put_settings(&b, n, ca_dir);
    int rc = ERR_NOMEM;
    if (path)
        rc = b.err;
    if (!rc)
        rc = file_write_atomic(path, b.p, b.n, 0644);
    return fleet_node_said(&(struct diag){0}, rc, path ? path : NODE_FILE);
}

// --- its owner ---

static uid_t owner_uid;
static gid_t owner_gid;

static int chown_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return lchown(path, owner_uid, owner_gid);
}

int fleet_node_give(const struct fleet_node *n, const char *ca_dir)
{
    if (!n->owner)
        return EXIT_DONE;
    const struct passwd *pw = getpwnam(n->owner);
    if (!pw)
        return cli_fail(EXIT_FAILED, "--owner %s: there is no such user", n->owner);
    owner_uid = pw->pw_uid;
    owner_gid = pw->pw_gid;
    const char *const all[] = {n->keys, n->certs, fleet_node_file(n, "principals.yaml"), ca_dir};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!all[i] || access(all[i], F_OK))
            continue;
        if (nftw(all[i], chown_one, 16, FTW_PHYS))
            return cli_fail(EXIT_FAILED, "%s: cannot be given to %s: %s", all[i], n->owner,
                            strerror(errno));
    }
    return EXIT_DONE;
}

// --- its life ---

// meridiand beside this program, where both were installed.
static const char *beside(struct cli *c)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return NULL;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    const char *path = arena_printf(&c->arena, "%s/meridiand", self);
    if (path && !access(path, X_OK))
        return path;
    return NULL;
}

int fleet_node_start(const struct fleet_node *n)
{
    const char *settings = fleet_node_file(n, NODE_FILE), *program = n->program;
    if (!settings)
        return EXIT_FAILED;
    if (n->no_start) {
        printf("It was not started: systemctl start meridiand (with the packages), or meridiand "
               "--config %s\n",
               settings);
        return EXIT_DONE;
    }
    if (!program)
        program = beside(n->c);
    if (!program)
        program = "meridiand";
    fflush(stdout);
    char config[] = "--config", *file = mem_strdup(settings), *name = mem_strdup(program);
    execvp(program, (char *const[]){name, config, file, NULL});
    return cli_fail(EXIT_FAILED,
                    "%s: cannot be run: %s; the node is made, start it with meridiand --config %s",
                    program, strerror(errno), settings);
}
