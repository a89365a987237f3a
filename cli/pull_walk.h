// SPDX-License-Identifier: Apache-2.0
// The ways of one pull, and walking them: names first (cli/pull_names.c), then each way as a client
// goes it, from the connection to the last blob (cli/pull_walk.c, cli/pull_content.c). What was found
// is in each way's findings (cli/pull.h). Single-threaded.
#ifndef MERIDIAN_CLI_PULL_WALK_H
#define MERIDIAN_CLI_PULL_WALK_H

#include "cli/cli.h"
#include "cli/pull.h"

struct pull_way { // from the client to one region
    // NULL: of a private address, until it has answered
    const struct region *region;
    const char *host;
    // dialled; has_ip false: there is none
    struct ip ip;
    bool has_ip;
    // "Authorization: …" for content; NULL: none
    const char *bearer;
    struct pull_findings f;
};

struct pull_run {
    struct cli *c;
    struct pull_image image;
    // NULL: it is not in the topology
    const struct registry *registry;
    // whose pull is explained; NULL: anybody's
    const char *user;
    // NULL: not given
    const char *client, *view;
    // the only one that is asked; NULL: all
    const struct region *only;
    enum pull_login login;
    // who asks for content with `password`, which is heap; NULL: nobody
    const char *asker;
    char *password;
    // GET /v1/principals/judge; NULL: no node was asked
    json_t *judgement;
    // the arena's
    struct pull_way *ways;
    size_t n_ways;
};

// Is there a node to ask: --server, or an admin socket?
bool pull_has_node(struct cli *c);
// Asks for the name, and makes the ways that follow from it. An exit status, said.
int pull_find_ways(struct pull_run *run);
// Goes one way as far as it leads.
void pull_walk(struct pull_run *run, struct pull_way *way);

// ---- of the walk ----

struct pull_reply { // the arena's
    // 0, or why nothing came (base/err.h)
    int err;
    int status;
    // why nothing came, or the refusal, in a sentence
    const char *words;
    // headers, "" without
    const char *region, *challenge, *digest, *location, *range, *length;
    struct bytes body;
};
// GET at the way's address. `host` NULL: the way's. `more`: a header line, or NULL.
struct pull_reply pull_get(struct pull_run *run, const struct pull_way *way, const char *host,
                           const char *path, const char *more);
// With the way's bearer: the manifest, what it refers to, and each blob. pull_content.c.
void pull_look_at_content(struct pull_run *run, struct pull_way *way);

#endif
