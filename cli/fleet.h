// SPDX-License-Identifier: Apache-2.0
// What `meridian fleet create` and `meridian fleet join` share: where a node's files are, which
// addresses it has, its settings, its owner, and running it.
//
//   struct fleet_node n;
//   rc = fleet_node_parse(c, &n, more, n_more, argc, argv, &argc);    // options
//   if (!rc)
//       rc = fleet_node_prepare(&n, region);                          // folders; is it free?
//   … keys, certificates, topology …
//   rc = fleet_node_settings(&n, ca_dir);                             // meridiand.yaml: the last file
//   rc = fleet_node_start(&n);                                        // does not come back
//
// Each step keeps what is there, so that a command that was interrupted is given again; the last
// file says that it is whole. Exit statuses; what is wrong was said. Single-threaded.
#ifndef MERIDIAN_CLI_FLEET_H
#define MERIDIAN_CLI_FLEET_H

#include "cli/cli.h"
#include "control/regions.h"

struct fleet_node {
    struct cli *c;
    // --dir, --data; absolute after fleet_node_prepare
    const char *dir, *data;
    // --owner: who the daemon works as; NULL: not root
    const char *owner;
    // --program: meridiand; NULL: beside this program, or in PATH
    const char *program;
    // --admin-listen; NULL: none
    const char *admin_listen;
    bool no_start;
    // of the region: --address, --stamp, --peer, --location, --name-server
    struct region_row row;
    struct ip ipv4[REGION_ROW_ADDRESSES_MAX], ipv6[REGION_ROW_ADDRESSES_MAX];
    // data/keys, data/certs
    const char *keys, *certs;
};

#define FLEET_NODE_OPTIONS_MAX 16
// The shared options and `more` of the command's own.
int fleet_node_parse(struct cli *c, struct fleet_node *out, const struct opt *more, size_t n_more,
                     int argc, char **argv, int *out_argc);
int fleet_node_prepare(struct fleet_node *n, const char *region);
// A file below --dir: "DIR/NAME". Arena; NULL said.
const char *fleet_node_file(const struct fleet_node *n, const char *name);
int fleet_node_settings(const struct fleet_node *n, const char *ca_dir);
// Gives keys, certificates and what else the daemon reads to its user; ca_dir may be NULL.
int fleet_node_give(const struct fleet_node *n, const char *ca_dir);
int fleet_node_start(const struct fleet_node *n);
// Says "NAME: …" for each sentence, then for rc. EXIT_DONE when rc is 0.
int fleet_node_said(const struct diag *d, int rc, const char *what);

int fleet_join(struct cli *c, int argc, char **argv); // fleet_join.c

#endif
