// SPDX-License-Identifier: Apache-2.0
// Finds what would make a start fail although the settings are well-formed: the edge's program, and
// files that the daemon's or the edge's user cannot read. Root may read everything, so a child
// process takes the ids of the daemon's user, then of the edge's, and tries the files as them. Each
// failure is reported with the owner that the file needs and the command that mends it.
//
//   rc = preflight_edge_program(node, &diag);                     // at each start, too
//   rc = preflight_kernel_tls(node, &diag);                       // at each start, too
//   rc = preflight_files(node, &paths, &id, topology, &diag);     // --check alone
//
// Missing files count only where a start would fail without them. Single-threaded: it forks.
#ifndef MERIDIAN_DAEMON_PREFLIGHT_H
#define MERIDIAN_DAEMON_PREFLIGHT_H

#include "base/diag.h"
#include "config/topology.h"
#include "daemon/paths.h"

// ERR_NOTFOUND with a sentence: which program, which key names it, which Debian package brings it.
// 0 where no edge runs.
int preflight_edge_program(const struct node *n, struct diag *diag);
// ERR_UNSUPPORTED with a sentence: edge.ktls asks for what this kernel has not got. A start goes on
// without it.
int preflight_kernel_tls(const struct node *n, struct diag *diag);
// ERR_DENIED with a sentence for each finding; t NULL: files that the topology names are passed
// over.
int preflight_files(const struct node *n, const struct paths *p, const struct identity *id,
                    const struct topology *t, struct diag *diag);

// For roles that are reached over HTTPS.
static inline bool edge_wanted(const struct node *n)
{
    return (n->roles & (ROLE_REGISTRY | ROLE_AUTH | ROLE_REPLICATOR)) != 0;
}

#endif
