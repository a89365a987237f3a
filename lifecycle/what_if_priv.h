// SPDX-License-Identifier: Apache-2.0
// Shared by what-if's files only: what two topologies give for some names (what_if_dns.c), and how
// the two are told apart (what_if.c).
#ifndef MERIDIAN_LIFECYCLE_WHAT_IF_PRIV_H
#define MERIDIAN_LIFECYCLE_WHAT_IF_PRIV_H

#include "base/arena.h"
#include "config/topology.h"

#include <jansson.h>

// Strings and arrays of all of these live in one arena.
struct what_if_names {
    struct arena *arena;
    const char **list;
    size_t n, cap;
};

// One line of what is compared: columns, of which the first n_key say what it is of. NULL: none.
#define WHAT_IF_COLUMNS 6
struct what_if_line {
    const char *columns[WHAT_IF_COLUMNS];
};

struct what_if_lines {
    struct arena *arena;
    struct what_if_line *list;
    size_t n, cap;
};

// ERR_NOMEM.
int what_if_add_name(struct what_if_names *x, const char *name);
int what_if_add_line(struct what_if_lines *x, const struct what_if_line *line);

// All names that a registry may have where it has replicas, in every form, offered or not.
int what_if_registry_names(const struct topology *t, const struct registry *r,
                           struct what_if_names *out);
// What does not depend on registries: frontends, the apex and its records.
int what_if_frame_names(const struct topology *t, struct what_if_names *out);
// Asks for each name in every view, and appends view, name, ttl, type, data, clients.
int what_if_ask(const struct topology *t, const struct what_if_names *names, int64_t now_s,
                struct what_if_lines *out);

#endif
