// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian check-health` share: the run, one place that it checks, and how it
// prints a check.
#ifndef MERIDIAN_CLI_CHECK_H
#define MERIDIAN_CLI_CHECK_H

#include "cli/cli.h"

struct place { // one endpoint as one region serves it
    enum name_kind kind;
    const char *host;
    const struct region *at;
    // where it is dialled
    const struct ip *ip;
    // DNS leads there; otherwise the global name where DNS would lead if this region were chosen
    bool led;
};

struct check {
    struct cli *c;
    const struct registry *r;
    // the scope of tokens, and where an upload is begun
    const char *repository;
    bool ignore_errors;
    // also look at the nodes
    bool nodes;
    uint16_t dns_port;
    char *password;
    int n_errors;
    // exit status of the first error
    int status;
    // -o json: one object a check
    json_t *rows;
    // the first that came; NULL: none yet
    const char *token;
    // who gave it
    struct place from;
};

// Tells of one check: `code` NULL: it is fine. The sentence gets the code's cure behind it. False:
// stop here.
bool check_report(struct check *k, const struct place *p, const char *what, const char *code,
                  const char *why);
void check_not_tried(struct check *k, const struct place *p, const char *what, const char *why);

// TLS, challenge, and with credentials: a token, the API with it, a pull and an upload that is
// taken back. False: stop.
bool check_place(struct check *k, const struct place *p);
// How all nodes are, as the one that is asked has heard it (--nodes): each reached, none down, and none
// with something else in force than the others. False: stop.
bool check_nodes(struct check *k);
// What the region says of itself at its frontend's name. False: stop.
bool check_region(struct check *k, const struct place *p);

#endif
