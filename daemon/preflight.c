// SPDX-License-Identifier: Apache-2.0
// Which files a node's users must get at; see preflight.h. Called by main for --check, the
// program's part by the supervisor at start.
#include "daemon/preflight.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "daemon/auditing.h"
#include "daemon/preflight_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EDGE_PACKAGE "nginx-light" // tools/packages.txt

int preflight_edge_program(const struct node *n, struct diag *diag)
{
    struct stat st;
    if (!edge_wanted(n))
        return 0;
    const char *why = NULL;
    if (stat(n->nginx, &st)) {
        if (errno == ENOENT)
            why = "there is no such program";
        else
            why = strerror(errno);
    } else if (!S_ISREG(st.st_mode) || access(n->nginx, X_OK))
        why = "it is no program that can be run";
    if (!why)
        return 0;
    diag_add(diag, n->source, 0,
             "edge.nginx: %s: %s; install it (Debian: apt-get install " EDGE_PACKAGE
             "), or set nginx under edge: to "
             "where it is",
             n->nginx, why);
    return ERR_NOTFOUND;
}

// An unconnected socket: a kernel that has TLS, or can load it, says that it is too early (Linux
// Documentation/networking/tls.rst).
static bool kernel_has_tls(void)
{
    static const char name[] = "tls";
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (!setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, sizeof name - 1))
        return true;
    return errno == ENOTCONN;
}

int preflight_kernel_tls(const struct node *n, struct diag *diag)
{
    if (!edge_wanted(n) || !n->edge_ktls || kernel_has_tls())
        return 0;
    diag_add(diag, n->source, 0,
             "edge.ktls: this kernel has no TLS of its own: load its module (modprobe tls), or "
             "leave the setting out; the edge works without it, as with ktls: disabled");
    return ERR_UNSUPPORTED;
}

// ---- what is tried ----

static void add(struct tries *t, const char *key, const char *path, enum need need, bool optional)
{
    for (size_t i = 0; path && i < t->n; i++)
        if (!strcmp(t->list[i].path, path))
            return; // the first key that names it
    if (!path)
        return;
    if (t->n == TRIES_MAX) {
        t->failed = true;
        return;
    }
    const char *copy = arena_strdup(&t->arena, path);
    t->failed |= !copy;
    if (copy)
        t->list[t->n++] = (struct attempt){key, copy, need, optional};
}

static void add_below(struct tries *t, const char *key, const char *dir, const char *name,
                      enum need need, bool optional)
{
    const char *path = arena_printf(&t->arena, "%s/%s", dir, name);
    t->failed |= !path;
    add(t, key, path, need, optional);
}

