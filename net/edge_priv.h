// SPDX-License-Identifier: Apache-2.0
// What the files of the edge share: edge.c (life), edge_render.c (text), edge_pems.c (copies of
// certificates and keys).
#ifndef MERIDIAN_NET_EDGE_PRIV_H
#define MERIDIAN_NET_EDGE_PRIV_H

#include "net/edge.h"
#include "net/edge_log.h"

extern const char *const edge_temps[5]; // tmp-NAME in runtime_dir, of nginx's workers

#define EDGE_PEMS 4
#define EDGE_PEM_MAX (256 << 10)

struct edge_pems { // paths of the copies, in the order region, shared, peer, ca; NULL: none
    char *path[EDGE_PEMS];
};

// Copies what c names into its runtime_dir, unless a copy of the same content is there. Only
// regular files of pem_owner's or of our own, reached by no link in the last step.
int edge_pems_copy(const struct edge_config *c, struct diag *diag, struct edge_pems *out);
void edge_pems_free(struct edge_pems *p);
// removes all other copies
void edge_pems_sweep(const char *runtime_dir, const struct edge_pems *keep);

#endif
