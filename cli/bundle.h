// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian debug bundle` share: the archive with its parts, what could not be
// gathered, and how the node is asked.
//
// Rules
// 1. No secret gets in. Settings, topology, principals, operations and events of the audit log are
//    written anew from what was parsed, member by member as a list allows; no file of the node is
//    copied. A node is asked for nothing but what it shows to any token with admin/read.
// 2. Every part stands alone: what cannot be gathered is a line of errors.txt, and the others follow.
// 3. All is bounded: a part by BUNDLE_PART_MAX, all together by BUNDLE_MAX, each question to the node
//    and each program by BUNDLE_WAIT_MS. A node that lets one question wait so long is asked no more.
//
// Single-threaded.
#ifndef MERIDIAN_CLI_BUNDLE_H
#define MERIDIAN_CLI_BUNDLE_H

#include "cli/cli.h"
#include "cli/tarball.h"
#include "config/node.h"

#define BUNDLE_MAX (64u << 20)
#define BUNDLE_PART_MAX (8u << 20)
#define BUNDLE_WAIT_MS 10000

struct bundle {
    struct cli *c;
    struct tarball tar;
    // lines of contents.txt and errors.txt
    struct buf contents, errors;
    size_t n_parts, n_errors;
    // the settings of the node; NULL: they could not be read
    const char *node_path;
    struct node *node;
    // of systemd
    const char *unit;
    // --server: the node is on another machine, so nothing is gathered from this one
    bool from_afar;
    // it did not answer in time
    bool deaf;
    // why it did not answer last; NULL: it did
    const char *last_why;
    // /v1/status; NULL: the node does not answer
    json_t *status;
    // in force, or last known; NULL: none could be read
    struct topology *topology;
};

// Adds a part; `what` says in a few words what it is.
void bundle_add(struct bundle *b, const char *name, const char *what, struct bytes content);
// The same of a document, which is taken; NULL: out of memory.
void bundle_add_json(struct bundle *b, const char *name, const char *what, json_t *doc);
// The same of a text that was gathered; one that ran out of memory or room is an error instead.
void bundle_add_buf(struct bundle *b, const char *name, const char *what, const struct buf *text);
void bundle_lacks(struct bundle *b, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// GET at the node, appended to `out`. An exit status; why it failed is in *out_why (the arena's).
int bundle_ask(struct bundle *b, const char *path, struct buf *out, const char **out_why);
// The last `max` bytes of a regular file, not through a symlink unless `follow`. A negative code.
int bundle_read_end(const char *path, size_t max, bool follow, struct buf *out);
// What a program prints, at most `max` bytes of it, with an environment of its own. A negative code:
// ERR_TIMEOUT, ERR_TOOBIG, ERR_NOTFOUND, ERR_IO (it ended with another status than 0).
int bundle_run(const char *const *argv, size_t max, struct buf *out);

// The parts, in their order.
void bundle_settings_load(struct bundle *b); // bundle_files.c; makes b->node
void bundle_settings(struct bundle *b);      // bundle_files.c
void bundle_node(struct bundle *b);          // bundle_node.c
void bundle_topology(struct bundle *b);      // bundle_topology.c; makes b->topology
void bundle_principals(struct bundle *b);    // bundle_topology.c
void bundle_dns(struct bundle *b);           // bundle_dns.c
void bundle_certificates(struct bundle *b);  // bundle_files.c
void bundle_logs(struct bundle *b);          // bundle_files.c
void bundle_machine(struct bundle *b);       // bundle_machine.c

#endif
