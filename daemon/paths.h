// SPDX-License-Identifier: Apache-2.0
// The directories of a node below data_dir and runtime_dir, with their owners, and the users as
// which the processes run.
//
//   data_dir/            0711 root           passed through by all, changed by root alone
//     store/             0710 daemon:edge    the edge may pass through, not list
//     store/blobs/       2750 daemon:edge    the edge reads blobs
//     store/…            0700 daemon
//     meta/ keys/ certs/ state/  0700 daemon
//     log/               0700 daemon          access.log, unless edge.access_log.file names another
//     lock               0600 root           one daemon per data_dir: held by supervisor and worker
//     state/frame.yaml   0600 daemon        with the control feed: the topology without registries,
//                                            for the edge's configuration (daemon/frame_file.h)
//     state/private-edge 0600 daemon         addresses of private endpoints that the edge answers
//                                            (daemon/private_edge.h)
//     edge-topology.yaml 0600 root           the last good topology, for the edge's configuration
//   runtime_dir/        01771 root:daemon    public.sock, peer.sock, tunnel.sock, operator.sock (0660,
//                                            group edge), admin.sock (0600)
//     edge/              0755 root           nginx.conf, its pid, its log, its copies of
//                                            certificates and keys
//
// "root" is whoever started us. Root reads and runs nothing under a path that the daemon's or the
// edge's user could swap; where the operator's own directories would allow that, the daemon says so
// and does not start.
#ifndef MERIDIAN_DAEMON_PATHS_H
#define MERIDIAN_DAEMON_PATHS_H

#include "base/diag.h"
#include "config/node.h"

#include <stdbool.h>
#include <sys/types.h>

struct identity { // resolved users; only meaningful when started by root
    // started by root and users are set
    bool switches;
    uid_t uid;
    gid_t gid;
    gid_t edge_gid;
    uid_t edge_uid;
};

struct paths {
    char store[512], meta[512], meta_db[512], keys[512], certs[512], state[512], edge_topology[512],
        health_state[512], drills[512], zones[512], spare[512], frame[512], private_edge[512];
    char public_sock[108], peer_sock[108], tunnel_sock[108], admin_sock[108], operator_sock[108];
    char edge_dir[512];
    char region_pem[512], shared_pem[512], peer_pem[512], ca_pem[512];
};

int paths_of(const struct node *n, struct diag *diag, struct paths *out);
int identity_of(const struct node *n, struct diag *diag, struct identity *out);
// *lock_fd: the lock of data_dir when it is held already (a restart), else -1: then it is taken,
// and sockets that an earlier life left are removed.
int paths_prepare(const struct node *n, const struct paths *p, const struct identity *id,
                  int *lock_fd, struct diag *diag);
// Refuses (ERR_DENIED, with a sentence) a path that the daemon's or the edge's user could swap for
// another.
int path_trusted(const char *path, const struct identity *id, struct diag *diag);

#endif
