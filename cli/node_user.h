// SPDX-License-Identifier: Apache-2.0
// Commands that work on a node's own folders do so as the daemon's user, also when root starts them:
// root opens nothing below a folder in which that user could put something else.
//
//   rc = node_user_find(c, node, &u);
//   … as root: what only root may …
//   rc = node_user_become(c, &u);         // for the rest of the process
#ifndef MERIDIAN_CLI_NODE_USER_H
#define MERIDIAN_CLI_NODE_USER_H

#include "cli/cli.h"
#include "config/node.h"

#include <sys/types.h>

#define NODE_SETTINGS_DEFAULT "/etc/meridian/meridiand.yaml"

struct node_user {
    // started by root, and the node names another user
    bool switches;
    uid_t uid;
    gid_t gid, edge_gid;
};

// The settings of a node; an exit status, said.
int node_user_settings(struct cli *c, const char *path, struct node **out);
int node_user_find(struct cli *c, const struct node *n, struct node_user *out);
int node_user_become(struct cli *c, const struct node_user *u);
// Makes a directory, and gives it to that user if it is empty; one that is there and is not empty
// must be the user's. As root; else it is left to whoever uses it.
int node_user_dir(struct cli *c, const struct node_user *u, const char *path);

#endif
