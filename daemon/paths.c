// SPDX-License-Identifier: Apache-2.0
// Directories and users; see paths.h.
#include "daemon/paths.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int join(char *out, size_t cap, const char *dir, const char *name, struct diag *diag)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    if (n > 0 && (size_t)n < cap)
        return 0;
    diag_add(diag, NULL, 0,
             "%s/%s is too long for a path here (most is %zu bytes); choose a shorter directory",
             dir, name, cap - 1);
    return ERR_TOOBIG;
}

int paths_of(const struct node *n, struct diag *diag, struct paths *out)
{
    struct paths p;
    const char *d = n->data_dir, *r = n->runtime_dir;
    const struct {
        char *to;
        size_t cap;
        const char *dir, *name;
    } rows[] = {
        {p.store, sizeof p.store, d, "store"},
        {p.meta, sizeof p.meta, d, "meta"},
        {p.meta_db, sizeof p.meta_db, d, "meta/meta.db"},
        {p.keys, sizeof p.keys, d, "keys"},
        {p.certs, sizeof p.certs, d, "certs"},
        {p.state, sizeof p.state, d, "state"},
        {p.edge_topology, sizeof p.edge_topology, d, "edge-topology.yaml"},
        {p.zones, sizeof p.zones, d, "state/zones"},
        {p.health_state, sizeof p.health_state, d, "state/health.json"},
        {p.drills, sizeof p.drills, d, "state/drills.json"},
        {p.spare, sizeof p.spare, d, "state/spare"},
        {p.frame, sizeof p.frame, d, "state/frame.yaml"},
        {p.private_edge, sizeof p.private_edge, d, "state/private-edge"},
        {p.public_sock, sizeof p.public_sock, r, "public.sock"},
        {p.peer_sock, sizeof p.peer_sock, r, "peer.sock"},
        {p.tunnel_sock, sizeof p.tunnel_sock, r, "tunnel.sock"},
        {p.admin_sock, sizeof p.admin_sock, r, "admin.sock"},
        {p.operator_sock, sizeof p.operator_sock, r, "operator.sock"},
        {p.edge_dir, sizeof p.edge_dir, r, "edge"},
        {p.region_pem, sizeof p.region_pem, d, "certs/region.pem"},
        {p.shared_pem, sizeof p.shared_pem, d, "certs/shared.pem"},
        {p.peer_pem, sizeof p.peer_pem, d, "certs/peer.pem"},
        {p.ca_pem, sizeof p.ca_pem, d, "certs/ca.pem"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = join(rows[i].to, rows[i].cap, rows[i].dir, rows[i].name, diag);
        if (rc)
            return rc;
    }
    *out = p;
    return 0;
}

int identity_of(const struct node *n, struct diag *diag, struct identity *out)
{
    struct identity id = {.switches = geteuid() == 0 && n->user && strcmp(n->user, "root") != 0,
                          .uid = geteuid(),
                          .gid = getegid(),
                          .edge_uid = geteuid(),
                          .edge_gid = getegid()};
    if (id.switches) {
        const struct passwd *pw = getpwnam(n->user);
        if (pw) {
            id.uid = pw->pw_uid;
            id.gid = pw->pw_gid;
        }
        const struct passwd *edge = NULL;
        if (pw)
            edge = getpwnam(n->edge_user);
        if (!edge) {
            diag_add(diag, n->source, 0,
                     "user %s does not exist; make it with: useradd --system --no-create-home "
                     "--shell /usr/sbin/nologin "
                     "%s (or name other users under users:)",
                     pw ? n->edge_user : n->user, pw ? n->edge_user : n->user);
            return ERR_NOTFOUND;
        }
        id.edge_uid = edge->pw_uid;
        id.edge_gid = edge->pw_gid;
    }
    *out = id;
    return 0;
}

#define LOCK_WAIT_MS 5000

// ---- directories, made so that root trusts no path that the worker or the edge's workers could
// swap ----
//
// data_dir and runtime_dir belong to root; what the worker owns lies below. In runtime_dir the
// worker may make sockets, but the sticky bit keeps it from touching what is not its own. Each step
// is taken from the directory before it and follows no symlink.

static int fd_keep(int *fd) // from AUTO_CLOSE to whoever holds it now
{
    int keep = *fd;
    *fd = -1;
    return keep;
}

static int complain(struct diag *diag, const char *path, const char *what, int rc)
{
    diag_add(diag, NULL, 0, "%s: %s: %s", path, what, err_text(rc));
    return rc;
}

// A service manager may forbid the set-group bit (RestrictSUIDSGID of systemd): then without. The
// store gives its files their group itself.
static int mode_set(int fd, mode_t mode)
{
    if (!fchmod(fd, mode))
        return 0;
    if (errno != EPERM || !(mode & S_ISGID))
        return -1;
    return fchmod(fd, mode & ~(mode_t)S_ISGID);
}

struct dir_spec {
    // below `at`, one component
    const char *name;
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

// Opens, or makes, one directory below another. `label` is for messages.
static int dir_below(int at, const char *label, const struct dir_spec *d, const struct identity *id,
                     struct diag *diag, int *out_fd)
{
    if (mkdirat(at, d->name, 0700) && errno != EEXIST)
        return complain(diag, label, "cannot be made", err_from_errno(errno));
    AUTO_CLOSE int fd = openat(at, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        diag_add(diag, NULL, 0, "%s: must be a directory, not a link or a file", label);
        return ERR_DENIED;
    }
    if (st.st_uid != geteuid() && (st.st_uid != id->uid || d->uid != id->uid)) {
        diag_add(diag, NULL, 0, "%s: belongs to user %u; give it to user %u, or remove it", label,
                 (unsigned)st.st_uid, (unsigned)d->uid);
        return ERR_DENIED;
    }
    if (fchown(fd, d->uid, d->gid) || mode_set(fd, d->mode))
        return complain(diag, label, "owner and mode cannot be set", err_from_errno(errno));
    *out_fd = fd_keep(&fd);
    return 0;
}

// One that the operator names: its parents may be links of the operator's, and are made when they
// are missing.
static int dir_named(const char *path, gid_t gid, mode_t mode, struct diag *diag, int *out_fd)
{
    int rc = dir_make(path, 0711);
    AUTO_CLOSE int fd = -1;
    if (!rc)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!rc && (fd < 0 || fchown(fd, geteuid(), gid) || fchmod(fd, mode)))
        rc = err_from_errno(errno);
    if (rc)
        return complain(diag, path, "cannot make this directory ready", rc);
    *out_fd = fd_keep(&fd);
    return 0;
}

// Could this user put another directory in the place of `child` in `dir`? Groups: those that the
// daemon gives it.
static bool may_swap(const struct stat *dir, const struct stat *child, uid_t uid,
                     const struct identity *id)
{
    bool grouped = dir->st_gid == id->gid || dir->st_gid == id->edge_gid;
    bool writes =
        dir->st_uid == uid || (grouped && dir->st_mode & S_IWGRP) || dir->st_mode & S_IWOTH;
    return writes && (dir->st_uid == uid || child->st_uid == uid || !(dir->st_mode & S_ISVTX));
}

int path_trusted(const char *path, const struct identity *id, struct diag *diag)
{
    if (!id->switches)
        return 0;
    AUTO_FREE char *real = realpath(path, NULL);
    struct stat child, dir;
    if (!real || lstat(real, &child))
        return complain(diag, path, "cannot be looked at", err_from_errno(errno));
    while (strcmp(real, "/") != 0) {
        char *slash = strrchr(real, '/');
        slash[slash == real] = 0;
        if (lstat(real, &dir))
            return complain(diag, real, "cannot be looked at", err_from_errno(errno));
        if (may_swap(&dir, &child, id->uid, id) || may_swap(&dir, &child, id->edge_uid, id)) {
            diag_add(diag, NULL, 0,
                     "%s: the daemon's or the edge's user may write here, and so could put another "
                     "directory in the "
                     "place of %s, which root relies on; let root own it",
                     real, path);
            return ERR_DENIED;
        }
        child = dir;
    }
    return 0;
}

// One daemon per data_dir. Held until supervisor and worker have ended; one that was killed may
// take a moment to go.
static int lock_take(int data_fd, const char *data_dir, struct diag *diag, int *out_fd)
{
    AUTO_CLOSE int fd =
        openat(data_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain(diag, data_dir, "its lock cannot be opened", err_from_errno(errno));
    for (int64_t until = clock_mono_ms() + LOCK_WAIT_MS; flock(fd, LOCK_EX | LOCK_NB);) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return complain(diag, data_dir, "cannot be locked", err_from_errno(errno));
        if (clock_mono_ms() >= until) {
            diag_add(diag, NULL, 0,
                     "%s: another meridiand runs with this data_dir, or one that was killed has "
                     "not ended yet",
                     data_dir);
            return ERR_BUSY;
        }
        clock_sleep_ms(20);
    }
    *out_fd = fd_keep(&fd);
    return 0;
}

static int prepare_data(const struct node *n, const struct identity *id, int *lock_fd,
                        struct diag *diag)
{
    const struct dir_spec rows[] = {
        {"store", id->uid, id->edge_gid, 0710}, {"meta", id->uid, id->gid, 0700},
        {"keys", id->uid, id->gid, 0700},       {"certs", id->uid, id->gid, 0700},
        {"state", id->uid, id->gid, 0700},      {"log", id->uid, id->gid, 0700}};
    const struct dir_spec blobs = {"blobs", id->uid, id->edge_gid, 02750};
    AUTO_CLOSE int data = -1;
    int rc = dir_named(n->data_dir, getegid(), 0711, diag, &data);
    if (!rc)
        rc = path_trusted(n->data_dir, id, diag);
    if (!rc && *lock_fd < 0)
        rc = lock_take(data, n->data_dir, diag, lock_fd);
    for (size_t i = 0; i < ARRAY_LEN(rows) && !rc; i++) {
        char label[600];
        snprintf(label, sizeof label, "%s/%s", n->data_dir, rows[i].name);
        AUTO_CLOSE int fd = -1, below = -1;
        rc = dir_below(data, label, &rows[i], id, diag, &fd);
        if (!rc && i == 0) {
            snprintf(label, sizeof label, "%s/store/blobs", n->data_dir);
            rc = dir_below(fd, label, &blobs, id, diag, &below);
        }
    }
    return rc;
}

static int prepare_runtime(const struct node *n, const struct paths *p, const struct identity *id,
                           bool restart, struct diag *diag)
{
    static const char *const sockets[] = {"public.sock", "peer.sock", "tunnel.sock", "admin.sock",
                                          "operator.sock"};
    const struct dir_spec edge = {"edge", geteuid(), getegid(), 0755};
    AUTO_CLOSE int run = -1, below = -1;
    int rc = dir_named(n->runtime_dir, id->switches ? id->gid : getegid(),
                       id->switches ? 01771 : 0711, diag, &run);
    if (!rc)
        rc = dir_below(run, p->edge_dir, &edge, id, diag, &below);
    if (!rc)
        rc = path_trusted(p->edge_dir, id, diag);
    // What an earlier life left: another user's socket could not be replaced by the worker.
    for (size_t i = 0; i < ARRAY_LEN(sockets) && !rc && !restart; i++) {
        char beside[32];
        snprintf(beside, sizeof beside, "%s.new", sockets[i]);
        unlinkat(run, sockets[i], 0);
        unlinkat(run, beside, 0);
    }
    return rc;
}

int paths_prepare(const struct node *n, const struct paths *p, const struct identity *id,
                  int *lock_fd, struct diag *diag)
{
    bool restart = *lock_fd >= 0;
    int rc = prepare_data(n, id, lock_fd, diag); // first: runtime_dir may lie inside
    if (rc)
        return rc;
    return prepare_runtime(n, p, id, restart, diag);
}
