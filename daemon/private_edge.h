// SPDX-License-Identifier: Apache-2.0
// Addresses of private endpoints that this region's edge answers itself (`answered_by: edge`): the
// worker, which knows the rows, leaves them in a file; the supervisor reads it, finds which of the
// addresses the machine has, and gives those to the edge (struct edge_private, net/edge.h).
//
//   rc = private_edge_write(paths->private_edge, topology, "eastus", &changed);  // worker
//
//   rc = private_edge_load(&p, paths->private_edge, id->uid);                    // supervisor
//   if (private_edge_look(&p, &where))     // every 2 s, too: addresses come and go
//       … render p.served; p.why says what is not served, and why
//   private_edge_applied(&p);              // after each change of the edge's configuration
//
// The file belongs to the daemon's user while the supervisor may be root: it is opened without
// following links, bounded, and parsed strictly: addresses and names in their grammar. The port is
// never the file's word: it is 443, or one that the node listens on anyway.
//
// Struct: single-threaded. The rest: any thread.
#ifndef MERIDIAN_DAEMON_PRIVATE_EDGE_H
#define MERIDIAN_DAEMON_PRIVATE_EDGE_H

#include "config/node.h"
#include "config/topology.h"
#include "daemon/edge_sockets.h"
#include "net/edge.h"

#include <sys/types.h>

#define PRIVATE_EDGE_ROWS_MAX 65536

struct private_edge_row {
    struct ip ip;
    char endpoint[HOSTNAME_LABEL_SIZE], label[HOSTNAME_LABEL_SIZE];
};

struct private_edge {
    // by address
    struct private_edge_row *rows;
    size_t n_rows;
    // of those the ones that the edge is to serve; names point into `rows`
    struct edge_private *served;
    size_t n_served;
    uint16_t port;
    // "": each address of the machine is served
    char why[256];
    // by the configuration that the edge has taken
    struct edge_sockets bound;
};

struct private_edge_where {
    const struct node *node;
    const struct topology *topology;
    // Reads the edge's configuration in force: sockets in it are ours. Asked at most once until
    // private_edge_applied, and only where an address needs a socket of its own. NULL: none runs.
    int (*conf)(void *ctx, struct buf *out);
    void *ctx;
    // the machine's addresses, sorted (private_edge_machine)
    const struct ip *machine;
    size_t n_machine;
};

// Members that belong to the region: its own, and the global one where it has a replica. *out_changed:
// the file said something else before.
int private_edge_write(const char *path, const struct topology *t, const char *region,
                       bool *out_changed);
// ERR_NOTFOUND: no file; ERR_DENIED, ERR_TOOBIG, ERR_INVAL: the rows of before stay.
int private_edge_load(struct private_edge *p, const char *path, uid_t owner);
// Decides anew what is served. True: it, or `why`, has changed.
bool private_edge_look(struct private_edge *p, const struct private_edge_where *w);
// The edge was given another configuration: what it has bound is looked up anew.
void private_edge_applied(struct private_edge *p);
void private_edge_done(struct private_edge *p);

// All addresses of the machine's interfaces, sorted. *out is the caller's.
int private_edge_machine(struct ip **out, size_t *out_n);

#endif