// The files that are in a directory now. Root looks: the daemon's user is tried on each.
static void add_all_in(struct tries *t, const char *key, const char *dir, enum need need)
{
    DIR *d = opendir(dir);
    struct stat st;
    for (const struct dirent *e; d && (e = readdir(d));)
        if (!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
            add_below(t, key, dir, e->d_name, need, true);
    if (d)
        closedir(d);
}

static void add_dnssec(struct tries *t, const struct node *n, const struct topology *topo)
{
    const char *dir = n->resolver.signing.keys_dir;
    for (size_t i = 0; topo && i < topo->dnssec.n_keys; i++) {
        char name[80];
        snprintf(name, sizeof name, "%.64s.pem", topo->dnssec.keys[i].id);
        add_below(t, "dns.signing.keys_dir", dir, name, NEED_SECRET, true);
    }
}

static void add_tsig(struct tries *t, const struct node *n, const struct topology *topo)
{
    for (size_t i = 0; topo && i < topo->transfer.n_keys; i++) {
        const char *name = arena_printf(&t->arena, "%s.key", topo->transfer.keys[i]);
        t->failed |= !name;
        if (name)
            add_below(t, "dns.tsig_dir", n->resolver.tsig_dir, name, NEED_SECRET, true);
    }
}

static void add_resolver(struct tries *t, const struct node *n, const struct topology *topo)
{
    const struct node_dns *r = &n->resolver;
    if (!(n->roles & ROLE_RESOLVER))
        return;
    if (r->cookies.enabled)
        add(t, "dns.cookies.secret", r->cookies.secret, NEED_SECRET, false);
    if (n->n_dns_tls)
        add(t, "dns.certificate", r->certificate, NEED_SECRET, true);
    add(t, "dns.query_log.file", r->query_log.file, NEED_APPEND, true);
    add_dnssec(t, n, topo);
    add_tsig(t, n, topo);
    add(t, "routing.latency_file of the topology", topo ? topo->routing.latency_file : NULL,
        NEED_READ, true);
    add(t, "routing.maxmind_file of the topology", topo ? topo->routing.maxmind_file : NULL,
        NEED_READ, true);
}

// A directory of data_dir. A start gives it owner and mode when it is missing or the daemon's;
// root's with nothing in it, too, but what is in it would stay root's. true: it is the daemon's,
// and what is in it can be tried.
static bool add_data_dir(struct tries *t, const char *dir, const struct identity *id)
{
    struct stat st;
    DIR *d = NULL;
    if (!lstat(dir, &st))
        d = opendir(dir);
    size_t n = 0;
    for (const struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    if (d && st.st_uid == id->uid)
        return true;
    if (d && (n || st.st_uid != geteuid()))
        add(t, "data_dir", dir, NEED_WRITE, true);
    return false;
}

static void add_data(struct tries *t, const struct node *n, const struct paths *p,
                     const struct identity *id)
{
    static const char *const secrets[] = {"token.pem", "feed.pem", "url.key"};
    const char *const pems[] = {p->region_pem, p->shared_pem, p->peer_pem};
    add(t, "data_dir", n->data_dir, NEED_PARENTS, true);
    add(t, "runtime_dir", n->runtime_dir, NEED_PARENTS, true);
    bool keys = add_data_dir(t, p->keys, id), certs = add_data_dir(t, p->certs, id);
    for (size_t i = 0; keys && i < ARRAY_LEN(secrets); i++)
        add_below(t, "data_dir", p->keys, secrets[i], NEED_SECRET, true);
    for (size_t i = 0; certs && i < ARRAY_LEN(pems); i++)
        add(t, "data_dir", pems[i], NEED_SECRET, true);
    if (certs)
        add(t, "data_dir", p->ca_pem, NEED_READ, true);
    if (add_data_dir(t, p->meta, id))
        add_all_in(t, "data_dir", p->meta, NEED_APPEND);
    if (add_data_dir(t, p->state, id))
        add_all_in(t, "data_dir", p->state, NEED_READ);
    add_data_dir(t, p->store, id);
}

// Its own place in data_dir is made at a start.
static void add_log(struct tries *t, const struct node *n, const char *key, const char *file,
                    const char *own_place)
{
    size_t dir = strlen(n->data_dir);
    bool own = !strncmp(file, n->data_dir, dir) && !strcmp(file + dir, own_place);
    if (!own || !access(file, F_OK))
        add(t, key, file, NEED_APPEND, true);
}

static void add_logs(struct tries *t, const struct node *n)
{
    if (edge_wanted(n) && n->access_requests != ACCESS_LOG_NONE)
        add_log(t, n, "edge.access_log.file", n->access_file, "/log/access.log");
    if (auditing_wanted(n))
        add_log(t, n, "audit.file", n->audit_file, "/log/audit.log");
}

static void add_settings(struct tries *t, const struct node *n)
{
    const char *changes = arena_printf(&t->arena, "%s.changes", n->topology);
    t->failed |= !changes;
    // read once, by a node that has nothing of the control feed yet
    bool once = n->from == NODE_SOURCE_FEED;
    add(t, "topology", n->topology, NEED_READ, once);
    add(t, "topology", changes, NEED_READ, true);
    add(t, "principals", n->principals, NEED_SECRET, once);
    add_logs(t, n);
    if (!n->ca_dir)
        return;
    add(t, "ca_dir", n->ca_dir, NEED_WRITE, false);
    add_below(t, "ca_dir", n->ca_dir, "ca.pem", NEED_READ, false);
    add_below(t, "ca_dir", n->ca_dir, "ca.key", NEED_SECRET, false);
    add_below(t, "ca_dir", n->ca_dir, "issued", NEED_APPEND, true);
}

// Without these a start fails, or the edge's does.
static void judge_missing(const struct node *n, const struct paths *p, struct diag *diag)
{
    static const char *const keys[] = {"token.pem", "feed.pem", "url.key"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", p->keys, keys[i]);
        if (access(path, F_OK) && errno == ENOENT)
            diag_add(diag, NULL, 0,
                     "data_dir: %s: it is missing; `meridian init` makes a region's keys", path);
    }
    const char *const pems[] = {p->peer_pem, p->ca_pem};
    for (size_t i = 0; edge_wanted(n) && i < ARRAY_LEN(pems); i++)
        if (access(pems[i], F_OK) && errno == ENOENT)
            diag_add(diag, NULL, 0,
                     "data_dir: %s: it is missing, and the edge cannot start without; `meridian "
                     "init` makes it where "
                     "the CA is",
                     pems[i]);
}

static const char *group_name(gid_t gid)
{
    const struct group *g = getgrgid(gid);
    if (g)
        return g->gr_name;
    return "its-group";
}

static const char *user_name(uid_t uid)
{
    const struct passwd *pw = getpwuid(uid);
    if (pw)
        return pw->pw_name;
    return "of this process";
}

static int run_as_edge(const struct node *n, const struct identity *id, struct tries *t,
                       struct diag *diag)
{
    const struct try_as as = {.user = n->edge_user,
                              .group = arena_strdup(&t->arena, group_name(id->edge_gid)),
                              .switches = true,
                              .uid = id->edge_uid,
                              .gid = id->edge_gid,
                              .more = id->edge_gid};
    t->n = 0;
    add(t, "data_dir", n->data_dir, NEED_PARENTS, true);
    add(t, "runtime_dir", n->runtime_dir, NEED_PARENTS, true);
    if (t->failed || !as.group)
        return ERR_NOMEM;
    return tries_run(t, &as, diag);
}

int preflight_files(const struct node *n, const struct paths *p, const struct identity *id,
                    const struct topology *topo, struct diag *diag)
{
    struct tries *t = mem_zalloc(sizeof *t);
    if (!t)
        return ERR_NOMEM;
    arena_init(&t->arena, 4 << 20);
    size_t before = diag_count(diag);
    add_settings(t, n);
    add_data(t, n, p, id);
    if (strcmp(n->ca_file, p->ca_pem) != 0)
        add(t, "ca_file", n->ca_file, NEED_READ, false);
    add_resolver(t, n, topo);
    judge_missing(n, p, diag);
    const struct try_as as = {.user = arena_strdup(&t->arena, user_name(id->uid)),
                              .group = arena_strdup(&t->arena, group_name(id->gid)),
                              .switches = id->switches,
                              .uid = id->uid,
                              .gid = id->gid,
                              .more = id->edge_gid};
    int rc = ERR_NOMEM;
    if (!t->failed && as.group && as.user)
        rc = tries_run(t, &as, diag);
    if (rc >= 0 && id->switches && edge_wanted(n)) {
        int of_edge = run_as_edge(n, id, t, diag);
        if (of_edge < 0)
            rc = of_edge;
        else
            rc = rc + of_edge;
    }
    arena_done(&t->arena);
    free(t);
    if (rc < 0)
        return rc;
    if (diag_count(diag) > before)
        return ERR_DENIED;
    return 0;
}
