// SPDX-License-Identifier: Apache-2.0
// Directories and users; see paths.h.
#include "daemon/paths.h"

#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int join(char *out, size_t cap, const char *dir, const char *name, struct diag *diag)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    if (n > 0 && (size_t)n < cap)
        return 0;
    diag_add(diag, NULL, 0, "%s/%s is too long for a path here (most is %zu bytes); choose a shorter directory", dir,
             name, cap - 1);
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
        {p.last_topology, sizeof p.last_topology, d, "state/topology.last.yaml"},
        {p.health_state, sizeof p.health_state, d, "state/health.json"},
        {p.public_sock, sizeof p.public_sock, r, "public.sock"},
        {p.peer_sock, sizeof p.peer_sock, r, "peer.sock"},
        {p.admin_sock, sizeof p.admin_sock, r, "admin.sock"},
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
        const struct passwd *edge = pw ? getpwnam(n->edge_user) : NULL;
        if (!edge) {
            diag_add(
                diag, n->source, 0,
                "user %s does not exist; make it with: useradd --system --no-create-home --shell /usr/sbin/nologin "
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

static int prepare_dir(const char *path, uid_t uid, gid_t gid, mode_t mode, bool own, struct diag *diag)
{
    int rc = dir_make(path, mode & 0777);
    if (!rc && own && (chown(path, uid, gid) || chmod(path, mode)))
        rc = err_from_errno(errno);
    if (rc)
        diag_add(diag, NULL, 0, "%s: cannot make this directory ready: %s", path, err_text(rc));
    return rc;
}

int paths_prepare(const struct node *n, const struct paths *p, const struct identity *id, struct diag *diag)
{
    char blobs[600];
    snprintf(blobs, sizeof blobs, "%s/blobs", p->store);
    const struct {
        const char *path;
        gid_t gid;
        mode_t mode;
    } rows[] = {
        {n->data_dir, id->edge_gid, 0710}, {p->store, id->edge_gid, 0710},
        {blobs, id->edge_gid, 02750},      {p->meta, id->gid, 0700},
        {p->keys, id->gid, 0700},          {p->certs, id->gid, 0700},
        {p->state, id->gid, 0700},         {n->runtime_dir, id->edge_gid, 0710},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = prepare_dir(rows[i].path, id->uid, rows[i].gid, rows[i].mode, true, diag);
        if (rc)
            return rc;
    }
    return prepare_dir(p->edge_dir, geteuid(), getegid(), 0755, true, diag);
}
